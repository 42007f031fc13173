"""Sales: one confirmed order per reference, whatever was lost on the way.

A sale is drafted first and confirmed later, by separate calls, and only by the caller who knows the
draft's id. So a create that lands late, after we gave it up, leaves a draft that nobody ever
confirms; and a repeat first looks by reference and carries on with the oldest draft it finds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.chains import (
    Bundle,
    Chain,
    Planned,
    Step,
    each_id,
    first_id,
    rejected,
    text,
    wizard,
)
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import NotFound, References, number_of, value_at
from tieout.finance.outcome import AlreadyThere, Detail, Found
from tieout.ports.connector import Write
from tieout.ports.http import Request
from tieout.ports.session import Session

OPEN = ("draft", "quotation")  # nothing is promised to the customer yet
CONFIRMED = ("confirmed", "processing", "done")
FIELDS = (
    "number",
    "reference",
    "state",
    "party",
    "party.code",
    "company",
    "company.party.name",
    "currency",
    "currency.code",
    "sale_date",
    "total_amount",
    "lines",
    "invoices",
    "invoices.state",
)


def lines_of(document: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The lines of a sale document."""
    lines = document.get("lines")
    return [line for line in lines if isinstance(line, Mapping)] if isinstance(lines, list) else []


def wanted(write: Write) -> list[tuple[str, object]]:
    """The names this document uses."""
    document = write.document
    heads = [(kind, document.get(kind)) for kind in ("company", "currency", "party")]
    lines = lines_of(document)
    units = [("unit", line.get("unit") or {"symbol": "u"}) for line in lines]
    return [*heads, *units, *(("product", line.get("product")) for line in lines)]


def amount_of(field: str, value: object) -> Decimal:
    """An exact number of a document. Raises NotFound when it is none."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise NotFound(field, f"{field} '{value}' is not a number", f"Correct {field}.")
    return number


def date_of(field: str, value: object) -> dt.date:
    """A date of a document. Raises NotFound when it is none."""
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        raise NotFound(field, f"{field} '{value}' is not a date", f"Correct {field}.") from None


def values(write: Write, references: References, addresses: Mapping[int, int]) -> dict[str, object]:
    """The draft: head and lines. Raises NotFound."""
    document = write.document
    party = references.id_of("party", document.get("party"))
    address = addresses.get(party)
    return {
        "reference": write.reference,
        "party": party,
        "company": references.id_of("company", document.get("company")),
        "currency": references.id_of("currency", document.get("currency")),
        "sale_date": date_of("sale_date", document.get("sale_date")),
        "description": text(document, "reference_number") or None,
        "invoice_address": address,
        "shipment_address": address,
        "invoice_method": "order",
        "shipment_method": "manual",
        "lines": [["create", [_line(line, references) for line in lines_of(document)]]],
    }


def _line(line: Mapping[str, object], references: References) -> dict[str, object]:
    return {
        "type": "line",
        "product": references.id_of("product", line.get("product")),
        "unit": references.id_of("unit", line.get("unit") or {"symbol": "u"}),
        "quantity": wire.Literal(amount_of("quantity", line.get("quantity"))),
        "unit_price": amount_of("unit_price", line.get("unit_price")),
    }


def facts_meant(write: Write) -> dict[str, str]:
    """What the read-back must show. A void must show that nothing of the order is left."""
    if write.action == "void":
        return {"status": "Cancelled"}
    document = write.document
    lines = lines_of(document)
    return {
        "amount": _total(lines),
        "currency": named(document.get("currency"), "code"),
        "date": text(document, "sale_date"),
        "company": named(document.get("company"), "name"),
        "party": named(document.get("party"), "code"),
        "lines": str(len(lines)),
        "status": "Confirmed",
    }


def _total(lines: Sequence[Mapping[str, object]]) -> str:
    """The sum of the line amounts; "" when one is not a number: no read-back can agree with it."""
    try:
        return format(sum((amount_of("amount", x.get("amount")) for x in lines), Decimal(0)), "f")
    except NotFound:
        return ""


def named(reference: object, by: str) -> str:
    """A reference as its document wrote it: the id where it has one, else the name."""
    if not isinstance(reference, Mapping):
        return ""
    return str(reference.get("id") or reference.get(by) or "")


def shown(reference: object, row: wire.Row, field: str, path: str) -> str:
    """A row's reference in the form the document used, so that the two compare."""
    by_id = isinstance(reference, Mapping) and bool(reference.get("id"))
    return str(row.get(field)) if by_id else str(value_at(row, path))


