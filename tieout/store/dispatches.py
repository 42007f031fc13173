"""Dispatches: every intent to put something into another system.

Intent before effect: a dispatch with its write key and bytes is committed before the first byte
leaves. A write key is bound to its digest once an attempt may have landed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection
from tieout.store.documents import Document


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
        """One more than what may have landed; the same content again keeps its revision."""
        landed = self.document.landed
        if landed is None:
            return self.document.revision + 1
        same = (landed.action, landed.digest) == (self.action, self.digest)
        return landed.revision if same else landed.revision + 1

    @property
    def target_id(self) -> str:
        """The target's id of what is written to; a new generation has none yet."""
        landed = self.document.landed
        if landed is not None and landed.generation == self.generation and landed.action != "void":
            return landed.target_id or self.document.target_id
        new = self.generation != self.document.generation and self.action == "create"
        return "" if new else self.document.target_id

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
                    n.document.last_body,
                    n.due_at,
                    n.target_id,
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


class LeftMeanwhile(Exception):
    """A plan that was to be dropped has just been sent by another worker; decide again."""


def supersede(connection: Connection, dispatch_ids: Sequence[int]) -> None:
    """Drop plans that were never sent. Raises LeftMeanwhile when one has left since it was read."""
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
    if len(done) != len(set(dispatch_ids)):
        raise LeftMeanwhile("a plan was sent before it could be replaced")


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
    locked: bool = False,
) -> list[Dispatch]:
    """Dispatches of one stream in one state that are due, close-critical lane first.

    `whole_batch`: once one is due, everything in that state goes along (a batched stream).
    `locked`: nobody may change them before the transaction ends.
    """
    rows = connection.execute(
        f"SELECT {_DISPATCH} FROM dispatches d WHERE d.system = %s AND d.stream = %s "
        "AND d.state = %s AND (%s OR d.due_at <= %s) AND d.partition_no = ANY(%s) "
        "ORDER BY array_position(ARRAY['close_critical', 'standard', 'bulk'], d.lane), "
        f"d.dispatch_id LIMIT %s{' FOR UPDATE' if locked else ''}",
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


def previous_bodies(connection: Connection, dispatch_ids: Sequence[int]) -> Mapping[int, str]:
    """Bodies of earlier dispatches, by id."""
    rows = connection.execute(
        "SELECT dispatch_id, body FROM dispatches WHERE dispatch_id = ANY(%s)",
        (list(dispatch_ids),),
    ).fetchall()
    return {int(row[0]): str(row[1]) for row in rows}


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
    rows = connection.execute(
        "SELECT d.dispatch_id, d.body, d.digest, d.currency, d.amount, d.period, "
        "r.accounting_date FROM dispatches d LEFT JOIN records r ON r.record_type = d.record_type "
        "AND r.record_key = d.record_key AND r.version = d.record_version "
        "WHERE d.dispatch_id = ANY(%s)",
        (list(dispatch_ids),),
    ).fetchall()
    return {int(row[0]): Earlier(*row[1:]) for row in rows}


def orphans(connection: Connection, partitions: Sequence[int]) -> list[Dispatch]:
    """Dispatches somebody began to send and never settled: their worker died."""
    rows = connection.execute(
        f"SELECT {_DISPATCH} FROM dispatches d WHERE d.state = 'sending' "
        "AND d.partition_no = ANY(%s) ORDER BY d.dispatch_id",
        (list(partitions),),
    ).fetchall()
    return [Dispatch(*row) for row in rows]
