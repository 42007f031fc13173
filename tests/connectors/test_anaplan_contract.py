"""The suite every connector inherits, run against the emulated Anaplan over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tieout.connectors.anaplan import CONNECTOR
from tieout.connectors.anaplan.rows import COLUMNS
from tieout.emulators.anaplan.seed import FILE_ID, IMPORT_ID, MODEL_ID, MODULE_ID, WORKSPACE_ID
from tieout.emulators.host import Served
from tieout.ports.connector import Stream, Write
from tieout.ports.http import Response
from tieout.rehearsal.connector_contract import Bench, ConnectorContract, Effect


def booking(order: str, line: int, value: str, entity: str = "NWEU") -> dict[str, object]:
    return {
        "code": f"{order}-{line}",
        "order_id": order,
        "line": str(line),
        "legal_entity": entity,
        "period": "2020-07",
        "currency": "EUR",
        "product": "P-42",
        "quantity": "12",
        "value": value,
        "value_group": value,
    }


def order(number: int, *rows: dict[str, object]) -> Write:
    reference = f"bookings-{number:05d}"
    return Write(f"anaplan/{reference}/1", reference, "create", {"rows": list(rows)})


class TestAnaplan(ConnectorContract):
    connector = CONNECTOR
    emulator = "anaplan"
    emulator_settings: Mapping[str, str] = MappingProxyType(
        {"password": "contract-password", "task_seconds": "0"}
    )
    exact_amounts = ("1234567890123.45", "0.30", "999999999999999")
    changes = ("bookings",)
    voids = ("bookings",)

    def session_settings(self, served: Served) -> Mapping[str, str]:
        return {
            "base_url": served.url,
            "auth_url": served.url,
            "workspace_id": WORKSPACE_ID,
            "model_id": MODEL_ID,
            "bookings_file_id": FILE_ID,
            "bookings_import_id": IMPORT_ID,
            "bookings_view_id": MODULE_ID,
            "chunk_bytes": "300",
            "page_rows": "2",
            "poll_seconds": "0.01",
        }

    def session_secrets(self, served: Served) -> Mapping[str, str]:
        return {"email": "integration@northwind.example", "password": "contract-password"}

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        return [
            order(n, booking(f"SO{n}", 1, "98.00"), booking(f"SO{n}", 2, "1.25"))
            for n in range(1, number + 1)
        ]

    def bad_example(self, bench: Bench, stream: str) -> Write:
        return order(900, booking("SO900", 1, "5.00", entity="NWXX"))

    def example_with_amount(self, bench: Bench, stream: str, amount: str) -> Write:
        return order(1, booking("SO1", 1, amount))

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        kept = {"rows": [booking("SO1", 1, "97.50")]}
        return replace(
            write, write_key="anaplan/2", action="change", document=kept, previous=write.document
        )

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        return replace(write, write_key="anaplan/3", action="void", previous=write.document)

    def effect(self, stream: str) -> Effect:
        return Effect(("POST",), "/tasks")

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        table = bench.served.emulator.tables["bookings"]
        start = len(table) + 1
        keys = [f"SEED{n:03d}-1" for n in range(start, start + number)]
        for key in keys:
            self._seed(bench, key, "7.00")
        return keys

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        key = f"AMOUNT{len(bench.served.emulator.tables['bookings'])}-1"
        self._seed(bench, key, amount)
        return key

    def without_key(self, stream: Stream, response: Response) -> Response:
        """The view without its first column, the list item."""
        if b",".join(name.encode() for name in COLUMNS[1:]) not in response.body:
            return response
        lines = [line.split(b",", 1)[1] for line in response.body.splitlines()]
        return Response(response.status, response.headers, b"\r\n".join(lines))

    def _seed(self, bench: Bench, key: str, value: str) -> None:
        row = {**booking(key.partition("-")[0], 1, value), "status": "Active"}
        del row["code"]
        bench.served.emulator.tables["bookings"][key] = row
