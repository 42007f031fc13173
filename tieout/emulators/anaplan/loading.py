"""What an import does with a file: rows by `code` replace cells, bad rows go to the failure dump.

Sources: vendor help on import results (counters inside `values`, result types) and on dump files.
Rows of one file that carry the same code are summed before they replace the cells, as a module
import does. The exact header of a real dump is not published; ours puts the error columns last.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from tieout.emulators.anaplan.answers import Row, Table

COLUMNS = (
    "code",
    "order_id",
    "line",
    "legal_entity",
    "period",
    "currency",
    "product",
    "quantity",
    "value",
    "value_group",
    "status",
)
NUMBERS = ("quantity", "value", "value_group")
ERROR_COLUMNS = ("_ErrorCount_", "_Errors_")


@dataclass
class Loaded:
    """The outcome of reading one file: cells to set, rows refused, counters."""

    cells: Table = field(default_factory=dict)
    refused: list[tuple[Sequence[str], list[str]]] = field(default_factory=list)
    header: Sequence[str] = ()
    ignored: int = 0
    total: int = 0
    failure: tuple[str, str] | None = None  # (detail type, words): nothing at all was loaded

    @property
    def succeeded(self) -> int:
        return self.total - self.ignored - len(self.refused)

    def dump(self) -> str:
        """The failure dump: the rows as they came, then how many errors and which."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow([*self.header, *ERROR_COLUMNS])
        for row, errors in self.refused:
            writer.writerow([*row, len(errors), "; ".join(errors)])
        return out.getvalue()

    def result(self, import_id: str, created: int) -> Row:
        """The `result` object of a completed task."""
        if self.failure is not None:
            kind, words = self.failure
            detail: Row = {"localMessageText": words, "occurrences": 1, "type": kind, "values": []}
            return _result(import_id, detail, successful=False, dump=False)
        failed = len(self.refused)
        counts = {
            "hierarchyName": "Bookings",
            "successRowCount": self.succeeded,
            "successCreateCount": created,
            "successUpdateCount": self.succeeded - created,
            "warningsRowCount": 0,
            "failedCount": failed,
            "ignoredCount": self.ignored,
            "totalRowCount": self.total,
            "createdCount": created,
            "updatedCount": self.succeeded - created,
        }
        words = (
            f"Bookings: {self.succeeded} ({created}/{self.succeeded - created}) rows successful, "
            + (f"{failed} failed, " if failed else "")
            + f"{self.ignored} ignored"
        )
        detail = {
            "localMessageText": words,
            "occurrences": 0,
            "type": "hierarchyRowsProcessed" + ("WithFailures" if failed else ""),
            "values": [str(part) for pair in counts.items() for part in pair],
        }
        return _result(import_id, detail, successful=True, dump=bool(failed))


def _result(import_id: str, detail: Row, *, successful: bool, dump: bool) -> Row:
    return {
        "details": [detail],
        "failureDumpAvailable": dump,
        "objectId": import_id,
        "successful": successful,
    }


def load(
    content: bytes | None,
    entities: Table,
    periods: frozenset[str],
    no_access: frozenset[str],
) -> Loaded:
    """Read a file as the bookings import maps it. Changes nothing yet."""
    if content is None:
        return Loaded(failure=("connectorError", "Failed to read data: the upload is incomplete"))
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        return Loaded(failure=("connectorError", f"Failed to read data: {error}"))
    if not lines:
        return Loaded(failure=("connectorError", "Failed to read data: the file is empty"))
    missing = [name for name in COLUMNS if name not in lines[0]]
    if missing:
        words = f"Invalid line item identifier: {', '.join(missing)} not found in source"
        return Loaded(failure=("failedToLocateEntity", words))
    loaded = Loaded(header=lines[0], total=len(lines) - 1)
    for line in lines[1:]:
        row = dict(zip(lines[0], line, strict=False))
        code = row.get("code", "")
        if not code or code in no_access or len(line) != len(lines[0]):
            loaded.ignored += 1
            continue
        errors = _errors(row, entities, periods)
        if errors:
            loaded.refused.append((line, errors))
        else:
            _set(loaded.cells, code, row)
    return loaded


def _errors(row: Mapping[str, str], entities: Table, periods: frozenset[str]) -> list[str]:
    errors = []
    if row["legal_entity"] not in entities:
        errors.append(f"Item not found in list Legal entities: {row['legal_entity']}")
    if row["period"] not in periods:
        errors.append(f"Invalid Time identifier: {row['period']}")
    errors += [
        f"Invalid number format for {name}: {row[name]}"
        for name in NUMBERS
        if _number(row[name]) is None
    ]
    return errors


def _set(cells: Table, code: str, row: Mapping[str, str]) -> None:
    """The last text wins, numbers of one code add up within the file."""
    before = cells.get(code, {})
    cell: Row = {name: row[name] for name in COLUMNS[1:] if name not in NUMBERS}
    for name in NUMBERS:
        added = _number(row[name]) or Decimal(0)
        earlier = before.get(name)
        cell[name] = earlier + added if isinstance(earlier, Decimal) else added
    cells[code] = cell


def _number(value: str) -> Decimal | None:
    """Plain digits with a point; thousands separators and exponents are not numbers here."""
    if not value or set(value) - set("-0123456789."):
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None
