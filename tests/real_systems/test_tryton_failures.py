"""What goes wrong on the way to a real Tryton, and what is taken back there."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import pytest

from tests.real_systems.tryton_documents import (
    NORTH_AMERICA,
    Books,
    LosesReplies,
    agrees,
    count,
    create,
    found,
    invoice,
    made_sale,
    sale_document,
)
from tieout.connectors.tryton import CONNECTOR, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.emulators.tryton_books import CLOSED
from tieout.finance.outcome import AlreadyThere, Busy, Rejected, Unknown, Written
from tieout.ports.errors import PERIOD_CLOSED

pytestmark = [pytest.mark.real_system, pytest.mark.timeout(900)]


def test_one_bad_sale_does_not_touch_its_neighbours(books: Books) -> None:
    good = create("sale", "salesOrder-006B", sale_document(books))
    other = create("sale", "salesOrder-006D", sale_document(books, company=NORTH_AMERICA))
    unknown_currency = create(
        "sale", "salesOrder-006C", sale_document(books, currency={"code": "UKP"})
    )
    no_party = create("sale", "salesOrder-006E", sale_document(books, party={"id": "999999"}))
    outcomes = CONNECTOR.write(books.at, "sale", [good, unknown_currency, other, no_party])
    assert [type(one) for one in outcomes] == [Written, Rejected, Written, Rejected]
    rejected = outcomes[1]
    assert isinstance(rejected, Rejected)
    assert rejected.detail.field == "currency"
    assert "UKP" in rejected.detail.words
    assert agrees(books, "sale", good)
    assert agrees(books, "sale", other)


def test_out_of_order_numbering_is_refused_in_plain_words(books: Books) -> None:
    for reference, day, kind in (("N1", "2020-09-20", Written), ("N2", "2020-09-03", Rejected)):
        sale = made_sale(books, f"salesOrder-{reference}", sale_date=day)
        write = invoice(sale, f"invoice-{reference}", invoice_date=day, accounting_date=day)
        [outcome] = CONNECTOR.write(books.at, "invoice", [write])
        assert isinstance(outcome, kind), outcome
    assert "date order" in outcome.detail.words


def test_an_amount_that_differs_is_never_posted(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006G")
    write = invoice(sale, "invoice-006G", amount="163.83")
    [outcome] = CONNECTOR.write(books.at, "invoice", [write])
    assert isinstance(outcome, Rejected)
    assert outcome.detail.code == "amount_differs"
    assert found(books, "invoice", write) is None


def test_closed_period_is_refused_and_said_by_periods(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006H", sale_date="2020-06-12")
    write = invoice(sale, "invoice-006H", invoice_date="2020-06-30", accounting_date="2020-06-12")
    [outcome] = CONNECTOR.write(books.at, "invoice", [write])
    assert isinstance(outcome, Rejected), outcome
    assert outcome.detail.code == PERIOD_CLOSED
    assert found(books, "invoice", write) is None
    states = {period.start: period.state for period in CONNECTOR.periods(books.at)}
    assert states[CLOSED] == "closed"
    assert states[dt.date(2020, 7, 1)] == "open"
    assert len(states) == 36


@pytest.mark.parametrize("step", ["create", "quote", "confirm", "process"])
def test_a_lost_reply_at_any_step_ends_in_one_sale(books: Books, step: str) -> None:
    write = create("sale", f"salesOrder-lost-{step}", sale_document(books))
    session = books.server.session()
    losing = LosesReplies(session.transport, f"sale.sale.{step}".encode())
    session.transport = losing
    [first] = CONNECTOR.write(session, "sale", [write])
    assert isinstance(first, Unknown)
    assert losing.lost == 1
    there = found(books, "sale", write)
    if step in {"create", "quote"}:  # a draft is not the effect: the engine sends it again
        assert there is None
        [second] = CONNECTOR.write(session, "sale", [write])
        assert isinstance(second, Written), second
    assert count(books, "sale.sale", ["reference", "=", write.reference]) == 1
    assert agrees(books, "sale", write)


@pytest.mark.parametrize("step", ["write", "post"])
def test_a_lost_reply_while_posting_ends_in_one_invoice(books: Books, step: str) -> None:
    sale = made_sale(books, f"salesOrder-post-{step}")
    write = invoice(sale, f"invoice-post-{step}")
    session = books.server.session()
    session.transport = LosesReplies(session.transport, f"account.invoice.{step}".encode())
    assert isinstance(CONNECTOR.write(session, "invoice", [write])[0], Unknown)
    assert (found(books, "invoice", write) is None) == (step == "write")
    [second] = CONNECTOR.write(session, "invoice", [write])
    assert isinstance(second, Written if step == "write" else AlreadyThere)
    assert agrees(books, "invoice", write)
    assert count(books, "account.invoice", ["reference", "=", write.reference]) == 1


def test_a_refused_draft_takes_corrected_content(books: Books) -> None:
    reference = "salesOrder-006J"
    bare = create("party", "customer-BARE", {"name": "No address", "code": "BARE", "address": None})
    CONNECTOR.write(books.at, "party", [bare])
    shown = found(books, "party", bare)
    assert shown is not None
    addresses = wire.rows(
        books.at, ERRORS, "party.address", [["party", "=", int(shown.target_id)]], ["id"]
    )
    administrator = books.server.administrator()
    ids = [row["id"] for row in addresses]
    wire.ask(administrator, ERRORS, "model.party.address.write", ids, {"active": False})
    bad = create("sale", reference, sale_document(books, party={"id": shown.target_id}))
    [refused] = CONNECTOR.write(books.at, "sale", [bad])
    assert isinstance(refused, Rejected)
    assert "invoice address" in refused.detail.words
    good = create("sale", reference, sale_document(books, sale_date="2020-07-09"))
    [outcome] = CONNECTOR.write(books.at, "sale", [good])
    assert isinstance(outcome, Written), outcome
    assert agrees(books, "sale", good)
    assert count(books, "sale.sale", ["reference", "=", reference]) == 1


def test_voids_credit_the_invoice_then_cancel_the_order(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006K")
    order = create("sale", "salesOrder-006K", sale_document(books))
    bill = invoice(sale, "invoice-006K")
    CONNECTOR.write(books.at, "invoice", [bill])
    void_order = replace(order, action="void", write_key="void-order")
    [too_early] = CONNECTOR.write(books.at, "sale", [void_order])
    assert isinstance(too_early, Rejected)
    document = {**bill.document, "void_date": "2020-10-05"}
    void = replace(bill, action="void", write_key="void-bill", document=document)
    assert found(books, "invoice", void) is None
    outcomes = [CONNECTOR.write(books.at, "invoice", [void])[0] for _ in range(2)]
    assert [type(one) for one in outcomes] == [Written, AlreadyThere], outcomes
    assert agrees(books, "invoice", void)
    [credit] = [
        payload
        for item in CONNECTOR.read(books.at, "invoice", "").items
        if (payload := json.loads(item.payload))["reverses"] == "invoice-006K"
    ]
    assert (credit["id"], credit["total_amount"]) == (outcomes[0].target_id, "-163.82")
    after = CONNECTOR.write(books.at, "sale", [void_order])[0]
    assert isinstance(after, AlreadyThere), after
    assert agrees(books, "sale", void_order)


def test_a_void_without_a_date_is_credited_on_the_invoice_date(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006P")
    bill = invoice(sale, "invoice-006P")
    CONNECTOR.write(books.at, "invoice", [bill])
    later = invoice(made_sale(books, "salesOrder-006Q"), "invoice-006Q")
    CONNECTOR.write(books.at, "invoice", [later])
    void = replace(bill, action="void")
    [outcome] = CONNECTOR.write(books.at, "invoice", [void])
    assert isinstance(outcome, Written), outcome
    assert agrees(books, "invoice", void)
    shown = found(books, "invoice", void)
    assert shown is not None
    assert shown.facts["date"] == "2020-07-31"


def test_void_of_an_order_that_was_never_invoiced(books: Books) -> None:
    made_sale(books, "salesOrder-006L")
    order = create("sale", "salesOrder-006L", sale_document(books))
    void = replace(order, action="void")
    assert found(books, "sale", void) is None
    outcomes = [CONNECTOR.write(books.at, "sale", [void])[0] for _ in range(2)]
    assert [type(one) for one in outcomes] == [Written, AlreadyThere], outcomes
    assert agrees(books, "sale", void)
    [again] = CONNECTOR.write(books.at, "sale", [order])
    assert isinstance(again, AlreadyThere)  # the proof will differ: a person decides


def test_a_processed_order_and_a_posted_invoice_are_not_edited(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006M")
    order = create("sale", "salesOrder-006M", sale_document(books))
    bill = invoice(sale, "invoice-006M")
    CONNECTOR.write(books.at, "invoice", [bill])
    for stream, write in (("sale", order), ("invoice", bill)):
        [outcome] = CONNECTOR.write(books.at, stream, [replace(write, action="change")])
        assert isinstance(outcome, Rejected), outcome
    assert agrees(books, "invoice", bill)


def test_an_unreachable_or_broken_look_before_writing_sends_nothing(books: Books) -> None:
    write = create("sale", "salesOrder-006N", sale_document(books))
    session = books.server.session()
    session.transport = LosesReplies(session.transport, b"sale.sale.search_read")
    [outcome] = CONNECTOR.write(session, "sale", [write])
    assert isinstance(outcome, Busy)
    assert count(books, "sale.sale", ["reference", "=", write.reference]) == 0
