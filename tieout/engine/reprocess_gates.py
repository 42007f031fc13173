"""The steps of a dry run that write nothing: who would be asked, what would be waited for, and what
a rule would stop.

The same code decides as in earnest, over the runs as a replay would start them; what it writes is
taken back with the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.engine.asking import approve
from tieout.engine.calling import call
from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.steps import require
from tieout.engine.waiting import wait
from tieout.engine.work import Step, Work
from tieout.landscape.schema import FlowSpec
from tieout.store import approvals, replays
from tieout.store.database import Connection
from tieout.store.records import Record, partition_of_record
from tieout.store.runs import Run

GATES = {"require": require, "approve": approve, "wait": wait, "call": call}


def stopped_at(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    number: int,
    subjects: Sequence[Record],
) -> Mapping[str, tuple[bool, str]]:
    """By record key, for those that would not pass this step at once: whether a rule stops them
    (else they wait), and what for."""
    step = Step(flow, flow.steps[number], number)
    known = replays.runs_anew(connection, flow.name, [one.record_key for one in subjects])
    group = [
        known.get(one.record_key) or _new_run(flow, one, -nth)
        for nth, one in enumerate(subjects, start=1)
    ]
    asked = (
        approvals.standing(connection, step.spec.name, [run.run_id for run in group])
        if step.spec.verb == "approve"
        else {}
    )
    at_hand = {(one.record_type, one.record_key): one for one in subjects}
    results = GATES[step.spec.verb](Work(context, connection, at_hand), step, group)
    found: dict[str, tuple[bool, str]] = {}
    for run in group:
        result = results[run.run_id]
        if not result.passed:
            why = _why(result)
            if step.spec.verb == "approve" and result.paused:
                standing = asked.get(run.run_id)
                if standing is None or f"approval:{standing.approval_id} " not in why:
                    why = f"{step.spec.by.replace('_', ' ')} to agree"
            found[run.record_key] = (result.held or result.declined, why)
    return found


def _why(result: StepResult) -> str:
    return result.cases[0].words if result.cases else result.waits_for or result.result


def _new_run(flow: FlowSpec, record: Record, number: int) -> Run:
    """The run of a record that has none yet; nothing is known under its number."""
    return Run(
        run_id=number,
        flow=flow.name,
        record_type=record.record_type,
        record_key=record.record_key,
        record_version=record.version,
        revision=1,
        mode="forward",
        step_no=0,
        state="ready",
        waits_for="",
        waits_since=None,
        lane=flow.lane,
        legal_entity=record.legal_entity,
        partition_no=partition_of_record(record),
    )
