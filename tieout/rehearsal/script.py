"""The script of one seed: how much happens, which faults, how often. All of it is drawn here.

Each fault has dice of its own, so that leaving one out, as shrinking does, changes nothing about
the others.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tieout.rehearsal.faults import MENU

SHARE_OF_FAULTS = 0.4  # of the menu, in one seed
CHANGES = (60, 72)  # at the sources; deliveries and troubles come on top (`Verdict.events`)
BURSTS = (2, 3)
WORKERS = (1, 2, 2, 3)


@dataclass(frozen=True, slots=True)
class Script:
    """What a seed holds. `rates` has the faults that happen, with their share of occasions."""

    seed: int
    changes: int
    bursts: int
    hours: float
    workers: int
    rates: Mapping[str, float]

    def dice(self, what: str) -> random.Random:
        """Dice for one purpose, which nobody else throws."""
        return random.Random(f"{self.seed}:{what}")

    def without(self, fault: str) -> Script:
        """The same seed with one kind of trouble less."""
        return replace(self, rates={k: v for k, v in self.rates.items() if k != fault})

    def halved(self) -> Script:
        """The same seed with half of its changes."""
        return replace(self, changes=max(1, self.changes // 2), bursts=max(1, self.bursts // 2))

    def rate(self, fault: str) -> float:
        return self.rates.get(fault, 0.0)


def draw(seed: int, faults: Collection[str], hours: float = 24.0) -> Script:
    """The script of a seed with some of these faults. A single fault always happens."""
    dice = random.Random(f"{seed}:script")
    rates: dict[str, float] = {}
    for name in MENU:  # in the menu's own order
        if name not in faults:
            continue
        own = random.Random(f"{seed}:rate:{name}")
        drawn = own.random() < SHARE_OF_FAULTS  # thrown also for the only one: it keeps its rate
        if drawn or len(faults) == 1:
            rates[name] = MENU[name].most_rate * own.uniform(0.1, 1.0)
    return Script(
        seed=seed,
        changes=dice.randint(*CHANGES),
        bursts=dice.randint(*BURSTS),
        hours=hours,
        workers=dice.choice(WORKERS),
        rates=rates,
    )
