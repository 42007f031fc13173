"""Currency conversion: exact, rounded once, and always able to name the rates it used.

A conversion is one exact fraction, rounded once at the end (half away from zero, to the target's
minor units): never a product with a rounded cross rate, which is off by cents on large amounts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from fractions import Fraction

from tieout.finance.currency import currency as currency_of
from tieout.finance.decimals import half_away_units
from tieout.finance.ecb_rates import EcbRates
from tieout.finance.money import Money
from tieout.finance.rates import RATE_TYPES, NoRate, Rate, RateTable, RateType, rate_id

__all__ = [
    "RATE_TYPES",
    "Converted",
    "EcbRates",
    "NoRate",
    "Rate",
    "RateTable",
    "RateType",
    "convert",
    "rate_id",
]


@dataclass(frozen=True, slots=True)
class Converted:
    """Converted money and the rates it came by, none if both currencies are the same."""

    money: Money
    rates: tuple[Rate, ...]

    @property
    def rate_id(self) -> str:
        """The rates' ids joined by `+`, empty if none was needed."""
        return "+".join(rate.rate_id for rate in self.rates)


def convert(
    money: Money, to: str, date: dt.date, rates: RateTable, rate_type: RateType = "spot"
) -> Converted:
    """`money` in the currency `to` by the rates of `date`, rounded once to the minor units of `to`.

    Base to X multiplies by X's rate, X to base divides by it, X to Y is `amount * rateY / rateX`
    in one exact step; into its own currency no rate is used. Raises UnknownCurrency, NoRate.
    """
    used: list[Rate] = []
    exact = Fraction(money.amount)
    if money.currency == to:
        return Converted(money.rounded(), ())
    if money.currency != rates.base:
        source = rates.rate(money.currency, date, rate_type)
        exact /= Fraction(source.value)
        used.append(source)
    if to != rates.base:
        target = rates.rate(to, date, rate_type)
        exact *= Fraction(target.value)
        used.append(target)
    units = half_away_units(exact, currency_of(to).minor_units)
    return Converted(Money.from_minor(units, to), tuple(used))
