"""What each document of a record would need: the planning of every step, read back and described.

The plans are made in the caller's transaction, which takes them back; this module only tells what
they would have said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.engine.planning import take_documents_back, towards
from tieout.engine.reprocess_gates import GATES, stopped_at
from tieout.engine.steps import references
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.store import documents, intents, records
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.documents import Document
from tieout.store.intents import Earlier
from tieout.store.life_parts import changed_fields, flat
from tieout.store.life_seen import FieldChange
from tieout.store.records import Record
from tieout.store.replay_selection import ChosenDispatch

WRITES = ("create", "change", "void", "reverse and create")
MOST_FIELDS = 60


@dataclass(frozen=True, slots=True)
class DocumentSeen:
    """One document and what would happen to it.

    `move`: create, change, void, reverse and create, nothing, in flight, waits or held. `before`
    and `after` are the amounts in `currency` that the target holds and would hold. `once` says what
    an earlier step waits for first. A step without a document (require, approve, wait, call) that
    would not be passed at once stands for itself: `system` is empty, `stream` is its verb.
    """

    record_type: str
    record_key: str
    source_key: str
    system: str
    stream: str
    reference: str
    move: str
    why: str = ""
    legal_entity: str = ""
    currency: str = ""
    before: Decimal | None = None
    after: Decimal | None = None
    fields: tuple[FieldChange, ...] = ()
    once: str = ""


def stopped(subject: str, case: NewCase, source_key: str | None) -> DocumentSeen:
    """An arrival that a case would stop: nothing would be written anywhere."""
    return DocumentSeen(
        case.record_type,
        case.record_key,
        source_key or "",
        case.system,
        case.stream,
        subject,
        "held",
        f"{case.control}: {case.words}",
        case.legal_entity,
        case.currency,
    )


def documents_of(
    context: Context, connection: Connection, flow: FlowSpec, subjects: Sequence[Record]
) -> list[DocumentSeen]:
    """What every step of a flow would write for these records, in or out of its scope; a record
    that a rule would stop is not looked at any further."""
    inside = [one for one in subjects if one.in_scope]
    outside = [one for one in subjects if not one.in_scope]
    waits: dict[str, str] = {}
    seen: list[DocumentSeen] = []
    for number, step in enumerate(flow.steps):
        found: list[DocumentSeen] = []
        if step.verb in GATES and inside:
            stopped = stopped_at(context, connection, flow, number, inside)
            found = [
                _gate(one, step, *stopped[one.record_key])
                for one in inside
                if one.record_key in stopped
            ]
            waits |= {one.record_key: one.why for one in found if one.record_key not in waits}
            inside = [one for one in inside if not stopped.get(one.record_key, (False, ""))[0]]
        elif step.verb == "ensure" and inside:
            parents = _parents(context, connection, flow, step, inside)
            found = _step(context, connection, flow, step, parents, True)
        elif step.verb == "write":
            found = _step(context, connection, flow, step, inside, True)
            found = [replace(one, once=waits.get(one.record_key, "")) for one in found]
            found += _step(context, connection, flow, step, outside, False)
        seen += found
    return seen


def _gate(record: Record, step: StepSpec, held: bool, why: str) -> DocumentSeen:
    return DocumentSeen(
        record.record_type,
        record.record_key,
        record.source_key,
        "",
        step.verb,
        step.name,
        "held" if held else "waits",
        why,
        record.legal_entity,
        record.currency,
    )


def _parents(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    step: StepSpec,
    subjects: Sequence[Record],
) -> list[Record]:
    paths = [
        path
        for path, to in context.landscape.records[flow.record_type].references()
        if to == step.record_type
    ]
    keys = {key for one in subjects for key in references(one.body, paths)}
    return list(records.newest(connection, step.record_type, sorted(keys)).values())


def _step(
    context: Context,
    connection: Connection,
    flow: FlowSpec,
    step: StepSpec,
    subjects: Sequence[Record],
    forward: bool,
) -> list[DocumentSeen]:
    if not subjects:
        return []
    system, stream = context.compiled.target_of(step)
    keys = [one.record_key for one in subjects]
    kind = subjects[0].record_type
    was = documents.known(connection, system, stream, kind, keys)
    if forward:
        on_change = "update" if step.verb == "ensure" else step.on_change
        results = towards(context, connection, flow, step, subjects, on_change)
    else:
        results = take_documents_back(context, connection, flow, step, subjects)
    now = documents.known(connection, system, stream, kind, keys)
    ids = {one.last_body for one in was.values() if one.last_body}
    ids |= {one.open_dispatch for one in now.values() if one.open_dispatch}
    said = intents.earlier(connection, sorted(ids))
    return [
        _described(one, system, stream, was.get(one.record_key), now.get(one.record_key), said,
                   results[one.record_key])
        for one in subjects
        if one.record_key in now
    ]  # fmt: skip


def _described(
    record: Record,
    system: str,
    stream: str,
    was: Document | None,
    now: Document | None,
    said: Mapping[int, Earlier],
    result: StepResult,
) -> DocumentSeen:
    before = said.get(was.last_body or 0) if was is not None and was.state != "voided" else None
    planned = None
    move, why = _move(result), result.waits_for
    if now is not None and now.open_dispatch and now.open_dispatch != (was and was.open_dispatch):
        planned = said[now.open_dispatch]
        move, why = str(now.open_action), ""
        if move == "void" and record.in_scope:
            move, why = "reverse and create", "what is there is reversed, then written anew"
    if result.cases:
        why = result.cases[0].words
    after = before.amount if before else None
    fields: tuple[FieldChange, ...] = ()
    if planned is not None:
        after = planned.amount
        fields = changed_fields(_flat(before), _flat(planned))[:MOST_FIELDS]
    if move == "void":
        after, fields = Decimal(0), ()
    elif move == "reverse and create":
        after, fields = record.amount, ()
    return DocumentSeen(
        record.record_type,
        record.record_key,
        record.source_key,
        system,
        stream,
        now.reference if now is not None else "",
        move,
        why,
        record.legal_entity,
        record.currency,
        before.amount if before else None,
        after,
        fields,
    )


def _move(result: StepResult) -> str:
    if result.passed:
        return "nothing"
    if result.held:
        return "held"
    return "in flight" if result.document is not None else "waits"


def _flat(said: Earlier | None) -> dict[str, str]:
    return flat(json.loads(said.body)) if said is not None and said.body else {}


def resent(connection: Connection, one: ChosenDispatch, document: Document) -> DocumentSeen:
    """A dispatch that would leave again, against what is proven to be there."""
    ids = [one.dispatch_id] + ([document.proven_dispatch] if document.proven_dispatch else [])
    said = intents.earlier(connection, ids)
    before = said.get(document.proven_dispatch or 0)
    return DocumentSeen(
        one.record_type,
        one.record_key,
        "",
        one.system,
        one.stream,
        one.reference,
        one.action,
        f"the bytes of dispatch:{one.dispatch_id} again, under the same write key",
        one.legal_entity,
        one.currency,
        before.amount if before else None,
        Decimal(0) if one.action == "void" else one.amount,
        changed_fields(_flat(before), _flat(said[one.dispatch_id]))[:MOST_FIELDS],
    )
