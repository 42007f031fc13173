"""Reads documents back by our reference, many in one query, and says what a proof must show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tieout.connectors.netsuite import wire
from tieout.connectors.netsuite.streams import SOURCES
from tieout.connectors.netsuite.wire import Row
from tieout.connectors.netsuite.writing import void_date, void_reference
from tieout.finance.outcome import Found
from tieout.ports.connector import Write
from tieout.ports.session import Session

_LINES = "(SELECT COUNT(*) FROM transactionline l WHERE l.transaction = t.id AND l.mainline = 'F')"
_MASTER_FACTS: Mapping[str, Mapping[str, str]] = {  # fact -> column
    "customer": {"name": "companyname", "subsidiary": "subsidiary", "currency": "currency"},
    "inventoryItem": {"name": "displayname"},
}


# --- what we meant -----------------------------------------------------------------------------


def meant_facts(stream: str, write: Write) -> dict[str, str]:
    """The facts that a read-back must show. What is left to NetSuite to fill is not meant."""
    document = write.document
    if stream == "customer":
        wanted = {
            "name": document.get("companyName"),
            "subsidiary": _id(document, "subsidiary"),
            "currency": _id(document, "currency"),
        }
    elif stream == "inventoryItem":
        wanted = {"name": document.get("displayName")}
    elif stream == "salesOrder" and write.action == "void":
        wanted = {"status": "Closed"}
    elif stream == "salesOrder":
        lines = _lines(document)
        wanted = {
            "amount": _sum(lines),
            "currency": _id(document, "currency"),
            "date": document.get("tranDate"),
            "entity": _id(document, "entity"),
            "lines": str(len(lines)),
        }
    else:
        void = write.action == "void"
        wanted = {
            "amount": document.get("amount"),
            "currency": _id(document, "currency"),
            "date": void_date(document) if void else document.get("tranDate"),
        }
    return {name: str(value) for name, value in wanted.items() if value not in (None, "")}


def _id(document: Mapping[str, object], name: str) -> object:
    value = document.get(name)
    return value.get("id") if isinstance(value, Mapping) else None


def _lines(document: Mapping[str, object]) -> list[Mapping[str, object]]:
    sublist = document.get("item")
    items = sublist.get("items") if isinstance(sublist, Mapping) else None
    return [one for one in items if isinstance(one, Mapping)] if isinstance(items, list) else []


def _sum(lines: Sequence[Mapping[str, object]]) -> str | None:
    """The order's total; None when NetSuite is left to compute a line (quantity × rate)."""
    try:
        amounts = [Decimal(str(line["amount"])) for line in lines]
    except (KeyError, InvalidOperation):
        return None
    if not all(amount.is_finite() for amount in amounts):
        return None
    return format(sum(amounts, Decimal(0)), "f")


# --- what is there -----------------------------------------------------------------------------


def find_all(at: Session, stream: str, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key, the effect as NetSuite shows it now. Raises VendorFault or NoAnswer."""
    plain = [one for one in writes if not (stream == "invoice" and one.action == "void")]
    credited = [one for one in writes if stream == "invoice" and one.action == "void"]
    found: dict[str, Found | None] = {}
    for source, some in ((stream, plain), ("creditMemo", credited)):
        shown = _by_reference(at, source, [_reference(stream, write) for write in some])
        for write in some:
            row = shown.get(_reference(stream, write).lower())
            found[write.write_key] = _found(source, write, row) if row is not None else None
    return found


def _reference(stream: str, write: Write) -> str:
    void = stream == "invoice" and write.action == "void"
    return void_reference(write.reference) if void else write.reference


def _by_reference(at: Session, stream: str, references: Sequence[str]) -> dict[str, Row]:
    source = SOURCES[stream]
    shown: dict[str, Row] = {}
    for some in wire.chunks(sorted(set(references))):
        text = source.select(f"t.externalid IN ({wire.quoted(some)})")
        if stream == "salesOrder":
            text = text.replace(
                " FROM transaction t ", f", {_LINES} AS lines FROM transaction t ", 1
            )
        rows, _ = wire.query(at, text, needed=("id", "externalid"))
        # External ids match without regard to case.
        shown.update((row["externalid"].lower(), row) for row in rows)
    return shown


def _found(stream: str, write: Write, row: Row) -> Found | None:
    if stream in _MASTER_FACTS:
        facts = {name: row.get(column, "") for name, column in _MASTER_FACTS[stream].items()}
        return Found(row["id"], facts, row.get("entityid") or row.get("itemid") or "")
    status = row.get("status", "")
    if stream == "salesOrder" and write.action == "void" and status != "Closed":
        return None  # the order is there, its reversal is not
    amount = row.get("foreigntotal", "")
    facts = {
        # SuiteQL shows a credit memo from the ledger's side, negative.
        "amount": amount.removeprefix("-") if stream == "creditMemo" else amount,
        "currency": row.get("currency", ""),
        "date": row.get("trandate", ""),
        "status": status,
    }
    if stream == "salesOrder":
        facts |= {"entity": row.get("entity", ""), "lines": row.get("lines", "")}
    return Found(row["id"], facts, row.get("tranid", ""))
