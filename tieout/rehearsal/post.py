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


@dataclass(frozen=True, slots=True)
class Letter:
    """One webhook on its way. `again`: it was on its way before."""

    system: str
    call: InboundCall
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    due: dt.datetime
    number: int
    letter: Letter


class Post:
    """Collects what the twins send and hands it out when it is due. `struck` are the faults that
    happened, with how often. Each fault has dice of its own."""

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
        self._number = 0
        self.struck: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many letters are on their way."""
        return len(self._waiting)

    def due(self) -> list[Letter]:
        """The letters that arrive now, in order."""
        self._collect()
        now = self._now()
        return self._hand_out([one for one in self._waiting if one.due <= now])

    def rest(self) -> list[Letter]:
        """All that is on its way, now: the faults are over."""
        self._collect(bend=False)
        return self._hand_out(self._waiting)

    def back(self, letter: Letter) -> None:
        """We did not acknowledge it, so it is sent again later."""
        after = self._dice["again"].uniform(*RESENT_SECONDS)
        self._add(Letter(letter.system, letter.call, again=True), after)

    def _hand_out(self, some: list[_Waiting]) -> list[Letter]:
        gone = {one.number for one in some}
        self._waiting = [one for one in self._waiting if one.number not in gone]
        return [one.letter for one in sorted(some, key=lambda one: (one.due, one.number))]

    def _collect(self, *, bend: bool = True) -> None:
        for system, twin in self._twins.items():
            for call in twin.calls():
                if bend:
                    self._bend(Letter(system, call))
                else:
                    self._add(Letter(system, call), 0.0)

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
        self._add(Letter(letter.system, letter.call, again=strikes["lost_event"][0]), after)
        wait = strikes["duplicate"][1].uniform(*TWICE_SECONDS)
        if strikes["duplicate"][0]:
            self.struck["duplicate"] += 1
            self._add(Letter(letter.system, letter.call, again=True), after + wait)

    def _add(self, letter: Letter, after_seconds: float) -> None:
        self._number += 1
        due = self._now() + dt.timedelta(seconds=after_seconds)
        self._waiting.append(_Waiting(due, self._number, letter))
