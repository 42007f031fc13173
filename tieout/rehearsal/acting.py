"""Acting: virtual processes, of which exactly one moves at a time.

Every process of the rehearsed house is a thread that runs only while it holds the baton. It gives
the baton back when its turn is over, and may lose it at any named point (`clock.POINTS`): there it
can die, or stand still until somebody lets it go on. Nothing runs beside anything else, so the same
seed gives the same run.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tieout.rehearsal.world import SeededWorld

Fate = Literal["go", "die", "freeze"]
State = Literal["waiting", "moving", "frozen", "done", "dead", "failed"]

# Where a process may stand still: everywhere but inside a transaction, where it would hold locks
# that nobody else could wait for.
MAY_FREEZE = frozenset(
    {"before_begin", "after_commit", "before_send", "after_send", "after_reply"}
    | {"before_local_commit"}
)
MOST_SECONDS_PER_TURN = 120.0  # of real time: beyond it something waits for what will never come


class Died(BaseException):
    """This process is dead: it does nothing more, and catches nothing."""


@dataclass
class Actor:
    """One virtual process. `error` is what its last turn failed of, `stage` what it was doing."""

    name: str
    state: State = "waiting"
    stage: str = ""
    error: Exception | None = None
    depth: int = 0  # transactions that are open
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0), repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)


class Stage:
    """Where actors take turns. `decide` says what becomes of an actor at a point: an exception is
    what its own next move there fails of."""

    def __init__(
        self, world: SeededWorld, decide: Callable[[Actor, str], Fate | Exception]
    ) -> None:
        self._world = world
        self._decide = decide
        self._back = threading.Semaphore(0)
        self._current: Actor | None = None
        self._ending = False
        self.reached: Counter[tuple[str, str]] = Counter()  # (what it was doing, point)
        world.on_reach = self._at

    def turn(self, actor: Actor, work: Callable[[], None]) -> State:
        """Let an actor that is at rest do one piece of work, until it is done, dead or frozen."""
        if actor.state in {"moving", "frozen"}:
            raise ValueError(f"{actor.name} is in the middle of something")
        actor.error = None
        actor.depth = 0
        actor._thread = threading.Thread(
            target=self._perform, args=(actor, work), name=actor.name, daemon=True
        )
        actor._thread.start()
        return self._hand_over(actor)

    def go_on(self, actor: Actor) -> State:
        """Let a frozen actor go on with what it was doing."""
        if actor.state != "frozen":
            raise ValueError(f"{actor.name} does not stand still")
        return self._hand_over(actor)

    def end(self, actors: list[Actor]) -> None:
        """Let everybody who still stands still die."""
        self._ending = True
        for actor in actors:
            if actor.state == "frozen":
                self._hand_over(actor)
        self._ending = False

    def _hand_over(self, actor: Actor) -> State:
        before, self._current = self._current, actor
        actor.state = "moving"  # until the thread says otherwise
        actor._go.release()
        if not self._back.acquire(timeout=MOST_SECONDS_PER_TURN):
            raise TimeoutError(f"{actor.name} ({actor.stage}) waits for what will never come")
        self._current = before
        return self._rested(actor)

    def _rested(self, actor: Actor) -> State:
        if actor.state != "frozen" and actor._thread is not None:
            actor._thread.join()
            actor._thread = None
        return actor.state

    def _perform(self, actor: Actor, work: Callable[[], None]) -> None:
        actor._go.acquire()
        try:
            work()
            actor.state = "done"
        except Died:
            actor.state = "dead"
        except Exception as error:  # noqa: BLE001 - the process ends of it; whoever starts it asks
            actor.error = error
            actor.state = "failed"
        finally:
            self._back.release()

    def _at(self, point: str) -> None:
        actor = self._current
        if actor is None or threading.current_thread() is not actor._thread:
            return  # the rehearsal itself looks at something
        if point == "inside":
            actor.depth += 1
        elif point == "before_commit":
            actor.depth -= 1
        self.reached[actor.stage, point] += 1
        fate = "die" if self._ending else self._decide(actor, point)
        if isinstance(fate, Exception):
            raise fate
        if fate == "freeze" and point in MAY_FREEZE and actor.depth <= 0:
            actor.state = "frozen"
            self._back.release()
            actor._go.acquire()
            fate = "die" if self._ending else "go"
        if fate == "die":
            raise Died(point)
