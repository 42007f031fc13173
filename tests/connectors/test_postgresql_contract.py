"""PostgreSQL keeps the contract that every connector keeps, against a real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.connectors.postgresql_server import Server, running
from tieout.connectors.postgresql import CONNECTOR as UNDECLARED
from tieout.finance.outcome import Outage, Written
from tieout.ports.connector import Total, TotalAsk, Write
from tieout.rehearsal.connector_contract import Bench, ConnectorContract
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import Place
from tieout.rules.spec import FieldType

PLACE = Place("systems/systems.yaml", 1)
INVOICE = InterfaceSpec(
    name="invoice",
    title="Invoice",
    key="invoice_id",
    version="version",
    place=PLACE,
    options={"changed": "changed_at", "void": "status=VOID", "writes_per_call": "3"},
    fields=(
        FieldType("invoice_id", "text"),
        FieldType("version", "integer"),
        FieldType("currency", "text"),
        FieldType("status", "text"),
        FieldType("issued", "date"),
        FieldType("total", "amount"),
        FieldType("changed_at", "timestamp"),
        FieldType(
            "lines",
            "list",
            fields=(
                FieldType("line", "integer"),
                FieldType("sku", "text"),
                FieldType("amount", "amount"),
            ),
        ),
    ),
)
CHANGED_AT = "2026-02-01T09:00:00+00:00"


def invoice(name: str, *amounts: str, **more: object) -> Write:
    """A good write of an invoice with a line per amount."""
    lines = [
        {"line": number, "sku": f"S{number}", "amount": amount}
        for number, amount in enumerate(amounts, start=1)
    ]
    document: dict[str, object] = {
        "invoice_id": name,
        "version": 1,
        "currency": "EUR",
        "status": "POSTED",
        "issued": "2026-01-31",
        "total": format(sum(map(Decimal, amounts)), "f"),
        "changed_at": CHANGED_AT,
        "lines": lines,
        **more,
    }
    return Write(f"warehouse/{name}/1", f"invoice-{name}", "create", document)


class TestPostgreSQL(ConnectorContract):
    connector = UNDECLARED.declared({"invoice": INVOICE})
    over_http = False
    changes = ("invoice",)
    voids = ("invoice",)
    server: Server

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _server(cls) -> Iterator[None]:
        with running() as server:
            cls.server = server
            yield

    @contextlib.contextmanager
    def tenant(self) -> Iterator[Any]:
        with self.server.tenant() as tenant:
            yield tenant

    def session_settings(self, served: Any) -> Mapping[str, str]:
        return {
            "url": served.url,
            "schema": served.schema,
            "rows_per_page": "3",
            "overlap_seconds": "0",
        }

    def session_secrets(self, served: Any) -> Mapping[str, str]:
        return {"user": self.server.user, "password": self.server.password}

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        return [invoice(f"I{n}", f"{n}40.10", "0.05") for n in range(1, number + 1)]

    def bad_example(self, bench: Bench, stream: str) -> Write:
        return invoice("bad", "1.00", currency="XXX")

    def example_with_amount(self, bench: Bench, stream: str, amount: str) -> Write:
        return invoice("exact", amount)

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        changed = invoice(str(write.document["invoice_id"]), "99.90", version=2)
        return replace(changed, write_key="warehouse/2", action="change")

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        return replace(write, write_key="warehouse/3", action="void")

    def count_documents(self, bench: Bench, stream: str) -> int:
        (count,) = bench.served.ask("SELECT count(*)::int FROM invoice")[0]  # type: ignore[attr-defined]
        return int(count)

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        start = self.count_documents(bench, stream)
        names = [f"typed-{start + n:03}" for n in range(number)]
        for name in names:
            self._seed(bench, name, "12.50")
        return names

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        name = f"amount-{self.count_documents(bench, stream)}"
        self._seed(bench, name, amount)
        return name

    def totals_example(self, bench: Bench) -> tuple[str, TotalAsk, list[Total]]:
        for name, amount in (("a", "0.10"), ("b", "12345678901234567.79")):
            self._seed(bench, name, amount)
        ask = TotalAsk("total", ("currency",), {"status": "POSTED"})
        return "invoice", ask, [Total(("EUR",), 2, Decimal("12345678901234567.89"))]

    def _seed(self, bench: Bench, name: str, amount: str) -> None:
        bench.served.ask(  # type: ignore[attr-defined]
            "INSERT INTO invoice VALUES (%s, 1, 'EUR', 'POSTED', '2026-01-31', %s, %s)",
            name,
            amount,
            CHANGED_AT,
        )

    def outcomes(self, bench: Bench, writes: Sequence[Write]) -> list[Any]:
        return list(self.connector.write(bench.session, "invoice", writes))

    # --- what only a database can do ------------------------------------------------------------

    def test_a_line_cut_before_the_commit_is_an_outage(self) -> None:
        with self.bench() as bench:
            bench.plant("server_error", most=1)
            writes = self.examples(bench, "invoice", 2)
            for outcome in self.outcomes(bench, writes):
                assert isinstance(outcome, Outage), outcome
            assert self.count_documents(bench, "invoice") == 0
            bench.heal()
            assert all(isinstance(one, Written) for one in self.outcomes(bench, writes))

    def test_a_server_that_ended_our_connection_is_reached_again(self) -> None:
        with self.bench() as bench:
            writes = self.examples(bench, "invoice", 1)
            assert isinstance(self.outcomes(bench, writes)[0], Written)
            bench.served.emulator.cut()
            assert isinstance(self.outcomes(bench, writes)[0], Outage)
            assert isinstance(self.outcomes(bench, writes)[0], Written)
