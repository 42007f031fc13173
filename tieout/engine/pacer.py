"""What one worker remembers of pacing between turns; what must hold is in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tieout import clock
from tieout.rules.lanes import Turns

LOOK_SECONDS = 1.0  # how long a count of what waits is believed


@dataclass
class Share:
    """This worker's part of the calls at a time that a system takes. Moments are monotonic."""

    slots: int
    renew_at: float
    used_at: float
    rated: bool = False  # a rate is known: its tokens are taken at every turn
    below: bool = False  # fewer at a time than the environment allows


@dataclass
class Pacer:
    """Shares by system, where the lanes of each stream stand, until when the periods of a system
    need not be read again (monotonic), and counts that were just looked at."""

    held: dict[str, Share] = field(default_factory=dict)
    lanes: dict[tuple[str, str], Turns] = field(default_factory=dict)
    periods_until: dict[str, float] = field(default_factory=dict)
    _looked: dict[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)

    def looked(self, what: str, look: Callable[[], list[str]]) -> tuple[str, ...]:
        """What `look` finds, believed for a second: it may be long to count."""
        now = clock.monotonic()
        at, found = self._looked.get(what, (float("-inf"), ()))
        if now - at >= LOOK_SECONDS:
            found = tuple(look())
            self._looked[what] = (now, found)
        return found
