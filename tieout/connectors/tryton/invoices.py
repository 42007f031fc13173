"""Invoices: processing a sale makes its one invoice in Tryton; we date it, post it and prove it.

Posting is a transition of that very document, so a repeat can never make a second one. A posted
invoice is not edited: it is credited with refund, in one call that cancels it at the same time. The
credit note is paid at once and takes no reference; the invoice's cancelling move names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.chains import (
    Bundle,
    Chain,
    OddAnswer,
    Planned,
    Step,
    rejected,
    text,
    wizard,
)
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import NotFound, number_of
from tieout.connectors.tryton.sales import amount_of, date_of, named, shown
from tieout.finance.outcome import AlreadyThere, Detail, Found
from tieout.ports.connector import Write
from tieout.ports.http import Request
from tieout.ports.session import Session

POSTED = ("posted", "paid")
FIELDS = (
    "number",
    "reference",
    "state",
    "company",
    "currency",
    "currency.code",
    "invoice_date",
    "accounting_date",
    "total_amount",
    "sales",
    "cancel_move.origin",
)


def facts_meant(write: Write) -> dict[str, str]:
    """What the read-back must show; for a void, what the credit note must show."""
    document = write.document
    void = write.action == "void"
    date = text(document, "void_date") if void else accounting_date(document)
    return {
        "amount": text(document, "amount"),
        "currency": named(document.get("currency"), "code"),
        **({"date": date} if date else {}),
        "status": "Credited" if void else "Posted",
    }


def accounting_date(document: Mapping[str, object]) -> str:
    """The date that decides the period: stated, else the invoice date."""
    return text(document, "accounting_date") or text(document, "invoice_date")


def sale_ids(writes: Sequence[Write]) -> list[int]:
    """The sales these documents invoice; a malformed one is its own plan's business."""
    ids = set()
    for write in writes:
        sale = write.document.get("sale")
        if isinstance(sale, Mapping) and str(sale.get("id")).isdecimal():
            ids.add(int(str(sale["id"])))
    return sorted(ids)


def rows_by_sale(at: Session, writes: Sequence[Write]) -> dict[str, wire.Row]:
    """Per sale id the invoice that counts: a living one before a cancelled one, then the oldest.
    Raises VendorFault, NoAnswer."""
    ids = sale_ids(writes)
    there: dict[str, wire.Row] = {}
    domain = [["type", "=", "out"], ["sales", "in", ids]]
    for row in wire.rows(at, ERRORS, "account.invoice", domain, FIELDS) if ids else []:
        sales = row.get("sales")
        for sale in sales if isinstance(sales, list) else []:
            before = there.get(str(sale))
            if before is None or (
                text(before, "state") == "cancelled" and text(row, "state") != "cancelled"
            ):
                there[str(sale)] = row
    return there


def row_of(write: Write, there: Mapping[str, wire.Row]) -> wire.Row | None:
    """The invoice of this write's sale. Raises NotFound when the document names no sale."""
    sale = write.document.get("sale")
    if not isinstance(sale, Mapping) or not sale.get("id"):
        raise NotFound("sale", "the document names no sale", 'Map sale to {"id": id_in(...)}.')
    return there.get(str(number_of("sale", sale["id"])))


def plan(at: Session, write: Write, there: Mapping[str, wire.Row]) -> Planned:
    """The calls this write needs, given what Tryton holds. Raises NotFound."""
    row = row_of(write, there)
    if write.action == "void":
        return _void(at, write, row)
    if write.action != "create":
        return rejected(
            "a posted invoice is not edited",
            "Reverse and repost it: the credit note and the new invoice tell the story.",
            "posted",
        )
    if row is None:
        return rejected(
            "the sale has no invoice in Tryton",
            "Look at the order in Tryton: processing it should have made one.",
            "no_invoice",
            "sale",
        )
    target, state = text(row, "id"), text(row, "state")
    if state not in {"draft", "validated"}:
        if text(row, "reference") == write.reference:
            return AlreadyThere(target, Detail(f"Tryton holds it, state {state}"))
        return rejected(
            f"the sale's invoice {text(row, 'number')} is {state} under another reference "
            f"'{text(row, 'reference')}'",
            "Look at it in Tryton: a person may have posted or cancelled it.",
            "other_reference",
        )
    meant = amount_of("amount", write.document.get("amount"))
    drafted = amount_of("total_amount", row["total_amount"])
    if meant != drafted:
        return rejected(
            f"the invoice that Tryton drafted says {drafted:f}, the order says {meant:f}",
            "Compare the lines; check [product] price_decimal and taxes in Tryton.",
            "amount_differs",
            "amount",
        )
    return _post(at, write, row)


