"""The tenant's tables as SQL sees them: an in-memory copy that follows every change of a row.

Amounts are TEXT compared by a decimal collation and summed exactly: SQL arithmetic on floats would
be an untruth the vendor does not tell.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, InvalidOperation

from tieout.emulators.netsuite.record_types import DOCUMENTS, STATUS, TYPES, Row, display_name

_SCHEMA = """
CREATE TABLE "transaction" (id INTEGER PRIMARY KEY, type TEXT, recordtype TEXT,
  externalid TEXT COLLATE NOCASE, tranid TEXT, trandate TEXT_DATE, entity INTEGER,
  entity__df TEXT, subsidiary INTEGER, currency INTEGER, currency__df TEXT,
  foreigntotal TEXT COLLATE EXACT, status TEXT, status__df TEXT, createdfrom INTEGER,
  postingperiod INTEGER, posting TEXT, otherrefnum TEXT, memo TEXT, createddate TEXT_DATE,
  lastmodifieddate TEXT_DATE);
CREATE INDEX transaction_external ON "transaction" (externalid);
CREATE INDEX transaction_changed ON "transaction" (lastmodifieddate, id);
CREATE TABLE transactionline ("transaction" INTEGER, id INTEGER, linesequencenumber INTEGER,
  mainline TEXT, taxline TEXT, item INTEGER, item__df TEXT, quantity TEXT COLLATE EXACT,
  rate TEXT COLLATE EXACT, foreignamount TEXT COLLATE EXACT, isclosed TEXT, memo TEXT,
  PRIMARY KEY ("transaction", id));
CREATE TABLE customer (id INTEGER PRIMARY KEY, externalid TEXT COLLATE NOCASE, entityid TEXT,
  companyname TEXT, isperson TEXT, isinactive TEXT, email TEXT, phone TEXT, accountnumber TEXT,
  subsidiary INTEGER, subsidiary__df TEXT, currency INTEGER, currency__df TEXT,
  datecreated TEXT_DATE, lastmodifieddate TEXT_DATE);
CREATE INDEX customer_external ON customer (externalid);
CREATE TABLE item (id INTEGER PRIMARY KEY, externalid TEXT COLLATE NOCASE, itemid TEXT,
  itemtype TEXT, displayname TEXT, isinactive TEXT, createddate TEXT_DATE,
  lastmodifieddate TEXT_DATE);
CREATE INDEX item_external ON item (externalid);
CREATE TABLE accountingperiod (id INTEGER PRIMARY KEY, periodname TEXT, startdate TEXT_DATE,
  enddate TEXT_DATE, closed TEXT, alllocked TEXT, arlocked TEXT, aplocked TEXT, isadjust TEXT,
  isyear TEXT, isquarter TEXT, lastmodifieddate TEXT_DATE);
CREATE TABLE currency (id INTEGER PRIMARY KEY, symbol TEXT, name TEXT, currencyprecision INTEGER,
  isinactive TEXT);
CREATE TABLE subsidiary (id INTEGER PRIMARY KEY, name TEXT, currency INTEGER, parent INTEGER,
  iselimination TEXT, isinactive TEXT);
CREATE TABLE deletedrecord (id INTEGER PRIMARY KEY, recordid INTEGER, type TEXT, name TEXT,
  deleteddate TEXT_DATE);
