"""Dispatches under way: what is due, what leaves, what came of it.

The intent itself (`intents`) never changes; its state is a narrow row of its own. A write key is
bound to its digest once an attempt may have landed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection


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
    mapping: str
    landscape_hash: str

    def moved(
        self,
        state: str,
        attempts: int,
        looks: int,
        handle: str,
        delivery_id: int | None,
        target_id: str,
    ) -> Dispatch:
        """The same dispatch where it stands now. Written out: `replace` costs four times as much,
        and every write comes by here three times."""
        return Dispatch(
            self.dispatch_id, self.write_key, self.document_id, self.revision, self.generation,
            self.action, self.system, self.stream, self.record_type, self.record_key,
            self.record_version, self.flow, self.reference, self.body, self.digest, self.previous,
            state, attempts, looks, handle, delivery_id, target_id, self.legal_entity,
            self.currency, self.amount, self.period, self.mapping, self.landscape_hash,
        )  # fmt: skip


class KeyBound(Exception):
    """A write key is bound to other content that may have landed; it must be settled first."""


LANES = ("close_critical", "standard", "bulk")
OPEN = ("planned", "sending", "accepted", "unknown", "written", "in_doubt")

_DISPATCH = (
    "i.dispatch_id, i.write_key, i.document_id, i.revision, i.generation, i.action, i.system, "
    "i.stream, i.record_type, i.record_key, i.record_version, i.flow, i.reference, i.body, "
    "i.digest, i.previous, s.state, s.attempts, s.looks, s.handle, s.delivery_id, s.target_id, "
    "i.legal_entity, i.currency, i.amount, i.period, i.mapping, i.landscape_hash"
)


class LeftMeanwhile(Exception):
    """A plan that was to be dropped has just been sent by another worker; decide again."""


def supersede(connection: Connection, dispatch_ids: Sequence[int]) -> None:
    """Drop plans that were never sent. Raises LeftMeanwhile when one has left since it was read."""
    done = connection.execute(
        "UPDATE dispatch_states SET state = 'superseded', settled_at = %s "
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


def drop_unsent(connection: Connection, record_keys: Sequence[str]) -> list[int]:
    """Drop what is planned for these records and never left; returns the documents it was for.

    A newer version starts its flow over: what an older one planned further on must not leave
    meanwhile. The documents are locked in the order in which everyone takes them.
    """
    rows = connection.execute(
        "SELECT open_dispatch FROM documents WHERE record_key = ANY(%s) "
        "AND open_dispatch IS NOT NULL ORDER BY document_id FOR UPDATE",
        (list(record_keys),),
    ).fetchall()
    if not rows:
        return []
    dropped = connection.execute(
        "UPDATE dispatch_states SET state = 'superseded', settled_at = %s "
        "WHERE dispatch_id = ANY(%s) AND state = 'planned' AND attempts = 0 "
        "RETURNING document_id, dispatch_id",
        (clock.now(), [row[0] for row in rows]),
    ).fetchall()
    connection.execute(
        "UPDATE documents SET open_dispatch = NULL "
        "WHERE document_id = ANY(%s) AND open_dispatch = ANY(%s)",
        ([row[0] for row in dropped], [row[1] for row in dropped]),
    )
    return [int(row[0]) for row in dropped]


def due_streams(
    connection: Connection,
    streams: Sequence[tuple[str, str]],
    partitions: Sequence[int],
    state: str,
) -> list[tuple[str, str]]:
    """Which of these (system, stream) pairs have something due in a state. Each is asked for one
    row, so that it costs the same however many wait."""
    rows = connection.execute(
        "SELECT t.system, t.stream FROM unnest(%s::text[], %s::text[]) AS t (system, stream) "
        "WHERE EXISTS (SELECT FROM dispatch_states s WHERE s.system = t.system "
        f"AND s.stream = t.stream AND s.state = '{_checked(state)}' AND s.due_at <= %s "
        "AND s.partition_no = ANY(%s)) ORDER BY 1, 2",
        (
            [system for system, _ in streams],
            [stream for _, stream in streams],
            clock.now(),
            list(partitions),
        ),
    ).fetchall()
    return [(str(system), str(stream)) for system, stream in rows]


def _checked(state: str) -> str:
    """A state as it stands in a statement: a literal, so that its partial index is found."""
    if state not in OPEN:
        raise ValueError(f"'{state}' is no state of an open dispatch")
    return state


def due(
    connection: Connection,
    system: str,
    stream: str,
    state: str,
    partitions: Sequence[int],
    most: int,
    *,
    lane: str = "",
    whole_batch: bool = False,
    locked: bool = False,
    known: Mapping[int, Dispatch] | None = None,
    at: dt.datetime | None = None,
) -> list[Dispatch]:
    """Dispatches of one stream in one state that are due, oldest first; of one lane, or of all.

    `whole_batch`: once one is due, everything in that state goes along (a batched stream).
    `locked`: nobody may change them before the transaction ends. `known`: planned ones the caller
    still has in memory, by id; their bodies are not read again. `at`: due by then, not by now.
    """
    rows = connection.execute(
        "SELECT s.dispatch_id, s.state, s.attempts, s.looks, s.handle, s.delivery_id, s.target_id "
        f"FROM dispatch_states s WHERE s.system = %s AND s.stream = %s "
        f"AND s.state = '{_checked(state)}' AND (%s OR s.due_at <= %s) "
        "AND s.partition_no = ANY(%s) "
        f"{'AND s.lane = %s ' if lane else ''}"
        f"ORDER BY s.dispatch_id LIMIT %s{' FOR UPDATE' if locked else ''}",
        (
            system,
            stream,
            whole_batch,
            at or clock.now(),
            list(partitions),
            *([lane] if lane else []),
            most,
        ),
    ).fetchall()
    kept = known or {}
    if not rows:
        return []
    unknown = [row[0] for row in rows if row[0] not in kept]
    read = {row[0]: kept[row[0]] for row in rows if row[0] in kept}
    if unknown:
        found = connection.execute(
            f"SELECT {_DISPATCH} FROM intents i JOIN dispatch_states s USING (dispatch_id) "
            "WHERE i.dispatch_id = ANY(%s)",
            (unknown,),
        ).fetchall()
        read.update({int(row[0]): Dispatch(*row) for row in found})
    return [read[row[0]].moved(*row[1:]) if row[0] in kept else read[row[0]] for row in rows]


def any_in(connection: Connection, system: str, stream: str, state: str) -> bool:
    """Whether the stream has any dispatch in this state, whoever works on it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM dispatch_states WHERE system = %s AND stream = %s "
        f"AND state = '{_checked(state)}')",
        (system, stream),
    ).fetchone()
    return bool(row and row[0])


