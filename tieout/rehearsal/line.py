"""The line to one system, and all that can go wrong on it: a transport over a twin, with dice.

For every request each fault of the menu has its own throw, whether or not it may happen, so that
turning one fault off leaves the others where they were. Two things are known to matter about no
answer: what was lost may have been carried out, and may still be carried out later.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from tieout import clock
from tieout.emulators.kit import FaultKind
from tieout.landscape.schema import EnvironmentSpec
from tieout.ports.connector import Stream
from tieout.ports.http import NoAnswer, Request, Response
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.twins.base import ReckonsDelay, SaysBusy, Twin
from tieout.rehearsal.world import SeededWorld

LINE_FAULTS = tuple(one.name for one in MENU.values() if one.where == "line")
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 5
TIMEOUT_SECONDS = 30.0  # of a request that names none
LAG_SHARE = 0.25  # of a declared bound, for the target's own delay until it shows a document
READS_ONLY = frozenset({"GET", "HEAD"})

OnExchange = Callable[[str, str, str, str], None]
"""(system, method, path, what came of it in a word or two)"""


def most_late_seconds(streams: Iterable[Stream], environment: EnvironmentSpec) -> float:
    """How late a write may come to this system so that every stream's declared bound still holds,
    with room for the time that the target takes until it shows what it has. As the engine reckons:
    the environment's own fence counts when it is longer, or when the system is emulated."""
    own = environment.fence_seconds or 0.0
    bounds = []
    for stream in streams:
        if stream.writes:
            told = stream.idempotency.in_flight_seconds if stream.idempotency else 0.0
            bounds.append(own if environment.emulate and own else max(told, own))
    return min(bounds, default=0.0) * (1 - LAG_SHARE)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A request that nobody waits for any more."""

    due: float  # monotonic
    number: int
    request: Request


class Line:
    """A `Transport`. `rates` are those of the line's faults by name, each in [0, 1); one that is
    not named does not happen. `late_seconds` is how late a request may come at most.

    `world`: while the twin works its clock is right, however wrong that of the calling process is.
    `quiet`: no faults any more. `refuse`: nobody answers at all, as in an outage. `met` counts what
    happened. Raises ValueError for a fault that no line can make, or a rate out of bounds.
    """

    def __init__(
        self,
        twin: Twin,
        dice: random.Random,
        rates: Mapping[str, float],
        *,
        late_seconds: float = 0.0,
        on_exchange: OnExchange | None = None,
        world: SeededWorld | None = None,
    ) -> None:
        for name, rate in rates.items():
            if name not in LINE_FAULTS:
                raise ValueError(f"no line makes '{name}'; it makes: {', '.join(LINE_FAULTS)}")
            if not 0 <= rate < 1:
                raise ValueError(f"{name}: a rate is at least 0 and below 1, or nothing converges")
        self.twin = twin
        self.rates = dict(rates)
        self.late_seconds = late_seconds
        self.quiet = False
        self.refuse = False
        self.met: Counter[str] = Counter()
        self._dice = dice
        self._on_exchange = on_exchange
        self._world = world
        self._under_way: list[_UnderWay] = []
        self._requests = 0

    def __call__(self, request: Request) -> Response:
        """One request. Raises NoAnswer."""
        self._requests += 1
        fault, chance = self._draw()
        self.let_in()
        if self.refuse:
            self._tell(request, "refused")
            self.met["refused"] += 1
            raise NoAnswer("connection refused", never_sent=True)
        if self.quiet or not fault:
            return self._answered(request, "")
        if fault == "late_apply" and request.method in READS_ONLY:
            fault = "lost_request"  # a reading that comes late is the same as none
        self.met[fault] += 1
        return self._suffered(request, fault, chance)

    @property
    def under_way(self) -> int:
        """How many requests are still on their way, though nobody waits for them."""
        return len(self._under_way)

    def let_in(self) -> int:
        """What has been under way for long enough arrives; returns how many requests did."""
        return self._arrive(clock.monotonic())

    def flush(self) -> int:
        """Everything that is under way arrives now; returns how many requests did."""
        return self._arrive(float("inf"))

    def _draw(self) -> tuple[str, float]:
        """The first fault of the menu that this request meets ("" = none), and a further throw for
        how. The throws do not depend on the rates."""
        throws = [self._dice.random() for _ in LINE_FAULTS]
        chance = self._dice.random()
        for name, throw in zip(LINE_FAULTS, throws, strict=True):
            if throw < self.rates.get(name, 0.0):
                return name, chance
        return "", chance

    def _suffered(self, request: Request, fault: str, chance: float) -> Response:
        if fault in {"busy", "busy_without_wait"}:
            response = self._busy(fault, chance)
            self._tell(request, f"{fault} {response.status}")
            return response
        if fault == "server_error":
            self._tell(request, "server_error 500")
            return Response(500, {"Content-Type": "text/plain"}, b"internal error")
        if fault == "slow":
            if chance < 0.5:
                self._answered(request, "slow")
            else:
                self._tell(request, "slow, not applied")
            seconds = request.timeout_seconds
            clock.sleep(TIMEOUT_SECONDS if seconds is None else seconds)
            raise NoAnswer("no answer in time")
        if fault == "cut_reply":
            self._answered(request, fault)
            raise NoAnswer("the connection broke in the middle of the answer")
        if fault == "lost_reply":
            self._answered(request, fault)
        elif fault == "late_apply":
            due = clock.monotonic() + chance * self.late_seconds
            self._under_way.append(_UnderWay(due, self._requests, request))
            self._tell(request, fault)
        else:
            self._tell(request, fault)
        raise NoAnswer("the connection was cut")

    def _busy(self, fault: str, chance: float) -> Response:
        """'Slow down' in the system's own form, or as the standard says it."""
        span = LONGEST_WAIT_SECONDS - SHORTEST_WAIT_SECONDS + 1
        seconds = SHORTEST_WAIT_SECONDS + int(chance * span)
        if isinstance(self.twin, SaysBusy):
            return self.twin.busy(cast(FaultKind, fault), float(seconds))
        headers = {"Retry-After": str(seconds)} if fault == "busy" else {}
        return Response(429, headers, b"too many requests")

    def _answered(self, request: Request, fault: str) -> Response:
        with _right_time(self._world):
            response = self.twin.handle(request)
        self._tell(request, f"{fault} {response.status}".strip())
        return response

    def _arrive(self, now: float) -> int:
        arrived = sorted(
            (one for one in self._under_way if one.due <= now),
            key=lambda one: (one.due, one.number),
        )
        self._under_way = [one for one in self._under_way if one.due > now]
        for one in arrived:
            ago = max(0.0, clock.monotonic() - one.due)
            with _right_time(self._world):
                if isinstance(self.twin, ReckonsDelay):
                    response = self.twin.arrived(one.request, ago)
                else:
                    response = self.twin.handle(one.request)
            self._tell(one.request, f"came late {response.status}")
        return len(arrived)

    def _tell(self, request: Request, outcome: str) -> None:
        if self._on_exchange is not None:
            self._on_exchange(self.twin.system, request.method, request.path(), outcome)


@contextlib.contextmanager
def _right_time(world: SeededWorld | None) -> Iterator[None]:
    """Another house has another clock than the process that calls it: one that is right."""
    if world is None:
        yield
        return
    wrong_by, world.wrong_by = world.wrong_by, dt.timedelta()
    try:
        yield
    finally:
        world.wrong_by = wrong_by
