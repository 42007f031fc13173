"""The door to one system: when it may be called again, and with how much at a time.

A circuit breaker (Nygard, Release It!, 2007) with a retry budget. Open: calls go through. After
trouble the door is shut until a moment; then one call in all, the probe, finds out whether the
system works again. If so, what may leave at a time doubles from one; if not, the wait doubles.

The budget keeps us from making an outage worse (P12): a failed attempt will be made again, so it
costs one retry; ten that went well earn one. With nothing left, only a trickle goes out.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["open", "busy", "down", "denied"]
Kind = Literal["well", "busy", "down", "denied", "unsure"]

FIRST_BACK_OFF_SECONDS = 0.5
MOST_BACK_OFF_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 30.0
TRICKLE_SECONDS = 10.0
LONGEST_TOLD_SECONDS = 86_400.0  # a system that says more is asked again after a day
RETRY_COST = 10  # in tenths of a retry: one failed attempt takes what ten good ones bring
FULL_CREDIT = 10 * RETRY_COST
DEEPEST_DEBT = -10 * RETRY_COST
FIRST_ROOM = 1
FULL_ROOM = 256  # from here on the stream's own bound decides
MOST_UNSURE = 3  # calls in a row of which nobody knows what came: then the system is down


@dataclass(frozen=True, slots=True)
class Door:
    """What is known about calling one system. `room` is how many writes may leave at a time (None:
    as many as the stream takes); `failures` counts in a row; `credit` is in tenths of a retry."""

    state: State = "open"
    until: dt.datetime | None = None
    failures: int = 0
    room: int | None = None
    credit: int = FULL_CREDIT
    words: str = ""

    def shut(self, now: dt.datetime) -> bool:
        """Whether nothing may go out at this moment."""
        return self.state != "open" and self.until is not None and self.until > now

    def ajar(self, now: dt.datetime) -> bool:
        """Half-open: one probe may find out."""
        return self.state != "open" and not self.shut(now)

    @property
    def is_well(self) -> bool:
        """Whether one more good answer would change nothing."""
        return (
            self.state == "open"
            and self.failures == 0
            and self.room is None
            and self.credit == FULL_CREDIT
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What one call came to: its worst answer, and how many of its attempts went well or failed.
    `told_seconds` is what the system asked us to wait, if it did."""

    kind: Kind
    well: int = 0
    failed: int = 0
    told_seconds: float | None = None
    words: str = ""


def back_off_seconds(failures: int, chance: float) -> float:
    """Exponential with full jitter (Brooker, Exponential Backoff And Jitter, 2015): anything
    between nothing and the ceiling. `failures` counts from 1, `chance` is in [0, 1)."""
    ceiling = min(MOST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * float(2 ** min(failures, 10)))
    return ceiling * chance


def after(door: Door, heard: Heard, now: dt.datetime, chance: float) -> Door:
    """The door after one call. `chance` in [0, 1) is the jitter's."""
    credit = max(
        DEEPEST_DEBT, min(FULL_CREDIT, door.credit + heard.well - RETRY_COST * heard.failed)
    )
    if heard.kind == "well":
        return Door("open", None, 0, _wider(door.room), credit)
    failures = door.failures + 1
    if heard.kind == "unsure" and door.state == "open" and failures < MOST_UNSURE:
        return replace(door, failures=failures, credit=credit)  # one lost answer is no outage
    wait = _wait_seconds(heard, failures, credit, chance)
    state: State = "down" if heard.kind == "unsure" else heard.kind
    until = now + dt.timedelta(seconds=wait)
    if door.state != "open" and door.until is not None:
        until = max(until, door.until)  # what it told us before still holds
    return Door(state, until, failures, FIRST_ROOM, credit, heard.words)


def _wider(room: int | None) -> int | None:
    """Slow start: twice as much after each call that went well."""
    return None if room is None or room * 2 >= FULL_ROOM else room * 2


def _wait_seconds(heard: Heard, failures: int, credit: int, chance: float) -> float:
    if heard.kind == "denied":
        return DENIED_PAUSE_SECONDS
    wait = back_off_seconds(failures, chance)
    if credit < RETRY_COST:
        wait = max(wait, TRICKLE_SECONDS * (0.5 + chance))
    if heard.told_seconds is None:
        return wait
    # Retry-After is a promise asked of us: never less. More only when the budget is spent.
    told = min(heard.told_seconds, LONGEST_TOLD_SECONDS)
    return told if credit >= RETRY_COST else max(told, wait)
