"""Files keep the contract that every connector keeps, as JSON lines and as CSV."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tieout.connectors.files import CONNECTOR as UNDECLARED
from tieout.emulators.kit import FaultPlan
from tieout.ports.connector import Stream
from tieout.rehearsal.connector_contract import Bench, ConnectorContract
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import Place
from tieout.rules.spec import FieldType

FIELDS = (FieldType("id", "text"), FieldType("version", "integer"), FieldType("total", "amount"))


def interface(name: str, files: str, **options: str) -> InterfaceSpec:
    place = Place("systems/systems.yaml", 1)
    return InterfaceSpec(name, name, "id", FIELDS, place, "version", {"files": files, **options})


INVOICE = interface("invoice", "invoices*.jsonl")
PAYMENT = interface("payment", "payments*.csv")


@dataclass
class Folder:
    """An inbox; it has no faults to plant."""

    path: Path

    def __post_init__(self) -> None:
        self.emulator = self
        self.faults = FaultPlan()
        self.url = f"file://{self.path}"

    def add(self, stream: str, rows: list[tuple[str, str]]) -> None:
        """Rows (key, total) at the end of the stream's newest file, or in a file of their own."""
        there = sorted(self.path.glob(f"{stream}s*"))
        if stream == "payment":
            place = self.path / f"payments-{len(there):03}.csv"
            lines = ["id,version,total", *(f"{key},1,{total}" for key, total in rows)]
        else:
            place = there[-1] if there else self.path / "invoices-000.jsonl"
            lines = [json.dumps({"id": key, "version": 1, "total": one}) for key, one in rows]
        with place.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


class TestFiles(ConnectorContract):
    connector = UNDECLARED.declared({"invoice": INVOICE, "payment": PAYMENT})
    over_http = False

    @contextlib.contextmanager
    def tenant(self) -> Iterator[Any]:
        path = Path(tempfile.mkdtemp(prefix="tieout-inbox-"))
        try:
            yield Folder(path)
        finally:
            shutil.rmtree(path)

    def session_settings(self, served: Any) -> Mapping[str, str]:
        return {"folder": str(served.path), "rows_per_page": "3"}

    def session_secrets(self, served: Any) -> Mapping[str, str]:
        return {}

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        folder: Any = bench.served
        start = sum(1 for one in bench.rows(self.stream(stream)))
        keys = [f"row-{start + n:03}" for n in range(number)]
        folder.add(stream, [(key, "1.00") for key in keys])
        return keys

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        folder: Any = bench.served
        folder.add(stream, [(f"amount-{amount}", amount)])
        return f"amount-{amount}"

    def stream(self, name: str) -> Stream:
        return self.connector.streams[name]
