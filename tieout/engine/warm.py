"""What this process has just planned and will send next, kept so that it is not read back.

The database stays the only truth: a dispatch is taken from here only after its state was read and
locked. Bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from tieout.store.dispatches import Dispatch

MOST_DISPATCHES = 4_000  # a few ticks' worth: one with its body is some 3 kB


@dataclass
class Warm:
    """Planned dispatches by id; the oldest are dropped beyond a bound."""

    dispatches: dict[int, Dispatch] = field(default_factory=dict)

    def planned(self, made: Iterable[Dispatch]) -> None:
        """These dispatches are being planned. A plan that is rolled back is never asked for."""
        for one in made:
            self.dispatches[one.dispatch_id] = one
        for key in list(islice(self.dispatches, max(0, len(self.dispatches) - MOST_DISPATCHES))):
            del self.dispatches[key]

    def sent(self, dispatch_ids: Iterable[int]) -> None:
        """These need not be kept any longer."""
        for one in dispatch_ids:
            self.dispatches.pop(one, None)
