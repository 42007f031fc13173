"""P1: what was acknowledged is never lost, whoever is killed with -9 at whatever moment.

Senders post signed invoices all the time, while intake, worker and postmaster are killed at random
moments and started again. Whatever was answered with 2xx must be an arrival, and end in a terminal
state; what was not answered may be there or not. There are two of each, and the one that has run
longest is killed, so that every victim had time to get to work.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from benchmarks.loopback.load import invoice
from tests.processes.commands import await_that
from tests.processes.quick_world import (
    ANSWER_SECONDS,
    Event,
    QuickWorld,
    Sender,
    await_acknowledged,
    quick_world,
)
from tests.promises.figures import Keeper
from tieout import clock

SENDERS = 3
MOST_SENT = 1_000_000
SHORTEST_LIFE, LONGEST_LIFE = 0.05, 0.8  # seconds between two kills
REST_SECONDS = 180.0
DRAWN_WITH = 500_100
EVERYBODY = ("web", "web-2", "worker", "worker-2")


@pytest.fixture(scope="module")
def quick() -> Iterator[QuickWorld]:
    with quick_world(workers=2, webs=2) as made:
        yield made


def invoices(prefix: str) -> Iterator[tuple[Event, bytes]]:
    for number in range(MOST_SENT):
        reference = f"{prefix}-{number}"
        yield (reference, 1), invoice(reference, number)


def kill_and_start(made: QuickWorld, victim: str) -> None:
    """One kill, and whoever died of it started again."""
    if victim == "postmaster":
        made.kill_database()
        made.start_database()
    else:
        made.kill(made.oldest(victim))
    start_who_died(made)


def start_who_died(made: QuickWorld) -> None:
    for name in EVERYBODY:
        if not made.running(name):
            made.start(name)


def disturbed(made: QuickWorld, victims: Sequence[str], prefix: str) -> list[Sender]:
    """Send while these are killed one after the other; returns the senders when all is quiet."""
    dice = random.Random(DRAWN_WITH)
    stopping = threading.Event()
    ports = sorted(made.web_ports.values())
    senders = [Sender(ports, invoices(f"{prefix}{n}"), stopping) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for victim in victims:
            await_acknowledged(made, senders)
            clock.sleep(dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
            kill_and_start(made, victim)
        clock.sleep(LONGEST_LIFE)
    finally:
        stopping.set()
    for sender in senders:
        sender.join(ANSWER_SECONDS * 2)
    return senders


def nothing_lost(
    made: QuickWorld, senders: Sequence[Sender], victims: Sequence[str], promise: Keeper
) -> None:
    acknowledged = {key for sender in senders for key, _ in sender.acknowledged}
    assert len(acknowledged) > 50, made.logs()

    def at_rest() -> bool:
        start_who_died(made)
        try:
            waiting = made.ask("SELECT count(*) FROM arrivals WHERE state = 'new'")[0][0]
            moving = made.ask("SELECT count(*) FROM runs WHERE state IN ('ready', 'waiting')")[0][0]
        except psycopg.OperationalError:
            return False
        return waiting == 0 and moving == 0

    await_that(f"everything has ended; {made.logs()[-3000:]}", at_rest, REST_SECONDS)
    states = dict(made.ask("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'"))  # type: ignore[call-overload]
    lost = sorted(acknowledged - set(states))
    kills, of_database = len(victims), list(victims).count("postmaster")
    what = f"{kills - of_database} kill -9 of intake and worker, {of_database} of the postmaster"
    told = f"{len(lost)} of {len(acknowledged):,} acknowledged"
    promise("P1", f"{what}: lost", told, "0", kept=not lost)
    assert {states[one] for one in acknowledged} == {"recorded"}
    keys = made.ask(
        "SELECT r.source_key FROM documents c JOIN records r USING (record_type, record_key) "
        "WHERE c.stream = 'entry' AND c.state = 'present'"
    )
    assert acknowledged <= {str(key) for (key,) in keys}, "acknowledged, and not in the ledger"


def test_five_kills_and_two_of_the_postmaster_lose_nothing(
    quick: QuickWorld, promise: Keeper
) -> None:
    quick.greet()
    victims = ["web", "worker", "postmaster", "web", "postmaster", "worker", "web"]
    nothing_lost(quick, disturbed(quick, victims, "few"), victims, promise)


@pytest.mark.promises
@pytest.mark.timeout(3_600)
def test_p1_five_hundred_kills_and_a_hundred_of_the_postmaster(
    quick: QuickWorld, promise: Keeper
) -> None:
    quick.greet()
    dice = random.Random(DRAWN_WITH)
    victims = ["web"] * 250 + ["worker"] * 250 + ["postmaster"] * 100
    dice.shuffle(victims)
    nothing_lost(quick, disturbed(quick, victims, "many"), victims, promise)
