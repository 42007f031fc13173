"""Count, sum and keyed hash of rows by group: both sides of an identity of money."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

KEY = b"for this run only"
ROOM = 1 << 64
Group = tuple[str, ...]


@dataclass(slots=True)
class Sum:
    """Count, sum and keyed hash of some rows; the hash does not depend on their order."""

    count: int = 0
    amount: Decimal = Decimal(0)
    mark: int = 0

    def add(self, name: str, amount: Decimal, times: int = 1) -> None:
        text = f"{name} {amount.normalize():f}".encode()
        digest = hashlib.blake2b(text, key=KEY, digest_size=8).digest()
        self.count += times
        self.amount += amount * times
        self.mark = (self.mark + times * int.from_bytes(digest, "big")) % ROOM

    def take_in(self, other: Sum) -> None:
        """Add what another has counted."""
        self.count += other.count
        self.amount += other.amount
        self.mark = (self.mark + other.mark) % ROOM


Sums = dict[Group, Sum]


def sums() -> Sums:
    return defaultdict(Sum)


def apart(left: Sums, right: Sums) -> list[Group]:
    """Groups of which the two sides say different things."""
    return [one for one in sorted({*left, *right}) if left.get(one) != right.get(one)]
