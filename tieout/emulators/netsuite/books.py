"""Keeps a tenant's rows, their external ids and the SQL mirror in step.

Rows may also change behind our back: a state file is loaded over the tables, or the host's
back door edits a row. `refresh` notices both, cheaply, before each call is answered.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from tieout import clock
from tieout.emulators.netsuite.answers import Refused
from tieout.emulators.netsuite.mirror import Mirror
from tieout.emulators.netsuite.record_types import TYPES, Row

MOST_DELETED_KEPT = 100_000
_FIRST_IDS = {"customer": 600, "inventoryItem": 300, "transaction": 1000}


class WatchedRow(dict[str, object]):
    """A row that tells when it is edited in place by `update`."""

    def __init__(self, row: Row, kind: str, touched: list[tuple[str, str]]) -> None:
        super().__init__(row)
        self._kind, self._touched = kind, touched

    def update(self, *fields: object, **named: object) -> None:
        super().update(*fields, **named)
        self._touched.append((self._kind, str(self["id"])))


class Books:
    """All records of one tenant. `tables` is the emulator's own, so that it is saved whole."""

    def __init__(self, tables: dict[str, dict[str, Row]]) -> None:
        self.tables = tables
        self.mirror = Mirror(self.get)
        self._seen: dict[str, dict[str, Row]] = {}
        self._touched: list[tuple[str, str]] = []
        self._external: dict[tuple[str, str], tuple[str, str]] = {}
        self.refresh()

    # --- reading ------------------------------------------------------------------------------

    def get(self, kind: str, record_id: str) -> Row | None:
        return self.tables.get(kind, {}).get(record_id)

    def rows(self, kind: str) -> Iterator[Row]:
        """Every row of a type, by ascending internal id."""
        yield from sorted(self.tables[kind].values(), key=lambda row: int(row["id"]))

    def by_external(self, family: str, external_id: str) -> tuple[str, str] | None:
        """(record type, id) of the holder of an external id; upper and lower case are the same."""
        return self._external.get((family, external_id.lower()))

    # --- changing -----------------------------------------------------------------------------

    def next_number(self, counter: str, first: int) -> int:
        """Count up and remember it with the tables."""
        row = self.tables["counter"].setdefault(counter, {"id": counter, "last": first})
        row["last"] = int(row["last"]) + 1
        return int(row["last"])

    def new_id(self, kind: str) -> str:
        family = TYPES[kind].family
        return str(self.next_number(family, _FIRST_IDS.get(family, 0)))

    def put(self, kind: str, row: Row) -> None:
        """Store a row that has passed every rule, stamped with the time of its change."""
        family = TYPES[kind].family
        external = str(row.get("externalId") or "")
        holder = self.by_external(family, external) if external else None
        if holder is not None and holder != (kind, row["id"]):
            raise Refused(
                "DUP_RCRD",
                f"This record already exists: a record with external ID {external} is there.",
                path="externalId",
            )
        before = self.get(kind, row["id"])
        if before is not None and before.get("externalId"):
            self._external.pop((family, str(before["externalId"]).lower()), None)
        row["lastModifiedDate"] = stamp()
        row.setdefault("createdDate", row["lastModifiedDate"])
        self.tables[kind][row["id"]] = WatchedRow(row, kind, self._touched)
        if external:
            self._external[family, external.lower()] = (kind, row["id"])
        self.mirror.put(kind, row)

    def delete(self, kind: str, row: Row) -> None:
        del self.tables[kind][row["id"]]
        if row.get("externalId"):
            self._external.pop((TYPES[kind].family, str(row["externalId"]).lower()), None)
        self.mirror.remove(kind, row["id"])
        number = self.next_number("deletedRecord", 0)
        trace = {
            "id": str(number),
            "recordId": row["id"],
            "type": kind,
            "name": row.get("tranId") or row.get("entityId") or row.get("itemId") or "",
            "deletedDate": stamp(),
        }
        deleted = self.tables["deletedRecord"]
        deleted[trace["id"]] = trace
        self.mirror.put("deletedRecord", trace)
        while len(deleted) > MOST_DELETED_KEPT:
            self.mirror.remove("deletedRecord", deleted.pop(next(iter(deleted)))["id"])

    # --- staying in step ----------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what changed behind our back."""
        replaced = [
            kind
            for kind in (*TYPES, "deletedRecord")
            if self.tables.setdefault(kind, {}) is not self._seen.get(kind)
        ]
        for kind in replaced:
            rows = self._seen[kind] = self.tables[kind]
            for record_id, row in list(rows.items()):
                rows[record_id] = WatchedRow(row, kind, self._touched)
        for kind in replaced:
            self.mirror.clear(kind)
            for row in self.tables[kind].values():
                self.mirror.put(kind, row)
        for kind, record_id in self._touched:
            changed = self.get(kind, record_id)
            if changed is not None:
                self.mirror.put(kind, changed)
        if replaced or self._touched:
            self._touched.clear()
            self._index()

    def _index(self) -> None:
        self._external = {
            (spec.family, str(row["externalId"]).lower()): (kind, row["id"])
            for kind, spec in TYPES.items()
            for row in self.tables[kind].values()
            if row.get("externalId")
        }


def stamp() -> str:
    """Now, as the vendor stamps a change: UTC, whole seconds."""
    return clock.now().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
