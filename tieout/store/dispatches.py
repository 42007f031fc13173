"""Documents and dispatches: what should be in other systems, and every intent to put it there.

Intent before effect: a dispatch with its write key and bytes is committed before the first byte
leaves. A write key is bound to its digest once an attempt may have landed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.rules.document import DocumentState, OpenState
from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Document:
    """One document in one target system, with its open dispatch if it has one."""

    document_id: int
    system: str
    stream: str
    record_type: str
    record_key: str
    part: str
    reference: str
    generation: int
    revision: int
    state: DocumentState
    target_id: str
    number: str
    proven_digest: str
    proven_dispatch: int | None
    open_dispatch: int | None
    refused_intent: str
    refusal: str
    open_state: OpenState
    open_digest: str
    open_action: str
    open_attempts: int


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to register; it exists nowhere yet."""

    record_key: str
    reference: str
    legal_entity: str
    partition_no: int
    target_id: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """An intent to commit. `body` is the target document as canonical JSON."""

    document: Document
    action: str
    generation: int
    reference: str
    record_version: int
    flow: str
    body: str
    digest: str
    due_at: dt.datetime
    lane: str
    partition_no: int
    legal_entity: str
    currency: str
    amount: Decimal | None
    period: str
    mapping: str
    mapping_version: int
    landscape_hash: str
    rate_ids: tuple[str, ...]

    @property
    def revision(self) -> int:
        return self.document.revision + 1

    @property
    def write_key(self) -> str:
        """System + stream + record key + part + revision; never the run (DESIGN D8)."""
        document = self.document
        part = f"/{document.part}" if document.part else ""
        return f"{document.system}/{document.stream}/{document.record_key}{part}/{self.revision}"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A dispatch as the engine sends, follows or proves it."""

    dispatch_id: int
    write_key: str
    document_id: int
    revision: int
    generation: int
    action: str
    system: str
    stream: str
    record_type: str
    record_key: str
    record_version: int
    flow: str
    reference: str
    body: str
    digest: str
    previous: int | None
    state: str
    attempts: int
    looks: int
    handle: str
    delivery_id: int | None
    target_id: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    period: str


class KeyBound(Exception):
    """A write key is bound to other content that may have landed; it must be settled first."""


_DISPATCH = (
    "d.dispatch_id, d.write_key, d.document_id, d.revision, d.generation, d.action, d.system, "
    "d.stream, d.record_type, d.record_key, d.record_version, d.flow, d.reference, d.body, "
    "d.digest, d.previous, d.state, d.attempts, d.looks, d.handle, d.delivery_id, d.target_id, "
    "d.legal_entity, d.currency, d.amount, d.period"
)


def register(
    connection: Connection,
    system: str,
    stream: str,
    record_type: str,
    documents: Sequence[NewDocument],
) -> Mapping[str, Document]:
    """Make sure these documents are on the register; returns them by record key, locked.

    A reference that another record's document already has violates a unique constraint and fails
    the transaction: two records must never share one document.
    """
    if not documents:
        return {}
    connection.execute(
        "INSERT INTO documents (system, stream, record_type, record_key, part, reference, state, "
        "target_id, legal_entity, partition_no) "
        "SELECT %s, %s, %s, t.key, t.part, t.reference, 'absent', t.target_id, t.entity, t.part_no "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[]) "
        "AS t (key, part, reference, target_id, entity, part_no) ORDER BY t.key "
        "ON CONFLICT (system, stream, record_type, record_key, part) DO NOTHING",
        (
            system,
            stream,
            record_type,
            [d.record_key for d in documents],
            [d.part for d in documents],
            [d.reference for d in documents],
            [d.target_id for d in documents],
            [d.legal_entity for d in documents],
            [d.partition_no for d in documents],
        ),
    )
    return known(connection, system, stream, record_type, [d.record_key for d in documents])


def known(
    connection: Connection, system: str, stream: str, record_type: str, record_keys: Sequence[str]
) -> Mapping[str, Document]:
    """Registered documents by record key, locked until the transaction ends."""
    rows = connection.execute(
        "SELECT c.document_id, c.system, c.stream, c.record_type, c.record_key, c.part, "
        "c.reference, c.generation, c.revision, c.state, c.target_id, c.number, c.proven_digest, "
        "c.proven_dispatch, c.open_dispatch, c.refused_intent, c.refusal, coalesce(d.state, ''), "
        "coalesce(d.digest, ''), "
        "coalesce(d.action, ''), coalesce(d.attempts, 0) "
        "FROM documents c LEFT JOIN dispatches d ON d.dispatch_id = c.open_dispatch "
        "WHERE c.system = %s AND c.stream = %s AND c.record_type = %s AND c.record_key = ANY(%s) "
        "ORDER BY c.document_id FOR UPDATE OF c",
        (system, stream, record_type, list(record_keys)),
    ).fetchall()
    return {str(row[4]): Document(*row) for row in rows}


def plan(connection: Connection, new: Sequence[NewDispatch]) -> list[int]:
    """Commit intents (with the caller's transaction). Returns dispatch ids in order.

    Raises KeyBound when a write key is bound to other content.
    """
    now = clock.now()
    ids: list[int] = []
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO dispatches (write_key, document_id, revision, generation, action, system, "
            "stream, record_type, record_key, record_version, flow, reference, body, digest, "
            "previous, state, due_at, target_id, lane, partition_no, legal_entity, currency, "
            "amount, period, mapping, mapping_version, landscape_hash, rate_ids, planned_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'planned', %s, "
            "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING dispatch_id",
            [
                (
                    n.write_key,
                    n.document.document_id,
                    n.revision,
                    n.generation,
                    n.action,
                    n.document.system,
                    n.document.stream,
                    n.document.record_type,
                    n.document.record_key,
                    n.record_version,
                    n.flow,
                    n.reference,
                    n.body,
                    n.digest,
                    n.document.proven_dispatch,
                    n.due_at,
                    ""
                    if n.generation != n.document.generation and n.action == "create"
                    else n.document.target_id,
                    n.lane,
                    n.partition_no,
                    n.legal_entity,
                    n.currency,
                    n.amount,
                    n.period,
                    n.mapping,
                    n.mapping_version,
                    n.landscape_hash,
                    list(n.rate_ids),
                    now,
                )
                for n in new
            ],
            returning=True,
        )
        while True:
            row = cursor.fetchone()
            if row is None:
                raise RuntimeError("a planned dispatch returned no id")
            ids.append(int(row[0]))
            if not cursor.nextset():
                break
    bound = connection.execute(
        "INSERT INTO write_keys AS k (write_key, dispatch_id, digest) "
        "SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[]) "
        "ON CONFLICT (write_key) DO UPDATE SET dispatch_id = excluded.dispatch_id, "
        "digest = excluded.digest WHERE NOT k.bound OR k.digest = excluded.digest",
        ([n.write_key for n in new], ids, [n.digest for n in new]),
    ).rowcount
    if bound != len(new):
        raise KeyBound("a write key is bound to other content that may have landed")
    connection.execute(
        "UPDATE documents c SET open_dispatch = t.dispatch_id "
        "FROM unnest(%s::bigint[], %s::bigint[]) AS t (document_id, dispatch_id) "
        "WHERE c.document_id = t.document_id",
        ([n.document.document_id for n in new], ids),
    )
    return ids


def supersede(connection: Connection, dispatch_ids: Sequence[int]) -> None:
    """Drop plans that were never sent."""
    done = connection.execute(
        "UPDATE dispatches SET state = 'superseded', settled_at = %s "
        "WHERE dispatch_id = ANY(%s) AND state = 'planned' RETURNING document_id",
        (clock.now(), list(dispatch_ids)),
    ).fetchall()
    connection.execute(
        "UPDATE documents SET open_dispatch = NULL "
        "WHERE document_id = ANY(%s) AND open_dispatch = ANY(%s)",
        ([row[0] for row in done], list(dispatch_ids)),
    )


def due_streams(
    connection: Connection, partitions: Sequence[int], states: Sequence[str]
) -> list[tuple[str, str]]:
    """(system, stream) pairs that have something due in one of these states."""
    rows = connection.execute(
        "SELECT DISTINCT system, stream FROM dispatches WHERE state = ANY(%s) AND due_at <= %s "
        "AND partition_no = ANY(%s) ORDER BY 1, 2",
        (list(states), clock.now(), list(partitions)),
    ).fetchall()
    return [(str(system), str(stream)) for system, stream in rows]


def due(
    connection: Connection,
    system: str,
    stream: str,
    state: str,
    partitions: Sequence[int],
    most: int,
    *,
    whole_batch: bool = False,
) -> list[Dispatch]:
    """Dispatches of one stream in one state that are due, close-critical lane first.

    `whole_batch`: once one is due, everything in that state goes along (a batched stream).
    """
    rows = connection.execute(
        f"SELECT {_DISPATCH} FROM dispatches d WHERE d.system = %s AND d.stream = %s "
        "AND d.state = %s AND (%s OR d.due_at <= %s) AND d.partition_no = ANY(%s) "
        "ORDER BY array_position(ARRAY['close_critical', 'standard', 'bulk'], d.lane), "
        "d.dispatch_id LIMIT %s",
        (system, stream, state, whole_batch, clock.now(), list(partitions), most),
    ).fetchall()
    return [Dispatch(*row) for row in rows]


def start_sending(
    connection: Connection, dispatches: Sequence[Dispatch], *, delivery: str = ""
) -> int | None:
    """Commit that these are about to leave: state, attempt number, bound write key.

    With `delivery` (the digest of the grouped bytes) they are also tied to one delivery.
    """
    ids = [one.dispatch_id for one in dispatches]
    delivery_id: int | None = None
    if delivery:
        row = connection.execute(
            "INSERT INTO deliveries (system, stream, digest, size, made_at) "
            "VALUES (%s, %s, %s, %s, %s) RETURNING delivery_id",
            (dispatches[0].system, dispatches[0].stream, delivery, len(ids), clock.now()),
        ).fetchone()
        delivery_id = int(row[0]) if row else None
    connection.execute(
        "UPDATE dispatches SET state = 'sending', attempts = attempts + 1, "
        "delivery_id = coalesce(%s, delivery_id) WHERE dispatch_id = ANY(%s) AND state = 'planned'",
        (delivery_id, ids),
    )
    connection.execute("UPDATE write_keys SET bound = true WHERE dispatch_id = ANY(%s)", (ids,))
    return delivery_id


@dataclass(frozen=True, slots=True)
class Change:
    """A new state for a dispatch, and when to look at it again."""

    dispatch_id: int
    state: str
    due_at: dt.datetime
    handle: str = ""
    target_id: str = ""
    looks: int = 0


def change(connection: Connection, changes: Sequence[Change]) -> None:
    """Move dispatches to new states, one statement for all.

    A dispatch that is over frees its document; a rejected one also frees its write key, since it
    is proven that nothing landed.
    """
    if not changes:
        return
    over = ("proved", "differs", "rejected", "superseded")
    connection.execute(
        "UPDATE dispatches d SET state = t.state, due_at = t.due_at, handle = t.handle, "
        "target_id = CASE WHEN t.target_id = '' THEN d.target_id ELSE t.target_id END, "
        "looks = t.looks, settled_at = CASE WHEN t.state = ANY(%s) THEN %s::timestamptz END "
        "FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], "
        "%s::int[]) AS t (dispatch_id, state, due_at, handle, target_id, looks) "
        "WHERE d.dispatch_id = t.dispatch_id",
        (
            list(over),
            clock.now(),
            [c.dispatch_id for c in changes],
            [c.state for c in changes],
            [c.due_at for c in changes],
            [c.handle for c in changes],
            [c.target_id for c in changes],
            [c.looks for c in changes],
        ),
    )
    rejected = [c.dispatch_id for c in changes if c.state == "rejected"]
    if rejected:
        connection.execute(
            "UPDATE write_keys SET bound = false WHERE dispatch_id = ANY(%s)", (rejected,)
        )
    ended = [c.dispatch_id for c in changes if c.state in over]
    if ended:
        connection.execute(
            "UPDATE documents SET open_dispatch = NULL WHERE open_dispatch = ANY(%s)", (ended,)
        )


def refuse(connection: Connection, refusals: Sequence[tuple[int, str, str]]) -> None:
    """Remember (document id, intent, refusal JSON): the same intent is not tried again until a
    person replays it or the content changes."""
    if not refusals:
        return
    connection.execute(
        "UPDATE documents c SET refused_intent = t.intent, refusal = t.refusal "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS t (document_id, intent, refusal) "
        "WHERE c.document_id = t.document_id",
        tuple(list(column) for column in zip(*refusals, strict=True)),
    )


def forgive(connection: Connection, record_keys: Sequence[str]) -> int:
    """Let refused intents of these records be tried again; returns how many documents."""
    return connection.execute(
        "UPDATE documents SET refused_intent = '', refusal = '' "
        "WHERE record_key = ANY(%s) AND refused_intent <> ''",
        (list(record_keys),),
    ).rowcount


def previous_bodies(connection: Connection, dispatch_ids: Sequence[int]) -> Mapping[int, str]:
    """Bodies of earlier dispatches, by id."""
    rows = connection.execute(
        "SELECT dispatch_id, body FROM dispatches WHERE dispatch_id = ANY(%s)",
        (list(dispatch_ids),),
    ).fetchall()
    return {int(row[0]): str(row[1]) for row in rows}


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
    linked = {(p.dispatch.system, p.dispatch.stream, p.target_id): p for p in agreed if p.target_id}
    connection.execute(
        "INSERT INTO xrefs AS x (system, stream, external_id, record_type, record_key, number, "
        "linked_at) SELECT t.*, %s FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::text[], %s::text[]) AS t ON CONFLICT (system, stream, external_id) DO UPDATE "
        "SET number = CASE WHEN excluded.number = '' THEN x.number ELSE excluded.number END",
        (
            now,
            [key[0] for key in linked],
            [key[1] for key in linked],
            [key[2] for key in linked],
            [p.dispatch.record_type for p in linked.values()],
            [p.dispatch.record_key for p in linked.values()],
            [p.number for p in linked.values()],
        ),
    )


def orphans(connection: Connection, partitions: Sequence[int]) -> list[Dispatch]:
    """Dispatches somebody began to send and never settled: their worker died."""
    rows = connection.execute(
        f"SELECT {_DISPATCH} FROM dispatches d WHERE d.state = 'sending' "
        "AND d.partition_no = ANY(%s) ORDER BY d.dispatch_id",
        (list(partitions),),
    ).fetchall()
    return [Dispatch(*row) for row in rows]
