"""The corner landscape at work on good days: what people make arrives where it belongs."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tests.rehearsal.connector import corner
from tests.rehearsal.test_people_corpus import corpus_of
from tieout import clock
from tieout.engine.collect import receive
from tieout.engine.compiled import compile_landscape
from tieout.engine.context import Context
from tieout.engine.rest import progress
from tieout.engine.worker import lease_names, tick
from tieout.rehearsal.people import People
from tieout.rehearsal.rowmaking import Row
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector
from tieout.rehearsal.world import SeededWorld
from tieout.rules.runner import Runner
from tieout.store import approvals, leases
from tieout.store.database import Database

STARTS_AT = dt.datetime(2028, 2, 28, 22, 0, tzinfo=dt.UTC)
MOST_TICKS = 600
_REVISION = re.compile(r"-R\d+$")


@dataclass
class Corner:
    """One engine process in the corner, its people, and somebody who answers every question."""

    context: Context
    twins: Mapping[str, Understudy]
    people: People
    world: SeededWorld
    answered: int = 0

    def work(self) -> None:
        """Tick until nothing moves; questions are answered, webhooks delivered."""
        for _ in range(MOST_TICKS):
            for system, call in self.people.post.due():
                receive(self.context, system, call)
                self.people.post.acknowledged(system, call)
            with self.context.database.transaction() as connection:
                names = lease_names(self.context)
                self.context.leases = leases.take(connection, names, self.context.holder)
            busy = tick(self.context).busy
            with self.context.database.transaction() as connection:
                asked = approvals.asked(connection)
                for one in asked:
                    approvals.decide(connection, one, "approved", "elena", "seen")
                self.answered += len(asked)
                at_rest = progress(connection).at_rest
            if not busy and not asked and at_rest:
                return
            self.world.sleep(1)
        raise AssertionError(f"no rest within {MOST_TICKS} ticks")

    def booked(self, system: str, stream: str) -> dict[str, Mapping[str, str]]:
        """What has effect in a target, by the key of the row that it is of."""
        alive = [one for one in self.twins[system].effects() if one.stream == stream and one.alive]
        found = {
            _REVISION.sub("", one.reference.removeprefix(f"{stream}-")): one.facts for one in alive
        }
        assert len(found) == len(alive)  # none twice
        return found

    def wanted(self, system: str, stream: str, field: str, value: str) -> dict[str, Row]:
        rows = self.twins[system].rows(stream)
        return {key: row for key, row in rows.items() if row[field] == value}


@contextlib.contextmanager
def opened(database_url: str, seed: int) -> Iterator[Corner]:
    landscape, compiled = corner()
    twins = {name: Understudy(name, compiled.connectors[name]) for name in landscape.systems}
    spoken = {name: UnderstudyConnector(one) for name, one in compiled.connectors.items()}
    world = SeededWorld(str(seed), STARTS_AT)
    with clock.world(world), Database(database_url) as database, Runner() as runner:
        context = Context(
            landscape=landscape,
            environment="rehearsal",
            database=database,
            compiled=compile_landscape(landscape, spoken),
            runner=runner,
            actor="test",
            transports={name: one.handle for name, one in twins.items()},
        )
        with database.listening("tieout_work") as ears, contextlib.closing(context):
            leases.live(ears, context.holder)
            people = People(corpus_of("corner"), twins, random.Random(seed), {})
            yield Corner(context, twins, people, world)


def test_good_days_end_with_everything_booked_once(database_url: str) -> None:
    with opened(database_url, 7) as home:
        for _ in range(5):
            home.people.burst(22)
            home.work()
            home.world.sleep(7_200)
        home.people.settle()
        home.work()
        invoices = home.wanted("shop", "invoice", "status", "posted")
        payments = home.wanted("till", "payment", "state", "taken")
        entries = home.booked("books", "entry")
        receipts = home.booked("bank", "receipt")
        assert {key: Decimal(one["total"]) for key, one in entries.items()} == {
            key: row["total"] for key, row in invoices.items()
        }
        assert {key: Decimal(one["total"]) for key, one in receipts.items()} == {
            key: row["amount"] for key, row in payments.items()
        }
        assert len(invoices) >= 5
        assert len(payments) >= 5
        assert home.answered > 0
