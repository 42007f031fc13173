"""Planning: what brings documents in a target system to their desired state, set-wise.

The decision itself is `rules/document`, a pure function; this module gathers what it needs and
commits what it says.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.periods import closed_periods
from tieout.engine.rendering import Rendered, render
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.rules import document as rule
from tieout.store import dispatches
from tieout.store.arrivals import partition_of
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.dispatches import Document, NewDispatch, NewDocument
from tieout.store.records import Record


@dataclass(frozen=True, slots=True)
class StepResult:
    """Where one run stands after a step: passed, waiting for documents or records, or held.

    `late_case` is the case to open if the wait lasts longer than the step allows.
    """

    passed: bool = False
    held: bool = False
    waits_for: str = ""
    documents: tuple[int, ...] = ()
    records: tuple[str, ...] = ()
    document: int | None = None
    cases: tuple[NewCase, ...] = ()
    late_case: NewCase | None = None

    @property
    def state_in_history(self) -> str:
        return "done" if self.passed else ("held" if self.held else "started")

    def overdue(self, waited_seconds: float) -> StepResult:
        """The same wait, now a case as well; what wakes it still does."""
        if self.late_case is None:
            return self
        words = f"{self.late_case.words} (waited {waited_seconds:.0f} s)"
        return replace(self, held=True, cases=(replace(self.late_case, words=words),))


@dataclass
class _Planner:
    """Gathers the plans of one step over many records and commits them together."""

    context: Context
    connection: Connection
    flow: FlowSpec
    step: StepSpec
    system: str
    stream: str
    proven: Mapping[int, str] = field(default_factory=dict)  # bodies of proven dispatches, by id
    plans: list[NewDispatch] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def know(self, documents: Iterable[Document]) -> None:
        """Fetch what the target holds of these documents, for taking it back."""
        ids = [one.proven_dispatch for one in documents if one.proven_dispatch is not None]
        self.proven = dispatches.previous_bodies(self.connection, ids)

    def settle(self) -> None:
        """Drop replaced plans first: a document has one open dispatch."""
        if self.dropped:
            dispatches.supersede(self.connection, self.dropped)
        if self.plans:
            dispatches.plan(self.connection, self.plans)

    def carry_out(
        self,
        move: rule.Move,
        record: Record,
        document: Document,
        rendered: Rendered,
        closed_period: str,
    ) -> StepResult:
        """Turn one decision into a result, and into a plan where it says so."""
        if isinstance(move, rule.Satisfied):
            return StepResult(passed=True, document=document.document_id)
        if isinstance(move, rule.AskPeople):
            return _held(
                document,
                self._case(
                    "decision",
                    f"{self.step.name} policy",
                    move.why,
                    "Decide: correct the record at its source, or settle the document by hand.",
                ),
            )
        if isinstance(move, rule.Cancel):
            self.dropped.append(document.open_dispatch or 0)
            return StepResult(passed=True, document=document.document_id)
        if isinstance(move, rule.InFlight):
            return self._waiting(document)
        if closed_period:
            return _held(
                document,
                self._case(
                    "period_closed",
                    "period gate",
                    f"the accounting period {closed_period} is closed in {self.system}",
                    "Reopen the period, or correct the date at the source; then replay.",
                    field="accounting date",
                    value=str(record.accounting_date),
                ),
            )
        own = _is_own(record, self.system, self.stream)
        if own and move.action == "create":
            # A row of the source itself is only ever changed: it is born there, and stays one row.
            move = rule.Plan("change", replaces_plan=move.replaces_plan)
        if move.action == "void" and not own:
            # What is taken back is what was written, not what the record says by now.
            body = self.proven[document.proven_dispatch or 0]
            rendered = Rendered(body, document.proven_digest, rendered.rate_ids, (), ())
        if document.refused_intent == f"{move.action}/{rendered.digest}":
            return _held(document, self._refused(document))
        if move.replaces_plan:
            self.dropped.append(document.open_dispatch or 0)
        self.plans.append(self._dispatch(move, record, document, rendered))
        return self._waiting(document)

    def _waiting(self, document: Document) -> StepResult:
        return StepResult(
            waits_for=f"proof of {document.reference} in {self.system}",
            documents=(document.document_id,),
            document=document.document_id,
        )

    def _case(
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
        return self._case(
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
        generation = document.generation + (1 if move.new_generation else 0)
        base = f"{self.stream}-{record.source_key}"
        wait = self.step.batch_seconds or 0.0
        spec = self.context.compiled.specs[self.step.mapping]
        return NewDispatch(
            document=document,
            action=move.action,
            generation=generation,
            reference=base if generation == 1 else f"{base}-R{generation}",
            record_version=record.version,
            flow=self.flow.name,
            body=rendered.body,
            digest=rendered.digest,
            due_at=clock.now() + dt.timedelta(seconds=wait),
            lane=self.flow.lane,
            partition_no=partition_of(record.record_key),
            legal_entity=record.legal_entity,
            currency=record.currency,
            amount=record.amount,
            period=record.period,
            mapping=spec.name,
            mapping_version=spec.version,
            landscape_hash=self.context.landscape.content_hash,
            rate_ids=rendered.rate_ids,
        )


def towards(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    step: StepSpec,
    subjects: Sequence[Record],
    on_change: rule.OnChange,
) -> Mapping[str, StepResult]:
    """Bring each record's document to its desired state; results by record key."""
    if not subjects:
        return {}
    system, stream = context.compiled.target_of(step)
    planner = _Planner(context, connection, flow, step, system, stream)
    rendered = render(context, connection, step.mapping, subjects)
    known = dispatches.register(
        connection,
        system,
        stream,
        subjects[0].record_type,
        [_registered(one, system, stream) for one in subjects],
    )
    if on_change == "reverse_and_repost":
        planner.know(known.values())
    closed = closed_periods(context, connection, system, stream, subjects)
    results: dict[str, StepResult] = {}
    for record in subjects:
        document, made = known[record.record_key], rendered[record.record_key]
        if made.errors:
            results[record.record_key] = _unmappable(flow, made)
        elif made.waits_for:
            results[record.record_key] = _parents_unproven(connection, step, made)
        else:
            move = rule.forward(_actual(document), made.digest, on_change)
            results[record.record_key] = planner.carry_out(
                move, record, document, made, closed.get(record.record_key, "")
            )
    planner.settle()
    return results


