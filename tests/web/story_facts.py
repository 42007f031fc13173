"""What the story is about: its orders, their ids and amounts, and its clock."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from decimal import Decimal

from tieout.finance.digest import record_key
from tieout.store import arrivals
from tieout.store.arrivals import Incoming
from tieout.store.database import Connection

START = dt.datetime(2026, 11, 20, 8, 30, tzinfo=dt.UTC)
ENTITIES = (("NWEU", "EUR"), ("NWUK", "GBP"), ("NWNA", "USD"), ("NWUK", "SEK"))
HELD = 7


class SetClock:
    """A world whose time only moves when told to."""

    def __init__(self, at: dt.datetime = START) -> None:
        self.at = at

    def now(self) -> dt.datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)

    def new_id(self) -> uuid.UUID:
        return uuid.uuid4()

    def random(self) -> float:
        return 0.5

    def executor(self, threads: int) -> Executor:
        return ThreadPoolExecutor(threads)

    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        return lambda: None

    def reach(self, point: str) -> None:
        """Nobody dies here."""


def opportunity(number: int) -> str:
    return f"006{number:012d}AAA"


def key_of(number: int) -> str:
    return record_key("sales_order", "salesforce", opportunity(number))


def amount_of(number: int) -> Decimal:
    return Decimal(number) * Decimal("437.35") + Decimal(440)


def arrive(connection: Connection, number: int, version: str, payload: str, by: str) -> int:
    arrivals.store_page(
        connection,
        "salesforce",
        "Opportunity",
        [Incoming(opportunity(number), version, payload)],
        received_by=by,
        cursor=version,
    )
    row = connection.execute(
        "SELECT max(arrival_id) FROM arrivals WHERE source_key = %s", (opportunity(number),)
    ).fetchone()
    assert row is not None
    return int(row[0])
