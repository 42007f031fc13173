"""Flow: advance runs set-wise, step by step; every wait has something that wakes it.

A run starts again at its first step whenever its record changes: a step whose document already is
as it should be is passed at once, so starting over is cheap and always right.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.steps import ensure, require, take_back, write
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.store import cases, runs
from tieout.store.database import Connection
from tieout.store.dispatches import LeftMeanwhile
from tieout.store.runs import Advance, Run

MOST_RUNS_PER_ROUND = 500
MOST_ROUNDS = 12
LOOK_AGAIN_SECONDS = 5.0

Handler = Callable[[Context, Connection, FlowSpec, StepSpec, Sequence[Run]], dict[int, StepResult]]
HANDLERS: dict[str, Handler] = {"ensure": ensure, "require": require, "write": write}


def advance(context: Context) -> int:
    """Advance every ready run as far as it goes now; returns how many moves were made."""
    moves = 0
    for _ in range(MOST_ROUNDS):
        try:
            made = _round(context)
        except LeftMeanwhile:  # another worker was quicker: the next tick sees what it sent
            break
        moves += made
        if not made:
            break
    return moves


def _round(context: Context) -> int:
    with context.transaction() as connection:
        ready = runs.ready(connection, context.partitions(), MOST_RUNS_PER_ROUND)
        groups: dict[tuple[str, str, int], list[Run]] = defaultdict(list)
        for run in ready:
            groups[run.flow, run.mode, run.step_no].append(run)
        for (flow_name, mode, step_no), group in sorted(groups.items()):
            flow = context.landscape.flows.get(flow_name)
            if flow is None:
                _gone(connection, group, flow_name)
            else:
                _advance_group(context, connection, flow, mode, step_no, group)
    return len(ready)


def steps_of(flow: FlowSpec, mode: str) -> tuple[StepSpec, ...]:
    """The steps in the order of the mode: undoing takes the written documents back, last first."""
    if mode == "forward":
        return flow.steps
    return tuple(step for step in reversed(flow.steps) if step.verb == "write")


def _advance_group(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    mode: str,
    step_no: int,
    group: Sequence[Run],
) -> None:
    steps = steps_of(flow, mode)
    if step_no >= len(steps):
        end = "complete" if mode == "forward" else "undone"
        runs.advance(connection, [Advance(run, end, step_no) for run in group])
        cases.close_for_runs(connection, [run.run_id for run in group], f"the flow is {end}")
        return
    step = steps[step_no]
    handler = HANDLERS[step.verb] if mode == "forward" else take_back
    results = handler(context, connection, flow, step, group)
    advances: list[Advance] = []
    history: list[tuple[Run, int, str, str, int | None]] = []
    opened: list[cases.NewCase] = []
    passed: list[int] = []
    for run in group:
        result = results[run.run_id]
        document = result.documents[0] if result.documents else result.document
        history.append((run, step_no, step.name, result.state_in_history, document))
        if result.passed:
            advances.append(Advance(run, "ready", step_no + 1))
            passed.append(run.run_id)
            continue
        overdue = _overdue(run, step, step_no, result)
        if overdue is not None:
            result = result.overdue(overdue)
        opened += result.cases
        advances.append(
            Advance(
                run,
                "held" if result.held else "waiting",
                step_no,
                result.waits_for,
                None if result.held else _look_again(run, step),
                result.documents,
                result.records,
            )
        )
    runs.advance(connection, advances)
    runs.note_steps(connection, history)
    # A run that starts over passes its early steps: that does not mend what stopped it further on.
    mended = set(passed) - runs.held_further_on(connection, passed, mode, step_no)
    cases.close_for_runs(connection, sorted(mended), f"step {step.name} went through")
    if opened:
        cases.open_cases(connection, opened)


def _look_again(run: Run, step: StepSpec) -> dt.datetime:
    """When a waiting run looks by itself, should no event wake it."""
    wait = LOOK_AGAIN_SECONDS
    if step.within_seconds is not None and run.waits_since is None:
        wait = min(wait, step.within_seconds)
    return clock.now() + dt.timedelta(seconds=wait)


def _overdue(run: Run, step: StepSpec, step_no: int, result: StepResult) -> float | None:
    """Seconds a wait has lasted when that is longer than the step allows."""
    if step.within_seconds is None or result.held or run.step_no != step_no:
        return None
    if run.waits_since is None:
        return None
    waited = (clock.now() - run.waits_since).total_seconds()
    return waited if waited >= step.within_seconds else None


def _gone(connection: Connection, group: Sequence[Run], flow: str) -> None:
    """A run whose flow is no longer in the landscape: held, never dropped."""
    runs.advance(connection, [Advance(run, "held", run.step_no) for run in group])
    cases.open_cases(
        connection,
        [
            cases.NewCase(
                reason="flow",
                control=flow,
                owner="integration developer",
                words=f"the flow '{flow}' is no longer in the landscape, this run was under way",
                next_action="Put the flow back, or decide the open documents by hand.",
                record_type=run.record_type,
                record_key=run.record_key,
                run_id=run.run_id,
                legal_entity=run.legal_entity,
            )
            for run in group
        ],
    )
