"""The step verbs: ensure, require, write, and taking a written document back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.planning import take_documents_back, towards
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.store import records
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.records import Record
from tieout.store.runs import Run


def ensure(
    context: Context, connection: Connection, flow: FlowSpec, step: StepSpec, group: Sequence[Run]
) -> dict[int, StepResult]:
    """The records of `step.record_type` that the run's record refers to exist in the target."""
    own = records.newest(connection, flow.record_type, [run.record_key for run in group])
    paths = [
        path
        for path, to in context.landscape.records[flow.record_type].references()
        if to == step.record_type
    ]
    wanted = {run.run_id: references(own[run.record_key].body, paths) for run in group}
    parents = records.newest(
        connection, step.record_type, sorted({key for keys in wanted.values() for key in keys})
    )
    progress = towards(context, connection, flow, step, list(parents.values()), "update")
    results: dict[int, StepResult] = {}
    for run in group:
        missing = [key for key in wanted[run.run_id] if key not in parents]
        below = [progress[key] for key in wanted[run.run_id] if key in parents]
        if missing:
            results[run.run_id] = _parent_missing(run, own[run.record_key], step, missing)
        elif any(one.held for one in below):
            results[run.run_id] = StepResult(
                held=True,
                cases=tuple(
                    _of_run(case, run, own[run.record_key]) for one in below for case in one.cases
                ),
                documents=tuple(one.document for one in below if one.document is not None),
                waits_for=f"{step.record_type} refused by {step.system}",
            )
        elif all(one.passed for one in below):
            results[run.run_id] = StepResult(passed=True)
        else:
            waiting = tuple(
                one.document for one in below if not one.passed and one.document is not None
            )
            results[run.run_id] = StepResult(
                waits_for=f"{step.record_type} in {step.system}", documents=waiting
            )
    return results


def require(
    context: Context, connection: Connection, flow: FlowSpec, step: StepSpec, group: Sequence[Run]
) -> dict[int, StepResult]:
    """A condition over the record; anything but TRUE holds the run."""
    own = records.newest(connection, flow.record_type, [run.record_key for run in group])
    number = flow.steps.index(step)
    answers = context.compiled.requires[flow.name, number].run(
        context.runner, [(run.run_id, own[run.record_key].body) for run in group]
    )
    return {
        run.run_id: StepResult(passed=True)
        if answers[run.run_id].get(step.name) is True
        else StepResult(
            held=True,
            waits_for=f"'{step.must}' to be true",
            cases=(
                _of_run(
                    NewCase(
                        reason="require",
                        control=step.name,
                        owner=flow.steward,
                        words=step.because or f"'{step.must}' is not true for this record",
                        next_action="Correct the record at its source, or the rule; then replay.",
                        place=str(step.place),
                    ),
                    run,
                    own[run.record_key],
                ),
            ),
        )
        for run in group
    }


def write(
    context: Context, connection: Connection, flow: FlowSpec, step: StepSpec, group: Sequence[Run]
) -> dict[int, StepResult]:
    """The run's own record, rendered by the step's mapping, is in the target."""
    own = records.newest(connection, flow.record_type, [run.record_key for run in group])
    progress = towards(context, connection, flow, step, list(own.values()), step.on_change)
    return {run.run_id: _for_run(progress[run.record_key], run, own) for run in group}


def take_back(
    context: Context, connection: Connection, flow: FlowSpec, step: StepSpec, group: Sequence[Run]
) -> dict[int, StepResult]:
    """The step's document has no effect in the target any more."""
    own = records.newest(connection, flow.record_type, [run.record_key for run in group])
    progress = take_documents_back(context, connection, flow, step, list(own.values()))
    return {run.run_id: _for_run(progress[run.record_key], run, own) for run in group}


def _for_run(result: StepResult, run: Run, own: Mapping[str, Record]) -> StepResult:
    """A document's result with its cases told from the run's point of view."""
    record = own[run.record_key]
    return replace(
        result,
        cases=tuple(_of_run(case, run, record) for case in result.cases),
        late_case=_of_run(result.late_case, run, record) if result.late_case else None,
    )


def _of_run(case: NewCase, run: Run, record: Record) -> NewCase:
    """Add the run, its record and the amount at stake to a case."""
    return replace(
        case,
        run_id=run.run_id,
        record_type=run.record_type,
        record_key=run.record_key,
        system=record.system,
        stream=record.stream,
        source_key=record.source_key,
        amount=record.amount,
        currency=record.currency,
        legal_entity=record.legal_entity,
        period=record.period,
    )


def references(body: str, paths: Sequence[str]) -> list[str]:
    """The record keys at these paths, each once, in order; a path may lead into a list."""
    values = json.loads(body)
    found: dict[str, None] = {}
    for path in paths:
        name, _, below = path.partition(".")
        value = values.get(name)
        items = value if isinstance(value, list) else [values]
        for item in items:
            key = item.get(below) if isinstance(value, list) else item.get(name)
            if key:
                found[str(key)] = None
    return list(found)


def _parent_missing(run: Run, record: Record, step: StepSpec, missing: Sequence[str]) -> StepResult:
    case = NewCase(
        reason="parent_missing",
        control=f"ensure {step.record_type}",
        owner="operator",
        words=f"the {step.record_type} this record refers to has not arrived",
        next_action=f"Check that the {step.record_type} exists at the source and is collected; "
        "the record goes on by itself as soon as it arrives.",
        field=step.record_type,
        value=", ".join(missing[:5]),
        place=str(step.place),
    )
    return StepResult(
        waits_for=f"{step.record_type} to arrive",
        records=tuple(f"{step.record_type}/{key}" for key in missing),
        late_case=_of_run(case, run, record),
    )
