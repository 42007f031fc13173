"""The record types this tenant knows: their fields, what a field may hold, their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]  # one record as JSON values, amounts as Decimal


@dataclass(frozen=True, slots=True)
class RecordType:
    """`fields` maps a writable property to its kind: text, boolean, date, number, integer, lines,
    or the record type it refers to. `read_only` properties may be sent and are ignored."""

    name: str
    family: str  # records of one family share internal ids and external ids
    fields: Mapping[str, str]
    read_only: frozenset[str] = frozenset()
    query_type: str = ""  # transaction.type in SuiteQL
    prefix: str = ""  # of the document number
    title: str = ""
    posts: bool = False
    writable: bool = True


LINE_FIELDS: Mapping[str, str] = {
    "line": "integer",
    "item": "inventoryItem",
    "quantity": "number",
    "rate": "number",
    "amount": "number",
    "description": "text",
    "isClosed": "boolean",
}
LINE_READ_ONLY = frozenset({"links", "quantityBilled"})

_DOCUMENT = {
    "externalId": "text",
    "tranId": "text",
    "entity": "customer",
    "subsidiary": "subsidiary",
    "currency": "currency",
    "exchangeRate": "number",
    "tranDate": "date",
    "otherRefNum": "text",
    "memo": "text",
    "item": "lines",
}
_READ_ONLY = frozenset({"id", "links", "lastModifiedDate", "createdDate"})
_DOCUMENT_READ_ONLY = _READ_ONLY | {"total", "subtotal", "status", "createdFrom", "amountRemaining"}

TYPES: Mapping[str, RecordType] = {
    one.name: one
    for one in (
        RecordType(
            "customer",
            "customer",
            {
                "externalId": "text",
                "entityId": "text",
                "companyName": "text",
                "firstName": "text",
                "lastName": "text",
                "isPerson": "boolean",
                "isInactive": "boolean",
                "email": "text",
                "phone": "text",
                "url": "text",
                "comments": "text",
                "accountNumber": "text",
                "subsidiary": "subsidiary",
                "currency": "currency",
            },
            _READ_ONLY,
            title="Customer",
        ),
        RecordType(
            "inventoryItem",
            "inventoryItem",
            {
                "externalId": "text",
                "itemId": "text",
                "displayName": "text",
                "salesDescription": "text",
                "purchaseDescription": "text",
                "upcCode": "text",
                "cost": "number",
                "isInactive": "boolean",
                "includeChildren": "boolean",
                "subsidiary": "subsidiary",
            },
            _READ_ONLY,
            title="Inventory Item",
        ),
        RecordType(
            "salesOrder",
            "transaction",
            _DOCUMENT,
            _DOCUMENT_READ_ONLY | {"orderStatus"},
            "SalesOrd",
            "SO",
            "Sales Order",
        ),
        RecordType(
            "invoice",
            "transaction",
            {**_DOCUMENT, "postingPeriod": "accountingPeriod", "dueDate": "date"},
            _DOCUMENT_READ_ONLY,
            "CustInvc",
            "INV",
            "Invoice",
            posts=True,
        ),
        RecordType(
            "creditMemo",
            "transaction",
            {**_DOCUMENT, "postingPeriod": "accountingPeriod"},
            _DOCUMENT_READ_ONLY,
            "CustCred",
            "CM",
            "Credit Memo",
            posts=True,
        ),
        RecordType("currency", "currency", {}, title="Currency", writable=False),
        RecordType("subsidiary", "subsidiary", {}, title="Subsidiary", writable=False),
        RecordType(
            "accountingPeriod",
            "accountingPeriod",
            {
                "closed": "boolean",
                "allLocked": "boolean",
                "arLocked": "boolean",
                "apLocked": "boolean",
            },
            _READ_ONLY,
            title="Accounting Period",
        ),
    )
}

DOCUMENTS = tuple(name for name, one in TYPES.items() if one.family == "transaction")

STATUS: Mapping[str, Mapping[str, str]] = {
    "salesOrder": {"F": "Pending Billing", "G": "Billed", "H": "Closed"},
    "invoice": {"A": "Open", "B": "Paid In Full"},
    "creditMemo": {"A": "Open", "B": "Fully Applied"},
}


def display_name(kind: str, row: Row) -> str:
    """What `refName` and BUILTIN.DF show for a record."""
    if kind == "customer":
        name = row.get("companyName") or f"{row.get('firstName', '')} {row.get('lastName', '')}"
        return f"{row.get('entityId', '')} {name}".strip()
    if kind == "inventoryItem":
        return str(row.get("itemId", ""))
    if kind == "accountingPeriod":
        return str(row["periodName"])
    if kind in DOCUMENTS:
        return f"{TYPES[kind].title} #{row.get('tranId', '')}"
    return str(row.get("name", ""))
