"""The heartbeat: it beats while the work gets on, however long that takes, not when it hangs."""

from __future__ import annotations

from tests.engine.house import House
from tieout.engine import findings
from tieout.engine.findings import Rates
from tieout.engine.heartbeat import BEAT_SECONDS, HANG_SECONDS, Heartbeat
from tieout.engine.pulse import PulseTeller
from tieout.store import workers
from tieout.store.leases import LEASE_SECONDS


def worker_alerts(home: House) -> list[str]:
    with home.connection() as connection:
        found = findings.look(connection, home.landscape, [], Rates())
    return [one.fingerprint.rpartition(" ")[0] for one in found if one.kind == "worker"]


def test_a_long_tick_keeps_its_leases(home: House) -> None:
    heart = Heartbeat(home.engine)
    for _ in range(40):  # two minutes of calls and transactions without a look between ticks
        home.clock.sleep(BEAT_SECONDS)
        with home.engine.transaction():
            pass
        assert heart.beat()
    assert home.context().partitions() == [], "nobody may take over from who is at work"


def test_a_call_that_ends_is_a_sign_of_life_too(home: House) -> None:
    heart, session = Heartbeat(home.engine), home.engine.session("netsuite")
    for _ in range(40):
        home.clock.sleep(BEAT_SECONDS)
        session.moved_at = home.clock.monotonic()
        assert heart.beat()


def test_a_tick_that_hangs_loses_them(home: House) -> None:
    heart = Heartbeat(home.engine)
    home.clock.sleep(HANG_SECONDS - 1)
    assert heart.beat(), "slow is not hung"
    home.clock.sleep(2)
    assert not heart.beat()
    home.clock.sleep(LEASE_SECONDS)
    assert len(home.context().partitions()) == 16


def test_a_long_call_is_no_hung_worker(home: House) -> None:
    """Its own thread waits for an answer: nobody is alerted, and it counts as one that turns."""
    heart = Heartbeat(home.engine)
    PulseTeller(home.engine).now("dispatch")
    for _ in range(int(HANG_SECONDS / BEAT_SECONDS) - 1):
        home.clock.sleep(BEAT_SECONDS)
        assert heart.beat()
        assert worker_alerts(home) == []
    with home.connection() as connection:
        assert workers.turning(connection, LEASE_SECONDS) == 1


def test_a_thread_that_hangs_is_told_at_once_and_since_when(home: House) -> None:
    heart = Heartbeat(home.engine)
    PulseTeller(home.engine).now("dispatch")
    home.clock.sleep(HANG_SECONDS - 1)
    assert heart.beat()
    home.clock.sleep(2)
    assert not heart.beat()
    assert worker_alerts(home) == ["worker", "worker hung"], "none turns, and this one hangs"
    with home.connection() as connection:
        (one,) = workers.seen(connection)
    still = (home.clock.now() - one.moved_at).total_seconds()
    assert HANG_SECONDS < still < HANG_SECONDS + 5


def test_a_process_that_is_frozen_is_told_when_it_misses_its_beats(home: House) -> None:
    heart = Heartbeat(home.engine)
    PulseTeller(home.engine).now("dispatch")
    home.clock.sleep(BEAT_SECONDS)
    assert heart.beat()
    home.clock.sleep(home.landscape.alerts.hung_worker_seconds + 1)  # no beat from here on
    assert worker_alerts(home) == ["worker", "worker hung"]
