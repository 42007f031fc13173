"""Attempts and proofs: the evidence of every try, and of what reading back showed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.store.database import Connection
from tieout.store.dispatches import Dispatch
from tieout.store.records import REVERSAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, or one look, as evidence."""

    dispatch_id: int
    attempt_no: int
    kind: str
    outcome: str
    code: str
    words: str
    http_status: int | None
    started_at: dt.datetime
    legal_entity: str


def log_attempts(connection: Connection, attempts: Sequence[Attempt], worker: str) -> None:
    """Keep the evidence of tries and looks."""
    if not attempts:
        return
    now = clock.now()
    connection.execute(
        "INSERT INTO attempts (dispatch_id, attempt_no, kind, outcome, code, words, http_status, "
        "started_at, legal_entity, ended_at, worker) "
        "SELECT t.*, %s, %s FROM unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], "
        "%s::text[], %s::text[], %s::int[], %s::timestamptz[], %s::text[]) AS t",
        (
            now,
            worker,
            [a.dispatch_id for a in attempts],
            [a.attempt_no for a in attempts],
            [a.kind for a in attempts],
            [a.outcome for a in attempts],
            [a.code for a in attempts],
            [a.words for a in attempts],
            [a.http_status for a in attempts],
            [a.started_at for a in attempts],
            [a.legal_entity for a in attempts],
        ),
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of reading back. `meant`, `found`, `differences` are canonical JSON texts."""

    dispatch: Dispatch
    agrees: bool
    meant: str
    found: str
    differences: str
    target_id: str
    number: str
    digest: str


def add_proofs(connection: Connection, proofs: Sequence[Proof]) -> None:
    """Store proofs; those that agree move the document and link the ids."""
    now = clock.now()
    connection.execute(
        "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, differences, "
        "target_id, number, digest, read_at, legal_entity) "
        "SELECT t.dispatch_id, t.document_id, CASE WHEN t.agrees THEN 'agrees' ELSE 'differs' END, "
        "t.meant, t.found, t.differences, t.target_id, t.number, t.digest, %s, t.entity "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[], %s::text[], %s::text[], "
        "%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) AS t (dispatch_id, "
        "document_id, agrees, meant, found, differences, target_id, number, digest, entity)",
        (
            now,
            [p.dispatch.dispatch_id for p in proofs],
            [p.dispatch.document_id for p in proofs],
            [p.agrees for p in proofs],
            [p.meant for p in proofs],
            [p.found for p in proofs],
            [p.differences for p in proofs],
            [p.target_id for p in proofs],
            [p.number for p in proofs],
            [p.digest for p in proofs],
            [p.dispatch.legal_entity for p in proofs],
        ),
    )
    agreed = [p for p in proofs if p.agrees]
    connection.execute(
        "UPDATE documents c SET state = CASE WHEN t.action IN ('void', 'delete') THEN 'voided' "
        "ELSE 'present' END, revision = t.revision, generation = t.generation, "
        "reference = t.reference, proven_digest = t.digest, proven_dispatch = t.dispatch_id, "
        "refused_intent = '', refusal = '', landed_dispatch = NULL, "
        "open_dispatch = CASE WHEN c.open_dispatch <> t.dispatch_id THEN c.open_dispatch END, "
        "target_id = CASE WHEN t.action = 'void' THEN c.target_id ELSE t.target_id END, "
        "number = CASE WHEN t.action = 'void' THEN c.number ELSE t.number END "
        "FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::text[], %s::text[], "
        "%s::bigint[], %s::text[], %s::text[]) AS t (document_id, action, revision, generation, "
        "reference, digest, dispatch_id, target_id, number) WHERE c.document_id = t.document_id",
        (
            [p.dispatch.document_id for p in agreed],
            [p.dispatch.action for p in agreed],
            [p.dispatch.revision for p in agreed],
            [p.dispatch.generation for p in agreed],
            [p.dispatch.reference for p in agreed],
            [p.dispatch.digest for p in agreed],
            [p.dispatch.dispatch_id for p in agreed],
            [p.target_id for p in agreed],
            [p.number for p in agreed],
        ),
    )
    linked = list(
        {
            (p.target_id, p.dispatch.system, p.dispatch.stream): p for p in agreed if p.target_id
        }.values()
    )
    if linked:
        _link(connection, linked, now)


def _link(connection: Connection, linked: Sequence[Proof], now: dt.datetime) -> None:
    """Link the target's ids to the records. What takes a document back (a credit memo) is never
    taken for it."""
    voids = [p for p in linked if p.dispatch.action == "void"]
    others = _targets_of(connection, [p.dispatch.document_id for p in voids])
    reversals = {
        p.dispatch.dispatch_id
        for p in voids
        if others.get(p.dispatch.document_id, "") not in {"", p.target_id}
    }
    connection.execute(
        "INSERT INTO links AS x (system, stream, external_id, record_type, record_key, number, "
        "linked_at) SELECT t.system, t.stream, t.target_id, t.record_type, t.record_key, "
        "t.number, %s "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) "
        "AS t (system, stream, target_id, record_type, record_key, number) "
        "ORDER BY t.target_id, t.system, t.stream "
        "ON CONFLICT (external_id, system, stream) DO UPDATE "
        "SET number = CASE WHEN excluded.number = '' THEN x.number ELSE excluded.number END "
        "WHERE excluded.number NOT IN ('', x.number)",
        (
            now,
            [p.dispatch.system for p in linked],
            [
                p.dispatch.stream + (REVERSAL if p.dispatch.dispatch_id in reversals else "")
                for p in linked
            ],
            [p.target_id for p in linked],
            [p.dispatch.record_type for p in linked],
            [p.dispatch.record_key for p in linked],
            [p.number for p in linked],
        ),
    )


def _targets_of(connection: Connection, document_ids: Sequence[int]) -> dict[int, str]:
    if not document_ids:
        return {}
    rows = connection.execute(
        "SELECT document_id, target_id FROM documents WHERE document_id = ANY(%s)",
        (list(document_ids),),
    ).fetchall()
    return {int(row[0]): str(row[1]) for row in rows}
