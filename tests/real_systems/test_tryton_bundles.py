"""Several documents in one call to a real Tryton: each still gets its own answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.real_systems.tryton_documents import (
    Books,
    LosesReplies,
    agrees,
    count,
    create,
    found,
    invoice,
    made_sale,
    sale_document,
    sale_line,
)
from tieout.connectors.tryton import CONNECTOR
from tieout.finance.outcome import AlreadyThere, Rejected, Unknown, Written
from tieout.ports.connector import Write
from tieout.ports.errors import PERIOD_CLOSED
from tieout.ports.http import Request, Response, Transport

pytestmark = [pytest.mark.real_system, pytest.mark.timeout(900)]


class Counts:
    """A transport that counts the calls of each method."""

    def __init__(self, inner: Transport, methods: Sequence[str]) -> None:
        self.inner = inner
        self.calls = dict.fromkeys(methods, 0)

    def __call__(self, request: Request) -> Response:
        for method in self.calls:
            self.calls[method] += f'"{method}"'.encode() in request.body
        return self.inner(request)


def sales(books: Books, prefix: str, number: int = 3) -> list[Write]:
    return [create("sale", f"salesOrder-{prefix}{n}", sale_document(books)) for n in range(number)]


def invoices(books: Books, prefix: str, days: Sequence[str]) -> list[Write]:
    return [
        invoice(
            made_sale(books, f"salesOrder-{prefix}{n}", sale_date=day),
            f"invoice-{prefix}{n}",
            invoice_date=day,
            accounting_date=day,
        )
        for n, day in enumerate(days)
    ]


def test_orders_of_one_company_share_every_call(books: Books) -> None:
    methods = [f"model.sale.sale.{name}" for name in ("create", "quote", "confirm", "process")]
    counting = Counts(books.at.transport, methods)
    writes = sales(books, "B1-")
    outcomes = CONNECTOR.write(replace(books.at, transport=counting), "sale", writes)
    assert [type(one) for one in outcomes] == [Written] * 3
    assert len({one.target_id for one in outcomes if isinstance(one, Written)}) == 3
    assert set(counting.calls.values()) == {1}
    assert all(agrees(books, "sale", write) for write in writes)


def test_an_order_that_tryton_refuses_is_refused_alone(books: Books) -> None:
    """A price with nine decimals is Tryton's own refusal, of the whole call."""
    writes = sales(books, "B2-")
    line = sale_line(books.products[0], "1", "9.123456789", "9.12")
    writes[1] = replace(writes[1], document={**writes[1].document, "lines": [line]})
    outcomes = CONNECTOR.write(books.at, "sale", writes)
    assert [type(one) for one in outcomes] == [Written, Rejected, Written]
    assert agrees(books, "sale", writes[0])
    assert agrees(books, "sale", writes[2])
    assert [count(books, "sale.sale", ["reference", "=", one.reference]) for one in writes] == [
        *(1, 0, 1)
    ]


def test_a_closed_period_stops_one_invoice_of_a_bundle(books: Books) -> None:
    writes = invoices(books, "B3-", ["2020-08-03", "2020-06-12", "2020-08-03"])
    outcomes = CONNECTOR.write(books.at, "invoice", writes)
    assert [type(one) for one in outcomes] == [Written, Rejected, Written]
    refused = outcomes[1]
    assert isinstance(refused, Rejected)
    assert refused.detail.code == PERIOD_CLOSED
    assert agrees(books, "invoice", writes[0])
    assert found(books, "invoice", writes[1]) is None
    assert agrees(books, "invoice", writes[2])


@pytest.mark.parametrize("step", ["create", "quote", "confirm", "process"])
def test_a_lost_reply_leaves_every_order_of_the_call_unknown(books: Books, step: str) -> None:
    losing = LosesReplies(books.at.transport, f'"model.sale.sale.{step}"'.encode())
    writes = sales(books, f"B4{step}-")
    outcomes = CONNECTOR.write(replace(books.at, transport=losing), "sale", writes)
    assert [type(one) for one in outcomes] == [Unknown] * 3
    again = CONNECTOR.write(books.at, "sale", writes)
    assert {type(one) for one in again} <= {Written, AlreadyThere}
    assert all(agrees(books, "sale", write) for write in writes)
    assert [count(books, "sale.sale", ["reference", "=", one.reference]) for one in writes] == [
        *(1, 1, 1)
    ]


def test_a_lost_reply_to_posting_never_posts_twice(books: Books) -> None:
    losing = LosesReplies(books.at.transport, b'"model.account.invoice.post"')
    writes = invoices(books, "B5-", ["2020-10-05", "2020-10-05"])
    outcomes = CONNECTOR.write(replace(books.at, transport=losing), "invoice", writes)
    assert [type(one) for one in outcomes] == [Unknown, Unknown]
    assert all(agrees(books, "invoice", write) for write in writes)
    again = CONNECTOR.write(books.at, "invoice", writes)
    assert [type(one) for one in again] == [AlreadyThere, AlreadyThere]
    numbers = {shown.number for one in writes if (shown := found(books, "invoice", one))}
    assert len(numbers) == 2
