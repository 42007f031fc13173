"""Money: an exact decimal and the currency it is in, never one without the other.

Arithmetic is exact or refused: adding two currencies, or anything binary, is an error and not a
number. Rounding happens only where it is asked for, to the currency's minor units (ISO 4217).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tieout.finance.currency import currency as currency_of
from tieout.finance.decimals import (
    DOWN,
    HALF_AWAY,
    HALF_EVEN,
    MOST_DIGITS,
    REFUSE,
    BadAmount,
    canonical_decimal,
    check_decimal,
    exact_context,
    parse_amount,
    round_decimal,
)

__all__ = [
    "AMOUNT_PLACES",
    "DOWN",
    "HALF_AWAY",
    "HALF_EVEN",
    "MOST_DIGITS",
    "REFUSE",
    "BadAmount",
    "CurrencyMismatch",
    "Money",
    "canonical_amount",
    "canonical_decimal",
    "parse_amount",
    "round_decimal",
    "round_money",
    "total",
]

AMOUNT_PLACES: Final = 2  # an amount whose currency is not known is written with at least these


class CurrencyMismatch(ValueError):
    """Two currencies met where only one can be: convert first, naming rate and date."""


def round_money(amount: Decimal, currency: str, rounding: str = HALF_AWAY) -> Decimal:
    """`amount` with exactly the minor units of `currency`: 2 places for EUR, 0 for JPY, 3 for KWD.

    Raises UnknownCurrency, and BadAmount when `rounding` is REFUSE and a digit would be lost.
    """
    return round_decimal(amount, currency_of(currency).minor_units, rounding)


def canonical_amount(value: Decimal, currency: str = "") -> str:
    """The one text of an amount: at least the currency's minor units, or 2 places without one."""
    places = currency_of(currency).minor_units if currency else AMOUNT_PLACES
    return canonical_decimal(value, places)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency; equal amounts are equal whatever their trailing zeros.

    `amount` may be finer than the minor units (a unit price of 9.8125 EUR): `rounded` makes it
    payable. Raises BadAmount for a float or anything but a finite Decimal of at most 38 digits,
    UnknownCurrency for a code outside ISO 4217.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        check_decimal(self.amount)
        currency_of(self.currency)

    @classmethod
    def of(cls, source: str | int | Decimal, currency: str) -> Money:
        """Money from clean text or a whole number: `Money.of("12.50", "EUR")`."""
        return cls(parse_amount(source), currency)

    @classmethod
    def from_minor(cls, count: int, currency: str) -> Money:
        """Money from a count of minor units: 1250 cents are 12.50 EUR."""
        places = currency_of(currency).minor_units
        return cls(parse_amount(count).scaleb(-places, exact_context()), currency)

    def minor(self) -> int:
        """The count of minor units. Raises BadAmount if the amount is finer than those."""
        places = currency_of(self.currency).minor_units
        return int(self.rounded(REFUSE).amount.scaleb(places, exact_context()))

    def rounded(self, rounding: str = HALF_AWAY) -> Money:
        """This money with exactly its currency's minor units."""
        return Money(round_money(self.amount, self.currency, rounding), self.currency)

    def _other(self, other: object, verb: str) -> Decimal:
        if not isinstance(other, Money):
            raise BadAmount(
                f"cannot {verb} {self} and {other!r}: money goes only with money of its currency"
            )
        if other.currency != self.currency:
            raise CurrencyMismatch(
                f"cannot {verb} {self} and {other}: convert one of them first, by a named rate"
            )
        return other.amount

    def __add__(self, other: Money) -> Money:
        amount = self._other(other, "add")
        return Money(exact_context().add(self.amount, amount), self.currency)

    def __sub__(self, other: Money) -> Money:
        amount = self._other(other, "subtract")
        return Money(exact_context().subtract(self.amount, amount), self.currency)

    def __neg__(self) -> Money:
        return Money(self.amount.copy_negate() if self.amount else self.amount, self.currency)

    def __abs__(self) -> Money:
        return Money(self.amount.copy_abs(), self.currency)

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._other(other, "compare")

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._other(other, "compare")

    def __gt__(self, other: Money) -> bool:
        return self.amount > self._other(other, "compare")

    def __ge__(self, other: Money) -> bool:
        return self.amount >= self._other(other, "compare")

    def times(self, factor: int | Decimal) -> Money:
        """This money times a quantity or a share, exactly; round where the rule says so."""
        exact = exact_context().multiply(self.amount, parse_amount(factor))
        return Money(exact, self.currency)

    def text(self) -> str:
        """The amount as text: plain notation, at least the currency's minor units."""
        return canonical_amount(self.amount, self.currency)

    def json(self) -> dict[str, str]:
        """The JSON form: the amount is a string, because JSON numbers are read as floats."""
        return {"amount": self.text(), "currency": self.currency}

    def __str__(self) -> str:
        return f"{self.text()} {self.currency}"


def total(parts: list[Money] | tuple[Money, ...], currency: str) -> Money:
    """The exact sum of `parts`, all in `currency`; of nothing, zero."""
    running = Money(Decimal(0), currency)
    for part in parts:
        running += part
    return running
