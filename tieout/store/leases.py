"""Leases with an epoch: who may work on which partition or poll which stream.

A lease is lost when it expires, and at once when its holder's database session is gone (a killed
process). Every transaction of a holder first takes its leases FOR KEY SHARE: if one was taken over,
the transaction fails, so a frozen worker that wakes up cannot change anything. A takeover changes
the epoch, which is part of a key, and so waits for such a transaction; a heartbeat does not.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from tieout import clock
from tieout.store.database import Connection

LEASE_SECONDS = 15.0
FREE = "leases"  # what is said on the work channel when leases are free


class LeaseLost(Exception):
    """Another worker has taken over; everything of this transaction is undone."""


def life_key(holder: uuid.UUID) -> int:
    """The advisory lock a holder keeps for as long as it lives."""
    return (holder.int & ((1 << 63) - 1)) or 1


def live(connection: Connection, holder: uuid.UUID) -> None:
    """Take the holder's own lock on a connection that must stay open as long as the holder."""
    connection.execute("SELECT pg_advisory_lock(%s)", (life_key(holder),))


def take(
    connection: Connection,
    names: Sequence[str],
    holder: uuid.UUID,
    landscape_hash: str = "",
    most: int | None = None,
) -> dict[str, int]:
    """Take every named lease that is free, expired, orphaned or ours; renew ours.

    Returns lease name -> epoch for what the holder has now. `landscape_hash` tells others which
    state of the landscape the holder works by. `most`: have no more than so many of these names,
    ours before free ones; those of ours that are too many are given back.
    """
    now = clock.now()
    connection.execute(
        "INSERT INTO leases (name, expires_at) SELECT n, %s FROM unnest(%s::text[]) AS n "
        "ORDER BY 1 ON CONFLICT (name) DO NOTHING",
        (now, sorted(names)),
    )
    rows = connection.execute(
        "WITH living AS (SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks "
        "  WHERE locktype = 'advisory' AND objsubid = 1 AND granted), "
        "free AS (SELECT l.name FROM leases l WHERE l.name = ANY(%(names)s) AND ("
        "  l.holder IS NULL OR l.holder = %(holder)s OR l.expires_at <= %(now)s "
        "  OR l.life_key NOT IN (SELECT key FROM living)) "
        "  ORDER BY (l.holder = %(holder)s) IS NOT TRUE, l.name LIMIT %(most)s "
        "  FOR UPDATE OF l SKIP LOCKED) "
        "UPDATE leases l SET holder = %(holder)s, expires_at = %(expires)s, "
        "life_key = %(life_key)s, landscape_hash = %(hash)s, "
        "epoch = CASE WHEN l.holder = %(holder)s THEN l.epoch ELSE l.epoch + 1 END "
        "FROM free WHERE l.name = free.name RETURNING l.name, l.epoch",
        {
            "names": list(names),
            "holder": holder,
            "now": now,
            "life_key": life_key(holder),
            "hash": landscape_hash,
            "most": most,
            "expires": now + dt.timedelta(seconds=LEASE_SECONDS),
        },
    ).fetchall()
    found = {str(name): int(epoch) for name, epoch in rows}
    if most is not None:
        connection.execute(
            "UPDATE leases SET holder = NULL, expires_at = %s WHERE holder = %s "
            "AND name = ANY(%s) AND name <> ALL(%s)",
            (now, holder, list(names), list(found)),
        )
    return found


def renew(connection: Connection, holder: uuid.UUID) -> int:
    """Keep what the holder has for another while, also while one of its transactions runs; returns
    how many leases that are. What somebody else has taken over is not touched."""
    return connection.execute(
        "UPDATE leases SET expires_at = %s WHERE holder = %s",
        (clock.now() + dt.timedelta(seconds=LEASE_SECONDS), holder),
    ).rowcount


def behind(connection: Connection, landscape_hash: str) -> int:
    """How many leases are held by living workers that work by another state of the landscape."""
    row = connection.execute(
        "SELECT count(*) FROM leases WHERE holder IS NOT NULL AND expires_at > %s "
        "AND landscape_hash <> %s AND life_key IN (SELECT (classid::bigint << 32) | objid::bigint "
        "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted)",
        (clock.now(), landscape_hash),
    ).fetchone()
    return int(row[0]) if row else 0


def hold(connection: Connection, leases: dict[str, int], holder: uuid.UUID) -> None:
    """Make sure, for the rest of this transaction, that these leases are still ours."""
    if not leases:
        return
    rows = connection.execute(
        "SELECT l.name FROM leases l JOIN unnest(%s::text[], %s::bigint[]) AS t (name, epoch) "
        "ON l.name = t.name AND l.epoch = t.epoch WHERE l.holder = %s ORDER BY l.name "
        "FOR KEY SHARE OF l",
        (list(leases), list(leases.values()), holder),
    ).fetchall()
    if len(rows) != len(leases):
        lost = sorted(set(leases) - {str(name) for (name,) in rows})
        raise LeaseLost(f"leases taken over by another worker: {', '.join(lost)}")


def say_free(connection: Connection) -> None:
    """Tell waiting workers that there is something to take."""
    connection.execute("SELECT pg_notify('tieout_work', %s)", (FREE,))


def give_back(connection: Connection, holder: uuid.UUID) -> None:
    """Let go of everything, so that a successor need not wait."""
    connection.execute(
        "UPDATE leases SET holder = NULL, expires_at = %s WHERE holder = %s", (clock.now(), holder)
    )
