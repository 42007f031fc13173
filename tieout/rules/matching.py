"""Matching: two sides of a reconciliation compared group by group and record by record.

Pure: sides come in as amounts by (group, key), breaks go out in a stable order that does not depend
on the order of rows. difference = left − right, always.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

ZERO = Decimal(0)

Group = tuple[str, ...]
RowKey = tuple[Group, str]
BreakKind = Literal["missing_left", "missing_right", "amount"]


@dataclass
class Side:
    """One side: the amount and the number of rows of each (group, key)."""

    name: str
    amounts: dict[RowKey, Decimal] = field(default_factory=dict)
    rows: dict[RowKey, int] = field(default_factory=dict)

    def add(self, group: Group, key: str, amount: Decimal, sign: int = 1) -> None:
        """Count one row; `sign` -1 takes it off (a credit memo off its invoice)."""
        where = (group, key)
        self.amounts[where] = self.amounts.get(where, ZERO) + amount * sign
        self.rows[where] = self.rows.get(where, 0) + sign

    def drop_zeroes(self) -> None:
        """Records that net to nothing, in amount and in rows, are not on the side."""
        for where in [w for w, amount in self.amounts.items() if not amount and not self.rows[w]]:
            del self.amounts[where], self.rows[where]

    def group_totals(self) -> dict[Group, tuple[int, Decimal]]:
        """Records and amount by group."""
        totals: dict[Group, tuple[int, Decimal]] = {}
        for (group, _), amount in self.amounts.items():
            count, total = totals.get(group, (0, ZERO))
            totals[group] = (count + 1, total + amount)
        return totals

    @property
    def total(self) -> Decimal:
        return sum(self.amounts.values(), ZERO)


@dataclass(frozen=True, slots=True)
class Stake:
    """An open case as matching sees it: which record, and exactly how much it is about."""

    case_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Break:
    """One record on which two sides differ, and the open case that explains it, if one does."""

    key: str
    kind: BreakKind
    group: Group
    left: Decimal | None
    right: Decimal | None
    case_id: int | None = None

    @property
    def difference(self) -> Decimal:
        """Left minus right; a missing side counts as nothing."""
        return (self.left or ZERO) - (self.right or ZERO)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides compared. `within` is what differences inside the tolerance of each record add up
    to; more of it than `most_within` in all is no agreement, and nothing explains it."""

    difference: Decimal
    breaks: tuple[Break, ...]
    within: Decimal
    most_within: Decimal = ZERO

    @property
    def agrees(self) -> bool:
        return not self.breaks and abs(self.within) <= self.most_within

    @property
    def explained(self) -> bool:
        """Whether the open cases account for every break, and for the difference to the cent."""
        by_cases = sum((one.difference for one in self.breaks if one.case_id is not None), ZERO)
        return (
            all(one.case_id is not None for one in self.breaks)
            and abs(self.within) <= self.most_within
            and by_cases + self.within == self.difference
        )

    @property
    def unexplained(self) -> int:
        return sum(one.case_id is None for one in self.breaks)


def compare(
    left: Side,
    right: Side,
    tolerance: Decimal,
    stakes: Mapping[str, Stake],
    most_within: Decimal = ZERO,
) -> Comparison:
    """Compare two sides. `tolerance` is for each record, `most_within` for what all differences
    inside it may add up to. `stakes` holds open cases by record key.

    A case explains a break only when it is about exactly the money that one of the sides shows:
    a case about another amount explains nothing.
    """
    breaks: list[Break] = []
    within = ZERO
    for group, key in sorted(set(left.amounts) | set(right.amounts)):
        one, other = left.amounts.get((group, key)), right.amounts.get((group, key))
        if one is not None and other is not None and abs(one - other) <= tolerance:
            within += one - other
            continue
        kind: BreakKind = (
            "missing_left" if one is None else "missing_right" if other is None else "amount"
        )
        stake = stakes.get(key)
        explains = stake is not None and stake.amount in {one, other}
        breaks.append(
            Break(key, kind, group, one, other, stake.case_id if stake and explains else None)
        )
    return Comparison(left.total - right.total, tuple(breaks), within, most_within)
