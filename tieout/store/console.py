"""Today: what a controller wants to know first, read in one consistent look."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store import exceptions, tie_outs
from tieout.store.database import Connection
from tieout.store.exceptions import CaseGroup
from tieout.store.tie_outs import TieOutRow

WINDOW_HOURS = 24
MOST_STREAMS = 200


@dataclass(frozen=True, slots=True)
class Promise:
    """How fresh a flow keeps its records: from arrival to the last proof, over the last 24 hours.

    `late` are complete but took longer; `overdue` are not complete and past the promise already;
    `in_time` are not complete and still within it. `slowest_seconds` is of the completed ones.
    """

    flow: str
    within_seconds: int
    kept: int
    late: int
    in_time: int
    overdue: int
    slowest_seconds: int | None


@dataclass(frozen=True, slots=True)
class RunCount:
    """How many runs of a flow stand in one state."""

    flow: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class MoneyInFlight:
    """Order value between source and proof, in one currency.

    moving: under way; held: waits for a person; complete: proved everywhere in the last 24 hours.
    """

    currency: str
    moving_count: int
    moving: Decimal
    held_count: int
    held: Decimal
    complete_count: int
    complete: Decimal


@dataclass(frozen=True, slots=True)
class SystemSeen:
    """What we last knew of a system, and what we owe it."""

    system: str
    state: str
    until: dt.datetime | None
    words: str
    changed_at: dt.datetime | None
    last_read_at: dt.datetime | None
    last_proof_at: dt.datetime | None
    open_dispatches: int


@dataclass(frozen=True, slots=True)
class Today:
    """The whole page. `as_of` is when it was read; everything is of that moment."""

    as_of: dt.datetime
    records: int
    complete: int
    undone: int
    unfinished: int
    held_arrivals: int
    open_cases: int
    promises: tuple[Promise, ...]
    runs: tuple[RunCount, ...]
    money: tuple[MoneyInFlight, ...]
    cases: tuple[CaseGroup, ...]
    tie_outs: tuple[TieOutRow, ...]
    systems: tuple[SystemSeen, ...]


def today(connection: Connection, fresh_within: Mapping[str, float | None] | None = None) -> Today:
    """Today's page. `fresh_within` is what each flow promises, in seconds (None: nothing)."""
    now = clock.now()
    counts = _run_counts(connection)
    by_state = {
        state: sum(one.count for one in counts if one.state == state)
        for state in ("complete", "undone", "ready", "waiting", "paused", "held")
    }
    held, open_cases = _counted(connection)
    return Today(
        as_of=now,
        records=sum(by_state.values()),
        complete=by_state["complete"],
        undone=by_state["undone"],
        unfinished=by_state["ready"] + by_state["waiting"] + by_state["paused"] + by_state["held"],
        held_arrivals=held,
        open_cases=open_cases,
        promises=_promises(connection, now, fresh_within or {}),
        runs=counts,
        money=_money(connection, now),
        cases=tuple(exceptions.groups(connection)),
        tie_outs=tuple(tie_outs.newest_of_each(connection)),
        systems=_systems(connection),
    )


def _run_counts(connection: Connection) -> tuple[RunCount, ...]:
    rows = connection.execute(
        "SELECT flow, state, count(*) FROM runs GROUP BY flow, state ORDER BY flow, "
        "array_position(ARRAY['complete', 'undone', 'ready', 'waiting', 'paused', 'held'], state)"
    ).fetchall()
    return tuple(RunCount(*row) for row in rows)


