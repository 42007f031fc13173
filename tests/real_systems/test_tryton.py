"""The Tryton connector against a real Tryton: its books decide, not a double of ours.

Run with `pytest -m real_system tests/real_systems`; the first run installs Tryton (a minute).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.real_systems.tryton_documents import (
    GOODS,
    HOME,
    PARTY,
    Books,
    agrees,
    count,
    create,
    found,
    invoice,
    made_sale,
    sale_document,
)
from tieout.connectors.tryton import CONNECTOR, reading, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.emulators.tryton_server import tryton_server
from tieout.finance.outcome import AlreadyThere, Written
from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.ports.opening import open_session

pytestmark = [pytest.mark.real_system, pytest.mark.timeout(900)]

SIDES = ("debit", "credit")


def wire_period(row: wire.Row) -> object:
    move = row["move."]
    assert isinstance(move, dict)
    return move["period."]["name"]


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


def test_late_invoices_of_a_month_post_in_any_order(books: Books) -> None:
    for day in ("2020-08-20", "2020-08-03"):
        sale = made_sale(books, f"salesOrder-{day}", sale_date=day)
        write = invoice(sale, f"invoice-{day}", invoice_date="2020-08-31", accounting_date=day)
        [outcome] = CONNECTOR.write(books.at, "invoice", [write])
        assert isinstance(outcome, Written), outcome
        assert agrees(books, "invoice", write)


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
