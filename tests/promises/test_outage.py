"""P8: when an outage is over, what has piled up drains, in order, without a storm of our own.

Once in virtual time, an hour long, in one process; and once in real time, with real processes: the
target refuses every connection while invoices come in and are amended at 50 a second, and they go
on coming while the backlog drains. It has drained when everything that was acknowledged before the
end of the outage stands in the ledger, with its newest version or a newer one.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.engine.loopback import Ledger, customers, loopback
from tests.processes.amendments import Amendments, Shown, shown
from tests.processes.commands import await_that
from tests.processes.ledger import Came
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
from tieout.ports.http import NoAnswer, Request, Response

DRAWN_WITH = 600_50
CUSTOMERS = 20

HOUR_SECONDS = 3_600.0
FEW_TURNS, MANY_TURNS = 60, 720
FEW_A_TURN, MANY_A_TURN = 4, 10
CALLS_A_MINUTE = 3.0  # while it is away: asking whether it is back, not a storm
DRAINED_VIRTUALLY_SECONDS = 150.0

PER_SECOND = 50
SENDERS = 2
TRIES = 1_000
FEW_SECONDS, MANY_SECONDS = 4.0, 600.0
DRAINED_SECONDS = 150.0
LOOK_SECONDS = 0.5
GIVE_UP_SECONDS = 300.0
REST_SECONDS = 120.0


@dataclass
class AwayLedger(Ledger):
    """A ledger in memory that may be away, and remembers what came when."""

    away: bool = False
    refused: int = 0
    story: dict[str, list[Came]] = field(default_factory=dict)

    def __call__(self, request: Request) -> Response:
        if self.away and request.method == "POST":  # where invoices are made is not away
            self.refused += 1
            raise NoAnswer("connection refused", never_sent=True)
        if request.path() == "/entry":
            for one in json.loads(request.body):
                came = (clock.monotonic(), str(one["document"]["total"]))
                self.story.setdefault(one["reference"], []).append(came)
        return super().__call__(request)


def missing(story: Mapping[str, list[Came]], feeds: list[Amendments], wanted: list[Event]) -> Shown:
    return shown(story, {k: v for feed in feeds for k, v in dict(feed.totals).items()}, wanted)


def an_hour(database_url: str, turns: int, a_turn: int, promise: Keeper) -> None:
    ledger, feed = AwayLedger(), Amendments("h", random.Random(DRAWN_WITH))
    events: Iterator[tuple[Event, bytes]] = iter(feed)
    sent: list[Event] = []
    with loopback(database_url, ledger) as loop:
        loop.deliver(*customers("", range(CUSTOMERS)))
        loop.run()
        ledger.away = True
        for _ in range(turns):
            some = [next(events) for _ in range(a_turn)]
            loop.deliver(*(("invoice", body) for _, body in some))
            sent += [event for event, _ in some]
            loop.turn()
            loop.clock.sleep(HOUR_SECONDS / turns)
        calls = ledger.refused / (HOUR_SECONDS / 60)
        ledger.away, ended = False, loop.clock.monotonic()
        while missing(ledger.story, [feed], sent).stale or len(ledger.story) < len(feed.totals):
            loop.turn()
            loop.clock.sleep(0.1)
            assert loop.clock.monotonic() - ended < HOUR_SECONDS, "it never drains"
        drained = loop.clock.monotonic() - ended
        loop.run()
        what = f"an hour's outage in virtual time, {len(sent):,} events"
        found = missing(ledger.story, [feed], sent)
        promise("P8", f"{what}: order", found.words, "all 0", kept=found.right)
        bar = f"≤ {DRAINED_VIRTUALLY_SECONDS:.0f} s"
        kept = drained <= DRAINED_VIRTUALLY_SECONDS
        promise("P8", f"{what}: drained after", f"{drained:.0f} s", bar, kept=kept)
        kept = calls <= CALLS_A_MINUTE
        told = f"{calls:.1f} a minute"
        promise("P8", f"{what}: calls meanwhile", told, f"≤ {CALLS_A_MINUTE}", kept=kept)
        assert loop.rows("SELECT count(*) FROM runs WHERE state <> 'complete'") == [(0,)]


@pytest.fixture(scope="module")
def two() -> Iterator[QuickWorld]:
    with quick_world(workers=2) as made:
        made.greet()
        yield made


def really(made: QuickWorld, seconds: float, promise: Keeper) -> None:
    ledger = made.ledger
    assert ledger is not None
    stopping = threading.Event()
    feeds = [Amendments(f"o{n}x", random.Random(f"{DRAWN_WITH} {n}")) for n in range(SENDERS)]
    pause = SENDERS / PER_SECOND
    senders = [Sender([made.web_port], iter(one), stopping, pause, TRIES) for one in feeds]
    for sender in senders:
        sender.start()
    try:
        await_acknowledged(made, senders)
        ledger.shut()
        clock.sleep(seconds)
        waiting = [event for sender in senders for event in sender.acknowledged]
        ledger.open()
        opened = clock.monotonic()
        left, took = waiting, 0.0
        while left and took < GIVE_UP_SECONDS:
            clock.sleep(LOOK_SECONDS)
            took = clock.monotonic() - opened
            found = missing(ledger.story, feeds, left)
            behind = {*found.missing, *found.stale}
            left = [(key, version) for key, version in left if key in behind]
    finally:
        stopping.set()
    for sender in senders:
        sender.join(ANSWER_SECONDS * 2)
    what = f"{seconds:.0f} s of outage at {PER_SECOND} events/s, {len(waiting):,} events"
    told, kept = f"{took:.0f} s", took <= DRAINED_SECONDS
    promise("P8", f"{what}: drained after", told, f"≤ {DRAINED_SECONDS:.0f} s", kept=kept)
    moving = (
        "SELECT (SELECT count(*) FROM runs WHERE state <> 'complete') + "
        "(SELECT count(*) FROM arrivals WHERE state = 'new')"  # acknowledged: nobody may know yet
    )
    await_that("the rest has ended", lambda: made.ask(moving) == [(0,)], REST_SECONDS)
    acknowledged = [event for sender in senders for event in sender.acknowledged]
    found = missing(ledger.story, feeds, acknowledged)
    promise("P8", f"{what}: order", found.words, "all 0", kept=found.right)
    came = len(waiting) / seconds
    told, kept = f"{came:.0f} events/s", came >= 0.9 * PER_SECOND
    if seconds == MANY_SECONDS:
        promise("P8", "intake during the outage", told, f"≥ {0.9 * PER_SECOND:.0f}", kept=kept)


def test_an_hours_outage_drains_in_order(database_url: str, promise: Keeper) -> None:
    an_hour(database_url, FEW_TURNS, FEW_A_TURN, promise)


def test_a_short_outage_drains_in_order(two: QuickWorld, promise: Keeper) -> None:
    really(two, FEW_SECONDS, promise)


@pytest.mark.promises
def test_p8_an_hours_outage_drains_in_order(database_url: str, promise: Keeper) -> None:
    an_hour(database_url, MANY_TURNS, MANY_A_TURN, promise)


@pytest.mark.promises
@pytest.mark.timeout(1_800)
def test_p8_ten_minutes_of_outage_drain_in_order(two: QuickWorld, promise: Keeper) -> None:
    really(two, MANY_SECONDS, promise)
