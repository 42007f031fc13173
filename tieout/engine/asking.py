"""approve: a person agrees to the record's content before the run goes on.

The question is bound to the digest of the record's content and to the run's revision; a changed
record voids it, also an answered one. A condition that is neither true nor false asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.engine.planner import StepResult
from tieout.engine.step_values import Values, computed
from tieout.engine.work import Step, Work, of_run
from tieout.landscape.people import meant, same_person
from tieout.store import approvals
from tieout.store.approvals import Approval, NewApproval
from tieout.store.cases import NewCase
from tieout.store.records import Record
from tieout.store.runs import Run


def approve(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """Passed where nobody need be asked or somebody agreed; paused until then."""
    own = work.of_runs(step.flow, group)
    answers = work.context.compiled.requires[step.flow.name, step.number].run(
        work.context.runner, [(run.run_id, own[run.record_key].body) for run in group]
    )
    standing = _bound(work, step, group, own)
    results: dict[int, StepResult] = {}
    open_runs: list[Run] = []
    dropped: list[int] = []
    for run in group:
        needed = answers[run.run_id].get(step.spec.name) is not False  # NULL asks, too
        known = standing.get(run.run_id)
        if not needed:
            results[run.run_id] = StepResult(passed=True, result="no approval needed")
            dropped += [known.approval_id] if known is not None else []
        elif known is None:
            open_runs.append(run)
        else:
            results[run.run_id] = _answered(run, step, known, own[run.record_key])
    approvals.void(work.connection, dropped, "no approval is needed any more")
    makers, failed = computed(work, step, open_runs)
    results.update(failed)
    asking = [run for run in open_runs if run.run_id not in failed]
    ids = approvals.ask(work.connection, [_question(work, step, r, own, makers) for r in asking])
    for run in asking:
        results[run.run_id] = _pause(run, step, ids[run.run_id], own[run.record_key])
    return results


def _bound(
    work: Work, step: Step, group: Sequence[Run], own: Mapping[str, Record]
) -> dict[int, Approval]:
    """The questions that are still about what the records say; the others are void."""
    found = approvals.standing(work.connection, step.spec.name, [run.run_id for run in group])
    by_id = {run.run_id: run for run in group}
    valid: dict[int, Approval] = {}
    for run_id, one in found.items():
        run = by_id[run_id]
        if (one.digest, one.revision) == (own[run.record_key].digest, run.revision):
            valid[run_id] = one
    approvals.void(
        work.connection,
        [one.approval_id for run_id, one in found.items() if run_id not in valid],
        "the record changed after it was asked about",
    )
    return valid


def _question(
    work: Work, step: Step, run: Run, own: Mapping[str, Record], makers: Values
) -> NewApproval:
    record, people = own[run.record_key], work.context.landscape.people
    said = str(makers.get(run.run_id) or "")
    maker = next((one.name for one in people.values() if same_person(one, said)), said)
    return NewApproval(
        run_id=run.run_id,
        step=step.spec.name,
        revision=run.revision,
        flow=step.flow.name,
        record_type=record.record_type,
        record_key=record.record_key,
        record_version=record.version,
        digest=record.digest,
        source_key=record.source_key,
        legal_entity=record.legal_entity,
        currency=record.currency,
        amount=record.amount,
        asks=meant(step.spec.by, people) or step.spec.by,
        escalates_to=meant(step.spec.escalate, people) or step.spec.escalate,
        maker=maker,
        because=step.spec.because or _why(step),
    )


def _why(step: Step) -> str:
    return "" if step.spec.when == "TRUE" else step.spec.when


def _answered(run: Run, step: Step, known: Approval, record: Record) -> StepResult:
    if known.state == "approved":
        return StepResult(passed=True, result=f"approved by {known.decided_by}")
    if known.state == "asked":
        return _pause(run, step, known.approval_id, record)
    said = f"declined by {known.decided_by}"
    words = f"{said}: {known.decided_because}" if known.decided_because else said
    if step.flow.on_reject == "undo":
        return StepResult(declined=True, result=words)
    case = NewCase(
        reason="declined",
        control=step.spec.name,
        owner=step.flow.steward,
        words=words,
        next_action="Correct the record at its source: it is asked about anew. Or replay it, to "
        "ask again as it is.",
        place=str(step.spec.place),
    )
    return StepResult(held=True, waits_for=words, result=words, cases=(of_run(case, run, record),))


def _pause(run: Run, step: Step, approval_id: int, record: Record) -> StepResult:
    """Nothing to do for the machine. The case is for when nobody answers in time."""
    asks = step.spec.by.replace("_", " ")
    case = NewCase(
        reason="approval",
        control=step.spec.name,
        owner=asks,
        words=f"nobody has answered approval:{approval_id}",
        next_action=f"`tieout approve {approval_id}` or `tieout approve {approval_id} --decline`.",
        place=str(step.spec.place),
    )
    return StepResult(
        paused=True,
        waits_for=f"approval:{approval_id} by {asks}",
        late_case=of_run(case, run, record),
    )
