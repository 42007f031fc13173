"""Documents: the register of what should be in other systems. One row per document, ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.rules.document import DocumentState, OpenState
from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Landed:
    """The last write of a document that was sent and never proven: it may be there."""

    dispatch_id: int
    action: str
    digest: str
    revision: int
    generation: int
    reference: str
    target_id: str


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
    landed: Landed | None = None

    @property
    def last_body(self) -> int | None:
        """The dispatch whose body says best what the target holds of ours."""
        return self.landed.dispatch_id if self.landed else self.proven_dispatch


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to register; it exists nowhere yet."""

    record_key: str
    reference: str
    legal_entity: str
    partition_no: int
    target_id: str = ""
    part: str = ""


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
        "coalesce(d.action, ''), coalesce(d.attempts, 0), l.dispatch_id, l.action, l.digest, "
        "l.revision, l.generation, l.reference, l.target_id "
        "FROM documents c LEFT JOIN dispatches d ON d.dispatch_id = c.open_dispatch "
        "LEFT JOIN LATERAL (SELECT * FROM dispatches x WHERE x.document_id = c.document_id "
        "AND x.state = 'differs' AND x.revision > c.revision "
        "ORDER BY x.revision DESC, x.dispatch_id DESC LIMIT 1) AS l ON true "
        "WHERE c.system = %s AND c.stream = %s AND c.record_type = %s AND c.record_key = ANY(%s) "
        "ORDER BY c.document_id FOR UPDATE OF c",
        (system, stream, record_type, list(record_keys)),
    ).fetchall()
    return {
        str(row[4]): Document(*[*row[:21], Landed(*row[21:]) if row[21] is not None else None])
        for row in rows
    }


def lock(connection: Connection, document_ids: Sequence[int]) -> None:
    """Take these documents in the order in which everyone takes them, so that nobody waits for
    somebody who waits for him."""
    connection.execute(
        "SELECT FROM documents WHERE document_id = ANY(%s) ORDER BY document_id FOR UPDATE",
        (list(document_ids),),
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
