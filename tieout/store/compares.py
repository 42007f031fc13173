"""Compares: a whole stream read again, and which of the rows we know were not in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Compare:
    """A compare under way."""

    compare_id: int
    cursor: str
    started_at: dt.datetime


def begin(
    connection: Connection, system: str, stream: str, why: str, now: dt.datetime
) -> Compare | None:
    """Start to read a stream from its beginning; None when that is under way already."""
    row = connection.execute(
        "INSERT INTO compares (system, stream, why, started_at) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (system, stream) WHERE ended_at IS NULL DO NOTHING RETURNING compare_id",
        (system, stream, why, now),
    ).fetchone()
    return Compare(int(row[0]), "", now) if row else None


def under_way(connection: Connection, system: str, stream: str) -> Compare | None:
    """The compare of this stream that has not ended, if there is one."""
    row = connection.execute(
        "SELECT compare_id, cursor, started_at FROM compares "
        "WHERE system = %s AND stream = %s AND ended_at IS NULL",
        (system, stream),
    ).fetchone()
    return Compare(int(row[0]), str(row[1]), row[2]) if row else None


def go_on(connection: Connection, compare_id: int, keys: Sequence[str], cursor: str) -> None:
    """One page further: these rows are there."""
    connection.execute(
        "INSERT INTO compare_keys SELECT %s, t FROM unnest(%s::text[]) AS t ORDER BY 2 "
        "ON CONFLICT DO NOTHING",
        (compare_id, sorted(set(keys))),
    )
    connection.execute(
        "UPDATE compares SET cursor = %s, seen = seen + %s WHERE compare_id = %s",
        (cursor, len(keys), compare_id),
    )


def unseen(
    connection: Connection, system: str, stream: str, compare: Compare, most: int
) -> list[str]:
    """Rows that we knew before the compare began, that it has not seen, and whose newest arrival
    does not say already that they are gone; at most so many, by key."""
    rows = connection.execute(
        "SELECT k.source_key FROM (SELECT DISTINCT source_key FROM arrival_keys "
        "WHERE system = %(system)s AND stream = %(stream)s) k CROSS JOIN LATERAL "
        "(SELECT deleted, received_at FROM arrivals a WHERE a.system = %(system)s "
        " AND a.stream = %(stream)s AND a.source_key = k.source_key "
        " ORDER BY arrival_id DESC LIMIT 1) newest "
        "WHERE NOT newest.deleted AND newest.received_at < %(started)s AND NOT EXISTS "
        "(SELECT FROM compare_keys s WHERE s.compare_id = %(id)s AND s.source_key = k.source_key) "
        "ORDER BY 1 LIMIT %(most)s",
        {
            "system": system,
            "stream": stream,
            "started": compare.started_at,
            "id": compare.compare_id,
            "most": most,
        },
    ).fetchall()
    return [str(key) for (key,) in rows]


def count_gone(connection: Connection, compare_id: int, gone: int) -> None:
    """So many more rows were found to be gone."""
    connection.execute(
        "UPDATE compares SET gone = gone + %s WHERE compare_id = %s", (gone, compare_id)
    )


def end(connection: Connection, compare_id: int, now: dt.datetime) -> tuple[int, int]:
    """The compare is over; returns how many rows it saw and how many are gone."""
    connection.execute("DELETE FROM compare_keys WHERE compare_id = %s", (compare_id,))
    row = connection.execute(
        "UPDATE compares SET ended_at = %s WHERE compare_id = %s RETURNING seen, gone",
        (now, compare_id),
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
