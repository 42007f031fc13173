"""What a step computes over the runs' records, and the cases of those it cannot be computed for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tieout.engine.lookups import Lookups, keep_rates
from tieout.engine.planner import StepResult
from tieout.engine.work import Step, Work, of_run
from tieout.rules.mapping import Row
from tieout.store.cases import NewCase
from tieout.store.runs import Run

Values = dict[int, object]  # by run id: a text, True or False, or None


def computed(work: Work, step: Step, group: Sequence[Run]) -> tuple[Values, dict[int, StepResult]]:
    """The step's value per run, and by run id the results of those it failed for."""
    compiled = work.context.compiled.values.get((step.flow.name, step.number))
    if compiled is None or not group:
        return {run.run_id: None for run in group}, {}
    own = work.of_runs(step.flow, group)
    lookups = Lookups(work.connection, work.context.compiled.calendars)
    rows = [(run.run_id, own[run.record_key]) for run in group]
    result = compiled.run(
        work.context.runner,
        [Row(number, one.record_key, one.body, one.source_key) for number, one in rows],
        lookups,
    )
    keep_rates(work.connection, lookups.used.values())
    values: Values = {}
    for one in result.mapped:
        values[one.row_id] = next(iter(json.loads(one.body).values()), None)
    by_id = {run.run_id: run for run in group}
    failed: dict[int, StepResult] = {}
    for error in result.errors:
        run = by_id[error.row_id]
        case = NewCase(
            reason=error.control,
            control=f"{error.control} {step.spec.name}",
            words=error.why,
            next_action=error.next_action,
            owner=step.flow.steward,
            field=error.field,
            value=error.value,
            place=str(error.place),
        )
        failed[run.run_id] = StepResult(
            held=True, waits_for=error.why, cases=(of_run(case, run, own[run.record_key]),)
        )
    return values, failed
