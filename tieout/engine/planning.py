"""Planning: what brings documents in a target system to their desired state, set-wise.

The decision itself is `rules/document`, a pure function; this module gathers what it needs and
commits what it says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from tieout.engine.context import Context
from tieout.engine.periods import closed_periods, periods_of
from tieout.engine.planner import Planner, StepResult, is_own
from tieout.engine.rendering import Rendered, render
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.rules import document as rule
from tieout.store import arrivals, documents, intents
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.documents import Document, NewDocument
from tieout.store.intents import Earlier
from tieout.store.records import Record, partition_of_record


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
    planner = Planner(context, connection, flow, step, system, stream)
    rendered = render(context, connection, step.mapping, subjects)
    wanted = [_registered(one, system, stream) for one in subjects]
    found = documents.find_or_draft(connection, system, stream, subjects[0].record_type, wanted)
    known = found.documents
    planner.drafts = [
        (document, one)
        for one in wanted
        if (document := known.get(one.record_key)) is not None and not document.born
    ]
    planner.earlier = _earlier(connection, known.values())
    gates = _gates(planner, subjects, known, both=True)
    results: dict[str, StepResult] = {}
    for record in subjects:
        made = rendered[record.record_key]
        document = known.get(record.record_key)
        if document is None:
            results[record.record_key] = _taken(planner, record)
        elif made.errors:
            results[record.record_key] = _unmappable(flow, made)
        elif made.waits_for:
            results[record.record_key] = _parents_unproven(connection, step, made)
        else:
            results[record.record_key] = planner.decided(
                partial(rule.forward, desired_digest=made.digest, on_change=on_change),
                record,
                document,
                made,
                gates.get(record.record_key),
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
    planner = Planner(context, connection, flow, step, system, stream)
    known = documents.known(
        connection, system, stream, flow.record_type, [one.record_key for one in subjects]
    )
    gone = deleted_at_source(connection, subjects)
    rendered = render(context, connection, step.mapping, subjects)
    planner.earlier = _earlier(connection, known.values())
    gates = _gates(planner, subjects, known, both=False)
    results: dict[str, StepResult] = {}
    for record in subjects:
        document = known.get(record.record_key)
        if document is None or (record.system == system and record.record_key in gone):
            results[record.record_key] = StepResult(passed=True)
            continue
        made = rendered[record.record_key]
        if made.errors and is_own(record, system, stream):
            results[record.record_key] = _unmappable(flow, made)
            continue
        results[record.record_key] = planner.decided(
            partial(rule.backward, on_leave=step.on_leave),
            record,
            document,
            made,
            gates.get(record.record_key),
        )
    planner.settle()
    return results


def _earlier(connection: Connection, known: Iterable[Document]) -> Mapping[int, Earlier]:
    """What was written last to each document."""
    return intents.earlier(connection, [one.last_body for one in known if one.last_body])


def _gates(
    planner: Planner, subjects: Sequence[Record], known: Mapping[str, Document], *, both: bool
) -> Mapping[str, StepResult]:
    """Record key -> what stands in the way of a posting: a closed period, or periods nobody has
    read yet. A reversal posts into the period of what it takes back; `both` gates that one and the
    record's own, so that nothing is reversed that cannot be posted again."""
    days: list[tuple[str, dt.date]] = []
    for record in subjects:
        document = known.get(record.record_key)
        earlier = planner.earlier.get(document.last_body or 0) if document else None
        own = record.accounting_date
        last = earlier.accounting_date if earlier else None
        found = {day for day in ((own, last) if both else (last or own,)) if day is not None}
        days += [(record.record_key, day) for day in sorted(found)]
    shut = closed_periods(planner.context, planner.connection, planner.system, planner.stream, days)
    results: dict[str, StepResult] = {}
    for key, closed in shut.items():
        if closed is None:
            results[key] = StepResult(
                waits_for=f"the accounting periods of {planner.system}",
                events=(periods_of(planner.system),),
            )
            continue
        case = planner.case(
            "period_closed",
            "period gate",
            closed.words,
            "Reopen the period, or correct the date at the source; then replay.",
            field="accounting date",
            value=str(closed.day),
        )
        results[key] = StepResult(held=True, waits_for=case.words, cases=(case,))
    return results


def _registered(record: Record, system: str, stream: str) -> NewDocument:
    """The document's permanent reference; writing back to the source keeps the source's own id."""
    return NewDocument(
        record_key=record.record_key,
        reference=f"{stream}-{record.source_key}",
        legal_entity=record.legal_entity,
        partition_no=partition_of_record(record),
        target_id=record.source_key if is_own(record, system, stream) else "",
    )


def _taken(planner: Planner, record: Record) -> StepResult:
    """Two records must never share one document in a target."""
    case = planner.case(
        "reference_taken",
        f"{planner.system}.{planner.stream}",
        f"the reference {planner.stream}-{record.source_key} is another record's document",
        "Write the two kinds of records to different streams, or give one of them another key.",
        field="reference",
        value=f"{planner.stream}-{record.source_key}",
    )
    return StepResult(held=True, waits_for=case.words, cases=(case,))


def deleted_at_source(connection: Connection, subjects: Iterable[Record]) -> set[str]:
    """Record keys whose newest arrival says that the source row is gone."""
    by_arrival = {one.arrival_id: one.record_key for one in subjects}
    return {by_arrival[one] for one in arrivals.deletions(connection, list(by_arrival))}


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
