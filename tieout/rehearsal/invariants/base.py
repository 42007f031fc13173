"""What a promise as code is: a function over a scene, and the moments at which it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from tieout.rehearsal.scene import Broken, Scene

Phase = Literal["during", "rest"]
BOTH: tuple[Phase, ...] = ("during", "rest")
Made = TypeVar("Made")
MOST_TOLD = 20  # keys named in one breach: the rest are as many more of the same


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise. `check` names every breach it finds in a scene; a scene of a phase that is not
    among `phases` is none of its business."""

    promise: str
    check: Callable[[Scene], list[Broken]]
    phases: tuple[Phase, ...]


def once(scene: Scene, name: str, make: Callable[[], Made]) -> Made:
    """What `make` works out of this scene, worked out once for all promises."""
    if name not in scene.worked_out:
        scene.worked_out[name] = make()
    return cast(Made, scene.worked_out[name])


def broken(promise: str, words: str, keys: list[str]) -> list[Broken]:
    """One breach for all of these keys; none without a key."""
    if not keys:
        return []
    more = f" ({len(keys)} of them)" if len(keys) > 1 else ""
    return [Broken(promise, words + more, tuple(sorted(set(keys))[:MOST_TOLD]))]