def rows_by_reference(at: Session, writes: Sequence[Write]) -> dict[str, wire.Row]:
    """Per write key the sale that counts: the one whose id is known, else the first confirmed one
    of the document's company, else its oldest. Tryton's `reference` is free text: another company,
    or a person, may have written the same. Raises VendorFault, NoAnswer."""
    names = sorted({write.reference for write in writes})
    held: dict[str, list[wire.Row]] = {}
    for row in wire.rows(at, ERRORS, "sale.sale", [["reference", "in", names]], FIELDS):
        held.setdefault(text(row, "reference"), []).append(row)
    there: dict[str, wire.Row] = {}
    for write in writes:
        company = write.document.get("company")
        rows = [
            row
            for row in held.get(write.reference, [])
            if not named(company, "name")
            or shown(company, row, "company", "company.party.name") == named(company, "name")
        ]
        known = [row for row in rows if text(row, "id") == write.target_id]
        if rows:
            there[write.write_key] = max(known or rows, key=_weight)
    return there


def _weight(row: wire.Row) -> int:
    state = text(row, "state")
    return 2 if state in CONFIRMED else 1 if state == "cancelled" else 0


def addresses_of(at: Session, references: References, writes: Sequence[Write]) -> dict[int, int]:
    """The first active address of each party. Raises VendorFault, NoAnswer."""
    parties = set()
    for write in writes:
        try:
            parties.add(references.id_of("party", write.document.get("party")))
        except NotFound:
            continue  # this write's own plan will say so
    found: dict[int, int] = {}
    if parties:
        domain = [["party", "in", sorted(parties)]]
        for row in wire.rows(at, ERRORS, "party.address", domain, ["party"]):
            party = number_of("party", row["party"])
            found.setdefault(party, number_of("id", row["id"]))
    return found


def button(at: Session, name: str, company: int) -> Step:
    """One press of a button on the chain's sale."""

    def press_all(chains: Sequence[Chain]) -> Request:
        ids = [int(chain.target_id) for chain in chains]
        return wire.call(at, f"model.sale.sale.{name}", ids, context={"company": company})

    return Step(lambda chain: press_all([chain]), bundle=Bundle(f"{name} {company}", press_all))


def plan(
    at: Session,
    write: Write,
    references: References,
    addresses: Mapping[int, int],
    there: Mapping[str, wire.Row],
) -> Planned:
    """The calls this write still needs, given what Tryton holds. Raises NotFound."""
    row = there.get(write.write_key)
    if write.action == "void":
        return _void(at, write, row)
    if write.action == "delete":
        return rejected("an order is cancelled, never deleted", "Send a void.", "kept")
    if row is None and write.action == "change":
        return rejected("the order is not in Tryton", "Create it first.", "gone")
    state = text(row, "state") if row is not None else ""
    if row is not None and state not in OPEN and state != "confirmed":
        target = text(row, "id")
        if write.action == "create":
            return AlreadyThere(target, Detail(f"Tryton holds it, state {state}"))
        return rejected(
            f"Tryton does not change an order that is {state}",
            "Let the flow reverse and repost it, or handle it as a case.",
            "processed",
        )
    draft = values(write, references, addresses)
    company = int(str(draft["company"]))
    onward = [button(at, name, company) for name in ("quote", "confirm", "process")]
    if row is None:

        def create(chains: Sequence[Chain]) -> Request:
            drafts = [chain.remembered["draft"] for chain in chains]
            return wire.call(at, "model.sale.sale.create", drafts, context={"company": company})

        bundle = Bundle(f"create {company}", create, each_id)
        first = Step(lambda chain: create([chain]), first_id, bundle)
        return Chain(write, [first, *onward], remembered={"draft": draft})
    if state == "confirmed":
        return Chain(write, onward[-1:], text(row, "id"))
    return Chain(write, [*_redraft(at, row, draft, company), *onward], text(row, "id"))


