"""The shipped landscapes run over their twins: emulators and understudies together, to the end."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from tests.rehearsal.test_twins_emulated import deal
from tieout import clock
from tieout.engine import worker
from tieout.engine.compiled import compile_landscape
from tieout.engine.context import Context
from tieout.engine.dispatch import recover
from tieout.engine.opening import connectors_of
from tieout.engine.rest import progress
from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.landscape.schema import EnvironmentSpec
from tieout.rehearsal.line import Line, most_late_seconds
from tieout.rehearsal.twins.casting import twin_of
from tieout.rehearsal.world import SeededWorld
from tieout.rules.runner import Runner
from tieout.store import leases
from tieout.store.database import Database

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
MOST_TICKS = 2_000
TROUBLE: Mapping[str, float] = {
    "busy": 0.05,
    "server_error": 0.05,
    "slow": 0.02,
    "lost_reply": 0.1,
    "lost_request": 0.05,
    "late_apply": 0.05,
}


@dataclass
class Stage:
    """An engine over the twins of a landscape."""

    context: Context
    world: SeededWorld
    twins: Mapping[str, Any]
    lines: Mapping[str, Line]

    def run(self) -> None:
        """Tick until nothing moves."""
        for number in range(MOST_TICKS):
            with self.context.database.transaction() as connection:
                self.context.leases = leases.take(
                    connection, worker.lease_names(self.context), self.context.holder
                )
            recover(self.context)
            if not worker.tick(self.context, poll_at_once=number % 8 == 0).busy:
                with self.context.database.transaction() as connection:
                    if progress(connection).at_rest and number > 16:
                        return
                self.world.sleep(1.0)
        raise AssertionError(f"no rest within {MOST_TICKS} ticks: {self.cases()}")

    def cases(self) -> list[Any]:
        with self.context.database.transaction() as connection:
            return connection.execute(
                "SELECT reason, control, words FROM cases WHERE state = 'open' ORDER BY case_id"
            ).fetchall()


@contextlib.contextmanager
def stage(url: str, name: str, environment: str, rates: Mapping[str, float]) -> Iterator[Stage]:
    landscape = load(example(name))
    real = connectors_of(landscape)
    specs: dict[str, EnvironmentSpec] = {}
    twins, connectors, lines = {}, {}, {}
    with (
        clock.world(SeededWorld(name, START)) as world,
        Database(url) as database,
        Runner() as runner,
    ):
        assert isinstance(world, SeededWorld)
        for system, spec in landscape.environments[environment].items():
            twin, connector = twin_of(system, landscape.systems[system], real[system], spec)
            played = connector is real[system]
            specs[system] = spec if played else replace(spec, settings={}, secrets={})
            late = most_late_seconds(connector.streams.values(), spec)
            dice = random.Random(f"{name}:{system}")
            lines[system] = Line(twin, dice, rates, late_seconds=late)
            twins[system], connectors[system] = twin, connector
        landscape = replace(landscape, environments={environment: specs})
        compiled = compile_landscape(landscape, connectors)
        context = Context(
            landscape, environment, database, compiled, runner, "test", transports=lines
        )
        with database.listening("tieout_work") as ears:
            leases.live(ears, context.holder)
            yield Stage(context, world, twins, lines)


@pytest.mark.parametrize("rates", [{}, TROUBLE], ids=["quiet", "trouble"])
@pytest.mark.parametrize(
    ("name", "order"), [("quote_to_cash", "netsuite"), ("quote_to_cash_tryton", "tryton")]
)
def test_a_won_deal_comes_to_one_document_in_every_target(
    database_url: str, name: str, order: str, rates: Mapping[str, float]
) -> None:
    with stage(database_url, name, "demo", rates) as made:
        crm = made.twins["salesforce"]
        keys = [deal(crm, str(number), Region__c="North America") for number in range(2)]
        made.run()
        for line in made.lines.values():
            line.quiet = True
            line.flush()
        made.run()
        assert made.cases() == []
        shown = crm.rows("Opportunity")
        for key in keys:
            assert shown[key]["ERP_Status__c"], shown[key]
        found = [(one.stream, one.reference) for one in made.twins[order].effects()]
        assert len(found) == len(set(found))
        assert len([one for one in found if one[1].endswith(tuple(keys))]) == 4
        assert {one.target_id for one in made.twins["anaplan"].effects()} == set(keys)
        assert bool(sum(sum(line.met.values()) for line in made.lines.values())) is bool(rates)


@pytest.mark.parametrize("rates", [{}, TROUBLE], ids=["quiet", "trouble"])
def test_rows_of_files_come_to_tables(database_url: str, rates: Mapping[str, float]) -> None:
    with stage(database_url, "record_sync", "local", rates) as made:
        billing, warehouse = made.twins["billing"], made.twins["warehouse"]
        keys = [billing.put("invoice", invoice(number)) for number in range(12)]
        made.run()
        billing.put("invoice", {**invoice(3), "status": "paid"})
        made.run()
        for line in made.lines.values():
            line.quiet = True
            line.flush()
        made.run()
        assert made.cases() == []
        assert {one.facts["total"] for one in warehouse.effects()} == {"357.00"}
        assert sorted(one.target_id for one in warehouse.effects()) == sorted(keys)
        assert {one.alive for one in warehouse.effects()} == {True}


def invoice(number: int) -> dict[str, object]:
    """A billing invoice as the landscape's own tests write it."""
    return {
        "id": f"INV-{number:08d}",
        "customer": "CRM-000001",
        "currency": "EUR",
        "status": "open",
        "issue_date": "2026-02-20",
        "due_date": "2026-03-22",
        "updated_at": "2026-02-20T09:00:00Z",
        "subtotal": Decimal("300.00"),
        "tax": Decimal("57.00"),
        "total": Decimal("357.00"),
        "lines": [
            {
                "no": 1,
                "sku": "SKU-0001",
                "description": "seat 1",
                "qty": Decimal(3),
                "unit_price": Decimal("100.00"),
                "amount": Decimal("300.00"),
            }
        ],
    }
