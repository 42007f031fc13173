"""How much waits: looked at with a bound, since a backlog of millions must not be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.rules.lanes import LANES, Lane
from tieout.store.database import Connection

_UNDER_WAY = "('sending', 'accepted', 'unknown', 'written')"


@dataclass(frozen=True, slots=True)
class Waits:
    """What a worker would find in its partitions: new arrivals, runs that may move, dispatches that
    are due in each state."""

    arrivals: bool
    runs: bool
    planned: bool
    accepted: bool
    written: bool


_DUE_IN = (
    "EXISTS (SELECT FROM unnest(%(systems)s::text[], %(streams)s::text[]) AS t (system, stream) "
    "WHERE EXISTS (SELECT FROM dispatch_states s WHERE s.system = t.system "
    "AND s.stream = t.stream AND s.state {states} AND s.due_at <= %(now)s "
    "AND s.partition_no = ANY(%(parts)s)))"
)
# States stand as literals, so that their partial indexes are found.
_WAITS = (
    "SELECT EXISTS (SELECT FROM arrivals WHERE state = 'new' AND partition_no = ANY(%(parts)s)), "
    "EXISTS (SELECT FROM unnest(%(parts)s::int[]) AS p (no) WHERE EXISTS (SELECT FROM runs r "
    "WHERE r.state = 'ready' AND r.partition_no = p.no)) OR EXISTS (SELECT FROM runs r "
    "WHERE r.due_at <= %(now)s AND r.partition_no = ANY(%(parts)s)), "
    + ", ".join(
        _DUE_IN.format(states=states)
        for states in ("= 'planned'", "= 'accepted'", "IN ('written', 'unknown')")
    )
)


def waits(
    connection: Connection, streams: Sequence[tuple[str, str]], partitions: Sequence[int]
) -> Waits:
    """Look once at everything that a tick works on, so that an idle one costs one statement.
    `streams` are the (system, stream) pairs that are written to."""
    row = connection.execute(
        _WAITS,
        {
            "systems": [system for system, _ in streams],
            "streams": [stream for _, stream in streams],
            "parts": list(partitions),
            "now": clock.now(),
        },
    ).fetchone()
    return Waits(*row) if row else Waits(True, True, True, True, True)


def arrivals_exceed(connection: Connection, most: int) -> bool:
    """Whether more than `most` arrivals wait to be resolved."""
    row = connection.execute(
        "SELECT FROM arrivals WHERE state = 'new' OFFSET %s LIMIT 1", (most,)
    ).fetchone()
    return row is not None


def dispatches_exceed(connection: Connection, systems: Sequence[str], most: int) -> list[str]:
    """Those of these systems to which more than `most` dispatches are planned or under way."""
    rows = connection.execute(
        "SELECT t.system FROM unnest(%(systems)s::text[]) AS t (system) WHERE "
        "(SELECT count(*) FROM (SELECT FROM dispatch_states d WHERE d.system = t.system "
        "  AND d.state = 'planned' LIMIT %(most)s + 1) AS planned) + "
        "(SELECT count(*) FROM (SELECT FROM dispatch_states d WHERE d.system = t.system "
        f"  AND d.state IN {_UNDER_WAY} LIMIT %(most)s + 1) AS under_way) > %(most)s ORDER BY 1",
        {"most": most, "systems": list(systems)},
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
