"""The life of a record drawn: one lane per system, time from left to right.

What happens within a second and what happens over a month must both be seen, so the axis keeps the
order and shortens long waits (by their logarithm); the labels say the true times.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tieout.web.console.events import Event, lanes_of
from tieout.web.console.words import clock_time, day

MOST_MARKS = 48
LEFT, RIGHT, TOP, LANE_HEIGHT = 128, 36, 40, 74
LEAST_WIDTH, MARK_WIDTH, LABEL_WIDTH = 1160, 34, 96


@dataclass(frozen=True, slots=True)
class Mark:
    """One event at its place."""

    x: int
    y: int
    shape: str
    tone: str
    number: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One system's line."""

    title: str
    y: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis; `day` is "" while it does not change."""

    x: int
    time: str
    day: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything the template needs to draw, in pixels."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    paths: tuple[str, ...]
    ticks: tuple[Tick, ...]
    left_out: int


def draw(events: Sequence[Event], title_of: Callable[[str], str]) -> Drawing | None:
    """The drawing of the newest 48 events; None when nothing happened."""
    shown = list(events[-MOST_MARKS:])
    if not shown:
        return None
    lanes = lanes_of(shown)
    height_of = {lane: TOP + 24 + LANE_HEIGHT * index for index, lane in enumerate(lanes)}
    steps = _steps(shown)
    width = max(LEAST_WIDTH, LEFT + RIGHT + MARK_WIDTH * len(shown))
    scale = (width - LEFT - RIGHT) / max(steps[-1], 1.0)
    marks = tuple(
        Mark(round(LEFT + step * scale), height_of[one.lane], one.shape, one.tone, one.number)
        for one, step in zip(shown, steps, strict=True)
    )
    return Drawing(
        width=width,
        height=TOP + LANE_HEIGHT * len(lanes),
        lanes=tuple(Lane(title_of(lane), height_of[lane]) for lane in lanes),
        marks=marks,
        paths=_paths(shown, marks),
        ticks=_ticks(shown, marks),
        left_out=len(events) - len(shown),
    )


def _steps(shown: Sequence[Event]) -> list[float]:
    """Where each event stands: at least one step apart, more after a long wait."""
    steps = [0.0]
    for before, one in itertools.pairwise(shown):
        waited = max(0.0, (one.at - before.at).total_seconds())
        steps.append(steps[-1] + 1.0 + 0.6 * math.log10(1.0 + waited))
    return steps


def _paths(shown: Sequence[Event], marks: Sequence[Mark]) -> tuple[str, ...]:
    """A curve from each event's cause to it."""
    at = {one.name: mark for one, mark in zip(shown, marks, strict=True) if one.name}
    found = []
    for one, mark in zip(shown, marks, strict=True):
        cause = at.get(one.source)
        if cause is None or cause.x > mark.x:
            continue
        middle = (cause.x + mark.x) // 2
        found.append(
            f"M{cause.x} {cause.y} C{middle} {cause.y} {middle} {mark.y} {mark.x} {mark.y}"
        )
    return tuple(found)


def _ticks(shown: Sequence[Event], marks: Sequence[Mark]) -> tuple[Tick, ...]:
    ticks: list[Tick] = []
    shown_day = ""
    for one, mark in zip(shown, marks, strict=True):
        if ticks and mark.x - ticks[-1].x < LABEL_WIDTH:
            continue
        today = day(one.at.astimezone(dt.UTC))
        ticks.append(Tick(mark.x, clock_time(one.at), today if today != shown_day else ""))
        shown_day = today
    return tuple(ticks)
