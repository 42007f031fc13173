"""The rehearsed world's clock, ids and chance: all of it from one seed.

Real elapsed time does not exist here. Every look at the clock is a microsecond later than the last,
so that no two things happen at once; a wait moves the clock. Each process of the rehearsal may have
a clock that is wrong by some seconds, as real ones are.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from tieout import clock

TICK = dt.timedelta(microseconds=1)


class Inline(Executor):
    """Does everything at once on the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class SeededWorld:
    """A `clock.World` made of a seed. `wrong_by` is how far the clock of whoever acts now is off;
    `on_reach` is told of every point that is reached, `on_sleep` of every wait that is over."""

    def __init__(self, seed: str, starts_at: dt.datetime) -> None:
        self._dice = random.Random(f"world:{seed}")
        self._ids = random.Random(f"ids:{seed}")
        self._started = starts_at
        self._elapsed = dt.timedelta()
        self._jumped = dt.timedelta()
        self.wrong_by = dt.timedelta()
        self.on_reach: Callable[[str], None] = lambda point: None
        self.on_sleep: Callable[[], None] = lambda: None

    @property
    def true_time(self) -> dt.datetime:
        """The time that a good clock shows."""
        return self._started + self._elapsed + self._jumped

    def now(self) -> dt.datetime:
        self._elapsed += TICK
        return self.true_time + self.wrong_by

    def common(self, ask: Callable[[], dt.datetime]) -> dt.datetime:
        self._elapsed += TICK
        return self.true_time

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    def sleep(self, seconds: float) -> None:
        self._elapsed += dt.timedelta(seconds=max(0.0, seconds))
        self.on_sleep()

    def jump(self, by: dt.timedelta) -> None:
        """Every wall clock is set forward: daylight saving gone wrong, an NTP step. A monotonic
        clock does not see it. Backwards is `wrong_by` of one process, never of the world."""
        if by < dt.timedelta():
            raise ValueError("the world's own time never goes back")
        self._jumped += by

    def new_id(self) -> uuid.UUID:
        """A UUID of version 7 whose random part is the seed's."""
        milliseconds = int(self.true_time.timestamp() * 1000)
        tail = self._ids.getrandbits(74)
        value = (milliseconds & ((1 << 48) - 1)) << 80
        value |= 0x7 << 76 | ((tail >> 62) & 0xFFF) << 64
        value |= 0b10 << 62 | tail & ((1 << 62) - 1)
        return uuid.UUID(int=value)

    def random(self) -> float:
        return self._dice.random()

    def executor(self, threads: int) -> Executor:
        return Inline()

    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        return lambda: None

    def reach(self, point: str) -> None:
        self.on_reach(point)


def as_world(made: SeededWorld) -> clock.World:
    """The same, by the name that `clock.world` asks for: a check by the types that it is one."""
    return made
