"""Intents: what is to be written where, committed before anything leaves, and never changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection
from tieout.store.dispatches import Dispatch, KeyBound
from tieout.store.documents import Document
from tieout.store.ids import draw


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """An intent to commit. `body` is the target document as canonical JSON."""

    document: Document
    action: str
    generation: int
    revision: int
    write_key: str
    reference: str
    target_id: str
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


def revision_of(document: Document, action: str, digest: str) -> int:
    """One more than what may have landed; the same content again keeps its revision."""
    landed = document.landed
    if landed is None:
        return document.revision + 1
    same = (landed.action, landed.digest) == (action, digest)
    return landed.revision if same else landed.revision + 1


def target_of(document: Document, action: str, generation: int) -> str:
    """The target's id of what is written to; a new generation has none yet."""
    landed = document.landed
    if landed is not None and landed.generation == generation and landed.action != "void":
        return landed.target_id or document.target_id
    new = generation != document.generation and action == "create"
    return "" if new else document.target_id


def write_key_of(document: Document, revision: int) -> str:
    """System + stream + record key + part + revision; never the run (DESIGN D8)."""
    part = f"/{document.part}" if document.part else ""
    return f"{document.system}/{document.stream}/{document.record_key}{part}/{revision}"


def plan(connection: Connection, new: Sequence[NewDispatch]) -> list[Dispatch]:
    """Commit intents towards one stream (with the caller's transaction), in order.

    A draft document is not told of its dispatch here: it is registered with it. Raises KeyBound
    when a write key is bound to other content.
    """
    _refuse_bound(connection, [n for n in new if n.document.born])
    ids = draw(connection, "intents.dispatch_id", len(new))
    now = clock.now()
    for same, group in _alike(zip(ids, new, strict=True)).items():
        _insert(connection, now, same, group)
    told = [(i, n.document.document_id) for i, n in zip(ids, new, strict=True) if n.document.born]
    if told:
        connection.execute(
            "UPDATE documents c SET open_dispatch = t.dispatch_id "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS t (dispatch_id, document_id) "
            "WHERE c.document_id = t.document_id",
            ([i for i, _ in told], [document_id for _, document_id in told]),
        )
    return [_planned(i, n) for i, n in zip(ids, new, strict=True)]


def _refuse_bound(connection: Connection, again: Sequence[NewDispatch]) -> None:
    """A write key that may have landed with one content never leaves with another."""
    if not again:
        return
    row = connection.execute(
        "SELECT k.write_key FROM write_keys k "
        "JOIN unnest(%s::text[], %s::text[]) AS t (write_key, digest) USING (write_key) "
        "WHERE k.bound AND k.digest <> t.digest LIMIT 1",
        ([n.write_key for n in again], [n.digest for n in again]),
    ).fetchone()
    if row is not None:
        raise KeyBound(f"the write key {row[0]} is bound to other content that may have landed")


def _alike(
    numbered: Iterable[tuple[int, NewDispatch]],
) -> dict[tuple[object, ...], list[tuple[int, NewDispatch]]]:
    """Intents by what a whole batch mostly shares."""
    found: dict[tuple[object, ...], list[tuple[int, NewDispatch]]] = {}
    for i, n in numbered:
        d = n.document
        same = (
            d.system,
            d.stream,
            d.record_type,
            n.flow,
            n.lane,
            n.due_at,
            n.mapping,
            n.mapping_version,
            n.landscape_hash,
        )
        found.setdefault(same, []).append((i, n))
    return found


