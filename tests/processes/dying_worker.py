"""A worker that dies by SIGKILL at a named point of its work.

`python -m tests.processes.dying_worker VERB in|committed worker …`: it dies when a run has gone
through a step of this verb, in the midst of the transaction or just after its commit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from tieout.cli.app import application
from tieout.engine import flow
from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.work import Step, Work
from tieout.landscape.schema import Verb
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


if __name__ == "__main__":
    arm(cast(Verb, sys.argv[1]), sys.argv[2])
    sys.argv = ["tieout", *sys.argv[3:]]
    application()
