"""The Tryton connector against a real Tryton: its books decide, not a double of ours.

Run with `pytest -m real_system tests/real_systems`; the first run installs Tryton (minutes).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from tieout.connectors.tryton import CONNECTOR, reading, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.emulators.tryton_books import CLOSED
from tieout.emulators.tryton_server import TrytonServer, tryton_server
from tieout.finance.outcome import AlreadyThere, Busy, Found, Rejected, Unknown, Written
from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.ports.connector import Write
from tieout.ports.errors import PERIOD_CLOSED
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.opening import open_session
from tieout.ports.session import Session

pytestmark = [pytest.mark.real_system, pytest.mark.timeout(900)]

HOME = Path(__file__).resolve().parents[2] / ".tieout"
EUROPE = {"name": "Northwind Europe BV"}
NORTH_AMERICA = {"name": "Northwind North America Inc"}


@dataclass
class Books:
    """A server, an open session, and the ids of what the tests sell to whom."""

    server: TrytonServer
    at: Session
    party: str
    products: list[str]


@pytest.fixture(scope="session")
def books() -> Iterator[Books]:
    with tryton_server(HOME) as server:
        at = server.session()
        writes = [
            create("product", f"product-{n}", {"code": f"P{n}", "name": f"Tea {n}", **GOODS})
            for n in (1, 2)
        ]
        assert CONNECTOR.write(at, "product", writes) == [Written(""), Written("")]
        products = [found.target_id for found in CONNECTOR.find(at, "product", writes).values()]
        party = create("party", "customer-ALFKI", {**PARTY, "code": "ALFKI"})
        [made] = CONNECTOR.write(at, "party", [party])
        assert isinstance(made, Written)
        yield Books(server, at, made.target_id, products)


GOODS = {"account_category": {"name": "Goods"}}
PARTY = {
    "name": "Alfreds Futterkiste",
    "address": {"city": "Berlin", "country": {"name": "Germany"}},
}


def create(stream: str, reference: str, document: dict[str, object]) -> Write:
    return Write(f"tryton/{stream}/{reference}/1", reference, "create", document)


def sale_document(books: Books, **changes: object) -> dict[str, object]:
    """Two lines with a discount: 12 at 9.80 less 15 % is 99.96; 7 at 63.86 in all."""
    return {
        "party": {"id": books.party},
        "company": EUROPE,
        "currency": {"code": "EUR"},
        "sale_date": "2020-07-04",
        "reference_number": "10248",
        "lines": [
            sale_line(books.products[0], "12", "8.33", "99.96"),
            sale_line(books.products[1], "7", "9.12285714", "63.86"),
        ],
        **changes,
    }


def sale_line(product: str, quantity: str, price: str, amount: str) -> dict[str, object]:
    return {"product": {"id": product}, "quantity": quantity, "unit_price": price, "amount": amount}


def made_sale(books: Books, reference: str, **changes: object) -> str:
    [outcome] = CONNECTOR.write(
        books.at, "sale", [create("sale", reference, sale_document(books, **changes))]
    )
    assert isinstance(outcome, Written), outcome
    return outcome.target_id


def invoice(sale: str, reference: str, **changes: object) -> Write:
    return create(
        "invoice",
        reference,
        {
            "sale": {"id": sale},
            "invoice_date": "2020-07-31",
            "accounting_date": "2020-07-04",
            "currency": {"code": "EUR"},
            "amount": "163.82",
            **changes,
        },
    )


def found(books: Books, stream: str, write: Write) -> Found | None:
    return CONNECTOR.find(books.at, stream, [write])[write.write_key]


def agrees(books: Books, stream: str, write: Write) -> bool:
    shown = found(books, stream, write)
    assert shown is not None
    meant = dict(CONNECTOR.meant(stream, write))
    assert {name: shown.facts[name] for name in meant} == meant
    return True


def count(books: Books, model: str, *clauses: object) -> int:
    return len(wire.rows(books.at, ERRORS, model, list(clauses), ["id"]))


def test_check_is_well(books: Books) -> None:
    health = CONNECTOR.check(books.at)
    assert health.well, health
    assert "Northwind Europe BV" in health.words


def test_wrong_password_is_denied(books: Books) -> None:
    server = replace(books.server, password="wrong-password-entirely")
    health = CONNECTOR.check(server.session())
    assert not health.well
    assert "refused the login" in health.words


def test_party_and_product_exist_once_however_often_written(books: Books) -> None:
    party = create("party", "customer-ANATR", {**PARTY, "code": "ANATR", "name": "Ana Trujillo"})
    first, second = (CONNECTOR.write(books.at, "party", [party])[0] for _ in range(2))
    assert isinstance(first, Written)
    assert isinstance(second, AlreadyThere)
    assert count(books, "party.party", ["code", "=", "ANATR"]) == 1
    assert agrees(books, "party", party)
    product = create("product", "product-9", {"code": "P9", "name": "Syrup", **GOODS})
    outcomes = [CONNECTOR.write(books.at, "product", [product])[0] for _ in range(2)]
    assert [type(one) for one in outcomes] == [Written, AlreadyThere], outcomes
    assert agrees(books, "product", product)


def test_changes_of_masters_are_shown_on_read_back(books: Books) -> None:
    for stream, code in (("party", "CHOPS"), ("product", "P8")):
        document = {**PARTY, **GOODS, "code": code, "name": "Before"}
        write = create(stream, f"{stream}-{code}", document)
        CONNECTOR.write(books.at, stream, [write])
        changed = replace(write, action="change", document={**document, "name": "After"})
        [outcome] = CONNECTOR.write(books.at, stream, [changed])
        assert isinstance(outcome, Written), outcome
        assert agrees(books, stream, changed)
    assert count(books, "party.address", ["party.code", "=", "CHOPS"]) == 1


def test_sale_is_confirmed_once_with_exact_line_amounts(books: Books) -> None:
    write = create("sale", "salesOrder-006A", sale_document(books))
    [first] = CONNECTOR.write(books.at, "sale", [write])
    [second] = CONNECTOR.write(books.at, "sale", [write])
    assert isinstance(first, Written)
    assert isinstance(second, AlreadyThere)
    assert second.target_id == first.target_id
    assert count(books, "sale.sale", ["reference", "=", "salesOrder-006A"]) == 1
    assert agrees(books, "sale", write)
    shown = found(books, "sale", write)
    assert shown is not None
    assert shown.facts["amount"] == "163.82"
    assert shown.number


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


def test_invoice_is_posted_once_and_proved(books: Books) -> None:
    sale = made_sale(books, "salesOrder-006F")
    write = invoice(sale, "invoice-006F")
    [first] = CONNECTOR.write(books.at, "invoice", [write])
    [second] = CONNECTOR.write(books.at, "invoice", [write])
    assert isinstance(first, Written), first
    assert isinstance(second, AlreadyThere)
    assert first.target_id == second.target_id
    assert count(books, "account.invoice", ["reference", "=", "invoice-006F"]) == 1
    assert agrees(books, "invoice", write)
    lines = wire.rows(
        books.at,
        ERRORS,
        "account.move.line",
        [["move.origin", "=", f"account.invoice,{first.target_id}"]],
        ["debit", "credit", "move.period.name"],
    )
    debit, credit = (sum((Decimal(str(x[side])) for x in lines), Decimal(0)) for side in SIDES)
    assert debit == credit == Decimal("163.82")
    assert {str(wire_period(x)) for x in lines} == {"2020-07"}


SIDES = ("debit", "credit")


def wire_period(row: wire.Row) -> object:
    move = row["move."]
    assert isinstance(move, dict)
    return move["period."]["name"]


def test_late_invoices_of_a_month_post_in_any_order(books: Books) -> None:
    for day in ("2020-08-20", "2020-08-03"):
        sale = made_sale(books, f"salesOrder-{day}", sale_date=day)
        write = invoice(sale, f"invoice-{day}", invoice_date="2020-08-31", accounting_date=day)
        [outcome] = CONNECTOR.write(books.at, "invoice", [write])
        assert isinstance(outcome, Written), outcome
        assert agrees(books, "invoice", write)


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


class LosesReplies:
    """A transport that applies a call and then loses the answer, for one method, once."""

    def __init__(self, inner: Transport, method: bytes) -> None:
        self.inner = inner
        self.method = method
        self.lost = 0

    def __call__(self, request: Request) -> Response:
        response = self.inner(request)
        if self.method in request.body and not self.lost:
            self.lost += 1
            raise NoAnswer("the connection dropped")
        return response


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


def test_everything_written_is_read_again_in_order_of_change(books: Books) -> None:
    for number in range(3):
        made_sale(books, f"salesOrder-read-{number}")
    for stream in CONNECTOR.streams:
        page = CONNECTOR.read(books.at, stream, "")
        assert page.items
        assert not page.more
        keys = [item.key for item in page.items]
        assert len(keys) == len(set(keys))
        again = CONNECTOR.read(books.at, stream, page.cursor)
        assert {item.key for item in again.items} <= set(keys)
        [same, gone] = CONNECTOR.fetch(books.at, stream, [keys[0], "999999"])
        assert same == next(item for item in page.items if item.key == keys[0])
        assert gone.deleted


def test_pages_of_two_give_the_same_rows(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {item.key: item for item in CONNECTOR.read(books.at, "sale", "").items}
    monkeypatch.setattr(reading, "PAGE_ROWS", 2)
    pages = [CONNECTOR.read(books.at, "sale", "")]
    while pages[-1].more and len(pages) < 100:
        pages.append(CONNECTOR.read(books.at, "sale", pages[-1].cursor))
    assert len(pages) > 2
    assert {item.key: item for page in pages for item in page.items} == whole


def test_an_unreachable_or_broken_look_before_writing_sends_nothing(books: Books) -> None:
    write = create("sale", "salesOrder-006N", sale_document(books))
    session = books.server.session()
    session.transport = LosesReplies(session.transport, b"sale.sale.search_read")
    [outcome] = CONNECTOR.write(session, "sale", [write])
    assert isinstance(outcome, Busy)
    assert count(books, "sale.sale", ["reference", "=", write.reference]) == 0


def test_the_demo_environment_fits_the_server() -> None:
    environment = load(example("quote_to_cash_tryton")).environments["demo"]["tryton"]
    port = int(environment.settings["base_url"].rpartition(":")[2])
    name = environment.settings["database"]
    with tryton_server(HOME, database=f"{name}_test", fresh=True, port=port) as server:
        settings = {**environment.settings, "database": f"{name}_test"}
        assert server.settings() == settings
        at = open_session("tryton", CONNECTOR, settings, server.secrets(), environment.addresses)
        assert CONNECTOR.check(at).well
        assert set(environment.secrets) == set(server.secrets())
