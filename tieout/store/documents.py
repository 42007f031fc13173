"""Documents: the register of what should be in other systems. One row per document, ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.rules.document import DocumentState, OpenState
from tieout.store.database import Connection
from tieout.store.ids import draw


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
    born: bool = True  # False: not on the register yet; it is put there with its first plan

    @property
    def last_body(self) -> int | None:
        """The dispatch whose body says best what the target holds of ours."""
        return self.landed.dispatch_id if self.landed else self.proven_dispatch


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document as it would be registered, should it not be on the register."""

    record_key: str
    reference: str
    legal_entity: str
    partition_no: int
    target_id: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Documents by record key, and the record keys whose reference is another record's document."""

    documents: Mapping[str, Document]
    taken: frozenset[str]


class RegisteredMeanwhile(Exception):
    """Another worker has just registered the same document; decide again."""


def find_or_draft(
    connection: Connection,
    system: str,
    stream: str,
    record_type: str,
    wanted: Sequence[NewDocument],
) -> Found:
    """Registered documents, locked; a draft with an id of its own for each that is not there yet.

    Two records must never share one document: a record whose reference is another's is not given a
    document but named in `taken`.
    """
    found = dict(known(connection, system, stream, record_type, [d.record_key for d in wanted]))
    missing = [one for one in wanted if one.record_key not in found]
    if not missing:
        return Found(found, frozenset())
    rows = connection.execute(
        "SELECT reference FROM documents WHERE reference = ANY(%s) AND system = %s AND stream = %s",
        ([one.reference for one in missing], system, stream),
    ).fetchall()
    used = {str(row[0]) for row in rows}
    ids = draw(connection, "documents.document_id", len(missing))
    taken: set[str] = set()
    for document_id, one in zip(ids, missing, strict=True):
        if one.reference in used:
            taken.add(one.record_key)
            continue
        used.add(one.reference)
        found[one.record_key] = Document(
            document_id=document_id,
            system=system,
            stream=stream,
            record_type=record_type,
            record_key=one.record_key,
            part=one.part,
            reference=one.reference,
            generation=1,
            revision=0,
            state="absent",
            target_id=one.target_id,
            number="",
            proven_digest="",
            proven_dispatch=None,
            open_dispatch=None,
            refused_intent="",
            refusal="",
            open_state="",
            open_digest="",
            open_action="",
            open_attempts=0,
            born=False,
        )
    return Found(found, frozenset(taken))


def register(
    connection: Connection,
    drafts: Sequence[tuple[Document, NewDocument]],
    open_dispatches: Mapping[int, int],
) -> None:
    """Put drafts on the register, with their first dispatch where there is one (by document id).

    Raises RegisteredMeanwhile when one of them is there by now.
    """
    if not drafts:
        return
    ordered = sorted(drafts, key=lambda draft: draft[1].record_key)
    first = ordered[0][0]
    registered = connection.execute(
        "INSERT INTO documents (document_id, system, stream, record_type, record_key, part, "
        "reference, state, target_id, open_dispatch, legal_entity, partition_no) "
        "OVERRIDING SYSTEM VALUE SELECT t.id, %s, %s, %s, t.key, t.part, t.reference, 'absent', "
        "t.target_id, t.dispatch, t.entity, t.part_no "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], "
        "%s::text[], %s::int[]) AS t (id, key, part, reference, target_id, dispatch, entity, "
        "part_no) ON CONFLICT DO NOTHING",
        (
            first.system,
            first.stream,
            first.record_type,
            [document.document_id for document, _ in ordered],
            [new.record_key for _, new in ordered],
            [new.part for _, new in ordered],
            [new.reference for _, new in ordered],
            [new.target_id for _, new in ordered],
            [open_dispatches.get(document.document_id) for document, _ in ordered],
            [new.legal_entity for _, new in ordered],
            [new.partition_no for _, new in ordered],
        ),
    ).rowcount
    if registered != len(ordered):
        raise RegisteredMeanwhile("a document was registered by another worker in between")


def known(
    connection: Connection, system: str, stream: str, record_type: str, record_keys: Sequence[str]
) -> Mapping[str, Document]:
    """Registered documents by record key, locked until the transaction ends.

    Locked first and read after it: what somebody else committed while we waited is seen then.
    """
    locked = connection.execute(
        "SELECT FROM documents WHERE record_key = ANY(%s) AND system = %s AND stream = %s "
        "AND record_type = %s ORDER BY document_id FOR UPDATE",
        (list(record_keys), system, stream, record_type),
    ).rowcount
    if not locked:
        return {}
    rows = connection.execute(
        "SELECT c.document_id, c.system, c.stream, c.record_type, c.record_key, c.part, "
        "c.reference, c.generation, c.revision, c.state, c.target_id, c.number, c.proven_digest, "
        "c.proven_dispatch, c.open_dispatch, c.refused_intent, c.refusal, coalesce(d.state, ''), "
        "coalesce(d.digest, ''), coalesce(d.action, ''), coalesce(d.attempts, 0), "
        "l.dispatch_id, l.action, l.digest, l.revision, l.generation, l.reference, l.target_id "
        "FROM documents c LEFT JOIN dispatches d ON d.dispatch_id = c.open_dispatch "
        "LEFT JOIN dispatches l ON l.dispatch_id = c.landed_dispatch "
        "WHERE c.record_key = ANY(%s) AND c.system = %s AND c.stream = %s "
        "AND c.record_type = %s ORDER BY c.document_id",
        (list(record_keys), system, stream, record_type),
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
