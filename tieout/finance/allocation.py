"""Allocation: splitting an amount over lines so that the parts always sum to the whole.

The rule is the largest remainder method (Hamilton's): every line gets its share cut to the minor
unit, and the units left over go one each to the largest remainders, ties to the lowest line. A line
of weight zero gets zero; minus the amount gives minus the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from tieout.finance.currency import currency as currency_of
from tieout.finance.decimals import BadAmount, check_decimal, exact_context
from tieout.finance.money import Money

MOST_LINES: Final = 1_000_000


class CannotAllocate(ValueError):
    """Weights over which nothing can be split; the message says which and why."""


def allocate_units(units: int, weights: Sequence[int | Decimal]) -> list[int]:
    """Split a whole number of units in proportion to `weights`; the parts sum to `units`.

    Raises CannotAllocate if there is no weight, a weight is negative or no number, or all weights
    are zero while there is something to split (zero units split into zeros).
    """
    shares = _checked(weights)
    whole = sum(shares, Fraction(0))
    if units == 0:
        return [0] * len(shares)
    if whole == 0:
        raise CannotAllocate(f"every weight is zero, so {units} units cannot be split")
    sign = -1 if units < 0 else 1
    exact = [abs(units) * share / whole for share in shares]
    parts = [int(part) for part in exact]
    left = abs(units) - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda at: (parts[at] - exact[at], at))
    for at in by_remainder[:left]:
        parts[at] += 1
    return [sign * part for part in parts]


def _checked(weights: Sequence[int | Decimal]) -> list[Fraction]:
    if not weights:
        raise CannotAllocate("there is no line to split over")
    if len(weights) > MOST_LINES:
        raise CannotAllocate(f"{len(weights)} lines; at most {MOST_LINES} are split at once")
    shares: list[Fraction] = []
    for line, weight in enumerate(weights, start=1):
        if isinstance(weight, bool) or not isinstance(weight, (int, Decimal)):
            raise CannotAllocate(f"the weight of line {line} is {weight!r}: give int or Decimal")
        try:
            share = Fraction(weight if isinstance(weight, int) else check_decimal(weight))
        except BadAmount as problem:
            raise CannotAllocate(f"the weight of line {line}: {problem}") from problem
        if share < 0:
            raise CannotAllocate(f"the weight of line {line} is negative: {weight}")
        shares.append(share)
    return shares


def allocate(amount: Money, weights: Sequence[int | Decimal]) -> list[Money]:
    """Split money over lines by weight, each part in whole minor units of its currency.

    Raises BadAmount if `amount` is finer than its minor units (round it first, by a stated rule),
    and CannotAllocate as `allocate_units` does.
    """
    return [
        Money.from_minor(part, amount.currency) for part in allocate_units(amount.minor(), weights)
    ]


def allocate_decimal(
    amount: Decimal, weights: Sequence[int | Decimal], places: int
) -> list[Decimal]:
    """Split a plain number (a quantity, a percentage) into parts of `places` decimal places."""
    scaled = check_decimal(amount).scaleb(places, exact_context())
    units = int(scaled)
    if units != scaled:
        raise BadAmount(f"{amount} has more than {places} decimal places: round it first")
    return [
        Decimal(part).scaleb(-places, exact_context()) for part in allocate_units(units, weights)
    ]


def allocate_evenly(amount: Money, lines: int) -> list[Money]:
    """Split money into `lines` parts that differ by at most one minor unit, larger ones first."""
    return allocate(amount, [1] * lines)


def smallest_part(currency: str) -> Money:
    """One minor unit: the most by which a part can differ from its exact share."""
    return Money(Decimal((0, (1,), -currency_of(currency).minor_units)), currency)