def _counted(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        "SELECT (SELECT count(DISTINCT (system, stream, source_key)) FROM cases "
        "WHERE state = 'open' AND run_id IS NULL AND source_key <> ''), "
        "(SELECT count(*) FROM cases WHERE state = 'open')"
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


_PROMISE = """
SELECT count(*) FILTER (WHERE done AND seconds <= %(within)s),
       count(*) FILTER (WHERE done AND seconds > %(within)s),
       count(*) FILTER (WHERE NOT done AND seconds <= %(within)s),
       count(*) FILTER (WHERE NOT done AND seconds > %(within)s),
       (max(seconds) FILTER (WHERE done))::integer
FROM (
    SELECT r.state IN ('complete', 'undone') AS done,
           extract(epoch FROM coalesce(r.ended_at, %(now)s) - coalesce(a.received_at, r.started_at))
               AS seconds
    FROM runs r
    LEFT JOIN records v ON v.record_type = r.record_type AND v.record_key = r.record_key
                       AND v.version = r.record_version
    LEFT JOIN arrivals a ON a.arrival_id = v.arrival_id
    WHERE r.flow = %(flow)s AND (r.ended_at IS NULL OR r.ended_at > %(since)s)
) AS one
"""


def _promises(
    connection: Connection, now: dt.datetime, fresh_within: Mapping[str, float | None]
) -> tuple[Promise, ...]:
    found = []
    for flow, within in sorted(fresh_within.items()):
        if within is None:
            continue
        row = connection.execute(
            _PROMISE,
            {
                "flow": flow,
                "within": within,
                "now": now,
                "since": now - dt.timedelta(hours=WINDOW_HOURS),
            },
        ).fetchone()
        if row is not None:
            found.append(Promise(flow, round(within), *row))
    return tuple(found)


_MONEY = """
WITH worth AS (
    SELECT CASE WHEN r.state IN ('ready', 'waiting', 'paused') THEN 'moving'
                WHEN r.state = 'held' THEN 'held' ELSE 'complete' END AS bucket,
           v.currency, v.amount
    FROM runs r JOIN records v ON v.record_type = r.record_type AND v.record_key = r.record_key
                              AND v.version = r.record_version
    WHERE v.amount IS NOT NULL AND r.state <> 'undone'
      AND (r.ended_at IS NULL OR r.ended_at > %(since)s)
    UNION ALL
    SELECT 'held', currency, amount FROM (
        SELECT DISTINCT ON (system, stream, source_key) currency, amount FROM cases
        WHERE state = 'open' AND run_id IS NULL AND amount IS NOT NULL AND source_key <> ''
        ORDER BY system, stream, source_key, case_id
    ) AS held_arrivals
)
SELECT currency,
       count(*) FILTER (WHERE bucket = 'moving'),
       coalesce(sum(amount) FILTER (WHERE bucket = 'moving'), 0),
       count(*) FILTER (WHERE bucket = 'held'),
       coalesce(sum(amount) FILTER (WHERE bucket = 'held'), 0),
       count(*) FILTER (WHERE bucket = 'complete'),
       coalesce(sum(amount) FILTER (WHERE bucket = 'complete'), 0)
FROM worth GROUP BY currency ORDER BY currency LIMIT 200
"""


def _money(connection: Connection, now: dt.datetime) -> tuple[MoneyInFlight, ...]:
    since = now - dt.timedelta(hours=WINDOW_HOURS)
    rows = connection.execute(_MONEY, {"since": since}).fetchall()
    return tuple(MoneyInFlight(*row) for row in rows)


_SYSTEMS = """
WITH known AS (
    SELECT system FROM system_states UNION SELECT system FROM stream_cursors
    UNION SELECT DISTINCT system FROM documents
),
owed AS (
    SELECT system, count(*) AS open FROM dispatch_states
    WHERE state IN ('planned', 'sending', 'accepted', 'unknown', 'written', 'in_doubt')
    GROUP BY system
),
proved AS (
    SELECT d.system, max(p.read_at) AS at FROM proofs p JOIN intents d USING (dispatch_id)
    GROUP BY d.system
)
SELECT k.system, coalesce(s.state, 'open'), s.until, coalesce(s.words, ''), s.changed_at,
       (SELECT max(c.read_at) FROM stream_cursors c WHERE c.system = k.system),
       p.at, coalesce(o.open, 0)
FROM known k LEFT JOIN system_states s USING (system) LEFT JOIN owed o USING (system)
LEFT JOIN proved p USING (system)
ORDER BY k.system LIMIT 200
"""


def _systems(connection: Connection) -> tuple[SystemSeen, ...]:
    return tuple(SystemSeen(*row) for row in connection.execute(_SYSTEMS).fetchall())
