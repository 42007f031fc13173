"""Reading Tryton: rows in the order in which they changed, by two keysets.

`write_date` is empty until a row is first changed, so a stream is read as two lists: rows never
changed, by (create_date, id), and changed rows, by (write_date, id). Both dates are the start
of the writing transaction, so a pass ends by going back `OVERLAP_SECONDS`: a transaction that was
open while we read is seen next time. Rows seen twice are the same arrival.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import value_at
from tieout.connectors.tryton.sales import status_of
from tieout.finance.outcome import Detail, Drift
from tieout.ports.connector import Item, Page
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session

PAGE_ROWS = 200
OVERLAP_SECONDS = 120
LISTS = ("create_date", "write_date")
BEGINNING = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - Tryton's instants are UTC and carry no zone


@dataclass(frozen=True, slots=True)
class Reading:
    """How one stream is read: the model, whose rows, and where each payload field comes from."""

    model: str
    fields: Mapping[str, str]  # payload field -> path in Tryton
    where: tuple[wire.Clause, ...] = ()
    reverses: bool = False  # says of a credit note which invoice it cancelled
    status: bool = False  # says what is left of an order


READINGS: Mapping[str, Reading] = {
    "party": Reading("party.party", {"code": "code", "name": "name"}),
    "product": Reading("product.product", {"code": "code", "name": "name"}),
    "sale": Reading(
        "sale.sale",
        {
            "number": "number",
            "reference": "reference",
            "state": "state",
            "invoice_state": "invoice_state",
            "company": "company.party.name",
            "currency": "currency.code",
            "party": "party.code",
            "sale_date": "sale_date",
            "total_amount": "total_amount",
        },
        status=True,
    ),
    "invoice": Reading(
        "account.invoice",
        {
            "number": "number",
            "reference": "reference",
            "state": "state",
            "company": "company.party.name",
            "currency": "currency.code",
            "invoice_date": "invoice_date",
            "accounting_date": "accounting_date",
            "total_amount": "total_amount",
        },
        (["type", "=", "out"],),
        reverses=True,
    ),
}


def read(at: Session, stream: str, cursor: str) -> Page:
    """The next page of a stream. Raises VendorFault, NoAnswer."""
    reading = READINGS[stream]
    marks = _marks(cursor)
    items: dict[str, Item] = {}
    more = False
    for name in LISTS:
        instant, after = marks[name]
        keyset: list[object] = [
            "OR",
            [name, ">", instant],
            [[name, "=", instant], ["id", ">", after]],
        ]
        domain: list[object] = [keyset, *reading.where]
        if name == "create_date":
            domain.append(["write_date", "=", None])
        found = wire.rows(
            at,
            ERRORS,
            reading.model,
            domain,
            _paths(reading),
            order=((name, "ASC"), ("id", "ASC")),
            most=PAGE_ROWS,
        )
        for item in _items(at, reading, found):
            items[item.key] = item
        more = more or len(found) == PAGE_ROWS
        if found:
            marks[name] = (_instant(found[-1][name]), int(str(found[-1]["id"])))
    if not more:
        overlap = dt.timedelta(seconds=OVERLAP_SECONDS)
        marks = {
            name: (max(BEGINNING, instant - overlap), 0) if after else (instant, 0)
            for name, (instant, after) in marks.items()
        }
    return Page(tuple(items.values()), _cursor(marks), more)


def fetch(at: Session, stream: str, keys: Sequence[str]) -> list[Item]:
    """These rows as they are now. Raises VendorFault, NoAnswer."""
    reading = READINGS[stream]
    ids = sorted({int(key) for key in keys if key.isdecimal()})
    rows = wire.rows(at, ERRORS, reading.model, [["id", "in", ids]], _paths(reading)) if ids else []
    there = {item.key: item for item in _items(at, reading, rows)}
    return [there.get(key) or Item(key, "", json.dumps({"id": key}), True) for key in keys]


def _paths(reading: Reading) -> list[str]:
    more = ("invoices", "invoices.state") if reading.status else ()
    return [*reading.fields.values(), *more, *LISTS]


def _items(at: Session, reading: Reading, rows: Sequence[wire.Row]) -> list[Item]:
    reversed_by = _reversals(at, rows) if reading.reverses else {}
    return [_item(reading, row, reversed_by.get(str(row["id"]))) for row in rows]


def _item(reading: Reading, row: wire.Row, reverses: object) -> Item:
    modified = _instant(row["write_date"] or row["create_date"]).isoformat(timespec="microseconds")
    payload: dict[str, object] = {"id": str(row["id"])}
    for name, path in reading.fields.items():
        payload[name] = plain(value_at(row, path))
    if reading.reverses:
        payload["reverses"] = reverses
    if reading.status:
        payload["status"] = status_of(row)
    payload["modified"] = modified + "Z"
    return Item(str(row["id"]), modified + "Z", json.dumps(payload, ensure_ascii=False))


def _reversals(at: Session, rows: Sequence[wire.Row]) -> dict[str, object]:
    """By credit note id, the reference of the invoice it cancelled: that invoice's cancelling move
    comes from the credit note."""
    credit_ids = [str(row["id"]) for row in rows if _negative(row.get("total_amount"))]
    if not credit_ids:
        return {}
    origins = [f"account.invoice,{identity}" for identity in credit_ids]
    cancelled = wire.rows(
        at,
        ERRORS,
        "account.invoice",
        [["cancel_move.origin", "in", origins]],
        ["reference", "cancel_move.origin"],
    )
    return {
        str(value_at(row, "cancel_move.origin")).partition(",")[2]: row["reference"]
        for row in cancelled
    }


def _negative(value: object) -> bool:
    return isinstance(value, Decimal) and value < 0


def plain(value: object) -> object:
    """Tryton's typed values as plain JSON: decimals and dates as text, exactly."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    return value


def _instant(value: object) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise VendorFault(Drift(Detail("a row has no date of change", "", "shape")))
    return value


def _marks(cursor: str) -> dict[str, tuple[dt.datetime, int]]:
    if not cursor:
        return dict.fromkeys(LISTS, (BEGINNING, 0))
    stored = json.loads(cursor)
    return {
        name: (dt.datetime.fromisoformat(stored[name][0]), int(stored[name][1])) for name in LISTS
    }


def _cursor(marks: Mapping[str, tuple[dt.datetime, int]]) -> str:
    return json.dumps(
        {name: [instant.isoformat(), after] for name, (instant, after) in marks.items()}
    )
