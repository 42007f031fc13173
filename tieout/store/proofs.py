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
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, differences, "
            "target_id, number, digest, read_at, legal_entity) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    p.dispatch.dispatch_id,
                    p.dispatch.document_id,
                    "agrees" if p.agrees else "differs",
                    p.meant,
                    p.found,
                    p.differences,
                    p.target_id,
                    p.number,
                    p.digest,
                    now,
                    p.dispatch.legal_entity,
                )
                for p in proofs
            ],
        )
    agreed = [p for p in proofs if p.agrees]
    connection.execute(
        "UPDATE documents c SET state = CASE WHEN t.action IN ('void', 'delete') THEN 'voided' "
        "ELSE 'present' END, revision = t.revision, generation = t.generation, "
        "reference = t.reference, proven_digest = t.digest, proven_dispatch = t.dispatch_id, "
        "refused_intent = '', refusal = '', "
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
    linked = {p.dispatch.document_id: p for p in agreed if p.target_id}
    connection.execute(  # what takes a document back (a credit memo) is never taken for it
        "INSERT INTO xrefs AS x (system, stream, external_id, record_type, record_key, number, "
        "linked_at) SELECT c.system, c.stream || CASE WHEN t.action = 'void' "
        "AND c.target_id NOT IN ('', t.target_id) THEN %s ELSE '' END, t.target_id, "
        "c.record_type, c.record_key, t.number, %s "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) "
        "AS t (document_id, action, target_id, number) JOIN documents c USING (document_id) "
        "ON CONFLICT (system, stream, external_id) DO UPDATE "
        "SET number = CASE WHEN excluded.number = '' THEN x.number ELSE excluded.number END",
        (
            REVERSAL,
            now,
            list(linked),
            [p.dispatch.action for p in linked.values()],
            [p.target_id for p in linked.values()],
            [p.number for p in linked.values()],
        ),
    )