def take_documents_back(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    step: StepSpec,
    subjects: Sequence[Record],
) -> Mapping[str, StepResult]:
    """Take each record's document out of effect; results by record key."""
    system, stream = context.compiled.target_of(step)
    planner = _Planner(context, connection, flow, step, system, stream)
    known = dispatches.known(
        connection, system, stream, flow.record_type, [one.record_key for one in subjects]
    )
    gone = _deleted_at_source(connection, subjects)
    rendered = render(context, connection, step.mapping, subjects)
    closed = closed_periods(context, connection, system, stream, subjects)
    planner.know(known.values())
    results: dict[str, StepResult] = {}
    for record in subjects:
        document = known.get(record.record_key)
        if document is None or (record.system == system and record.record_key in gone):
            results[record.record_key] = StepResult(passed=True)
            continue
        made = rendered[record.record_key]
        if made.errors and _is_own(record, system, stream):
            results[record.record_key] = _unmappable(flow, made)
            continue
        move = rule.backward(_actual(document), step.on_leave)
        results[record.record_key] = planner.carry_out(
            move, record, document, made, closed.get(record.record_key, "")
        )
    planner.settle()
    return results


def _held(document: Document, case: NewCase) -> StepResult:
    return StepResult(
        held=True,
        waits_for=case.words,
        documents=(document.document_id,),
        document=document.document_id,
        cases=(case,),
    )


def _actual(document: Document) -> rule.Actual:
    return rule.Actual(
        state=document.state,
        proven_digest=document.proven_digest,
        open_state=document.open_state,
        open_digest=document.open_digest,
        open_action=document.open_action,
        ever_sent=document.open_attempts > 0,
    )


def _registered(record: Record, system: str, stream: str) -> NewDocument:
    """The document's permanent reference; writing back to the source keeps the source's own id."""
    return NewDocument(
        record_key=record.record_key,
        reference=f"{stream}-{record.source_key}",
        legal_entity=record.legal_entity,
        partition_no=partition_of(record.record_key),
        target_id=record.source_key if _is_own(record, system, stream) else "",
    )


def _is_own(record: Record, system: str, stream: str) -> bool:
    """Whether the target is the very row the record came from."""
    return record.system == system and record.stream == stream


def _deleted_at_source(connection: Connection, subjects: Iterable[Record]) -> set[str]:
    """Record keys whose newest arrival says that the source row is gone."""
    by_arrival = {one.arrival_id: one.record_key for one in subjects}
    rows = connection.execute(
        "SELECT arrival_id FROM arrivals WHERE arrival_id = ANY(%s) AND deleted",
        (list(by_arrival),),
    ).fetchall()
    return {by_arrival[int(row[0])] for row in rows}


def _unmappable(flow: FlowSpec, made: Rendered) -> StepResult:
    return StepResult(
        held=True,
        waits_for="a field that cannot be mapped",
        cases=tuple(
            NewCase(
                reason=error.control,
                control=f"{error.control} {error.field}",
                words=error.why,
                next_action=error.next_action,
                owner=flow.steward,
                field=error.field,
                value=error.value,
                place=str(error.place),
            )
            for error in made.errors
        ),
    )


def _parents_unproven(connection: Connection, step: StepSpec, made: Rendered) -> StepResult:
    """Parents without a proof in the target: wait for their documents, or for them to appear."""
    systems = [system.partition(".")[0] for system, _, _ in made.waits_for]
    keys = [key for _, _, key in made.waits_for]
    rows = connection.execute(
        "SELECT c.document_id FROM documents c JOIN unnest(%s::text[], %s::text[]) "
        "AS t (system, key) ON c.system = t.system AND c.record_key = t.key",
        (systems, keys),
    ).fetchall()
    kinds = sorted({f"{kind} in {system}" for system, kind, _ in made.waits_for})
    return StepResult(
        waits_for=f"proof of {', '.join(kinds)}",
        documents=tuple(int(row[0]) for row in rows),
        records=tuple(f"{kind}/{key}" for _, kind, key in made.waits_for),
        late_case=NewCase(
            reason="parent_unproven",
            control=step.name,
            owner="operator",
            words=f"no proof yet of {', '.join(kinds)}",
            next_action="Look at the parent's own case or dispatch; this goes on by itself.",
            place=str(step.place),
        ),
    )
