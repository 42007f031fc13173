"""The post: it brings webhooks from the twins to us, late, twice, in another order, or dropped and
sent again. In the end everything arrives, as every sender that is worth its name sees to."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tieout import clock
from tieout.ports.connector import InboundCall
from tieout.rehearsal.twins.base import Twin

BENDING = ("duplicate", "delay", "reorder", "lost_event")
LATE_SECONDS = (5.0, 300.0)
TWICE_SECONDS = (0.0, 30.0)
OVERTAKEN_SECONDS = (0.5, 10.0)  # how long one is held back so that others go first
RESENT_SECONDS = (10.0, 120.0)  # after it was lost, or not taken


Letter = tuple[str, InboundCall]
"""A webhook, with the system that sent it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    due: dt.datetime
    number: int
    letter: Letter


class Post:
    """Collects what the twins send and hands it out when it is due. What is handed out is either
    `acknowledged` or comes `again`. `struck` are the faults that happened, with how often. Each
    fault has dice of its own."""

    def __init__(
        self,
        twins: Mapping[str, Twin],
        dice: random.Random,
        rates: Mapping[str, float],
        *,
        now: Callable[[], dt.datetime] = clock.now,
    ) -> None:
        self._twins = twins
        self._rates = rates
        self._now = now
        self._dice = {name: random.Random(dice.getrandbits(64)) for name in (*BENDING, "again")}
        self._waiting: list[_Waiting] = []
        self._out: list[Letter] = []
        self._number = 0
        self.struck: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many letters nobody has acknowledged yet."""
        return len(self._waiting) + len(self._out)

    def due(self, *, all_of_them: bool = False) -> list[Letter]:
        """The letters that arrive now, in order. `all_of_them`: the faults are over, and whatever
        is on its way arrives."""
        self._collect(bend=not all_of_them)
        now = self._now()
        some = [one for one in self._waiting if all_of_them or one.due <= now]
        gone = {one.number for one in some}
        self._waiting = [one for one in self._waiting if one.number not in gone]
        letters = [one.letter for one in sorted(some, key=lambda one: (one.due, one.number))]
        self._out += letters
        return letters

    def acknowledged(self, system: str, call: InboundCall) -> None:
        """We have it: its sender forgets it."""
        self._out.remove((system, call))

    def again(self, system: str, call: InboundCall) -> None:
        """We did not acknowledge it, so it is sent again later."""
        self._out.remove((system, call))
        self._add((system, call), self._dice["again"].uniform(*RESENT_SECONDS))

    def _collect(self, *, bend: bool = True) -> None:
        for system, twin in self._twins.items():
            for call in twin.calls():
                if bend:
                    self._bend((system, call))
                else:
                    self._add((system, call), 0.0)

    def _bend(self, letter: Letter) -> None:
        """Every fault throws its dice for every letter, whatever the others do."""
        strikes = {
            name: (self._dice[name].random() < self._rates.get(name, 0.0), self._dice[name])
            for name in BENDING
        }
        after = 0.0
        for name, seconds in (
            ("reorder", OVERTAKEN_SECONDS),
            ("delay", LATE_SECONDS),
            ("lost_event", RESENT_SECONDS),
        ):
            wait = strikes[name][1].uniform(*seconds)
            if strikes[name][0]:
                self.struck[name] += 1
                after += wait
        self._add(letter, after)
        wait = strikes["duplicate"][1].uniform(*TWICE_SECONDS)
        if strikes["duplicate"][0]:
            self.struck["duplicate"] += 1
            self._add(letter, after + wait)

    def _add(self, letter: Letter, after_seconds: float) -> None:
        self._number += 1
        due = self._now() + dt.timedelta(seconds=after_seconds)
        self._waiting.append(_Waiting(due, self._number, letter))