"""

Lookup = Callable[[str, str], Row | None]


class Mirror:
    """An SQLite database in memory. `put` and `remove` keep it in step with one row each."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.connection = sqlite3.connect(
            ":memory:",
            check_same_thread=False,
            isolation_level=None,
            detect_types=sqlite3.PARSE_DECLTYPES,
        )
        self.connection.create_collation("EXACT", compare_exactly)
        self.connection.executescript(_SCHEMA)

    def clear(self, kind: str) -> None:
        """Forget every row of one record type."""
        if kind in DOCUMENTS:
            spoken = TYPES[kind].query_type
            self.connection.execute(
                'DELETE FROM transactionline WHERE "transaction" IN '
                '(SELECT id FROM "transaction" WHERE type = ?)',
                (spoken,),
            )
            self.connection.execute('DELETE FROM "transaction" WHERE type = ?', (spoken,))
        elif kind in _TABLES:
            self.connection.execute(f'DELETE FROM "{_TABLES[kind][0]}"')

    def put(self, kind: str, row: Row) -> None:
        if kind in DOCUMENTS:
            self._put_document(kind, row)
        elif kind in _TABLES:
            table, columns = _TABLES[kind]
            values = {column: plain(row.get(name)) for column, name in columns.items()}
            if kind == "customer":
                values["subsidiary__df"] = self._name("subsidiary", row.get("subsidiary"))
                values["currency__df"] = self._name("currency", row.get("currency"))
            if kind == "inventoryItem":
                values["itemtype"] = "InvtPart"
            self._insert(table, values)

    def remove(self, kind: str, record_id: str) -> None:
        table = "transaction" if kind in DOCUMENTS else _TABLES[kind][0]
        self.connection.execute(f'DELETE FROM "{table}" WHERE id = ?', (record_id,))
        if kind in DOCUMENTS:
            self.connection.execute(
                'DELETE FROM transactionline WHERE "transaction" = ?', (record_id,)
            )

    def _put_document(self, kind: str, row: Row) -> None:
        spec = TYPES[kind]
        # The general ledger's view: a credit memo takes away, and lines of a sale are credits.
        sign = -1 if kind == "creditMemo" else 1
        status = str(row["status"]["id"])
        values = {
            "id": row["id"],
            "type": spec.query_type,
            "recordtype": kind.lower(),
            "foreigntotal": plain(sign * row["total"]),
            "status": status,
            "status__df": f"{spec.title} : {STATUS[kind].get(status, status)}",
            "posting": "T" if spec.posts else "F",
            "entity__df": self._name("customer", row.get("entity")),
            "currency__df": self._name("currency", row.get("currency")),
            **{column: plain(row.get(name)) for column, name in _DOCUMENT_COLUMNS.items()},
        }
        self._insert("transaction", values)
        self.connection.execute('DELETE FROM transactionline WHERE "transaction" = ?', (row["id"],))
        self._insert(
            "transactionline",
            {
                "transaction": row["id"],
                "id": 0,
                "linesequencenumber": 0,
                "mainline": "T",
                "taxline": "F",
                "foreignamount": plain(sign * row["total"]),
            },
        )
        for line in row["item"]["items"]:
            self._insert(
                "transactionline",
                {
                    "transaction": row["id"],
                    "id": line["line"],
                    "linesequencenumber": line["line"],
                    "mainline": "F",
                    "taxline": "F",
                    "item": line["item"]["id"],
                    "item__df": self._name("inventoryItem", line["item"]),
                    "quantity": plain(-sign * Decimal(line["quantity"])),
                    "rate": plain(line.get("rate")),
                    "foreignamount": plain(-sign * line["amount"]),
                    "isclosed": plain(bool(line.get("isClosed"))),
                    "memo": plain(line.get("description")),
                },
            )

    def _insert(self, table: str, values: Row) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        self.connection.execute(
            f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({marks})', tuple(values.values())
        )

    def _name(self, kind: str, reference: object) -> str | None:
        if not isinstance(reference, dict):
            return None
        row = self._lookup(kind, str(reference["id"]))
        return display_name(kind, row) if row else None


_DOCUMENT_COLUMNS = {
    "externalid": "externalId",
    "tranid": "tranId",
    "trandate": "tranDate",
    "entity": "entity",
    "subsidiary": "subsidiary",
    "currency": "currency",
    "createdfrom": "createdFrom",
    "postingperiod": "postingPeriod",
    "otherrefnum": "otherRefNum",
    "memo": "memo",
    "createddate": "createdDate",
    "lastmodifieddate": "lastModifiedDate",
}


def _columns(*names: str, **others: str) -> dict[str, str]:
    return {**{name.lower(): name for name in names}, **others}


_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "customer": (
        "customer",
        _columns(
            "id",
            "externalId",
            "entityId",
            "companyName",
            "isPerson",
            "isInactive",
            "email",
            "phone",
            "accountNumber",
            "subsidiary",
            "currency",
            "lastModifiedDate",
            datecreated="createdDate",
        ),
    ),
    "inventoryItem": (
        "item",
        _columns(
            "id",
            "externalId",
            "itemId",
            "displayName",
            "isInactive",
            "createdDate",
            "lastModifiedDate",
        ),
    ),
    "accountingPeriod": (
        "accountingperiod",
        _columns(
            "id",
            "periodName",
            "startDate",
            "endDate",
            "closed",
            "allLocked",
            "arLocked",
            "apLocked",
            "isAdjust",
            "isYear",
            "isQuarter",
            "lastModifiedDate",
        ),
    ),
    "currency": (
        "currency",
        _columns("id", "symbol", "name", "currencyPrecision", "isInactive"),
    ),
    "subsidiary": (
        "subsidiary",
        _columns("id", "name", "currency", "parent", "isElimination", "isInactive"),
    ),
    "deletedRecord": (
        "deletedrecord",
        _columns("id", "recordId", "type", "name", "deletedDate"),
    ),
}


def plain(value: object) -> object:
    """A JSON value as a column holds it: T/F, the id of a reference, exact digits, SQL times."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, dict):
        return value.get("id")
    if isinstance(value, Decimal):
        return format(value or abs(value), "f")  # never "-0"
    if isinstance(value, str):
        with suppress(ValueError):
            if value.endswith("Z"):
                return dt.datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")
        return value or None
    return value


def compare_exactly(left: str, right: str) -> int:
    """Order two texts as decimals; as texts when one of them is not a number."""
    try:
        one, other = Decimal(left), Decimal(right)
    except InvalidOperation:
        return (left > right) - (left < right)
    return (one > other) - (one < other)


def _user_date(raw: bytes) -> str:
    """A date column selected bare comes in the user's own format, here US style."""
    text = raw.decode()
    return f"{int(text[5:7])}/{int(text[8:10])}/{text[:4]}"


sqlite3.register_converter("TEXT_DATE", _user_date)
