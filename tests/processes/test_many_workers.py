"""Four workers on one PostgreSQL server are killed at random, and one is frozen beyond its lease.

Invoices are sent and amended all the time. Whoever is killed is started again; who was frozen wakes
up, believes that it still owns its work, and may change nothing. In the end the ledger has seen
every acknowledged version at most once and in its order, the newest of each invoice, and the
control totals are what the rows come to.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.processes.amendments import Amendments, shown
from tests.processes.commands import await_that
from tests.processes.quick_world import (
    ANSWER_SECONDS,
    SHORT_LEASE_SECONDS,
    QuickWorld,
    Sender,
    await_acknowledged,
    quick_world,
)
from tests.promises.figures import Keeper
from tieout import clock
from tieout.rehearsal.invariants.recount import recount

WORKERS = ("worker", "worker-2", "worker-3", "worker-4")
SENDERS = 2
PAUSE_SECONDS = 0.04  # of each sender
TRIES = 200
SHORTEST_LIFE, LONGEST_LIFE = 0.05, 1.0
FENCED_SECONDS = 90.0  # a lease, and the longest that a frozen transaction may hold its rows
REST_SECONDS = 180.0
DRAWN_WITH = 4_200
FEW_KILLS, MANY_KILLS = 4, 60
FEW_FREEZES, MANY_FREEZES = 1, 4


@pytest.fixture(scope="module")
def many(server: str) -> Iterator[QuickWorld]:
    with quick_world(len(WORKERS), url=server, lease_seconds=SHORT_LEASE_SECONDS) as made:
        made.greet()
        yield made


def holder_of(made: QuickWorld, name: str) -> object:
    """The holder as which this process works; None while it does not work yet."""
    found = made.ask(
        "SELECT holder FROM workers WHERE pid = %s AND stopped_at IS NULL "
        "ORDER BY started_at DESC LIMIT 1",
        made.pids[name],
    )
    return found[0][0] if found else None


def held(made: QuickWorld, holder: object) -> int:
    rows = made.ask("SELECT count(*) FROM leases WHERE holder = %s", holder)
    return int(str(rows[0][0]))


@contextlib.contextmanager
def frozen(made: QuickWorld, name: str) -> Iterator[str]:
    """One that holds leases is stopped, and loses them; it goes on when this is left."""
    await_that(
        f"{name} holds leases",
        lambda: (mine := holder_of(made, name)) is not None and held(made, mine) > 0,
        60,
    )
    holder = holder_of(made, name)
    os.kill(made.pids[name], signal.SIGSTOP)
    try:
        await_that("its leases are taken over", lambda: held(made, holder) == 0, FENCED_SECONDS)
        yield name
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(made.pids[name], signal.SIGCONT)


def kill_some(made: QuickWorld, dice: random.Random, senders: Sequence[Sender], times: int) -> None:
    """Kill one of those that have run longest, at a random moment, and start it again."""
    for _ in range(times):
        await_acknowledged(made, senders)
        clock.sleep(dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        workers = [name for name in made.born if name.startswith("worker")]
        victim = dice.choice(workers[:2])
        made.kill(victim)
        made.start(victim)


def disturbed(made: QuickWorld, kills: int, freezes: int, promise: Keeper, prefix: str) -> None:
    dice = random.Random(f"{DRAWN_WITH} {prefix}")
    stopping = threading.Event()
    feeds = [Amendments(f"{prefix}{n}x", random.Random(f"{prefix} {n}")) for n in range(SENDERS)]
    ports = [made.web_port]
    senders = [Sender(ports, iter(one), stopping, PAUSE_SECONDS, TRIES) for one in feeds]
    for sender in senders:
        sender.start()
    try:
        for _ in range(freezes):
            kill_some(made, dice, senders, kills // freezes // 2)
            with frozen(made, dice.choice(WORKERS)) as sleeper:
                others = [name for name in WORKERS if name != sleeper]
                made.kill(others[0])
                made.start(others[0])
            kill_some(made, dice, senders, kills // freezes - kills // freezes // 2 - 1)
    finally:
        stopping.set()
    for sender in senders:
        sender.join(ANSWER_SECONDS * 2)
    rest(made)
    assert made.ledger is not None
    acknowledged = [event for sender in senders for event in sender.acknowledged]
    totals = {key: known for one in feeds for key, known in one.totals.items()}
    found = shown(made.ledger.story, totals, acknowledged)
    what = f"4 workers, {kills} kill -9, {freezes} frozen beyond the lease"
    told = f"{found.words} of {len(acknowledged):,}"
    promise("workers", f"{what}: versions", told, "all 0", kept=found.right)
    off = recount(made.ask)
    promise("workers", f"{what}: totals that are off", off[:4] or "0", "0", kept=not off)
    documents = made.ask(
        "SELECT count(*), count(DISTINCT reference), count(*) FILTER (WHERE state <> 'present') "
        "FROM documents WHERE stream = 'entry'"
    )
    there = len(made.ledger.rows["entry"])
    assert documents == [(there, there, 0)], "one document for each invoice, and each is proved"


def rest(made: QuickWorld) -> None:
    def at_rest() -> bool:
        for name in WORKERS:
            if not made.running(name):
                made.start(name)
        (row,) = made.ask(
            "SELECT (SELECT count(*) FROM arrivals WHERE state = 'new'), "
            "(SELECT count(*) FROM runs WHERE state <> 'complete'), "
            "(SELECT count(*) FROM cases WHERE state = 'open')"
        )
        return row == (0, 0, 0)

    await_that("everything has ended, without a case", at_rest, REST_SECONDS)


def test_workers_that_are_killed_and_frozen_lose_and_double_nothing(
    many: QuickWorld, promise: Keeper
) -> None:
    disturbed(many, FEW_KILLS, FEW_FREEZES, promise, "f")


@pytest.mark.promises
@pytest.mark.timeout(900)
def test_four_workers_killed_at_random(many: QuickWorld, promise: Keeper) -> None:
    disturbed(many, MANY_KILLS, MANY_FREEZES, promise, "m")


@pytest.mark.parametrize(
    ("came", "wrong"),
    [
        (["1.00", "2.00", "3.00"], ""),
        (["1.00", "3.00"], ""),  # an amendment that was overtaken before it left
        (["1.00", "3.00", "3.00"], "doubled"),
        (["1.00", "3.00", "2.00"], "inverted"),
        (["1.00", "2.00"], "stale"),
        ([], "missing"),
    ],
)
def test_what_is_wrong_in_a_ledger_is_noticed(came: list[str], wrong: str) -> None:
    """The test's own proof."""
    totals = {"a": {"1.00": 1, "2.00": 2, "3.00": 3}}
    story = {"entry-a": [(float(at), total) for at, total in enumerate(came)]}
    found = shown(story, totals, [("a", 1), ("a", 3), ("a", 2)])
    assert found.right == (not wrong)
    if wrong:
        assert list(getattr(found, wrong)) == ["a"]
