"""The well-known facts of a record: whose books, how much, when, and its name."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from tieout.rules.mapping import Mapped
from tieout.rules.spec import RecordTypeSpec

FACTS = ("legal_entity", "currency", "amount", "date", "status")  # well-known, by record type
NAMES = ("number", "code")  # what people know a record by, where its type has one
MOST_NAME_CHARACTERS = 80


def facts_wanted(spec: RecordTypeSpec) -> tuple[str, ...]:
    """The fields whose values a mapping hands out with each record, in the order of `Facts`."""
    return (*(getattr(spec, name) for name in FACTS), *NAMES)


@dataclass(frozen=True, slots=True)
class Facts:
    """The well-known values of a record, as far as its mapping could fill them."""

    legal_entity: str = ""
    currency: str = ""
    amount: Decimal | None = None
    date: dt.date | None = None
    status: str = ""
    number: str = ""


NO_FACTS = Facts()


def facts_of(one: Mapped) -> Facts:
    """What a mapped row says of itself."""
    entity, currency, amount, date, status, number, code = one.facts
    name = number or code or ""
    return Facts(
        entity or "",
        currency or "",
        Decimal(amount) if amount else None,
        _day(date),
        status or "",
        name if len(name) <= MOST_NAME_CHARACTERS else "",
    )


def _day(text: str | None) -> dt.date | None:
    """The day a text names; None for one that no calendar has: a case says so, by its field."""
    try:
        return dt.date.fromisoformat(text[:10]) if text else None
    except ValueError:
        return None
