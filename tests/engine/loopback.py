"""The measuring landscape in one process: webhooks in, a ledger in memory, a clock we turn."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

from benchmarks.loopback.connector import CONNECTOR, sign
from benchmarks.loopback.load import customer, invoice
from benchmarks.loopback.world import LANDSCAPE, SECRET
from tests.engine.house import TurnedClock
from tieout import clock
from tieout.engine.collect import Taken, keep, understand
from tieout.engine.compiled import Compiled
from tieout.engine.context import Context
from tieout.engine.dispatch import recover
from tieout.engine.opening import load_checked
from tieout.engine.rest import progress
from tieout.engine.worker import lease_names, tick
from tieout.landscape.schema import Landscape
from tieout.ports import registry
from tieout.ports.connector import InboundCall
from tieout.ports.http import Request, Response
from tieout.rules.runner import Runner
from tieout.store import leases
from tieout.store.database import Database

MOST_TICKS = 400


@dataclass
class Ledger:
    """The target: what it holds by reference, and how often each entry came."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"entry": {}, "account": {}}
    )
    times: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: Request) -> Response:
        parts = request.path().split("/")
        if parts[1] == "rows":
            return Response(200, {}, b"[]")
        rows, asked = self.rows[parts[1]], json.loads(request.body)
        if parts[-1] == "find":
            found = {one: rows[one] for one in asked if one in rows}
            return Response(200, {}, json.dumps(found).encode())
        for one in asked:
            rows[one["reference"]] = one["document"]
            self.times[one["reference"]] = self.times.get(one["reference"], 0) + 1
        return Response(200, {}, json.dumps([one["reference"] for one in asked]).encode())


@dataclass
class Loopback:
    """An engine over the measuring landscape."""

    context: Context
    ledger: Ledger
    clock: TurnedClock

    def understand(self, stream: str, body: bytes) -> Taken:
        headers = {"x-loopback-signature": sign(SECRET, body)}
        return understand(self.context, "till", InboundCall(stream, headers, body))

    def deliver(self, *calls: tuple[str, bytes]) -> None:
        """Webhooks that come together: one commit."""
        taken = [self.understand(stream, body) for stream, body in calls]
        with self.context.database.transaction() as connection:
            keep(self.context, connection, taken)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self._renew()
            tick(self.context)

    def succeed(self, context: Context) -> None:
        """Another process takes over from the one that is dead: its leases, and what it sent."""
        self.context = context
        self._renew()
        recover(context)

    def run(self, most_ticks: int = MOST_TICKS) -> None:
        """Tick until nothing moves."""
        for _ in range(most_ticks):
            self._renew()
            if not tick(self.context).busy:
                with self.context.database.transaction() as connection:
                    if progress(connection).at_rest:
                        return
                self.clock.sleep(1)
        raise AssertionError(f"no rest within {most_ticks} ticks")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.context.database.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def _renew(self) -> None:
        with self.context.database.transaction() as connection:
            self.context.leases = leases.take(
                connection, lease_names(self.context), self.context.holder
            )


@cache
def loaded() -> tuple[Landscape, Compiled]:
    known = {**registry.connectors(), "loopback": CONNECTOR}
    with patch.object(registry, "connectors", lambda: known):
        return load_checked(LANDSCAPE)


@contextlib.contextmanager
def loopback(database_url: str, ledger: Ledger | None = None) -> Iterator[Loopback]:
    """A fresh engine over a fresh database, and over this ledger if there is one."""
    landscape, compiled = loaded()
    ledger = ledger or Ledger()
    with (
        patch.dict("os.environ", LOOPBACK_SECRET=SECRET),
        clock.world(TurnedClock()) as turned,
        Database(database_url) as database,
        Runner() as runner,
    ):
        assert isinstance(turned, TurnedClock)
        context = Context(
            landscape=landscape,
            environment="bench",
            database=database,
            compiled=compiled,
            runner=runner,
            actor="test",
            transports={"till": ledger, "books": ledger},
        )
        with database.listening("tieout_work") as ears:
            leases.live(ears, context.holder)
            yield Loopback(context, ledger, turned)


def customers(prefix: str, numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """Webhooks of customers whose ids begin with `prefix`."""
    found = []
    for number in numbers:
        row = json.loads(customer(number))
        row["id"] = prefix + row["id"]
        found.append(("customer", json.dumps(row).encode()))
    return found


def invoice_row(prefix: str, key: str, version: int, number: int) -> dict[str, Any]:
    """An invoice as a row; `number` decides its customer, lines and amounts."""
    row: dict[str, Any] = json.loads(invoice(f"{prefix}{key}", number, version))
    row["customer"] = prefix + row["customer"]
    return row
