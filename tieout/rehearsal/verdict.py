"""What came of one seed, small enough to be sent from the process that played it to the one that
tells people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import Script

NOT_ENDED = "end"
"""Stands where a promise's id stands, for a seed that did not come to its end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a seed.

    `broken` are the breaches that were found. `ended` is "" for a seed that was played to its end,
    else what kept it from it; `died`: its process was gone. `digest` is the hash over everything
    that happened. `changes` were made at the sources, `deliveries` by the post. `timelines` tells
    of some broken keys what happened to them, in order.
    """

    script: Script
    broken: tuple[Broken, ...] = ()
    ended: str = ""
    died: bool = False
    changes: int = 0
    deliveries: int = 0
    ticks: int = 0
    struck: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[tuple[str, str], int] = field(default_factory=dict)
    died_at: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cases_left: int = 0
    digest: str = ""
    timelines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """What happened to the house from outside: changes, deliveries, and every trouble."""
        return self.changes + self.deliveries + sum(self.struck.values())

    @property
    def failures(self) -> tuple[str, ...]:
        """The promises that broke, the first one first; NOT_ENDED among them for a seed that did
        not come to its end."""
        unended = (NOT_ENDED,) if self.ended else ()
        return tuple(dict.fromkeys((*(one.promise for one in self.broken), *unended)))

    @property
    def held(self) -> bool:
        return not self.failures


Play = Callable[[Script], Verdict]
"""Plays one script to its end, whatever becomes of it."""
