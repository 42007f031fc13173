"""How much waits: looked at with a bound, since a backlog of millions must not be counted."""

from __future__ import annotations

from collections.abc import Sequence

from tieout import clock
from tieout.rules.lanes import LANES, Lane
from tieout.store.database import Connection

_OPEN = "('planned', 'sending', 'accepted', 'unknown', 'written')"


def arrivals_exceed(connection: Connection, most: int) -> bool:
    """Whether more than `most` arrivals wait to be resolved."""
    row = connection.execute(
        "SELECT FROM arrivals WHERE state = 'new' OFFSET %s LIMIT 1", (most,)
    ).fetchone()
    return row is not None


def dispatches_exceed(connection: Connection, most: int) -> list[str]:
    """Systems to which more than `most` dispatches are under way."""
    rows = connection.execute(
        f"SELECT system FROM (SELECT system FROM dispatch_states WHERE state IN {_OPEN} "
        "LIMIT 20 * %(most)s) AS open GROUP BY system HAVING count(*) > %(most)s ORDER BY system",
        {"most": most},
    ).fetchall()
    return [str(system) for (system,) in rows]


def due_by_lane(
    connection: Connection, system: str, stream: str, partitions: Sequence[int], most: int
) -> dict[Lane, int]:
    """How many planned dispatches of a stream are due in each lane, counted up to `most`."""
    rows = connection.execute(
        "SELECT l.lane, w.waiting FROM unnest(%s::text[]) AS l (lane), LATERAL (SELECT count(*) "
        "AS waiting FROM (SELECT FROM dispatch_states d WHERE d.system = %s AND d.stream = %s "
        "AND d.state = 'planned' AND d.due_at <= %s AND d.partition_no = ANY(%s) "
        "AND d.lane = l.lane LIMIT %s) AS bounded) AS w",
        (list(LANES), system, stream, clock.now(), list(partitions), most),
    ).fetchall()
    return {lane: int(waiting) for lane, waiting in rows}
