"""The streams of NetSuite: their interfaces, and where SuiteQL keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tieout.ports.connector import Field, Idempotency, Stream

GRADE_A = Idempotency("A")
STAMP = "YYYY-MM-DD HH24:MI:SS"
DAY = "YYYY-MM-DD"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stream's rows are read: `columns` maps payload keys to SuiteQL expressions, always
    with alias `t` for `table`; `where` is always true of the stream's rows."""

    table: str
    columns: Mapping[str, str]
    where: str = ""

    def select(self, condition: str) -> str:
        """A query for these columns under a condition."""
        shown = ", ".join(f"{sql} AS {key}" for key, sql in self.columns.items())
        both = f"{self.where} AND ({condition})" if self.where else condition
        return f"SELECT {shown} FROM {self.table} t WHERE {both}"


def _same(*names: str) -> dict[str, str]:
    return {name: f"t.{name}" for name in names}


_CHANGED = {"lastmodifieddate": f"TO_CHAR(t.lastmodifieddate, '{STAMP}')"}


def _document(kind: str, title: str) -> Source:
    return Source(
        "transaction",
        {
            **_same("id", "externalid", "tranid", "entity", "subsidiary", "currency"),
            "trandate": f"TO_CHAR(t.trandate, '{DAY}')",
            "foreigntotal": "t.foreigntotal",
            # The vendor shows "Sales Order : Billed"; the stream already says what it is.
            "status": f"REPLACE(BUILTIN.DF(t.status), '{title} : ', '')",
            "createdfrom": "t.createdfrom",
            **_CHANGED,
        },
        f"t.type = '{kind}'",
    )


SOURCES: Mapping[str, Source] = {
    "customer": Source(
        "customer",
        {
            **_same("id", "externalid", "companyname", "entityid", "subsidiary", "currency"),
            **_CHANGED,
        },
    ),
    "inventoryItem": Source(
        "item", {**_same("id", "externalid", "itemid", "displayname"), **_CHANGED}
    ),
    "salesOrder": _document("SalesOrd", "Sales Order"),
    "invoice": _document("CustInvc", "Invoice"),
    "creditMemo": _document("CustCred", "Credit Memo"),
}

_KEYS = (
    Field("id", title="Internal id", required=True),
    Field("externalid", title="Our reference"),
)
_DOCUMENT_FIELDS = (
    *_KEYS,
    Field("tranid", title="Document number"),
    Field("entity", title="Customer (internal id)"),
    Field("subsidiary", title="Subsidiary (internal id)"),
    Field("currency", title="Currency (internal id)"),
    Field("trandate", "date", "Accounting date"),
    Field("foreigntotal", "amount", "Total in document currency; credit memos are negative"),
    Field("status", title="Status"),
    Field("createdfrom", title="Made from (internal id)"),
    Field("lastmodifieddate", title="Last change", required=True),
)
STREAMS: Mapping[str, Stream] = {
    one.name: one
    for one in (
        Stream(
            "customer",
            "Customer",
            (
                *_KEYS,
                Field("companyname", title="Company name"),
                Field("entityid", title="Customer number"),
                Field("subsidiary", title="Subsidiary (internal id)"),
                Field("currency", title="Currency (internal id)"),
                Field("lastmodifieddate", title="Last change", required=True),
            ),
            version="lastmodifieddate",
            reads=True,
            writes=True,
            idempotency=GRADE_A,
            facts={"name": "text", "subsidiary": "text", "currency": "text"},
        ),
        Stream(
            "inventoryItem",
            "Inventory item",
            (
                *_KEYS,
                Field("itemid", title="Item number"),
                Field("displayname", title="Name"),
                Field("lastmodifieddate", title="Last change", required=True),
            ),
            version="lastmodifieddate",
            reads=True,
            writes=True,
            idempotency=GRADE_A,
            facts={"name": "text"},
        ),
        Stream(
            "salesOrder",
            "Sales order",
            _DOCUMENT_FIELDS,
            version="lastmodifieddate",
            reads=True,
            writes=True,
            idempotency=GRADE_A,
            facts={
                "amount": "amount",
                "currency": "text",
                "date": "date",
                "entity": "text",
                "lines": "text",
                "status": "text",
            },
        ),
        Stream(
            "invoice",
            "Invoice",
            _DOCUMENT_FIELDS,
            version="lastmodifieddate",
            reads=True,
            writes=True,
            posts=True,
            idempotency=GRADE_A,
            facts={"amount": "amount", "currency": "text", "date": "date", "status": "text"},
        ),
        Stream(
            "creditMemo",
            "Credit memo",
            _DOCUMENT_FIELDS,
            version="lastmodifieddate",
            reads=True,
        ),
    )
}
