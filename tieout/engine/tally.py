"""Tally: where the runs of a round stand after their steps, stored with one statement per table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tieout import clock
from tieout.engine.deadlines import deadline, looks_at, working_days
from tieout.engine.planner import StepResult
from tieout.engine.work import Work, of_run
from tieout.landscape.people import meant
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.store import approvals, cases, runs
from tieout.store.cases import NewCase
from tieout.store.runs import Advance, Run, StepNote


@dataclass
class Tally:
    """Gathers results of one flow and mode; `store` writes them all."""

    work: Work
    flow: FlowSpec
    mode: str
    advances: list[Advance] = field(default_factory=list)
    notes: list[StepNote] = field(default_factory=list)
    opened: list[NewCase] = field(default_factory=list)
    passed: dict[int, int] = field(default_factory=dict)  # run id -> last step passed
    ended: list[int] = field(default_factory=list)
    owners: dict[int, str] = field(default_factory=dict)  # run id -> who its cases escalate to
    escalated: dict[str, list[int]] = field(default_factory=dict)  # approve step -> run ids

    def note(self, run: Run, number: int, step: StepSpec, result: StepResult) -> None:
        """One run after one step."""
        if result.passed:
            self.passed[run.run_id] = number
        elif not result.declined:
            result = self._stops(run, number, step, result)
        waited = run.waits_since is not None and run.step_no == number
        if result.passed or result.held or result.declined or result.starts or waited:
            document = result.documents[0] if result.documents else result.document
            self.notes.append(
                StepNote(run, number, step.name, result.state_in_history, document, result.result)
            )

    def end(self, some: Sequence[Run], step_no: int) -> None:
        """These have passed every step."""
        state = "complete" if self.mode == "forward" else "undone"
        self.advances += [Advance(run, state, step_no) for run in some]
        self.ended += [run.run_id for run in some]

    def store(self) -> None:
        connection = self.work.connection
        touched = [*self.passed, *(one for one in self.ended if one not in self.passed)]
        troubled = cases.of_runs(connection, touched) if touched else set()
        if troubled:
            self._close(troubled)
        runs.advance(connection, self.advances, self.work.context.landscape.content_hash)
        runs.note_steps(connection, self.notes)
        if self.opened:
            cases.open_cases(connection, self.opened)
        if self.owners:
            cases.hand_over(connection, self.owners)
        for step, run_ids in self.escalated.items():
            approvals.escalate(connection, step, run_ids)

    def _close(self, troubled: set[int]) -> None:
        """A run that starts over passes its early steps: that does not mend what stopped it
        further on."""
        connection, over = self.work.connection, set(self.ended)
        end = "complete" if self.mode == "forward" else "undone"
        cases.close_for_runs(connection, sorted(troubled & over), f"the flow is {end}")
        went = {run: step for run, step in self.passed.items() if run in troubled - over}
        if went:
            held = runs.held_further_on(connection, went, self.mode)
            cases.close_for_runs(connection, sorted(set(went) - held), "its step went through")

    def _stops(self, run: Run, number: int, step: StepSpec, result: StepResult) -> StepResult:
        """The run stays at this step: how, until when, and whose trouble it is by now."""
        now = clock.now()
        same = run.step_no == number and run.waits_since is not None
        since = run.waits_since if same and run.waits_since is not None else now
        fresh = run.state == "ready" or not same or run.waits_for != result.waits_for
        due = deadline(step, since, working_days(self.work.context.landscape, run.legal_entity))
        late = due.late(now)
        if late and not result.held:
            # A slow system is its own trouble, told once for the system. A person hears of the
            # record as well where the step says who.
            if result.late_case is None and (step.escalate or not step.touches_documents):
                result = replace(result, late_case=self._late(run, step, result))
            result = result.overdue((now - since).total_seconds())
        if late == 2:
            people = self.work.context.landscape.people
            self.owners[run.run_id] = meant(step.escalate, people) or step.escalate
            if step.verb == "approve":
                self.escalated.setdefault(step.name, []).append(run.run_id)
        self.opened += result.cases
        self.advances.append(
            Advance(
                run,
                "held" if result.held else ("paused" if result.paused else "waiting"),
                number,
                result.waits_for,
                looks_at(result, due, since, now, fresh=fresh),
                result.documents,
                result.records,
                result.events,
            )
        )
        return result

    def _late(self, run: Run, step: StepSpec, result: StepResult) -> NewCase:
        case = NewCase(
            reason="late",
            control=step.name,
            owner=self.flow.steward,
            words=f"step '{step.name}' still waits for {result.waits_for}",
            next_action="Look at what it waits for; the record goes on by itself when it is there.",
            place=str(step.place),
        )
        own = self.work.newest(run.record_type, [run.record_key])
        return of_run(case, run, own[run.record_key])
