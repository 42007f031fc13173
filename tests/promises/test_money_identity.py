"""P4: money is conserved hop by hop, at every moment, whatever befalls rows, wires and workers.

Seeded runs of random events: invoices that are new, amended, repeated, out of order, unreadable,
withdrawn, deleted, and that come before their customers; a wire that loses, delays and doubles; a
target that refuses some for good; a worker that dies before or after any commit. After every step
the identity is counted anew from the rows, and the control totals are compared with them. The same
runs show that nothing takes effect in the wrong order (P3), and that at rest nothing is without an
owner (P7).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest

from tests.conftest import fresh_database
from tests.engine.loopback import Loopback
from tests.promises.books import IN_FLIGHT_SECONDS, Books
from tests.promises.conservation import Balance, balance, booked, inversions
from tests.promises.desk import desk
from tests.promises.figures import Keeper
from tests.promises.till import CUSTOMERS, PeriodOf, Till
from tieout import clock
from tieout.engine import resolve
from tieout.engine.context import Context
from tieout.engine.record_making import Maker
from tieout.engine.rest import progress
from tieout.ports.connector import Idempotency
from tieout.rehearsal.invariants.p4_conserved import BUCKETS
from tieout.rehearsal.invariants.recount import recount
from tieout.store import measures
from tieout.store.database import Connection
from tieout.store.embedded import Embedded
from tieout.store.leases import LEASE_SECONDS
from tieout.store.records import Record

FEW_SEEDS, MANY_SEEDS = 1, 12
FEW_STEPS, MANY_STEPS = 25, 40
MOST_AT_ONCE = 8
DEATH_SHARE = 0.02  # of transactions: the worker dies before or after the commit
REFUSED_SHARE = 0.08  # of invoices: the target wants nothing of them
MOST_TURNS = 400


class Died(BaseException):
    """The worker is gone: nothing after this line runs."""


class Worker:
    """An engine that dies now and then, and its successors."""

    def __init__(self, loop: Loopback, dice: random.Random) -> None:
        self.loop, self.dice = loop, dice
        self.deaths = 0
        self._mortal()

    def turn(self) -> None:
        try:
            self.loop.turn()
        except Died:
            self.deaths += 1
            old = self.loop.context
            self.loop.clock.sleep(LEASE_SECONDS + 1)
            self.loop.succeed(
                Context(
                    landscape=old.landscape,
                    environment=old.environment,
                    database=old.database,
                    compiled=old.compiled,
                    runner=old.runner,
                    actor=old.actor,
                    transports=old.transports,
                )
            )
            self._mortal()

    def _mortal(self) -> None:
        real = self.loop.context.transaction

        @contextlib.contextmanager
        def transaction() -> Iterator[Connection]:
            fate = self.dice.random()
            with real() as connection:
                yield connection
                if fate < DEATH_SHARE / 2:
                    raise Died
            if fate > 1 - DEATH_SHARE / 2:
                raise Died

        self.loop.context.transaction = transaction  # type: ignore[method-assign]


def periods_of(loop: Loopback) -> PeriodOf:
    calendars = loop.context.compiled.calendars

    def period_of(entity: str, date: dt.date) -> str:
        return calendars[entity].period_of(date).name

    return period_of


class Seed:
    """One run from one seed."""

    def __init__(self, loop: Loopback, books: Books, seed: int) -> None:
        self.seed, self.loop, self.books = seed, loop, books
        self.dice = random.Random(f"identity {seed}")
        self.till = Till(random.Random(f"till {seed}"))
        self.period_of = periods_of(loop)
        self.worker = Worker(loop, random.Random(f"deaths {seed}"))
        self.checks = 0
        self.known: set[str] = set()  # invoices of which the target has decided
        self.wrong: list[str] = []
        self.met: dict[str, int] = dict.fromkeys(BUCKETS, 0)  # most seen in each bucket

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.loop.deliver(*self.till.customers(CUSTOMERS // steps + 1))
            calls = self.till.some(self.dice.randint(1, MOST_AT_ONCE))
            self.refuse_some()
            self.loop.deliver(*calls)
            self.check()
            for _ in range(self.dice.randrange(4)):
                self.worker.turn()
                self.check()
                self.loop.clock.sleep(self.dice.choice((0.1, 1, 6)))
        self.loop.deliver(*self.till.customers(CUSTOMERS), *self.till.rest())
        self.books.trouble = False
        for _ in range(MOST_TURNS):
            self.worker.turn()
            self.check()
            with self.loop.context.database.transaction() as connection:
                if progress(connection).at_rest:
                    return
            self.loop.clock.sleep(1)
        raise AssertionError(f"seed {self.seed} never comes to rest: {self.moving()}")

    def moving(self) -> list[object]:
        """What is still under way, for whoever must find out why."""
        return [
            self.loop.rows(f"SELECT state, {more}, count(*) FROM {of} GROUP BY 1, 2")
            for of, more in (("runs", "waits_for"), ("dispatches", "due_at"), ("cases", "words"))
        ]

    def refuse_some(self) -> None:
        for key in [key for key in self.till.versions if key not in self.known]:
            self.known.add(key)
            if self.dice.random() < REFUSED_SHARE:
                self.books.refused.add(f"entry-{key}")

    def check(self) -> Balance:
        found = balance(self.loop, self.books, self.till, self.period_of)
        self.checks += 1
        self.wrong += [f"seed {self.seed}: {one}" for one in found.violations()]
        self.wrong += [f"seed {self.seed}: totals {one}" for one in recount(self.loop.rows)]
        for bucket in BUCKETS:
            self.met[bucket] = max(self.met[bucket], found.count(bucket))
        return found


def run(database_url: str, seed: int, steps: int) -> tuple[Seed, list[str], list[str]]:
    """One seed to its rest; also the inversions that the target saw, and what is nobody's."""
    books = Books("A", random.Random(f"wire {seed}"))
    with desk(database_url, books, Idempotency("A", IN_FLIGHT_SECONDS)) as loop:
        one = Seed(loop, books, seed)
        one.run(steps)
        last = one.check()
        assert last.count("in flight") == 0, loop.rows(
            "SELECT state, waits_for, count(*) FROM runs GROUP BY 1, 2"
        )
        posted = {
            str(key)
            for (key,) in loop.rows(
                "SELECT r.source_key FROM documents d JOIN record_heads r "
                "USING (record_type, record_key) WHERE d.stream = 'entry' AND d.state = 'present'"
            )
        }
        one.wrong += [
            f"seed {seed}: {key} is in the target, and not by us" for key in booked(books) - posted
        ]
        with loop.context.database.transaction() as connection:
            nobodys = [str(each) for each in measures.unowned(connection, clock.now())]
        return one, inversions(books.effects, one.till), nobodys


