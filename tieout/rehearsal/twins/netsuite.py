"""How NetSuite is looked at in a rehearsal: its documents, what undoes them, its periods."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tieout.connectors.netsuite.writing import VOID_SUFFIX
from tieout.emulators.kit import Emulator
from tieout.emulators.netsuite.answers import RECORD_PATH
from tieout.ports.connector import Connector
from tieout.ports.http import Request, Response
from tieout.rehearsal.twins.base import Effect, Unplayable
from tieout.rehearsal.twins.emulated import Emulated

DOCUMENTS = ("customer", "inventoryItem", "salesOrder", "invoice")
CLOSED_ORDER = "H"
SHUT = {"closed": True, "allLocked": True, "arLocked": True, "apLocked": True}
OPEN = dict.fromkeys(SHUT, False)
Row = Mapping[str, Any]


class NetSuiteTwin(Emulated):
    """Documents are those that carry an external id, as everything does that we write."""

    strikes = frozenset({"restore", "period_close"})
    restored = (*DOCUMENTS, "creditMemo")

    def __init__(
        self, system: str, real: Connector, emulator: Emulator, settings: Mapping[str, str]
    ) -> None:
        super().__init__(system, real, emulator, settings)
        self._closed_here: list[str] = []

    def watched(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        """Notes upserts, closed orders, invoices and the credit memos that undo them."""
        parts = _record_parts(request)
        there = request.method == "PUT" and self._holder(parts) is not None
        response = answer(request)
        if parts and response.status == 204 and request.method != "GET":
            self._note(request, parts, response.header("Location").rpartition("/")[2], there)
        return response

    def _note(self, request: Request, parts: list[str], made: str, there: bool) -> None:
        kind = parts[0]
        row: Row
        if "!transform" in parts:
            row = self.emulator.tables[parts[-1]][made]
            named = str(row.get("externalId") or "")
            if parts[-1] == "creditMemo":
                self._note_row("invoice", named.removesuffix(VOID_SUFFIX), "void", made, row)
            else:
                self._note_row(parts[-1], named, "create", made, row)
            return
        action = "change" if there else "create"
        if request.method == "PATCH":  # we change nothing in this way but the lines of an order
            action = "void"
        if kind in DOCUMENTS:
            row = self.emulator.tables[kind][made]
            self._note_row(kind, _external(parts[1]), action, made, row)

    def _note_row(self, kind: str, reference: str, action: str, target_id: str, row: Row) -> None:
        period = self.emulator.tables["accountingPeriod"].get(_id(row, "postingPeriod"))
        closed = period is not None and bool(period["closed"])
        self.note(kind, reference, action, target_id, _facts(kind, row), closed=closed)

    def _holder(self, parts: list[str]) -> Row | None:
        if len(parts) != 2:
            return None
        wanted = _external(parts[1]).lower()
        rows = self.emulator.tables.get(parts[0], {}).values()
        return next((one for one in rows if str(one.get("externalId")).lower() == wanted), None)

    def rows(self, stream: str) -> Mapping[str, Row]:
        """The records of one type by internal id, as NetSuite keeps them."""
        if stream not in self.restored:
            raise Unplayable(f"{self.system} has no stream '{stream}'")
        return dict(self.emulator.tables[stream])

    def effects(self) -> Sequence[Effect]:
        """An order has no effect any more when all its lines are closed, an invoice when a credit
        memo was made from it."""
        tables = self.emulator.tables
        memos: Sequence[Row] = list(tables["creditMemo"].values())
        credited = {str((memo.get("createdFrom") or {}).get("id")) for memo in memos}
        found = []
        for kind in DOCUMENTS:
            for key, row in tables[kind].items():
                if row.get("externalId"):
                    dead = (kind == "invoice" and key in credited) or (
                        kind == "salesOrder" and _id(row, "status") == CLOSED_ORDER
                    )
                    reference = str(row["externalId"])
                    found.append(Effect(kind, reference, key, not dead, _facts(kind, row)))
        return found

    def suffer(self, fault: str, dice: random.Random) -> str:
        """A period in which something was posted is closed and locked."""
        used = sorted(
            {_id(row, "postingPeriod") for row in self.emulator.tables["invoice"].values()}
        )
        periods = self.emulator.tables["accountingPeriod"]
        still_open = [one for one in used if not periods[one]["closed"]]
        if not still_open:
            return ""
        period = periods[dice.choice(still_open)]
        period.update(SHUT)
        self._closed_here.append(str(period["id"]))
        return f"the accounting period {period['periodName']} of {self.system} was closed"

    def reopen(self) -> Sequence[str]:
        """Somebody opens the periods again that a strike has closed; returns their names."""
        periods = self.emulator.tables["accountingPeriod"]
        again, self._closed_here = self._closed_here, []
        for one in again:
            periods[one].update(OPEN)
        return [str(periods[one]["periodName"]) for one in again]


def _record_parts(request: Request) -> list[str]:
    """The parts of a record's address; none for any other call."""
    path = request.path()
    if not path.startswith(RECORD_PATH + "/"):
        return []
    return [unquote(one) for one in path.removeprefix(RECORD_PATH + "/").split("/")]


def _external(part: str) -> str:
    return unquote(part.removeprefix("eid:"))


def _id(row: Row, name: str) -> str:
    value = row.get(name)
    return str(value.get("id", "")) if isinstance(value, Mapping) else ""


def _facts(kind: str, row: Row) -> dict[str, str]:
    """The facts of `Stream.facts`, from NetSuite's own row."""
    if kind == "inventoryItem":
        return {"name": str(row.get("displayName") or "")}
    currency = {"currency": _id(row, "currency")}
    if kind == "customer":
        name = str(row.get("companyName") or "")
        return {"name": name, "subsidiary": _id(row, "subsidiary"), **currency}
    facts = {
        "amount": format(row["total"], "f"),
        **currency,
        "date": str(row["tranDate"]),
        "status": str(row["status"]["refName"]),
    }
    if kind == "salesOrder":
        facts |= {"entity": _id(row, "entity"), "lines": str(len(row["item"]["items"]))}
    return facts
