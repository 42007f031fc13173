"""The planner: one decision about one document becomes a result for its run, and a dispatch.

The decision itself is `rules/document`, a pure function.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.rendering import Rendered
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.rules import document as rule
from tieout.store import audit, dispatches, documents, evidence, intents, runs
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.documents import Document, NewDocument
from tieout.store.intents import Earlier, NewDispatch
from tieout.store.records import Record, partition_of_record

Decide = Callable[[rule.Actual], rule.Move]


@dataclass(frozen=True, slots=True)
class StepResult:
    """Where one run stands after a step: passed, held, paused until a date, an event or a person's
    word, declined by a person, or else waiting for documents or records.

    `late_case` is the case to open if the wait lasts longer than the step allows. `due_at` is when
    it is over by itself; `starts` keeps in the history when the run came to the step. `result` is
    what the step has to say in the history.
    """

    passed: bool = False
    held: bool = False
    waits_for: str = ""
    documents: tuple[int, ...] = ()
    records: tuple[str, ...] = ()
    document: int | None = None
    cases: tuple[NewCase, ...] = ()
    late_case: NewCase | None = None
    paused: bool = False
    declined: bool = False
    starts: bool = False
    due_at: dt.datetime | None = None
    events: tuple[str, ...] = ()
    result: str = ""

    @property
    def state_in_history(self) -> str:
        return "done" if self.passed else ("held" if self.held or self.declined else "started")

    def overdue(self, waited_seconds: float) -> StepResult:
        """The same wait, now a case as well; what wakes it still does."""
        if self.late_case is None:
            return self
        words = f"{self.late_case.words} (waited {waited_seconds:.0f} s)"
        case = replace(self.late_case, words=words)
        return replace(self, held=not self.paused, cases=(*self.cases, case))


@dataclass
class Planner:
    """Gathers the plans of one step over many records and commits them together."""

    context: Context
    connection: Connection
    flow: FlowSpec
    step: StepSpec
    system: str
    stream: str
    plans: list[NewDispatch] = field(default_factory=list)
    drafts: list[tuple[Document, NewDocument]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)  # documents whose plans were dropped
    earlier: Mapping[int, Earlier] = field(default_factory=dict)  # what was written, by dispatch
    due_at: dt.datetime = field(init=False)

    def __post_init__(self) -> None:
        self.due_at = clock.now() + dt.timedelta(seconds=self.step.batch_seconds or 0.0)

    def decided(
        self,
        decide: Decide,
        record: Record,
        document: Document,
        rendered: Rendered,
        gate: StepResult | None,
    ) -> StepResult:
        """Decide about one document and carry it out; `gate` stands in the way of any posting."""
        actual = actual_of(document, own=is_own(record, self.system, self.stream))
        move = decide(actual)
        if isinstance(move, rule.Cancel):
            self._drop(document)
            move = decide(actual.without_plan())
        return self._carry_out(move, record, document, rendered, gate)

    def settle(self) -> None:
        """Drop replaced plans first: a document has one open dispatch."""
        if self.dropped:
            dispatches.supersede(self.connection, self.dropped)
            runs.wake(self.connection, "document", self.freed)  # others wait for it as well
        planned = intents.plan(self.connection, self.plans) if self.plans else []
        first = {one.document_id: one.dispatch_id for one in planned}
        documents.register(self.connection, self.drafts, first)
        self._tell_of_drafts()
        if planned:
            self.context.warm.planned(planned)
            leaves = evidence.of_dispatches(self.plans, [one.dispatch_id for one in planned])
            audit.record(self.connection, self.context.actor, "plan", leaves)

    def _tell_of_drafts(self) -> None:
        """Wake who waits for the proof of a document that nobody had on the register: from now on
        there is a row to wait by."""
        told = {
            f"{document.record_type}/{document.record_key}"
            for document, _ in self.drafts
            if (document.record_type, f"{self.system}.{self.stream}")
            in self.context.compiled.awaited_proofs
        }
        runs.wake(self.connection, "record", sorted(told))

    def _drop(self, document: Document) -> None:
        self.dropped.append(document.open_dispatch or 0)
        self.freed.append(str(document.document_id))

    def _carry_out(
        self,
        move: rule.Move,
        record: Record,
        document: Document,
        rendered: Rendered,
        gate: StepResult | None,
    ) -> StepResult:
        """Turn one decision into a result, and into a plan where it says so."""
        if isinstance(move, rule.Satisfied | rule.Cancel):
            return StepResult(passed=True, document=document.document_id)
        if isinstance(move, rule.AskPeople):
            return held(
                document,
                self.case(
                    "decision",
                    f"{self.step.name} policy",
                    move.why,
                    "Decide: correct the record at its source, or settle the document by hand.",
                ),
            )
        if isinstance(move, rule.InFlight):
            return self._waiting(document)
        if gate is not None:
            if move.replaces_plan:  # what it said is out of date, and must not leave either
                self._drop(document)
            return replace(gate, document=document.document_id, documents=(document.document_id,))
        if move.action == "create" and is_own(record, self.system, self.stream):
            # A row of the source itself is only ever changed: it is born there, and stays one row.
            move = rule.Plan("change", replaces_plan=move.replaces_plan)
        planned = self._dispatch(move, record, document, rendered)
        refused = document.refused_intent.rpartition("/")
        if (
            refused[0]
            and refused[2] == planned.digest
            and (refused[0] == "void") == (move.action == "void")
        ):
            if move.replaces_plan:
                self._drop(document)
            return held(document, self._refused(document))
        if move.replaces_plan:
            self._drop(document)
        self.plans.append(planned)
        return self._waiting(document)

    def _waiting(self, document: Document) -> StepResult:
        return StepResult(
            waits_for=f"proof of {document.reference} in {self.system}",
            documents=(document.document_id,),
            document=document.document_id,
        )

    def case(
        self,
        reason: str,
        control: str,
        words: str,
        next_action: str,
        field: str = "",
        value: str = "",
    ) -> NewCase:
        return NewCase(
            reason=reason,
            control=control,
            words=words,
            next_action=next_action,
            owner=self.flow.steward,
            field=field,
            value=value,
            place=str(self.step.place),
        )

    def _refused(self, document: Document) -> NewCase:
        said = json.loads(document.refusal)
        return self.case(
            said["reason"],
            f"{self.system}.{self.stream}",
            said["words"],
            said["next_action"] or "Correct the record at its source, then replay.",
            field=said["field"],
            value=said["code"],
        )

    def _dispatch(
        self, move: rule.Plan, record: Record, document: Document, rendered: Rendered
    ) -> NewDispatch:
        generation = document.landed.generation if document.landed else document.generation
        if move.new_generation:
            generation = document.generation + 1
        base = f"{self.stream}-{record.source_key}"
        spec = self.context.compiled.specs[self.step.mapping]
        back = self._taken_back(move, record, document)
        digest = back.digest if back else rendered.digest
        revision = intents.revision_of(document, move.action, digest)
        return NewDispatch(
            document=document,
            action=move.action,
            generation=generation,
            revision=revision,
            write_key=intents.write_key_of(document, revision),
            reference=base if generation == 1 else f"{base}-R{generation}",
            target_id=intents.target_of(document, move.action, generation),
            record_version=record.version,
            flow=self.flow.name,
            body=back.body if back else rendered.body,
            digest=digest,
            due_at=self.due_at,
            lane=self.flow.lane,
            partition_no=partition_of_record(record),
            legal_entity=record.legal_entity,
            currency=back.currency if back else record.currency,
            amount=back.amount if back else record.amount,
            period=back.period if back else record.period,
            mapping=spec.name,
            mapping_version=spec.version,
            landscape_hash=self.context.landscape.content_hash,
            rate_ids=rendered.rate_ids,
        )

    def _taken_back(self, move: rule.Plan, record: Record, document: Document) -> Earlier | None:
        """A reversal carries what was written, not what the record says by now. A row of the
        source itself is not reversed: it is told the new state."""
        if move.action != "void" or is_own(record, self.system, self.stream):
            return None
        return self.earlier.get(document.last_body or 0)


def held(document: Document, case: NewCase) -> StepResult:
    return StepResult(
        held=True,
        waits_for=case.words,
        documents=(document.document_id,),
        document=document.document_id,
        cases=(case,),
    )


def actual_of(document: Document, *, own: bool) -> rule.Actual:
    """A document as the rule sees it; `own`: the very row of the source, which is never created."""
    landed = document.landed
    born = own and document.state == "absent"
    return rule.Actual(
        state=document.state,
        proven_digest=document.proven_digest,
        open_state=document.open_state,
        open_digest=document.open_digest,
        open_action="create" if born and document.open_action == "change" else document.open_action,
        ever_sent=document.open_attempts > 0,
        landed_action=landed.action if landed else "",
        landed_digest=landed.digest if landed else "",
    )


def is_own(record: Record, system: str, stream: str) -> bool:
    """Whether the target is the very row the record came from."""
    return record.system == system and record.stream == stream
