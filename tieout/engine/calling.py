"""call: a typed function of functions.py judges the record; it has no effect on any system."""

from __future__ import annotations

from collections.abc import Sequence

from tieout.engine.planner import StepResult
from tieout.engine.step_values import computed
from tieout.engine.work import Step, Work, of_run
from tieout.store.cases import NewCase
from tieout.store.runs import Run

MOST_KEPT = 500  # characters of an answer in the run's history


def call(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """TRUE passes, and so does nothing from a function that returns what is wrong as a text; a
    text, FALSE, or nothing from one that answers yes or no holds the run."""
    answers, results = computed(work, step, group)
    own = work.of_runs(step.flow, group)
    function = work.context.landscape.functions[step.spec.function]
    for run in group:
        if run.run_id in results:
            continue
        answer = answers.get(run.run_id)
        said = "nothing" if answer is None else str(answer)[:MOST_KEPT]
        if answer is True or (answer is None and function.returns != "bool"):
            results[run.run_id] = StepResult(passed=True, result=said)
            continue
        text = said.strip() if isinstance(answer, str) else ""
        words = text or f"{step.spec.function}() says {'no' if answer is not None else said}"
        case = NewCase(
            reason="call",
            control=step.spec.name,
            owner=step.flow.steward,
            words=f"{words} ({step.spec.because})" if step.spec.because else words,
            next_action="Correct the record at its source, or the function; then replay.",
            field=step.spec.function,
            value=said,
            place=str(step.spec.place),
        )
        results[run.run_id] = StepResult(
            held=True,
            waits_for=f"{step.spec.function}() to agree",
            result=said,
            cases=(of_run(case, run, own[run.record_key]),),
        )
    return results