def _post(at: Session, write: Write, row: wire.Row) -> Chain:
    company = number_of("company", row["company"])
    values = {
        "reference": write.reference,
        "invoice_date": date_of("invoice_date", write.document.get("invoice_date")),
        "accounting_date": date_of("accounting_date", accounting_date(write.document)),
    }

    def date(chains: Sequence[Chain]) -> Request:
        pairs = [part for one in chains for part in ([int(one.target_id)], one.remembered["dates"])]
        return wire.call(at, "model.account.invoice.write", *pairs, context={"company": company})

    def post(chains: Sequence[Chain]) -> Request:
        ids = [int(one.target_id) for one in chains]
        return wire.call(at, "model.account.invoice.post", ids, context={"company": company})

    steps = [
        Step(lambda chain: date([chain]), bundle=Bundle(f"date {company}", date)),
        Step(lambda chain: post([chain]), bundle=Bundle(f"post {company}", post)),
    ]
    return Chain(write, steps, text(row, "id"), {"dates": values})


def _void(at: Session, write: Write, row: wire.Row | None) -> Planned:
    if row is None:
        return rejected("the sale has no invoice in Tryton", "Nothing is left to credit.", "gone")
    identity, state = int(text(row, "id")), text(row, "state")
    context: dict[str, object] = {"company": number_of("company", row["company"])}
    if state == "cancelled":
        return AlreadyThere(credit_id(row), Detail("already credited"))
    if state == "paid":
        return rejected(
            f"invoice {text(row, 'number')} is paid",
            "Credit it in Tryton together with the customer's money.",
            "paid",
        )
    if state != "posted":
        return rejected(
            "the invoice was never posted",
            "Nothing to credit: cancelling the order cancels its draft invoice.",
            "not_posted",
        )
    void_date = text(write.document, "void_date") or text(write.document, "invoice_date")
    form = {
        "invoice_date": date_of("void_date", void_date),
        "with_refund": True,
        "with_refund_allowed": True,
    }
    steps = wizard(
        at,
        "account.invoice.credit",
        ("start", form, "credit"),
        {**context, "active_model": "account.invoice", "active_id": identity},
        _credit_made,
    )

    return Chain(write, steps)


def _credit_made(chain: Chain, result: object) -> None:
    actions = result.get("actions") if isinstance(result, Mapping) else None
    data = actions[0][1] if isinstance(actions, list) and actions else None
    made = data.get("res_id") if isinstance(data, Mapping) else None
    if not isinstance(made, list) or len(made) != 1:
        raise OddAnswer("crediting did not answer the credit note")
    chain.target_id = str(made[0])


def credit_id(row: wire.Row) -> str:
    """The credit note that cancelled an invoice, from the origin of its cancelling move."""
    move = row.get("cancel_move.")
    origin = str(move.get("origin") or "") if isinstance(move, Mapping) else ""
    model, _, identity = origin.partition(",")
    return identity if model == "account.invoice" else ""


def find(at: Session, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key, the posted invoice, or for a void its credit note. A draft is not the effect.
    Raises VendorFault, NoAnswer."""
    there = rows_by_sale(at, writes)
    credit_ids = sorted(int(credit_id(row)) for row in there.values() if credit_id(row))
    notes: dict[str, wire.Row] = {}
    if credit_ids and any(write.action == "void" for write in writes):
        domain = [["id", "in", credit_ids]]
        for row in wire.rows(at, ERRORS, "account.invoice", domain, FIELDS):
            notes[text(row, "id")] = row
    found: dict[str, Found | None] = {}
    for write in writes:
        found[write.write_key] = _found(write, there, notes)
    return found


def _found(
    write: Write, there: Mapping[str, wire.Row], notes: Mapping[str, wire.Row]
) -> Found | None:
    try:
        row = row_of(write, there)
    except NotFound:
        return None
    if row is not None and write.action == "void":
        note = notes.get(credit_id(row))
        return _shown(write, note, "Credited") if note is not None else None
    if row is None or text(row, "state") in {"draft", "validated"}:
        return None
    mine = text(row, "reference") == write.reference
    status = "Posted" if text(row, "state") in POSTED else "Cancelled"
    return _shown(write, row, status) if mine else None


def _shown(write: Write, row: wire.Row, status: str) -> Found:
    date = accounting_date(row)
    return Found(
        text(row, "id"),
        {
            "amount": format(abs(amount_of("total_amount", row["total_amount"])), "f"),
            "currency": shown(write.document.get("currency"), row, "currency", "currency.code"),
            "date": date,
            "status": status,
        },
        text(row, "number"),
    )