def seeds(cluster: Embedded, count: int, steps: int, promise: Keeper) -> None:
    done = []
    for seed in range(count):
        with fresh_database(cluster) as url:
            done.append(run(url, seed, steps))
    runs = [one for one, _, _ in done]
    events = sum(len(one.till.sent) for one in runs)
    deaths = sum(one.worker.deaths for one in runs)
    what = f"{len(runs)} seed(s), {events:,} events, {deaths} deaths of the worker"
    wrong = [each for one in runs for each in one.wrong]
    checks = sum(one.checks for one in runs)
    told = f"{len(wrong)} in {checks:,} checks" + (f" ({wrong[0]})" if wrong else "")
    promise("P4", f"{what}: violations of the identity", told, "0", kept=not wrong)
    inverted = [each for _, found, _ in done for each in found]
    promise("P3", f"{what}: inversions at the target", len(inverted), "0", kept=not inverted)
    nobodys = [each for _, _, found in done for each in found]
    promise("P7", f"{what}: at rest, without an owner", len(nobodys), "0", kept=not nobodys)
    empty = [bucket for bucket in BUCKETS if not any(one.met[bucket] for one in runs)]
    assert empty == [], "a bucket that was never used proves nothing"
    assert deaths > 0


def test_money_is_conserved_at_every_moment(cluster: Embedded, promise: Keeper) -> None:
    seeds(cluster, FEW_SEEDS, FEW_STEPS, promise)


@pytest.mark.promises
@pytest.mark.timeout(900)
def test_p4_money_is_conserved_at_every_moment(cluster: Embedded, promise: Keeper) -> None:
    seeds(cluster, MANY_SEEDS, MANY_STEPS, promise)


def test_a_cent_that_is_made_is_noticed(cluster: Embedded, promise: Keeper) -> None:
    """The test's own proof: a record that is a cent off breaks the identity."""
    real = Maker._built

    def off(self: Maker, *given: Any) -> Record:
        record = real(self, *given)
        return replace(record, amount=(record.amount or Decimal(0)) + Decimal("0.01"))

    with (
        patch.object(Maker, "_built", off),
        pytest.raises(AssertionError, match="violations of the identity"),
    ):
        seeds(cluster, 1, 3, promise)


def test_a_movement_that_is_not_counted_is_noticed(cluster: Embedded, promise: Keeper) -> None:
    """The test's own proof: a total that was not moved with its rows is found."""
    with (
        patch.object(resolve, "keep", lambda connection, tally: None),
        pytest.raises(AssertionError, match="totals"),
    ):
        seeds(cluster, 1, 3, promise)