def start_sending(
    connection: Connection, dispatches: Sequence[Dispatch], *, delivery: str = ""
) -> list[Dispatch]:
    """Commit that these are about to leave: state, attempt number, bound write key. Returns them as
    they are then.

    With `delivery` (the digest of the grouped bytes) they are also tied to one delivery. Raises
    KeyBound when a write key may have landed with other content.
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
        "UPDATE dispatch_states SET state = 'sending', attempts = attempts + 1, "
        "delivery_id = coalesce(%s, delivery_id) WHERE dispatch_id = ANY(%s) AND state = 'planned'",
        (delivery_id, ids),
    )
    bound = connection.execute(
        "INSERT INTO write_keys AS k (write_key, dispatch_id, digest, bound) "
        "SELECT t.write_key, t.dispatch_id, t.digest, true "
        "FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS t (write_key, dispatch_id, digest) "
        "ON CONFLICT (write_key) DO UPDATE SET dispatch_id = excluded.dispatch_id, "
        "digest = excluded.digest, bound = true WHERE NOT k.bound OR k.digest = excluded.digest",
        (
            [one.write_key for one in dispatches],
            ids,
            [one.digest for one in dispatches],
        ),
    ).rowcount
    if bound != len(ids):
        raise KeyBound("a write key is bound to other content that may have landed")
    return [
        one.moved(
            "sending",
            one.attempts + 1,
            one.looks,
            one.handle,
            delivery_id or one.delivery_id,
            one.target_id,
        )
        for one in dispatches
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """A new state for a dispatch, and when to look at it again. `untried`: it did not leave after
    all, so that what `start_sending` counted and bound is taken back."""

    dispatch_id: int
    state: str
    due_at: dt.datetime
    handle: str = ""
    target_id: str = ""
    looks: int = 0
    untried: bool = False


def change(connection: Connection, changes: Sequence[Change]) -> None:
    """Move dispatches to new states, one statement for all.

    A dispatch that is over frees its document; a rejected one also frees its write key, since it
    is proven that nothing landed, and so does one that never left.
    """
    if not changes:
        return
    over = ("proved", "differs", "rejected", "superseded")
    connection.execute(
        "UPDATE dispatch_states d SET state = t.state, due_at = t.due_at, handle = t.handle, "
        "target_id = CASE WHEN t.target_id = '' THEN d.target_id ELSE t.target_id END, "
        "looks = t.looks, attempts = d.attempts - t.untried::int, "
        "settled_at = CASE WHEN t.state = ANY(%s) THEN %s::timestamptz END "
        "FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], "
        "%s::int[], %s::boolean[]) "
        "AS t (dispatch_id, state, due_at, handle, target_id, looks, untried) "
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
            [c.untried for c in changes],
        ),
    )
    not_there = [c.dispatch_id for c in changes if c.state == "rejected" or c.untried]
    if not_there:
        connection.execute(
            "UPDATE write_keys k SET bound = false FROM intents i "
            "JOIN dispatch_states s USING (dispatch_id) "
            "WHERE i.dispatch_id = ANY(%s) AND k.write_key = i.write_key "
            "AND k.dispatch_id = i.dispatch_id AND (s.state = 'rejected' OR s.attempts = 0)",
            (not_there,),
        )
    ended = [c.dispatch_id for c in changes if c.state in over and c.state != "proved"]
    if ended:  # what is proved frees its document with the proof
        connection.execute(
            "UPDATE documents c SET open_dispatch = NULL, "
            "landed_dispatch = CASE WHEN s.state = 'differs' AND i.revision > c.revision "
            "THEN i.dispatch_id ELSE c.landed_dispatch END "
            "FROM intents i JOIN dispatch_states s USING (dispatch_id) "
            "WHERE i.dispatch_id = ANY(%s) AND c.document_id = i.document_id "
            "AND c.open_dispatch = i.dispatch_id",
            (ended,),
        )


def orphans(connection: Connection, partitions: Sequence[int]) -> list[Dispatch]:
    """Dispatches somebody began to send and never settled: their worker died."""
    rows = connection.execute(
        f"SELECT {_DISPATCH} FROM intents i JOIN dispatch_states s USING (dispatch_id) "
        "WHERE s.state = 'sending' AND s.partition_no = ANY(%s) ORDER BY i.dispatch_id",
        (list(partitions),),
    ).fetchall()
    return [Dispatch(*row) for row in rows]
