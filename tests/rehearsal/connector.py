"""The connectors of the corner landscape: what its systems offer, and nothing to talk with.

Understudies play these systems. They ask a connector what its streams are, which protocols it keeps
and what a write is meant to show; whoever calls it for more has taken a play for the world.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn
from unittest.mock import patch

from tieout.engine.compiled import Compiled
from tieout.engine.opening import load_checked
from tieout.finance.outcome import Found, Outcome
from tieout.landscape.schema import Landscape
from tieout.ports import registry
from tieout.ports.connector import (
    Connector,
    Field,
    Health,
    Idempotency,
    InboundCall,
    Item,
    Marks,
    Page,
    PeriodStatus,
    Received,
    Stream,
    Write,
)
from tieout.ports.errors import ErrorTable
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn, SignIn

LANDSCAPE = Path(__file__).parent / "landscape"
IN_FLIGHT_SECONDS = 4.0
VERSION = Field("version", "integer", required=True)

CUSTOMER = Stream(
    name="customer",
    title="Customer",
    key="id",
    version="version",
    reads=True,
    fields=(
        Field("id", "text", required=True),
        VERSION,
        Field("name", "text"),
        Field("number", "text"),
        Field("branch", "text"),
        Field("currency", "text"),
    ),
)
PRODUCT = Stream(
    name="product",
    title="Product",
    key="sku",
    version="version",
    reads=True,
    fields=(Field("sku", "text", required=True), VERSION, Field("name", "text")),
)
INVOICE = Stream(
    name="invoice",
    title="Invoice",
    key="id",
    version="version",
    reads=True,
    fields=(
        Field("id", "text", required=True),
        VERSION,
        Field("customer", "text"),
        Field("branch", "text"),
        Field("currency", "text"),
        Field("date", "date"),
        Field("status", "text"),
        Field("total", "amount"),
        Field(
            "lines",
            "list",
            fields=(
                Field("line", "integer"),
                Field("sku", "text"),
                Field("quantity", "quantity"),
                Field("price", "amount"),
                Field("amount", "amount"),
            ),
        ),
    ),
)
MEMBER = Stream(
    name="member",
    title="Member",
    key="card",
    version="version",
    reads=True,
    receives=True,
    webhook_types=("application/json",),
    fields=(
        Field("card", "text", required=True),
        VERSION,
        Field("name", "text"),
        Field("branch", "text"),
    ),
)
PAYMENT = Stream(
    name="payment",
    title="Payment",
    key="receipt",
    version="version",
    reads=True,
    receives=True,
    webhook_types=("application/json",),
    fields=(
        Field("receipt", "text", required=True),
        VERSION,
        Field("card", "text"),
        Field("branch", "text"),
        Field("currency", "text"),
        Field("day", "date"),
        Field("amount", "amount"),
        Field("fee", "amount"),
        Field("state", "text"),
    ),
)
NAMED = Stream(
    name="",
    title="",
    writes=True,
    fields=(Field("id", "text"), Field("name", "text"), Field("currency", "text")),
    facts={"name": "text"},
)
MONEY = Stream(
    name="",
    title="",
    writes=True,
    fields=(
        Field("id", "text"),
        Field("account", "text"),
        Field("party", "text"),
        Field("period", "text"),
        Field("currency", "text"),
        Field("date", "date"),
        Field("total", "amount"),
        Field(
            "lines",
            "list",
            fields=(
                Field("line", "integer"),
                Field("product", "text"),
                Field("amount", "amount"),
            ),
        ),
    ),
    facts={"total": "amount", "currency": "text", "date": "date", "status": "text"},
)


def target(
    like: Stream, name: str, title: str, grade: Literal["A", "B", "C"], *, posts: bool = False
) -> Stream:
    """A stream that is written to."""
    seconds = IN_FLIGHT_SECONDS if grade == "B" else 0.0
    return replace(
        like, name=name, title=title, posts=posts, idempotency=Idempotency(grade, seconds)
    )


class Played(AssertionError):
    """Somebody talks to a system of the corner that no understudy plays."""


class Corner:
    """What every system of the corner offers. See `tieout.ports.connector` for the methods."""

    errors = ErrorTable(())
    settings: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}

    def __init__(self, name: str, title: str, *streams: Stream) -> None:
        self.name = name
        self.title = title
        self.streams: Mapping[str, Stream] = {one.name: one for one in streams}

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return NoSignIn()

    def check(self, at: Session) -> Health:
        self._talk()

    def _talk(self) -> NoReturn:
        raise Played(f"{self.name} is played by an understudy, and has no wire of its own")


class Source(Corner):
    """A system that is read, page by page."""

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        self._talk()

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        self._talk()


class Shop(Source):
    """A source whose keys can be swept."""

    def marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        self._talk()


class Till(Source):
    """A source that tells of itself."""

    def receive(self, call: InboundCall) -> Received:
        self._talk()


class Target(Corner):
    """A system that is written to."""

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        self._talk()

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        """The facts that the document names; of money also whether it still counts."""
        facts = self.streams[stream].facts
        shown = {name: str(value) for name, value in write.document.items() if name in facts}
        if "status" in facts:
            shown["status"] = "voided" if write.action == "void" else "booked"
        return shown

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        self._talk()


class Books(Target):
    """A target with accounting periods."""

    def periods(self, at: Session) -> Sequence[PeriodStatus]:
        self._talk()


CONNECTORS: Mapping[str, Connector] = {
    one.name: one
    for one in (
        Shop("corner_shop", "Corner shop", CUSTOMER, PRODUCT, INVOICE),
        Till("corner_till", "Corner till", MEMBER, PAYMENT),
        Books(
            "corner_books",
            "Corner books",
            target(NAMED, "account", "Account", "A"),
            target(MONEY, "entry", "Ledger entry", "A", posts=True),
        ),
        Target(
            "corner_bank",
            "Corner bank",
            target(NAMED, "party", "Party", "B"),
            target(MONEY, "receipt", "Receipt", "B"),
        ),
        Target(
            "corner_plan",
            "Corner plan",
            target(MONEY, "sale", "Planned sale", "C"),
            target(MONEY, "cash", "Planned cash", "C"),
        ),
    )
}


@cache
def corner() -> tuple[Landscape, Compiled]:
    """The landscape, checked and compiled once, with its connectors known."""
    known = {**registry.connectors(), **CONNECTORS}
    with patch.object(registry, "connectors", lambda: known):
        return load_checked(LANDSCAPE)
