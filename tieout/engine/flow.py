"""Flow: advance runs set-wise, as far as each goes, in one transaction; every wait has something
that wakes it.

A run starts again at its first step whenever its record changes: a step whose document already is
as it should be is passed at once, so starting over is cheap and always right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tieout.engine import pacing
from tieout.engine.asking import approve
from tieout.engine.calling import call
from tieout.engine.context import Context
from tieout.engine.isolating import failed, in_parts, said_of
from tieout.engine.planner import StepResult
from tieout.engine.steps import ensure, require, take_back, write
from tieout.engine.tally import Tally
from tieout.engine.waiting import wait
from tieout.engine.work import Step, Work
from tieout.landscape.schema import FlowSpec, Verb
from tieout.store import approvals, cases, runs
from tieout.store.database import Connection
from tieout.store.dispatches import Dispatch, LeftMeanwhile
from tieout.store.documents import RegisteredMeanwhile
from tieout.store.records import Record
from tieout.store.runs import Advance, Run

MOST_RUNS_PER_ROUND = 2_000
MOST_DUE_PER_ROUND = 500
MOST_ROUNDS = 12

Handler = Callable[[Work, Step, Sequence[Run]], dict[int, StepResult]]
HANDLERS: dict[Verb, Handler] = {
    "ensure": ensure,
    "require": require,
    "approve": approve,
    "write": write,
    "wait": wait,
    "call": call,
}
MEANWHILE = (LeftMeanwhile, RegisteredMeanwhile)
MODES = ("forward", "reject", "undo")  # a run that is declined goes from the first to the second


def advance(context: Context, *, most: int = 0, lane: str = "") -> int:
    """Advance every ready run (of one lane, or of all) as far as it goes now, and what is due;
    returns how many runs were looked at. `most` 0: MOST_RUNS_PER_ROUND at a time."""
    most = most or MOST_RUNS_PER_ROUND
    moves = 0
    for _ in range(MOST_ROUNDS):
        try:
            made = _round(context, most, lane)
        except MEANWHILE:  # another worker was quicker: the next tick sees what it did
            break
        moves += made
        if made < min(most, MOST_DUE_PER_ROUND):
            break
    return moves


def advance_fresh(
    context: Context, connection: Connection, fresh: Sequence[Run], known: Sequence[Record]
) -> None:
    """Advance runs that were started in this very transaction.

    `known` are newest records that the caller has at hand: nobody reads them back. Runs of
    partitions that are not ours, and of flows that are held back, stay ready for a later round; if
    a plan left meanwhile, all of them do.
    """
    if not fresh:
        return
    at_hand = {(one.record_type, one.record_key): one for one in known}
    held = pacing.held_flows(context, connection)
    _at_once(Work(context, connection, at_hand), [run for run in fresh if run.flow not in held])


def carry_on(context: Context, connection: Connection, proven: Sequence[Dispatch]) -> None:
    """Runs that waited for these documents, proven in this very transaction, go on at once; those
    that wait for more, or elsewhere, are made ready. The documents are locked by the caller."""
    if not proven:
        return
    waiting = runs.waiting_for(connection, [one.document_id for one in proven])
    just = {(one.system, one.stream, one.record_key): one for one in proven}
    held = pacing.held_flows(context, connection)
    own = {one.record_key for one in proven}
    quick = [
        run
        for run in waiting
        if run.mode == "forward"
        and not run.waits_many
        # Of a flow that is held back as well: for its own document, at most one is planned.
        and (run.flow not in held or run.record_key in own)
    ]
    gone = _at_once(Work(context, connection, proven=just), quick)
    runs.wake_runs(connection, [run.run_id for run in waiting if run.run_id not in gone])


def _at_once(work: Work, some: Sequence[Run]) -> set[int]:
    """Advance those of these runs that are ours to advance, unless a plan left meanwhile; returns
    the ids of those that were advanced."""
    ours = set(work.context.partitions())
    mine = [run for run in some if run.partition_no in ours]
    if not mine:
        return set()

    def all_of_them() -> None:
        with work.connection.transaction():
            _advance(work, mine)

    try:
        error = failed(all_of_them)
    except MEANWHILE:
        return set()
    # Those that failed stay as they are: a round of their own finds out which one it is.
    return {run.run_id for run in mine} if error is None else set()


def _round(context: Context, most: int, lane: str) -> int:
    found: list[Run] = []

    def whole() -> None:
        with context.transaction() as connection:
            held = pacing.held_flows(context, connection)
            found.extend(runs.due(connection, context.partitions(), MOST_DUE_PER_ROUND, held))
            found.extend(runs.ready(connection, context.partitions(), most, held, lane=lane))
            _advance(Work(context, connection), found)

    error = failed(whole)
    if error is not None and not found:
        raise error
    if error is not None:
        in_parts([run.run_id for run in found], partial(_part, context), partial(_give_up, context))
    return len(found)


def _part(context: Context, run_ids: Sequence[int]) -> None:
    """Some runs of a round that failed as a whole, as they stand by now."""
    with context.transaction() as connection:
        _advance(Work(context, connection), runs.locked(connection, run_ids))


def _give_up(context: Context, run_id: int, error: Exception) -> None:
    """A run that nobody can advance, for a reason that nobody foresaw, is somebody's case."""
    with context.transaction() as connection:
        for run in runs.locked(connection, [run_id]):
            flow = context.landscape.flows.get(run.flow)
            _hold(
                connection,
                [run],
                f"this run cannot go on: {said_of(error)}",
                "Correct the record at its source, or the step's rules; then replay.",
                flow.steward if flow is not None else "integration developer",
            )


