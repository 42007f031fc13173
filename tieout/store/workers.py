"""What each worker process says of itself, and how systems answered it: rows, for any number of
workers on any number of hosts. Written about once a second and not waited for: telemetry may lose
its last second in a crash, work may not.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from tieout import clock
from tieout.store.database import Connection
from tieout.store.leases import LIVING, life_key

KEPT_HOURS = 24  # rows of workers that ended
EDGES_MILLISECONDS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
ANY = 2_147_483_647
MOST_WORKERS = 1_000


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a worker says of itself."""

    holder: uuid.UUID
    host: str
    pid: int
    landscape_hash: str
    started_at: dt.datetime
    ticks: int
    stage: str
    leases: int
    tick_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker as others see it. `lives`: its database session is there."""

    holder: uuid.UUID
    host: str
    pid: int
    started_at: dt.datetime
    moved_at: dt.datetime
    stopped_at: dt.datetime | None
    ticks: int
    stage: str
    leases: int
    tick_seconds: float
    memory_bytes: int
    lives: bool
    held: int  # leases that name it as their holder now


_PULSE = """
INSERT INTO workers AS w (holder, host, pid, life_key, landscape_hash, started_at, moved_at, ticks,
  stage, leases, tick_seconds, memory_bytes)
VALUES (%(holder)s, %(host)s, %(pid)s, %(life)s, %(hash)s, %(started)s, %(now)s, %(ticks)s,
  %(stage)s, %(leases)s, %(seconds)s, %(memory)s)
ON CONFLICT (holder) DO UPDATE SET landscape_hash = excluded.landscape_hash,
  moved_at = excluded.moved_at, ticks = excluded.ticks, stage = excluded.stage,
  leases = excluded.leases, tick_seconds = excluded.tick_seconds,
  memory_bytes = excluded.memory_bytes, stopped_at = NULL
"""
_CALLS = """
INSERT INTO call_times AS c (system, answer, most_milliseconds, calls, milliseconds, last_at)
SELECT t.*, %(now)s FROM unnest(%(systems)s::text[], %(answers)s::text[], %(edges)s::int[],
  %(calls)s::bigint[], %(milliseconds)s::bigint[]) AS t
ON CONFLICT (system, answer, most_milliseconds) DO UPDATE SET
  calls = c.calls + excluded.calls, milliseconds = c.milliseconds + excluded.milliseconds,
  last_at = greatest(c.last_at, excluded.last_at)
"""
_OUTCOMES = """
INSERT INTO outcome_counts AS c (system, flow, kind, outcome, count)
SELECT * FROM unnest(%(of_systems)s::text[], %(flows)s::text[], %(kinds)s::text[],
  %(outcomes)s::text[], %(counts)s::bigint[])
ON CONFLICT (system, flow, kind, outcome) DO UPDATE SET count = c.count + excluded.count
"""
_NOT_WAITED_FOR = "SELECT set_config('synchronous_commit', 'off', true)"

Calls = Mapping[tuple[str, str, int], tuple[int, int]]
"""(system, answer, bucket) -> (calls, milliseconds)."""

Outcomes = Mapping[tuple[str, str, str, str], int]
"""(system, flow, kind, outcome) -> how many attempts."""


def say(connection: Connection, pulse: Pulse, calls: Calls, outcomes: Outcomes) -> None:
    """Write the worker's row anew and add what it counted, in one statement: a worker says so once
    a second, and one that has nothing else to do should cost next to nothing."""
    connection.execute(
        f"WITH said AS ({_PULSE}), called AS ({_CALLS}), came AS ({_OUTCOMES}) {_NOT_WAITED_FOR}",
        {
            "holder": pulse.holder,
            "host": pulse.host,
            "pid": pulse.pid,
            "life": life_key(pulse.holder),
            "hash": pulse.landscape_hash,
            "started": pulse.started_at,
            "ticks": pulse.ticks,
            "stage": pulse.stage,
            "leases": pulse.leases,
            "seconds": pulse.tick_seconds,
            "memory": pulse.memory_bytes,
            **_counted(calls, outcomes),
        },
    )


def count(connection: Connection, calls: Calls, outcomes: Outcomes) -> None:
    """Add calls to the histograms and attempts to the counts, in one statement."""
    connection.execute(
        f"WITH called AS ({_CALLS}), came AS ({_OUTCOMES}) {_NOT_WAITED_FOR}",
        _counted(calls, outcomes),
    )


def _counted(calls: Calls, outcomes: Outcomes) -> dict[str, object]:
    edges, came = sorted(calls), sorted(outcomes)
    return {
        "now": clock.now(),
        "systems": [key[0] for key in edges],
        "answers": [key[1] for key in edges],
        "edges": [key[2] for key in edges],
        "calls": [calls[key][0] for key in edges],
        "milliseconds": [calls[key][1] for key in edges],
        "of_systems": [key[0] for key in came],
        "flows": [key[1] for key in came],
        "kinds": [key[2] for key in came],
        "outcomes": [key[3] for key in came],
        "counts": [outcomes[key] for key in came],
    }


def moved(connection: Connection, holder: uuid.UUID, at: dt.datetime) -> None:
    """When the worker's work last got on, as its heartbeat knows; a process that is no worker has
    no row to say it in."""
    connection.execute("SET LOCAL synchronous_commit = off")
    connection.execute(
        "UPDATE workers SET moved_at = %s WHERE holder = %s AND stopped_at IS NULL", (at, holder)
    )


def stop(connection: Connection, holder: uuid.UUID) -> None:
    """The worker ended in good order; old rows are forgotten on the way."""
    now = clock.now()
    connection.execute("UPDATE workers SET stopped_at = %s WHERE holder = %s", (now, holder))
    connection.execute(
        f"DELETE FROM workers WHERE moved_at < %s AND life_key NOT IN {LIVING}",
        (now - dt.timedelta(hours=KEPT_HOURS),),
    )


def turning(connection: Connection, within_seconds: float) -> int:
    """How many workers live and have moved within so many seconds."""
    row = connection.execute(
        "SELECT count(*) FROM workers WHERE stopped_at IS NULL AND moved_at > %s "
        f"AND life_key IN {LIVING}",
        (clock.now() - dt.timedelta(seconds=within_seconds),),
    ).fetchone()
    return int(row[0]) if row else 0


def seen(connection: Connection) -> list[SeenWorker]:
    """Every worker that has not ended in good order, and those that did within the last day."""
    rows = connection.execute(
        "SELECT w.holder, w.host, w.pid, w.started_at, w.moved_at, w.stopped_at, w.ticks, "
        f"w.stage, w.leases, w.tick_seconds, w.memory_bytes, w.life_key IN {LIVING}, "
        "(SELECT count(*) FROM leases l WHERE l.holder = w.holder) "
        "FROM workers w ORDER BY w.started_at DESC, w.holder LIMIT %s",
        (MOST_WORKERS,),
    ).fetchall()
    return [SeenWorker(*row) for row in rows]


def bucket(milliseconds: int) -> int:
    """The upper edge of the histogram bucket that a time falls in."""
    return next((edge for edge in EDGES_MILLISECONDS if milliseconds <= edge), ANY)