def _redraft(at: Session, row: wire.Row, draft: Mapping[str, object], company: int) -> list[Step]:
    """Bring an unfinished draft to today's content: a later try may carry corrected values."""
    lines = row.get("lines")
    old = lines if isinstance(lines, list) else []
    new = draft["lines"]
    changed = {**draft, "lines": [["delete", old], *(new if isinstance(new, list) else [])]}

    def rewrite(chain: Chain) -> Request:
        return wire.call(
            at,
            "model.sale.sale.write",
            [int(chain.target_id)],
            changed,
            context={"company": company},
        )

    back = [button(at, "draft", company)] if text(row, "state") == "quotation" else []
    return [*back, Step(rewrite)]


def _void(at: Session, write: Write, row: wire.Row | None) -> Planned:
    if row is None:
        return rejected("the order is not in Tryton", "Nothing is left to cancel.", "gone")
    target, state = text(row, "id"), text(row, "state")
    company = number_of("company", row["company"])
    if is_void(row):
        return AlreadyThere(target, Detail("already cancelled"))
    if state in {*OPEN, "confirmed"}:
        back = [button(at, "draft", company)] if state == "confirmed" else []
        return Chain(write, [*back, button(at, "cancel", company)], target)
    invoices = _invoices(row)
    if any(text(one, "state") in {"posted", "paid"} for one in invoices):
        return rejected(
            f"order {text(row, 'number')} has a posted invoice",
            "Credit the invoice first; the order follows.",
            "invoiced",
        )
    drafts = [
        int(text(one, "id")) for one in invoices if text(one, "state") in {"draft", "validated"}
    ]
    if not drafts:
        return rejected(
            f"order {text(row, 'number')} is {state} and has no invoice to cancel",
            "Close it in Tryton by hand.",
            "processed",
        )

    def cancel_invoices(chain: Chain) -> Request:
        return wire.call(at, "model.account.invoice.cancel", drafts, context={"company": company})

    # Tryton would ask a person whether to invoice again: no.
    ask = {"domain_invoices": drafts, "ignore_invoices": drafts, "recreate_invoices": []}
    settle = wizard(
        at,
        "sale.handle.invoice.exception",
        ("ask", ask, "handle"),
        {"company": company, "active_model": "sale.sale", "active_id": int(target)},
    )
    return Chain(write, [Step(cancel_invoices), *settle], target)


def _invoices(row: wire.Row) -> list[wire.Row]:
    inside = row.get("invoices.")
    return [one for one in inside if isinstance(one, Mapping)] if isinstance(inside, list) else []


def is_void(row: wire.Row) -> bool:
    """Nothing of the order is left: cancelled, or every invoice it made is cancelled."""
    invoices = _invoices(row)
    return text(row, "state") == "cancelled" or (
        bool(invoices) and all(text(one, "state") == "cancelled" for one in invoices)
    )


def status_of(row: wire.Row) -> str:
    """What an order comes to. Tryton never cancels an order that it has processed: once every
    invoice of it is cancelled nothing of it is left, and that is what counts."""
    if is_void(row):
        return "Cancelled"
    return "Confirmed" if text(row, "state") in {"processing", "done"} else "Open"


def find(at: Session, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key, the order as Tryton shows it. A draft is not yet the effect of a create: a
    repeat carries on with it. Raises VendorFault, NoAnswer."""
    there = rows_by_reference(at, writes)
    found: dict[str, Found | None] = {}
    for write in writes:
        row = there.get(write.write_key)
        state = text(row, "state") if row is not None else ""
        unfinished = state in {*OPEN, "confirmed"}
        if row is None or unfinished or (write.action == "void" and not is_void(row)):
            found[write.write_key] = None
            continue
        found[write.write_key] = Found(
            text(row, "id"), _facts(write.document, row), text(row, "number")
        )
    return found


def _facts(document: Mapping[str, object], row: wire.Row) -> dict[str, str]:
    lines = row.get("lines")
    return {
        "amount": format(amount_of("total_amount", row["total_amount"]), "f"),
        "currency": shown(document.get("currency"), row, "currency", "currency.code"),
        "date": text(row, "sale_date"),
        "company": shown(document.get("company"), row, "company", "company.party.name"),
        "party": shown(document.get("party"), row, "party", "party.code"),
        "lines": str(len(lines) if isinstance(lines, list) else 0),
        "status": "Cancelled" if is_void(row) else "Confirmed",
    }
