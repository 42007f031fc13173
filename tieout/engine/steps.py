"""The steps about documents: ensure, require, write, and taking a written document back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tieout.engine.planner import StepResult
from tieout.engine.planning import deleted_at_source, take_documents_back, towards
from tieout.engine.work import Step, Work, for_run, of_run
from tieout.landscape.schema import StepSpec
from tieout.store import documents
from tieout.store.cases import NewCase
from tieout.store.records import Record
from tieout.store.runs import Run


def ensure(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """The records of the step's type that the run's record refers to exist in the target."""
    spec, flow = step.spec, step.flow
    own = work.of_runs(flow, group)
    paths = [
        path
        for path, to in work.context.landscape.records[flow.record_type].references()
        if to == spec.record_type
    ]
    wanted = {run.run_id: references(own[run.record_key].body, paths) for run in group}
    parents = work.newest(spec.record_type, sorted({k for keys in wanted.values() for k in keys}))
    progress = towards(work.context, work.connection, flow, spec, list(parents.values()), "update")
    results: dict[int, StepResult] = {}
    for run in group:
        record = own[run.record_key]
        missing = [key for key in wanted[run.run_id] if key not in parents]
        below = [progress[key] for key in wanted[run.run_id] if key in parents]
        if missing:
            results[run.run_id] = _parent_missing(run, record, spec, missing)
        elif any(one.held for one in below):
            results[run.run_id] = StepResult(
                held=True,
                cases=tuple(of_run(case, run, record) for one in below for case in one.cases),
                documents=tuple(one.document for one in below if one.document is not None),
                waits_for=f"{spec.record_type} refused by {spec.system}",
            )
        elif all(one.passed for one in below):
            results[run.run_id] = StepResult(passed=True)
        else:
            late = [one for one in below if not one.passed]
            results[run.run_id] = StepResult(
                waits_for=f"{spec.record_type} in {spec.system}",
                documents=tuple(dict.fromkeys(one.document for one in late if one.document)),
            )
    return results


def require(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """A condition over the record; anything but TRUE holds the run."""
    spec, flow = step.spec, step.flow
    own = work.of_runs(flow, group)
    answers = work.context.compiled.requires[flow.name, step.number].run(
        work.context.runner, [(run.run_id, own[run.record_key].body) for run in group]
    )
    case = NewCase(
        reason="require",
        control=spec.name,
        owner=flow.steward,
        words=spec.because or f"'{spec.must}' is not true for this record",
        next_action="Correct the record at its source, or the rule; then replay.",
        place=str(spec.place),
    )
    return {
        run.run_id: StepResult(passed=True)
        if answers[run.run_id].get(spec.name) is True
        else StepResult(
            held=True,
            waits_for=f"'{spec.must}' to be true",
            cases=(of_run(case, run, own[run.record_key]),),
        )
        for run in group
    }


def write(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """The run's own record, rendered by the step's mapping, is in the target."""
    results = {
        run.run_id: StepResult(passed=True, document=document)
        for run in group
        if work.proven and (document := work.just_proven(step.spec, run)) is not None
    }
    rest = [run for run in group if run.run_id not in results]
    own = work.of_runs(step.flow, rest)
    progress = towards(
        work.context,
        work.connection,
        step.flow,
        step.spec,
        list(own.values()),
        step.spec.on_change,
    )
    for run in rest:
        results[run.run_id] = for_run(progress[run.record_key], run, own[run.record_key])
    return results


def take_back(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """The step's document has no effect in the target any more: voided, or brought to what the
    step's `undo` mapping says. A declined run takes back whatever `on_leave` says."""
    own = work.of_runs(step.flow, group)
    spec = step.spec
    rejected = {run.record_key for run in group if run.mode == "reject"}
    progress: dict[str, StepResult] = {}
    written = _written(work, step, own) if spec.undo else set()
    for keys, on_leave in ((rejected, "undo"), (set(own) - rejected, spec.on_leave)):
        leaving = [own[key] for key in sorted(keys)]
        as_written = replace(spec, on_leave="undo" if on_leave == "undo" else "case")
        closing = [one for one in leaving if one.record_key in written and on_leave == "undo"]
        if closing:
            undone = replace(as_written, mapping=spec.undo)
            progress.update(
                towards(work.context, work.connection, step.flow, undone, closing, "update")
            )
        voiding = [one for one in leaving if one.record_key not in progress]
        if voiding:
            progress.update(
                take_documents_back(work.context, work.connection, step.flow, as_written, voiding)
            )
    return {
        run.run_id: for_run(progress[run.record_key], run, own[run.record_key]) for run in group
    }


def _written(work: Work, step: Step, own: Mapping[str, Record]) -> set[str]:
    """Those whose document is in the target, or may be: an `undo` mapping creates nothing, and says
    nothing to a row of the source that is gone."""
    system, stream = work.context.compiled.target_of(step.spec)
    known = documents.known(work.connection, system, stream, step.flow.record_type, sorted(own))
    gone = deleted_at_source(work.connection, list(own.values()))
    return {
        key
        for key, one in known.items()
        if (one.state == "present" or one.landed is not None)
        and not (own[key].system == system and key in gone)
    }


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
        late_case=of_run(case, run, record),
    )