def steps_of(flow: FlowSpec, mode: str) -> tuple[Step, ...]:
    """The steps in the order of the mode: undoing takes the written documents back, last first."""
    steps = tuple(Step(flow, spec, number) for number, spec in enumerate(flow.steps))
    if mode == "forward":
        return steps
    return tuple(step for step in reversed(steps) if step.spec.verb == "write")


def _advance(work: Work, some: Sequence[Run]) -> None:
    """Each run through its steps until it stops; what is to be stored is stored once for all."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in some:
        groups[run.flow, run.mode].append(run)
    for flow_name in sorted({name for name, _ in groups}):
        flow = work.context.landscape.flows.get(flow_name)
        for mode in MODES:
            group = groups.get((flow_name, mode), [])
            if not group:
                continue
            if flow is None:
                _gone(work.connection, group, flow_name)
                continue
            declined = _along(work, flow, mode, group)
            groups[flow_name, "reject"] += [
                replace(run, mode="reject", step_no=0, waits_since=None) for run in declined
            ]


def _along(work: Work, flow: FlowSpec, mode: str, group: Sequence[Run]) -> list[Run]:
    """Runs of one flow and mode, step by step; returns those that a person declined."""
    steps = steps_of(flow, mode)
    tally = Tally(work, flow, mode)
    if mode != "forward":
        starting = [run.run_id for run in group if run.step_no == 0]
        approvals.void_for_runs(work.connection, starting, "the run takes back what it wrote")
    waiting: dict[int, list[Run]] = defaultdict(list)
    landscape = work.context.landscape.content_hash
    for run in group:
        # In another landscape the same number may be another step: it starts over, which passes
        # at once what is as it should be.
        waiting[run.step_no if run.landscape_hash == landscape else 0].append(run)
    declined: list[Run] = []
    moving: list[Run] = []
    for number, step in enumerate(steps):
        here = moving + waiting[number]
        moving = []
        if not here:
            continue
        results = (
            HANDLERS[step.spec.verb](work, step, here)
            if mode == "forward"
            else (take_back(work, step, here))
        )
        for run in here:
            result = results[run.run_id]
            if result.passed:
                moving.append(run)
            elif result.declined:
                declined.append(run)
            tally.note(run, number, step.spec, result)
    tally.end([*moving, *waiting[len(steps)]], len(steps))
    tally.store()
    return declined


def _gone(connection: Connection, group: Sequence[Run], flow: str) -> None:
    """A run whose flow is no longer in the landscape: held, never dropped."""
    _hold(
        connection,
        group,
        f"the flow '{flow}' is no longer in the landscape, this run was under way",
        "Put the flow back, or decide the open documents by hand.",
        "integration developer",
    )


def _hold(
    connection: Connection, group: Sequence[Run], words: str, next_action: str, owner: str
) -> None:
    held = [Advance(run, "held", run.step_no) for run in group]
    runs.advance(connection, held, group[0].landscape_hash)
    cases.open_cases(
        connection,
        [
            cases.NewCase(
                reason="flow",
                control=run.flow,
                owner=owner,
                words=words,
                next_action=next_action,
                record_type=run.record_type,
                record_key=run.record_key,
                run_id=run.run_id,
                legal_entity=run.legal_entity,
            )
            for run in group
        ],
    )
