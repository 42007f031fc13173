"""Which lane goes first: a weighted fair choice of what leaves next.

Stride scheduling (Waldspurger and Weihl, 1995): a lane that sends one moves on by its stride, and
the lane that has moved least is next. A lane with nothing waiting gives its share away; when it
comes back it starts level with the others, so that nobody saves up a right to flood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Lane = Literal["close_critical", "standard", "bulk"]
LANES: tuple[Lane, ...] = get_args(Lane)
WEIGHTS: Mapping[Lane, int] = {"close_critical": 8, "standard": 3, "bulk": 1}
_STRIDES: Mapping[Lane, int] = {"close_critical": 3, "standard": 8, "bulk": 24}  # 24 / weight


@dataclass(frozen=True, slots=True)
class Turns:
    """How far each lane has moved, from one choice to the next; one value per system and worker."""

    moved: Mapping[Lane, int] = field(default_factory=dict)


def shares(
    waiting: Mapping[Lane, int], room: int, turns: Turns = Turns()
) -> tuple[dict[Lane, int], Turns]:
    """How many of each lane leave now, and where that leaves the lanes.

    `waiting` counts what is due by lane, `room` is how many may leave in all (both >= 0). As many
    leave as there is room or work for. While every lane has work each gets its weight's part of
    what leaves, to within one of its own turns; bulk therefore leaves at least once in twelve.
    """
    left: dict[Lane, int] = {lane: waiting[lane] for lane in LANES if waiting.get(lane, 0) > 0}
    moved: dict[Lane, int] = {lane: turns.moved.get(lane, 0) for lane in LANES}
    chosen: dict[Lane, int] = {}
    for _ in range(min(room, sum(left.values()))):
        lane = min(left, key=lambda one: (moved[one], LANES.index(one)))
        chosen[lane] = chosen.get(lane, 0) + 1
        moved[lane] += _STRIDES[lane]
        left[lane] -= 1
        if not left[lane]:
            del left[lane]
    if not left:
        return chosen, Turns()
    level = min(moved[lane] for lane in left)
    for lane in set(LANES) - set(left):  # nothing more to do: no right to go first is saved up
        moved[lane] = max(moved[lane], level)
    return chosen, Turns({lane: at - level for lane, at in moved.items()})
