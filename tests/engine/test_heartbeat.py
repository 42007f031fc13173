"""The heartbeat: it beats while the work gets on, however long that takes, not when it hangs."""

from __future__ import annotations

from tests.engine.house import House
from tieout.engine.heartbeat import BEAT_SECONDS, HANG_SECONDS, Heartbeat
from tieout.store.leases import LEASE_SECONDS


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
