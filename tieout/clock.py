"""The only source of time, identifiers, randomness and threads in the product.

Everything that decides anything asks this module, so that a rehearsal can put the whole product
into a seeded world: same seed, same run. Production code never imports `time`, `random`, `uuid`
or `datetime.now` itself; a lint test enforces it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random as _random
import threading as _threading
import time as _time
import uuid as _uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

UTC = dt.UTC

# Named points on the way of a transaction and of a call, in their order. A process may die at each,
# and what it has done by then is what a successor finds.
POINTS = (
    "before_begin",
    "inside",
    "before_commit",
    "after_commit",
    "before_send",
    "after_send",  # the other side has it, its reply is not here yet
    "after_reply",
    "before_local_commit",  # what came of a call is known, and nowhere written down
)


class World(Protocol):
    """What a world must offer: the real one below, or a rehearsed one."""

    def now(self) -> dt.datetime: ...
    def common(self, ask: Callable[[], dt.datetime]) -> dt.datetime: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def new_id(self) -> _uuid.UUID: ...
    def random(self) -> float: ...
    def executor(self, threads: int) -> Executor: ...
    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]: ...
    def reach(self, point: str) -> None: ...


class RealWorld:
    """The machine's own clock, entropy and threads."""

    def __init__(self) -> None:
        self._random = _random.SystemRandom()

    def now(self) -> dt.datetime:
        return dt.datetime.now(UTC)

    def common(self, ask: Callable[[], dt.datetime]) -> dt.datetime:
        return ask()

    def monotonic(self) -> float:
        return _time.monotonic()

    def sleep(self, seconds: float) -> None:
        _time.sleep(seconds)

    def new_id(self) -> _uuid.UUID:
        """A time-ordered UUID (RFC 9562 version 7): index-friendly, unguessable tail."""
        milliseconds = _time.time_ns() // 1_000_000
        tail = self._random.getrandbits(74)
        value = (milliseconds & ((1 << 48) - 1)) << 80
        value |= 0x7 << 76 | ((tail >> 62) & 0xFFF) << 64
        value |= 0b10 << 62 | tail & ((1 << 62) - 1)
        return _uuid.UUID(int=value)

    def random(self) -> float:
        return self._random.random()

    def executor(self, threads: int) -> Executor:
        return ThreadPoolExecutor(max_workers=threads)

    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        over = _threading.Event()

        def beat() -> None:
            while not over.wait(seconds):
                action()

        thread = _threading.Thread(target=beat, name="tieout-every", daemon=True)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join()

        return stop

    def reach(self, point: str) -> None:
        """Nothing: only a rehearsal lets a process die on purpose."""


_world: World = RealWorld()


@contextlib.contextmanager
def world(other: World) -> Iterator[World]:
    """Run the enclosed code in another world (a rehearsal, a test with a fixed clock)."""
    global _world
    before, _world = _world, other
    try:
        yield other
    finally:
        _world = before


def now() -> dt.datetime:
    """The current instant, always aware and in UTC."""
    return _world.now()


def common(ask: Callable[[], dt.datetime]) -> dt.datetime:
    """The current instant by the one clock that all processes share; `ask` reads it. For what one
    process begins and another one ends: their own clocks may differ by more than that takes."""
    return _world.common(ask)


def monotonic() -> float:
    """Seconds on a clock that never goes back; only differences mean anything."""
    return _world.monotonic()


def sleep(seconds: float) -> None:
    """Wait. Connectors never call this; waiting is the engine's decision."""
    _world.sleep(seconds)


def new_id() -> _uuid.UUID:
    """A fresh, time-ordered identifier."""
    return _world.new_id()


def random() -> float:
    """A number in [0, 1): jitter, sampling, planted faults."""
    return _world.random()


def executor(threads: int) -> Executor:
    """Where concurrent work runs; a rehearsal runs it inline on one thread."""
    return _world.executor(threads)


def every(seconds: float, action: Callable[[], object]) -> Callable[[], None]:
    """Do something again and again beside the caller, until the returned function is called, which
    waits for the last time to end. A rehearsal, which has one thread, never does it."""
    return _world.every(seconds, action)


def reach(point: str) -> None:
    """Say that this process has come to one of POINTS; in a rehearsal it may be its last."""
    _world.reach(point)
