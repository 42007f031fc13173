"""Exchange rates: what one is, how it is named, and what a table of them offers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, Protocol

from tieout.finance.decimals import BadAmount, check_decimal

RateType = Literal["spot", "average", "closing"]
RATE_TYPES: Final[tuple[RateType, ...]] = ("spot", "average", "closing")


class NoRate(LookupError):
    """No rate for a currency on a date; the message says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One published rate: one unit of `base` is `value` units of `quote` on `date`.

    `date` is the day it was published for, which may be earlier than the day asked for. For an
    average it is the last day averaged.
    """

    rate_id: str
    source: str
    rate_type: RateType
    base: str
    quote: str
    date: dt.date
    value: Decimal

    def __post_init__(self) -> None:
        if check_decimal(self.value, "a rate") <= 0:
            raise BadAmount(f"rate {self.rate_id} is {self.value}: a rate is above zero")


def rate_id(source: str, base: str, quote: str, date: dt.date, rate_type: RateType) -> str:
    """The name of a rate, like `ecb:EUR/USD:2021-03-04:spot`."""
    return f"{source}:{base}/{quote}:{date.isoformat()}:{rate_type}"


class RateTable(Protocol):
    """Where rates come from: every rate of a table has the same `base`."""

    @property
    def base(self) -> str: ...

    def rate(self, quote: str, date: dt.date, rate_type: RateType) -> Rate:
        """The rate of `quote` valid on `date`. Raises NoRate if there is none."""
        ...
