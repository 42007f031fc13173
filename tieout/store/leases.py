"""Leases with a fence: who may work on which partition or poll which stream.

A lease is lost when it expires, and at once when its holder's database session is gone (a killed
process). Every transaction of a holder first takes its own row FOR KEY SHARE, with its fence, a
number that the database changes whenever a lease leaves the holder: then the transaction fails, so
a frozen worker that wakes up cannot change anything. A takeover waits for such a transaction, or
leaves the lease alone; a heartbeat does neither.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from tieout import clock
from tieout.store.database import Connection

LEASE_SECONDS = 15.0
FREE = "leases"  # what is said on the work channel when leases are free


# The life keys of holders that live; a query. The view shows the locks of all databases.
LIVING = (
    "(SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks "
    "WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


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

    Returns lease name -> the holder's fence, for what it has now. `landscape_hash` tells others
    which state of the landscape the holder works by. `most`: have no more than so many of these
    names, ours before free ones; those of ours that are too many are given back.
    """
    register(connection, names, holder)
    return take_known(connection, names, holder, landscape_hash, most)


def register(connection: Connection, names: Sequence[str], holder: uuid.UUID) -> None:
    """Make these leases and this holder known, so that one can have the other."""
    connection.execute(
        "INSERT INTO lease_holders (holder, life_key) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (holder, life_key(holder)),
    )
    connection.execute(
        "INSERT INTO leases (name, expires_at) SELECT n, %s FROM unnest(%s::text[]) AS n "
        "ORDER BY 1 ON CONFLICT (name) DO NOTHING",
        (clock.now(), sorted(names)),
    )


def take_known(
    connection: Connection,
    names: Sequence[str],
    holder: uuid.UUID,
    landscape_hash: str,
    most: int | None,
) -> dict[str, int]:
    """`take`, of leases and for a holder that are registered."""
    now = clock.now()
    rows = connection.execute(
        f"WITH living AS {LIVING}, "
        "free AS (SELECT l.name, l.holder FROM leases l WHERE l.name = ANY(%(names)s) AND ("
        "  l.holder IS NULL OR l.holder = %(holder)s OR l.expires_at <= %(now)s "
        "  OR l.life_key NOT IN (SELECT key FROM living)) "
        "  ORDER BY (l.holder = %(holder)s) IS NOT TRUE, l.name LIMIT %(most)s "
        "  FOR UPDATE OF l SKIP LOCKED), "
        # Who is in the middle of a transaction is not waited for: its leases are left alone.
        "left_alone AS (SELECT f.holder FROM free f WHERE f.holder <> %(holder)s "
        "  AND f.holder IN (SELECT holder FROM lease_holders) AND f.holder NOT IN ("
        "    SELECT holder FROM (SELECT h.holder FROM lease_holders h "
        "    WHERE h.holder IN (SELECT holder FROM free) FOR UPDATE SKIP LOCKED) AS at_rest)) "
        "UPDATE leases l SET holder = %(holder)s, expires_at = %(expires)s, "
        "life_key = %(life_key)s, landscape_hash = %(hash)s, "
        "epoch = CASE WHEN l.holder = %(holder)s THEN l.epoch ELSE l.epoch + 1 END "
        "FROM free WHERE l.name = free.name AND (free.holder IS NULL "
        "  OR free.holder NOT IN (SELECT holder FROM left_alone)) RETURNING l.name",
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
    found = [str(name) for (name,) in rows]
    if most is not None:
        connection.execute(
            "UPDATE leases SET holder = NULL, expires_at = %s WHERE holder = %s "
            "AND name = ANY(%s) AND name <> ALL(%s)",
            (now, holder, list(names), found),
        )
    row = connection.execute(
        "SELECT fence FROM lease_holders WHERE holder = %s", (holder,)
    ).fetchone()
    return dict.fromkeys(found, int(row[0]) if row else 0)


def keep(connection: Connection, names: Sequence[str], holder: uuid.UUID) -> tuple[set[str], int]:
    """Keep what the holder has of these names for another while; returns what that is, and how many
    of the rest nobody has by right: free, expired, or of a process that is dead."""
    now = clock.now()
    rows = connection.execute(
        "UPDATE leases SET expires_at = %s WHERE holder = %s AND name = ANY(%s) RETURNING name",
        (now + dt.timedelta(seconds=LEASE_SECONDS), holder, list(names)),
    ).fetchall()
    row = connection.execute(
        "SELECT count(*) FROM unnest(%s::text[]) AS n (name) LEFT JOIN leases l USING (name) "
        "WHERE l.holder IS NULL OR (l.holder <> %s AND (l.expires_at <= %s "
        f"OR l.life_key NOT IN {LIVING}))",
        (list(names), holder, now),
    ).fetchone()
    return {str(name) for (name,) in rows}, int(row[0]) if row else 0


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
        f"AND landscape_hash <> %s AND life_key IN {LIVING}",
        (clock.now(), landscape_hash),
    ).fetchone()
    return int(row[0]) if row else 0


def hold(connection: Connection, leases: dict[str, int], holder: uuid.UUID) -> None:
    """Make sure, for the rest of this transaction, that these leases are still ours: that none has
    left us since the last of them was taken."""
    if not leases:
        return
    ours = connection.execute(
        "SELECT FROM lease_holders WHERE holder = %s AND fence = %s FOR KEY SHARE",
        (holder, max(leases.values())),
    ).fetchone()
    if ours is None:
        rows = connection.execute(
            "SELECT name FROM leases WHERE holder = %s AND name = ANY(%s)", (holder, list(leases))
        ).fetchall()
        lost = sorted(set(leases) - {str(name) for (name,) in rows})
        raise LeaseLost(f"leases taken over by another worker: {', '.join(lost) or 'some'}")


def say_free(connection: Connection) -> None:
    """Tell waiting workers that there is something to take."""
    connection.execute("SELECT pg_notify('tieout_work', %s)", (FREE,))


def give_back(connection: Connection, holder: uuid.UUID) -> None:
    """Let go of everything, so that a successor need not wait. Who died long ago, and holds nothing
    any more, is forgotten on the way."""
    connection.execute(
        "UPDATE leases SET holder = NULL, expires_at = %s WHERE holder = %s", (clock.now(), holder)
    )
    connection.execute(
        "DELETE FROM lease_holders h WHERE NOT EXISTS (SELECT FROM leases l "
        f"WHERE l.holder = h.holder) AND h.life_key NOT IN {LIVING}"
    )
