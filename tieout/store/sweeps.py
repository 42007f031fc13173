"""Sweeps: which rows a source has that never arrived, and when to look again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep of one stream: under way since `since` and come as far as `after`, or due next."""

    due_at: dt.datetime
    since: dt.datetime | None
    after: str


def sweep_of(connection: Connection, system: str, stream: str, first_due: dt.datetime) -> Sweep:
    """Where the sweeps of a stream stand. The first one is due at `first_due`: a stream that was
    never read has nothing to compare with."""
    row = connection.execute(
        "SELECT due_at, since, after FROM sweeps WHERE system = %s AND stream = %s",
        (system, stream),
    ).fetchone()
    if row is not None:
        return Sweep(*row)
    connection.execute(
        "INSERT INTO sweeps (system, stream, due_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (system, stream, first_due),
    )
    return Sweep(first_due, None, "")


def begin(connection: Connection, system: str, stream: str, since: dt.datetime) -> None:
    """A sweep starts; it looks at what changed at its source at or after `since`."""
    connection.execute(
        "UPDATE sweeps SET since = %s, after = '', seen = 0, missing = 0 "
        "WHERE system = %s AND stream = %s",
        (since, system, stream),
    )


def go_on(
    connection: Connection, system: str, stream: str, after: str, seen: int, missing: int
) -> None:
    """One page further."""
    connection.execute(
        "UPDATE sweeps SET after = %s, seen = seen + %s, missing = missing + %s "
        "WHERE system = %s AND stream = %s",
        (after, seen, missing, system, stream),
    )


def end(
    connection: Connection, system: str, stream: str, now: dt.datetime, due_at: dt.datetime
) -> tuple[int, int]:
    """The sweep is through; returns how many rows it saw and how many had not arrived."""
    row = connection.execute(
        "UPDATE sweeps SET since = NULL, after = '', ended_at = %s, due_at = %s "
        "WHERE system = %s AND stream = %s RETURNING seen, missing",
        (now, due_at, system, stream),
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def not_arrived(
    connection: Connection, system: str, stream: str, marks: Sequence[tuple[str, str]]
) -> list[str]:
    """Of these (source key, source version) pairs, the keys of those that never arrived."""
    rows = connection.execute(
        "SELECT DISTINCT t.key FROM unnest(%s::text[], %s::text[]) AS t (key, version) "
        "WHERE NOT EXISTS (SELECT FROM arrival_keys k WHERE k.system = %s AND k.stream = %s "
        "AND k.source_key = t.key AND k.source_version = t.version) ORDER BY 1",
        ([key for key, _ in marks], [version for _, version in marks], system, stream),
    ).fetchall()
    return [str(key) for (key,) in rows]
