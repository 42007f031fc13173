"""What the tests against a real Tryton share: its books, documents, and looks into its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tieout.connectors.tryton import CONNECTOR, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.emulators.tryton_server import TrytonServer
from tieout.finance.outcome import Found, Written
from tieout.ports.connector import Write
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.session import Session

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