def _insert(
    connection: Connection,
    now: dt.datetime,
    same: tuple[object, ...],
    group: Sequence[tuple[int, NewDispatch]],
) -> None:
    system, stream, record_type, flow, lane, due_at, mapping, mapping_version, landscape_hash = same
    ids = [i for i, _ in group]
    new = [n for _, n in group]
    connection.execute(
        "INSERT INTO intents (dispatch_id, write_key, document_id, revision, generation, action, "
        "system, stream, record_type, record_key, record_version, flow, reference, body, digest, "
        "previous, aimed_at, legal_entity, currency, amount, period, mapping, mapping_version, "
        "landscape_hash, rate_ids, planned_at) OVERRIDING SYSTEM VALUE "
        "SELECT t.id, t.write_key, t.document_id, t.revision, t.generation, t.action, %s, %s, %s, "
        "t.record_key, t.record_version, %s, t.reference, t.body, t.digest, t.previous, "
        "t.aimed_at, t.entity, t.currency, t.amount, t.period, %s, %s, %s, "
        "coalesce(string_to_array(nullif(t.rates, ''), chr(31)), '{}'), %s "
        "FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::int[], %s::text[], "
        "%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], "
        "%s::text[], %s::text[], %s::numeric[], %s::text[], %s::text[]) AS t (id, write_key, "
        "document_id, revision, generation, action, record_key, record_version, reference, body, "
        "digest, previous, aimed_at, entity, currency, amount, period, rates)",
        (
            system,
            stream,
            record_type,
            flow,
            mapping,
            mapping_version,
            landscape_hash,
            now,
            ids,
            [n.write_key for n in new],
            [n.document.document_id for n in new],
            [n.revision for n in new],
            [n.generation for n in new],
            [n.action for n in new],
            [n.document.record_key for n in new],
            [n.record_version for n in new],
            [n.reference for n in new],
            [n.body for n in new],
            [n.digest for n in new],
            [n.document.last_body for n in new],
            [n.target_id for n in new],
            [n.legal_entity for n in new],
            [n.currency for n in new],
            [n.amount for n in new],
            [n.period for n in new],
            ["\x1f".join(n.rate_ids) for n in new],
        ),
    )
    connection.execute(
        "INSERT INTO dispatch_states (dispatch_id, document_id, system, stream, state, lane, "
        "partition_no, due_at, target_id, legal_entity) "
        "SELECT t.id, t.document_id, %s, %s, 'planned', %s, t.part, %s, t.target_id, t.entity "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[], %s::text[]) "
        "AS t (id, document_id, part, target_id, entity)",
        (
            system,
            stream,
            lane,
            due_at,
            ids,
            [n.document.document_id for n in new],
            [n.partition_no for n in new],
            [n.target_id for n in new],
            [n.legal_entity for n in new],
        ),
    )


def _planned(dispatch_id: int, n: NewDispatch) -> Dispatch:
    """What was just planned, as it would be read back."""
    d = n.document
    return Dispatch(
        dispatch_id, n.write_key, d.document_id, n.revision, n.generation, n.action, d.system,
        d.stream, d.record_type, d.record_key, n.record_version, n.flow, n.reference, n.body,
        n.digest, d.last_body, "planned", 0, 0, "", None, n.target_id, n.legal_entity, n.currency,
        n.amount, n.period, n.mapping, n.landscape_hash,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier dispatch carried: what a reversal takes back."""

    body: str
    digest: str
    currency: str
    amount: Decimal | None
    period: str
    accounting_date: dt.date | None


def earlier(connection: Connection, dispatch_ids: Sequence[int]) -> Mapping[int, Earlier]:
    """What these dispatches carried, by id."""
    if not dispatch_ids:
        return {}
    rows = connection.execute(
        "SELECT d.dispatch_id, d.body, d.digest, d.currency, d.amount, d.period, "
        "r.accounting_date FROM intents d LEFT JOIN records r ON r.record_type = d.record_type "
        "AND r.record_key = d.record_key AND r.version = d.record_version "
        "WHERE d.dispatch_id = ANY(%s)",
        (list(dispatch_ids),),
    ).fetchall()
    return {int(row[0]): Earlier(*row[1:]) for row in rows}


def previous_bodies(connection: Connection, dispatch_ids: Sequence[int]) -> Mapping[int, str]:
    """Bodies of earlier dispatches, by id."""
    if not dispatch_ids:
        return {}
    rows = connection.execute(
        "SELECT dispatch_id, body FROM intents WHERE dispatch_id = ANY(%s)",
        (list(dispatch_ids),),
    ).fetchall()
    return {int(row[0]): str(row[1]) for row in rows}
