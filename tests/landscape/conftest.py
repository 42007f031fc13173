"""A small landscape that checks clean, to break in one place at a time, and fake connectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tieout.landscape import template
from tieout.landscape.checker import check
from tieout.landscape.interfaces import ConnectorLike
from tieout.landscape.loader import load
from tieout.ports.connector import Field, Idempotency, Stream
from tieout.rules.place import BadLandscape, Problem


@dataclass
class BlindConnector:
    """Speaks of streams and can write, but cannot read back."""

    name: str
    streams: Mapping[str, Stream]
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    def write(self) -> None: ...


class FakeConnector(BlindConnector):
    """Can also read back."""

    def find(self) -> None: ...

    def meant(self) -> None: ...


ACCOUNT = Stream(
    "Account",
    "Account",
    (
        Field("Id"),
        Field("Name"),
        Field("AccountNumber"),
        Field("BillingCountry"),
        Field("CurrencyIsoCode"),
        Field("Balance", "amount"),
        Field("Contacts", "list", fields=(Field("Email"),)),
    ),
    key="Id",
    reads=True,
)
CUSTOMER = Stream(
    "customer",
    "Customer",
    (Field("id"), Field("companyname"), Field("balance", "amount")),
    reads=True,
    writes=True,
    idempotency=Idempotency("A"),
)
REPORT = Stream("report", "Report", (Field("id"), Field("balance", "amount")), reads=True)
MAILBOX = Stream("mailbox", "Mailbox", (Field("id"),))


def connectors() -> dict[str, ConnectorLike]:
    return {
        "salesforce": FakeConnector(
            "salesforce",
            {one.name: one for one in (ACCOUNT, MAILBOX)},
            {"base_url": "address", "api_version": "version", "organization_id": "which one"},
            {"client_id": "id", "client_secret": "secret"},
        ),
        "netsuite": FakeConnector(
            "netsuite",
            {one.name: one for one in (CUSTOMER, REPORT, MAILBOX)},
            {"base_url": "address", "account": "account", "size": "optional: page size"},
            dict.fromkeys(("consumer_key", "consumer_secret", "token_id", "token_secret"), "it"),
        ),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The template of `tieout new`, written out."""
    target = tmp_path / "acme"
    template.new(target, "acme")
    return target


Break = Callable[..., list[Problem]]


@pytest.fixture
def problems_of(folder: Path) -> Break:
    """Change one file (old text to new, or a whole new file) and hand back every problem."""

    def broken(file: str, old: str, new: str = "") -> list[Problem]:
        path = folder / file
        if path.exists() and new:
            text = path.read_text()
            assert old in text, f"{old!r} is not in {file}"
            path.write_text(text.replace(old, new, 1))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(old)
        try:
            return check(load(folder), connectors())
        except BadLandscape as bad:
            return list(bad.problems)

    return broken
