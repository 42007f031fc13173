"""A worker that dies by SIGKILL, or freezes by SIGSTOP, at a named point of its work.

`python -m tests.processes.dying_worker VERB in|committed worker …`: it dies when a run has gone
through a step of this verb, in the midst of the transaction or just after its commit.
`python -m tests.processes.dying_worker POINT NTH SIGKILL|SIGSTOP worker …`: it ends, or stands
still, as soon as it comes to one of `clock.POINTS` for the nth time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

from tieout import clock
from tieout.cli.app import application
from tieout.engine import flow, pacing
from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.work import Step, Work
from tieout.landscape.schema import Verb
from tieout.store import leases
from tieout.store.database import Connection
from tieout.store.runs import Run


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(verb: Verb, point: str) -> None:
    """From now on the first group of runs that comes through this verb is the last."""
    handle, transaction = flow.HANDLERS[verb], Context.transaction
    came: list[int] = []

    def last(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
        results = handle(work, step, group)
        if point == "in":
            die()
        came.append(len(group))
        return results

    @contextlib.contextmanager
    def watched(self: Context) -> Iterator[Connection]:
        with transaction(self) as connection:
            yield connection
        if came:
            die()

    flow.HANDLERS[verb] = last
    cast(Any, Context).transaction = watched


class Ending(clock.RealWorld):
    """The real world, up to the nth time that one of its points is reached."""

    def __init__(self, point: str, nth: int, how: signal.Signals) -> None:
        super().__init__()
        self.point, self.nth, self.how = point, nth, how
        self._times = itertools.count(1)

    def reach(self, point: str) -> None:
        if point == self.point and next(self._times) == self.nth:
            # To this thread and not just to the process: it goes no step further.
            signal.pthread_kill(threading.get_ident(), self.how)


def main() -> None:
    first, second, *others = sys.argv[1:]
    if first not in clock.POINTS:
        arm(cast(Verb, first), second)
        sys.argv = ["tieout", *others]
        application()
        return
    how, *others = others
    # Who is frozen keeps its leases and what it may call for a while: for the same, short in tests.
    pacing.SLOT_SECONDS = leases.LEASE_SECONDS
    sys.argv = ["tieout", *others]
    with clock.world(Ending(first, int(second), signal.Signals[how])):
        application()


if __name__ == "__main__":
    main()
