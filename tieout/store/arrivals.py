"""Arrivals: what every system said, verbatim, stored before anyone is told it was received."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tieout import clock
from tieout.store.database import Connection
from tieout.store.ids import draw

PARTITIONS = 16
GONE = "gone:"  # the version of a row that was not there when we looked; it has no own order


MOST_KEY_BYTES = 1_000
KEY_CHARACTERS = 100
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _escaped(text: str) -> str:
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _short(text: str) -> str:
    """The text, or what stands for one that is too long for an index."""
    whole = text.encode()
    if len(whole) <= MOST_KEY_BYTES:
        return text
    return f"{text[:KEY_CHARACTERS]}…{hashlib.sha256(whole).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One row on its way in. `payload` is verbatim JSON text."""

    source_key: str
    source_version: str
    payload: str
    deleted: bool = False

    @classmethod
    def storable(
        cls, source_key: str, source_version: str, payload: str, deleted: bool = False
    ) -> Incoming:
        """A row with what no database stores (NUL, half a surrogate pair) written as JSON escapes;
        the row is then refused with a case that says so. A key that no index holds is told apart
        by its beginning and a digest."""
        key, version = _short(_escaped(source_key)), _short(_escaped(source_version))
        return cls(key, version, _escaped(payload), deleted)

    @property
    def digest(self) -> str:
        mark = "-" if self.deleted else "+"
        return hashlib.sha256(f"{mark}{self.payload}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a page: new arrivals, and repeats that were only counted. `arrivals` are the
    new ones, for whoever works on them at once."""

    new: int
    repeated: int
    arrivals: tuple[Arrival, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival as the resolver reads it."""

    arrival_id: int
    system: str
    stream: str
    source_key: str
    source_version: str
    payload: str
    deleted: bool
    partition_no: int


@functools.lru_cache(maxsize=16_384)  # asked for at every stage of a row's way
def partition_of(key: str) -> int:
    """The partition of a business key, 0 … PARTITIONS-1, the same on every machine."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % PARTITIONS


def store_page(
    connection: Connection,
    system: str,
    stream: str,
    rows: Iterable[Incoming],
    *,
    received_by: str,
    cursor: str | None = None,
    settles: Sequence[tuple[str, dt.datetime]] = (),
    read_now: bool = False,
) -> Stored:
    """Store rows and the cursor that read them in the caller's transaction.

    A row with the same key, version and content as an earlier one is counted, not stored twice.
    `settles` are the (source key, asked at) hints that led here; one that was asked again since
    stays, since the row may have been read before it changed. `read_now`: the rows were just read
    from the system, so that one which was seen to be gone, and now shows again as it was, is back.
    """
    counted: dict[tuple[str, str, str], tuple[Incoming, int]] = {}
    for row in rows:
        identity = (row.source_key, row.source_version, row.digest)
        known = counted.get(identity)
        counted[identity] = (row, known[1] + 1 if known else 1)
    now = clock.now()
    fresh: tuple[Arrival, ...] = ()
    if counted:
        fresh = _store(connection, system, stream, counted, received_by, now, read_now=read_now)
    if settles:
        connection.execute(
            "DELETE FROM hints h USING unnest(%s::text[], %s::timestamptz[]) AS t (key, asked_at) "
            "WHERE h.system = %s AND h.stream = %s AND h.source_key = t.key "
            "AND h.asked_at = t.asked_at",
            ([key for key, _ in settles], [asked for _, asked in settles], system, stream),
        )
    if cursor is not None:
        connection.execute(
            "INSERT INTO stream_cursors VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (system, stream) DO UPDATE SET cursor = excluded.cursor, "
            "read_at = excluded.read_at",
            (system, stream, cursor, now),
        )
    repeated = sum(times for _, times in counted.values()) - len(fresh)
    return Stored(len(fresh), repeated, fresh)


def _store(
    connection: Connection,
    system: str,
    stream: str,
    counted: Mapping[tuple[str, str, str], tuple[Incoming, int]],
    received_by: str,
    now: dt.datetime,
    *,
    read_now: bool,
) -> tuple[Arrival, ...]:
    """Register every row; store those that were not known. Ids are drawn first, in the order of the
    page, so that the register itself says which rows are new."""
    ids = draw(connection, "arrivals.arrival_id", len(counted))
    rows = list(zip(ids, counted.items(), strict=True))
    registered = connection.execute(
        _REGISTER,
        {
            "system": system,
            "stream": stream,
            "now": now,
            "ids": ids,
            "keys": [key for key, _, _ in counted],
            "versions": [version for _, version, _ in counted],
            "digests": [digest for _, _, digest in counted],
            "times": [times for _, times in counted.values()],
            "read_now": read_now,
            "gone": GONE,
        },
    ).fetchall()
    kept = {row[0] for row in registered}
    new = [(arrival_id, one, row) for arrival_id, (one, (row, _)) in rows if arrival_id in kept]
    if not new:
        return ()
    fresh = tuple(
        Arrival(
            arrival_id,
            system,
            stream,
            key,
            version,
            row.payload,
            row.deleted,
            partition_of(f"{system}|{key}"),
        )
        for arrival_id, (key, version, _), row in new
    )
    connection.execute(
        "INSERT INTO arrivals (arrival_id, system, stream, source_key, source_version, digest, "
        "deleted, received_at, received_by, state, partition_no) OVERRIDING SYSTEM VALUE "
        "SELECT t.id, %s, %s, t.key, t.version, t.digest, t.deleted, %s, %s, 'new', t.part "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::boolean[], %s::int[]) "
        "AS t (id, key, version, digest, deleted, part)",
        (
            system,
            stream,
            now,
            received_by,
            [one.arrival_id for one in fresh],
            [one.source_key for one in fresh],
            [one.source_version for one in fresh],
            [digest for _, (_, _, digest), _ in new],
            [one.deleted for one in fresh],
            [one.partition_no for one in fresh],
        ),
    )
    connection.execute(
        "INSERT INTO payloads (arrival_id, received_at, payload) "
        "SELECT t.id, %s, t.payload FROM unnest(%s::bigint[], %s::text[]) AS t (id, payload)",
        (now, [one.arrival_id for one in fresh], [one.payload for one in fresh]),
    )
    return fresh


_REGISTER = """
INSERT INTO arrival_keys AS k (system, stream, source_key, source_version, digest, arrival_id,
                               times, last_at)
SELECT %(system)s, %(stream)s, t.source_key, t.source_version, t.digest, t.arrival_id, t.times,
       %(now)s
FROM unnest(%(ids)s::bigint[], %(keys)s::text[], %(versions)s::text[], %(digests)s::text[],
            %(times)s::int[]) AS t (arrival_id, source_key, source_version, digest, times)
ORDER BY t.source_key, t.source_version, t.digest
ON CONFLICT (system, stream, source_key, source_version, digest)
DO UPDATE SET times = k.times + excluded.times, last_at = excluded.last_at,
    arrival_id = CASE WHEN %(read_now)s AND NOT starts_with(k.source_version, %(gone)s)
        AND EXISTS (SELECT FROM arrivals g WHERE g.system = k.system AND g.stream = k.stream
                    AND g.source_key = k.source_key AND g.arrival_id > k.arrival_id
                    AND starts_with(g.source_version, %(gone)s))
    THEN excluded.arrival_id ELSE k.arrival_id END
RETURNING arrival_id
"""


def store_hints(connection: Connection, system: str, hints: Sequence[tuple[str, str]]) -> None:
    """Remember (stream, source key) pairs to re-read; a repeat is counted."""
    counted: dict[tuple[str, str], int] = {}
    for hint in hints:
        counted[hint] = counted.get(hint, 0) + 1
    connection.execute(
        "INSERT INTO hints AS h (system, stream, source_key, asked_at, times) "
        "SELECT %s, t.stream, t.key, %s, t.times "
        "FROM unnest(%s::text[], %s::text[], %s::int[]) AS t (stream, key, times) ORDER BY 2, 3 "
        "ON CONFLICT (system, stream, source_key) DO UPDATE "
        "SET times = h.times + excluded.times, asked_at = excluded.asked_at",
        (
            system,
            clock.now(),
            [stream for stream, _ in counted],
            [key for _, key in counted],
            list(counted.values()),
        ),
    )


def hinted(
    connection: Connection, system: str, stream: str, most: int
) -> list[tuple[str, dt.datetime]]:
    """(source key, asked at) of rows to re-read, oldest first."""
    rows = connection.execute(
        "SELECT source_key, asked_at FROM hints WHERE system = %s AND stream = %s "
        "ORDER BY asked_at, source_key LIMIT %s",
        (system, stream, most),
    ).fetchall()
    return [(str(key), asked) for key, asked in rows]


def cursor_of(connection: Connection, system: str, stream: str) -> str:
    """The stored cursor of a stream; "" when it was never read."""
    row = connection.execute(
        "SELECT cursor FROM stream_cursors WHERE system = %s AND stream = %s", (system, stream)
    ).fetchone()
    return str(row[0]) if row else ""


def new_arrivals(connection: Connection, partitions: Sequence[int], most: int) -> list[Arrival]:
    """The oldest unresolved arrivals of these partitions."""
    rows = connection.execute(
        "SELECT a.arrival_id, a.system, a.stream, a.source_key, a.source_version, p.payload, "
        "a.deleted, a.partition_no FROM (SELECT * FROM arrivals WHERE state = 'new' "
        "AND partition_no = ANY(%s) ORDER BY arrival_id LIMIT %s) AS a "
        "JOIN payloads p USING (arrival_id, received_at) ORDER BY a.arrival_id",
        (list(partitions), most),
    ).fetchall()
    return [Arrival(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Settled:
    """How an arrival ended."""

    arrival_id: int
    state: str
    record_type: str = ""
    record_key: str = ""
    record_version: int | None = None
    legal_entity: str = ""


def settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """Mark arrivals as resolved, one statement for all."""
    connection.execute(
        "UPDATE arrivals a SET state = t.state, settled_at = %s, record_type = t.record_type, "
        "record_key = t.record_key, record_version = t.record_version, "
        "legal_entity = t.legal_entity "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[]) "
        "AS t (arrival_id, state, record_type, record_key, record_version, legal_entity) "
        "WHERE a.arrival_id = t.arrival_id",
        (
            clock.now(),
            [one.arrival_id for one in settled],
            [one.state for one in settled],
            [one.record_type for one in settled],
            [one.record_key for one in settled],
            [one.record_version for one in settled],
            [one.legal_entity for one in settled],
        ),
    )


def newest_seen(
    connection: Connection, system: str, stream: str, source_keys: Sequence[str]
) -> dict[str, str]:
    """The newest source version by key that was settled already, however it ended: a later version
    that was held, left out or deleted still makes an earlier one stale."""
    rows = connection.execute(
        'SELECT source_key, max(source_version COLLATE "C") FROM arrivals WHERE system = %s '
        "AND stream = %s AND source_key = ANY(%s) AND state <> 'new' "
        "AND NOT starts_with(source_version, %s) GROUP BY source_key",
        (system, stream, list(source_keys), GONE),
    ).fetchall()
    return {str(key): str(version) for key, version in rows}


def deletions(connection: Connection, arrival_ids: Sequence[int]) -> list[int]:
    """Which of these arrivals say that the source row is gone."""
    rows = connection.execute(
        "SELECT arrival_id FROM arrivals WHERE arrival_id = ANY(%s) AND deleted",
        (list(arrival_ids),),
    ).fetchall()
    return [int(row[0]) for row in rows]


def reopen(connection: Connection, arrival_ids: Sequence[int]) -> list[tuple[str, str]]:
    """Put held arrivals back in line, to be resolved again; returns (system, stream) of each."""
    rows = connection.execute(
        "UPDATE arrivals SET state = 'new', settled_at = NULL "
        "WHERE arrival_id = ANY(%s) AND state = 'held' RETURNING system, stream",
        (list(arrival_ids),),
    ).fetchall()
    return [(str(system), str(stream)) for system, stream in rows]


def supersede_held(
    connection: Connection, system: str, stream: str, source_keys: Sequence[str]
) -> int:
    """Held arrivals of rows that went through in a later reading are over; returns how many."""
    return connection.execute(
        "UPDATE arrivals SET state = 'superseded', settled_at = %s WHERE state = 'held' "
        "AND system = %s AND stream = %s AND source_key = ANY(%s)",
        (clock.now(), system, stream, list(source_keys)),
    ).rowcount
