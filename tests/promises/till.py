"""Where random invoices are made: amended, repeated, out of order, wrong, withdrawn, deleted.

It remembers every delivery, with what a reader can make of it: that is one side of the identity.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.engine.loopback import customers, invoice_row

ENTITIES = {"north": "NORTH", "south": "SOUTH"}
CURRENCIES = ("EUR", "USD", "GBP")
CUSTOMERS = 20
SPAN = 20 * 2 * 12  # numbers so far apart share customer, region and month

Group = tuple[str, str, str]
"""Legal entity, period, currency; all empty: it cannot be read whose money it is."""


@dataclass(frozen=True)
class Delivery:
    """One row as it was sent."""

    key: str
    version: int
    body: str


@dataclass(frozen=True)
class Facts:
    """Whose money a row is about, and how much."""

    group: Group
    amount: Decimal


PeriodOf = Callable[[str, dt.date], str]
"""The period of a date in a legal entity's calendar."""


def facts_of(text: str, period_of: PeriodOf) -> Facts:
    """What can be read from a row as it was sent."""
    row = json.loads(text)
    try:
        amount = Decimal(row["total"])
    except InvalidOperation:
        amount = Decimal(0)
    entity = ENTITIES.get(row["region"], "")
    period = period_of(entity, dt.date.fromisoformat(row["date"])) if entity else ""
    return Facts(group_of(entity, period, row["currency"]), amount)


def group_of(entity: str, period: str, currency: str) -> Group:
    """Whose money it is; without a legal entity or a currency nobody's that can be named."""
    return (entity, period, currency) if entity and currency else ("", "", "")


@dataclass
class Till:
    """Draws deliveries; every version of an invoice has a total of its own."""

    dice: random.Random
    sent: list[Delivery] = field(default_factory=list)
    versions: dict[str, dict[Decimal, int]] = field(default_factory=dict)  # by key, by total
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)  # as they stand at the source
    _late: list[Delivery] = field(default_factory=list)  # made, and not sent yet
    _unknown: list[int] = field(default_factory=lambda: list(range(CUSTOMERS)))

    def customers(self, most: int) -> list[tuple[str, bytes]]:
        """Some customers that were not sent yet: invoices may come before theirs."""
        self.dice.shuffle(self._unknown)
        some, self._unknown = self._unknown[:most], self._unknown[most:]
        return customers("", some)

    def some(self, count: int) -> list[tuple[str, bytes]]:
        """So many deliveries, in the order in which they leave."""
        calls: list[Delivery] = []
        for _ in range(count):
            calls.append(self._repeat() if self.sent and self.dice.random() < 0.1 else self._next())
        if self._late and self.dice.random() < 0.7:
            calls.append(self._late.pop(self.dice.randrange(len(self._late))))
        return self._sent(calls)

    def rest(self) -> list[tuple[str, bytes]]:
        """What is left, and a last, right word about every row that was wrong or half done."""
        calls, self._late = self._late, []
        return self._sent(calls)

    def _sent(self, calls: list[Delivery]) -> list[tuple[str, bytes]]:
        self.sent += calls
        return [("invoice", one.body.encode()) for one in calls]

    def _repeat(self) -> Delivery:
        return self.dice.choice(self.sent[-40:])

    def _next(self) -> Delivery:
        """A new row or a new version of one; now and then it is kept back, and comes out of order
        after its successor."""
        made = self._made()
        if made.version > 1 and self.dice.random() < 0.15:
            self._late.append(made)
            made = self._version(self._rows[made.key])
        return made

    def _made(self) -> Delivery:
        if not self._rows or self.dice.random() < 0.5:
            number = len(self._rows)
            row = invoice_row("", f"I{number}", 0, self.dice.randrange(SPAN))
            row["currency"] = self.dice.choice(CURRENCIES)
            self._rows[row["id"]] = row
            self.versions[row["id"]] = {}
        else:
            row = self._rows[self.dice.choice(list(self._rows))]
        return self._version(row)

    def _version(self, row: dict[str, Any]) -> Delivery:
        """The next version of a row, with another total and whatever else befalls it."""
        key, dice = row["id"], self.dice
        known = self.versions[key]
        fresh = invoice_row("", key, row["version"] + 1, dice.randrange(SPAN * 20))
        while Decimal(fresh["total"]) in known:
            fresh = invoice_row("", key, row["version"] + 1, dice.randrange(SPAN * 20))
        known[Decimal(fresh["total"])] = fresh["version"]
        stays = ("customer", "region") if dice.random() < 0.95 else ("customer",)
        row |= {name: fresh[name] for name in fresh if name not in (*stays, "currency")}
        befalls = dice.random()
        sent = dict(row)
        if befalls < 0.06:
            sent["region"] = "atlantis"
        elif befalls < 0.10:
            sent["total"] = "a hundred"
        elif befalls < 0.14:
            sent["lines"] = sent["lines"][:1]
        elif befalls < 0.17:
            sent["currency"] = ""
        elif befalls < 0.25:
            sent["status"] = "draft"
        elif befalls < 0.31:
            sent["deleted"] = True
        return Delivery(key, sent["version"], json.dumps(sent))
