"""The canonical record types: what an order, an invoice, a customer is, whatever system says it.

A landscape may add fields, owners and controls (`rules.spec.RecordTypeSpec`); the meaning of the
fields below stays the same for every connector and every customer. `finance.schema` publishes
them as JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ValueType = Literal[
    "text",
    "amount",
    "quantity",
    "rate",
    "number",
    "integer",
    "boolean",
    "date",
    "timestamp",
    "ref",
    "list",
    "object",
]


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field of a canonical record type, or of a connector's interface.

    `ref` holds a record key of type `to`. `fields` describes the items of a list or an object.
    `money_in` names the field that holds the currency of an amount: a sibling, or
    `parent.currency` inside the items of a list.
    """

    name: str
    type: ValueType
    required: bool = True
    to: str = ""
    money_in: str = ""
    title: str = ""
    fields: tuple[RecordField, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordType:
    """A canonical record type and its fields.

    The well-known fields that the record plane reads are named once here: `legal_entity`,
    `currency`, `amount` (the field that hop totals sum), `date` (the accounting date), `status`.
    An empty name means the type has no such thing.
    """

    name: str
    title: str
    fields: tuple[RecordField, ...]
    legal_entity: str = ""
    currency: str = ""
    amount: str = ""
    date: str = ""
    status: str = ""

    def field_named(self, name: str) -> RecordField | None:
        """The field of this name, or None."""
        return next((f for f in self.fields if f.name == name), None)

    def references(self) -> tuple[tuple[str, str], ...]:
        """(path, record type) of every ref field; a path into a list is `lines.product`."""
        found: list[tuple[str, str]] = []
        for one in self.fields:
            if one.type == "ref":
                found.append((one.name, one.to))
            found += [(f"{one.name}.{sub.name}", sub.to) for sub in one.fields if sub.type == "ref"]
        return tuple(found)


def _text(name: str, title: str, required: bool = True) -> RecordField:
    return RecordField(name, "text", required, title=title)


def _ref(name: str, to: str, title: str) -> RecordField:
    return RecordField(name, "ref", to=to, title=title)


def _amount(
    name: str, title: str, money_in: str = "currency", required: bool = True
) -> RecordField:
    return RecordField(name, "amount", required, money_in=money_in, title=title)


_LEGAL_ENTITY: Final = _text("legal_entity", "Legal entity whose books it belongs to")
_CURRENCY: Final = _text("currency", "Currency (ISO 4217)")

_LINES: Final = RecordField(
    "lines",
    "list",
    title="Lines",
    fields=(
        RecordField("line", "integer", title="Line number, from 1"),
        _ref("product", "product", "Product sold"),
        RecordField("quantity", "quantity", title="Quantity"),
        _amount("unit_price", "Price of one, before discount", "parent.currency"),
        RecordField("discount_percent", "rate", required=False, title="Discount in percent"),
        _amount("amount", "Line amount after discount", "parent.currency"),
    ),
)

CUSTOMER: Final = RecordType(
    "customer",
    "Customer",
    (
        _text("name", "Name"),
        _text("number", "Customer number"),
        _LEGAL_ENTITY,
        _CURRENCY,
        _text("country", "Country", required=False),
        _text("city", "City", required=False),
        _text("status", "Status", required=False),
    ),
    legal_entity="legal_entity",
    currency="currency",
    status="status",
)

PRODUCT: Final = RecordType(
    "product",
    "Product",
    (
        _text("code", "Product code"),
        _text("name", "Name"),
        _text("family", "Product family", required=False),
        _text("status", "Status", required=False),
    ),
    status="status",
)

SALES_ORDER: Final = RecordType(
    "sales_order",
    "Sales order",
    (
        _text("number", "Order number"),
        _LEGAL_ENTITY,
        _ref("customer", "customer", "Customer"),
        _CURRENCY,
        RecordField("ordered_on", "date", title="Order date"),
        _text("status", "Status: won, cancelled or open"),
        _amount("total", "Order total"),
        _LINES,
        _text("erp_order_number", "Order number in the ERP", required=False),
        _text("erp_invoice_number", "Invoice number in the ERP", required=False),
        _text("erp_status", "Status in the ERP", required=False),
    ),
    legal_entity="legal_entity",
    currency="currency",
    amount="total",
    date="ordered_on",
    status="status",
)

INVOICE: Final = RecordType(
    "invoice",
    "Invoice",
    (
        _text("number", "Invoice number"),
        _LEGAL_ENTITY,
        _ref("customer", "customer", "Customer"),
        _CURRENCY,
        RecordField("invoiced_on", "date", title="Invoice date"),
        _amount("total", "Invoice total"),
        _text("status", "Status"),
        _LINES,
    ),
    legal_entity="legal_entity",
    currency="currency",
    amount="total",
    date="invoiced_on",
    status="status",
)

BOOKING_LINE: Final = RecordType(
    "booking_line",
    "Booking line",
    (
        _ref("order", "sales_order", "Sales order booked"),
        RecordField("line", "integer", title="Line number of the order, from 1"),
        _LEGAL_ENTITY,
        _text("period", "Fiscal period, like 2021-03"),
        _CURRENCY,
        _ref("product", "product", "Product sold"),
        RecordField("quantity", "quantity", title="Quantity"),
        _amount("amount", "Amount booked"),
        _amount("group_amount", "Amount booked, in the group's currency", money_in=""),
        _text("rate_id", "Exchange rates used, empty if none", required=False),
    ),
    legal_entity="legal_entity",
    currency="currency",
    amount="amount",
)

RECORD_TYPES: Final[Mapping[str, RecordType]] = {
    one.name: one for one in (CUSTOMER, PRODUCT, SALES_ORDER, INVOICE, BOOKING_LINE)
}
