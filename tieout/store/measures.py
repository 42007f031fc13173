"""What the outside wants to know: lag, queues, rates, freshness, cases, leases, the audit log.

Every look is bounded, so that it costs the same with a million waiting rows: what waits is
counted row by row up to MOST_COUNTED and estimated from the index's statistics beyond; the oldest
rows are found at the old end of an index. Read from PostgreSQL, so that any number of workers is
covered.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection

MOST_COUNTED = 20_000
MOST_CELLS = 500  # rows of any one answer: how many lines a page of metrics may have
DISPATCH_STATES = "dispatch_states"  # where the state of a dispatch stands
PLANNED_INDEX = "dispatch_states_planned"
UNDER_WAY = ("sending", "accepted", "unknown", "written", "in_doubt")
LANES = ("close_critical", "standard", "bulk")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of one stream that wait, and since when the oldest does. `of`: arrivals or hints."""

    of: str
    system: str
    stream: str
    count: int
    oldest: dt.datetime


@dataclass(frozen=True, slots=True)
class Queue:
    """Dispatches to one system in one state and lane ("" where lanes do not matter any more)."""

    system: str
    state: str
    lane: str
    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows that ever landed in a bucket of a hop."""

    flow: str
    hop: str
    bucket: str
    count: int


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """Open cases of one kind. `amount` is in `currency`."""

    reason: str
    owner: str
    currency: str
    count: int
    amount: Decimal
    oldest: dt.datetime


@dataclass(frozen=True, slots=True)
class Fresh:
    """How a flow stands: its unfinished runs (held ones wait for a person) and the age of what the
    oldest moving one began with."""

    flow: str
    moving: int
    held: int
    oldest: dt.datetime | None


@dataclass(frozen=True, slots=True)
class SystemState:
    """Whether a system may be called now."""

    system: str
    state: str
    until: dt.datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class CallTimes:
    """One bucket of a system's answer times."""

    system: str
    answer: str
    most_milliseconds: int
    calls: int
    milliseconds: int
    last_at: dt.datetime


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """Attempts that ever came to an outcome."""

    system: str
    flow: str
    kind: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class Leases:
    """Leases in all, held by somebody, and held beyond their time."""

    known: int
    held: int
    expired: int


@dataclass(frozen=True, slots=True)
class Unowned:
    """Something that is not at its end and that nobody has to care for."""

    kind: str  # arrival, hint, run, dispatch, case
    subject: str
    state: str
    since: dt.datetime


def waiting(connection: Connection) -> list[Waiting]:
    """What came in and is not settled yet, by stream: the streams among the oldest rows."""
    # Row-level security makes the planner expect few rows, and then it sorts all of them.
    connection.execute("SET LOCAL enable_sort = off")
    arrivals = connection.execute(
        "SELECT 'arrivals', system, stream, count(*), min(received_at) FROM ("
        "  SELECT system, stream, received_at FROM arrivals WHERE state = 'new' "
        "  ORDER BY arrival_id LIMIT %s) AS old GROUP BY system, stream "
        "ORDER BY system, stream LIMIT %s",
        (MOST_COUNTED, MOST_CELLS),
    ).fetchall()
    connection.execute("SET LOCAL enable_sort = on")
    found = [Waiting(*row) for row in arrivals]
    counted = sum(one.count for one in found)
    if counted >= MOST_COUNTED:
        scale = max(1.0, _statistics(connection, "arrivals_new") / counted)
        found = [
            Waiting(one.of, one.system, one.stream, round(one.count * scale), one.oldest)
            for one in found
        ]
    hints = connection.execute(
        "SELECT 'hints', system, stream, count(*), min(asked_at) FROM ("
        "  SELECT system, stream, asked_at FROM hints LIMIT %s) AS few GROUP BY system, stream "
        "ORDER BY system, stream LIMIT %s",
        (MOST_COUNTED, MOST_CELLS),
    ).fetchall()
    return found + [Waiting(*row) for row in hints]


def queues(connection: Connection, targets: Sequence[tuple[str, str]]) -> list[Queue]:
    """Open dispatches to these targets (system, stream): planned ones by lane, others by state."""
    cells = [(*one, lane) for one in sorted(targets) for lane in LANES]
    planned = connection.execute(
        "SELECT c.system, 'planned', c.lane, n.count FROM unnest(%s::text[], %s::text[], "
        "%s::text[]) AS c (system, stream, lane), LATERAL (SELECT count(*) FROM ("
        f"  SELECT FROM {DISPATCH_STATES} d WHERE d.state = 'planned' AND d.system = c.system "
        "  AND d.stream = c.stream AND d.lane = c.lane LIMIT %s) AS few) AS n",
        (*([cell[at] for cell in cells] for at in range(3)), MOST_COUNTED),
    ).fetchall()
    full = [row for row in planned if row[3] >= MOST_COUNTED]
    if full:  # what the counted cells do not explain is shared among those that are full
        explained = sum(int(row[3]) for row in planned)
        more = max(0.0, _statistics(connection, PLANNED_INDEX) - explained) / len(full)
        planned = [
            (*row[:3], row[3] + round(more) if row[3] >= MOST_COUNTED else row[3])
            for row in planned
        ]
    states = [(*one, state) for one in sorted(targets) for state in UNDER_WAY]
    under_way = connection.execute(
        "SELECT c.system, c.state, '', n.count FROM unnest(%s::text[], %s::text[], "
        "%s::text[]) AS c (system, stream, state), LATERAL (SELECT count(*) FROM ("
        f"  SELECT FROM {DISPATCH_STATES} d WHERE d.state = c.state AND d.state IN "
        "  ('sending', 'accepted', 'unknown', 'written', 'in_doubt') AND d.system = c.system "
        "  AND d.stream = c.stream LIMIT %s) AS few) AS n",
        (*([cell[at] for cell in states] for at in range(3)), MOST_COUNTED),
    ).fetchall()
    sums: dict[tuple[str, str, str], int] = {}
    for system, state, lane, count in (*planned, *under_way):
        key = (str(system), str(state), str(lane))
        sums[key] = sums.get(key, 0) + int(count)
    return [Queue(*key, count) for key, count in sorted(sums.items())]


def _statistics(connection: Connection, index: str) -> float:
    """How many rows a partial index had when the server last looked; 0 when it never did."""
    row = connection.execute(
        "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass(%s)", (index,)
    ).fetchone()
    return float(row[0]) if row else 0.0


def moved(connection: Connection) -> list[Moved]:
    """What ever moved, hop by hop, from the control totals."""
    rows = connection.execute(
        "SELECT flow, hop, bucket, sum(count)::bigint FROM totals GROUP BY flow, hop, bucket "
        "ORDER BY flow, hop, bucket LIMIT %s",
        (MOST_CELLS,),
    ).fetchall()
    return [Moved(*row) for row in rows]


def cases(connection: Connection) -> list[CaseGroup]:
    """Open cases by reason, owner and currency."""
    rows = connection.execute(
        "SELECT reason, owner, currency, count(*), coalesce(sum(amount), 0), min(opened_at) FROM ("
        "  SELECT reason, owner, currency, amount, opened_at FROM cases WHERE state = 'open' "
        "  LIMIT %s) AS few GROUP BY reason, owner, currency "
        "ORDER BY reason, owner, currency LIMIT %s",
        (5 * MOST_COUNTED, MOST_CELLS),
    ).fetchall()
    return [CaseGroup(*row) for row in rows]


def fresh(connection: Connection, flow: str) -> Fresh:
    """The unfinished runs of a flow, oldest first, and when what they work on arrived."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE state <> 'held'), count(*) FILTER (WHERE state = 'held') "
        "FROM (SELECT state FROM runs WHERE flow = %s AND ended_at IS NULL LIMIT %s) AS few",
        (flow, MOST_COUNTED),
    ).fetchone()
    moving, held = (int(row[0]), int(row[1])) if row else (0, 0)
    oldest = connection.execute(
        "SELECT min(coalesce(a.received_at, r.started_at)) FROM ("
        "  SELECT record_type, record_key, record_version, started_at FROM ("
        "    SELECT * FROM runs WHERE flow = %s AND ended_at IS NULL ORDER BY run_id LIMIT %s"
        "  ) AS old WHERE state <> 'held' LIMIT %s) AS r "
        "LEFT JOIN records v USING (record_type, record_key) "
        "LEFT JOIN arrivals a ON a.arrival_id = v.arrival_id "
        "WHERE v.version IS NULL OR v.version = r.record_version",
        (flow, MOST_COUNTED, MOST_COUNTED // 10),
    ).fetchone()
    return Fresh(flow, moving, held, oldest[0] if oldest else None)


def unfinished_in(
    connection: Connection,
    flow: str,
    legal_entity: str,
    period: str | None,
    before: dt.datetime,
) -> int:
    """How many runs of a flow, for records of this legal entity, are not at their end though they
    should be: those of this period, or (None) those whose arrival came before `before`. Counted
    among the MOST_COUNTED oldest."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT record_type, record_key, record_version FROM runs "
        "  WHERE flow = %(flow)s AND ended_at IS NULL ORDER BY run_id LIMIT %(most)s) AS r "
        "JOIN records v ON v.record_type = r.record_type AND v.record_key = r.record_key "
        "  AND v.version = r.record_version "
        "WHERE v.legal_entity = %(entity)s AND CASE WHEN %(period)s::text IS NULL "
        "  THEN v.recorded_at < %(before)s ELSE v.period = %(period)s END",
        {
            "flow": flow,
            "entity": legal_entity,
            "period": period,
            "before": before,
            "most": MOST_COUNTED,
        },
    ).fetchone()
    return int(row[0]) if row else 0


def systems(connection: Connection) -> list[SystemState]:
    """What is known of each system that was ever troubled."""
    rows = connection.execute(
        "SELECT system, CASE WHEN until > %s OR state = 'open' THEN state ELSE 'half_open' END, "
        "until, failures FROM system_states ORDER BY system LIMIT %s",
        (clock.now(), MOST_CELLS),
    ).fetchall()
    return [SystemState(*row) for row in rows]


def call_times(connection: Connection) -> list[CallTimes]:
    """The histograms of answer times, all of them."""
    rows = connection.execute(
        "SELECT system, answer, most_milliseconds, calls, milliseconds, last_at FROM call_times "
        "ORDER BY system, answer, most_milliseconds LIMIT %s",
        (10 * MOST_CELLS,),
    ).fetchall()
    return [CallTimes(*row) for row in rows]


def outcomes(connection: Connection) -> list[OutcomeCount]:
    """What attempts came to, by system and flow."""
    rows = connection.execute(
        "SELECT system, flow, kind, outcome, count FROM outcome_counts "
        "ORDER BY system, flow, kind, outcome LIMIT %s",
        (2 * MOST_CELLS,),
    ).fetchall()
    return [OutcomeCount(*row) for row in rows]


def last_answers(connection: Connection) -> dict[str, dt.datetime]:
    """When each system last gave any answer: to a call, or to the reading of a stream."""
    rows = connection.execute(
        "SELECT system, max(at) FROM ("
        "  SELECT system, last_at AS at FROM call_times WHERE answer <> 'none' "
        "  UNION ALL SELECT system, read_at FROM stream_cursors WHERE read_at > to_timestamp(0)"
        ") AS few GROUP BY system ORDER BY system LIMIT %s",
        (MOST_CELLS,),
    ).fetchall()
    return {str(system): at for system, at in rows}


def leases(connection: Connection) -> Leases:
    """Who holds the work."""
    row = connection.execute(
        "SELECT count(*), count(holder), count(holder) FILTER (WHERE expires_at <= %s) FROM leases",
        (clock.now(),),
    ).fetchone()
    return Leases(*row) if row else Leases(0, 0, 0)


def unsealed_since(connection: Connection) -> dt.datetime | None:
    """When the oldest audit batch was made that is not in the sealed log; None: all are."""
    row = connection.execute(
        "SELECT at FROM audit_batches WHERE batch_id > "
        "(SELECT coalesce(max(batch_id), 0) FROM audit_log_leaves) ORDER BY batch_id LIMIT 1"
    ).fetchone()
    return row[0] if row else None


def first_start(connection: Connection) -> dt.datetime | None:
    """When the oldest worker that is known began; None: none ever did."""
    row = connection.execute("SELECT min(started_at) FROM workers").fetchone()
    return row[0] if row else None


_UNOWNED = f"""
SELECT * FROM (
    (SELECT 'arrival', system || '.' || stream || ' ' || source_key, state, received_at
     FROM arrivals WHERE state = 'new' AND received_at <= %(before)s ORDER BY arrival_id
     LIMIT %(most)s)
    UNION ALL
    (SELECT 'arrival', a.system || '.' || a.stream || ' ' || a.source_key, a.state, a.received_at
     FROM arrivals a WHERE a.state = 'held' AND NOT EXISTS (
        SELECT FROM cases c WHERE c.state = 'open' AND c.owner <> '' AND c.system = a.system
        AND c.stream = a.stream AND c.source_key = a.source_key) LIMIT %(most)s)
    UNION ALL
    (SELECT 'hint', system || '.' || stream || ' ' || source_key, 'asked', asked_at
     FROM hints WHERE asked_at <= %(before)s LIMIT %(most)s)
    UNION ALL
    (SELECT 'run', r.flow || ' ' || r.record_key, r.state, coalesce(r.waits_since, r.started_at)
     FROM runs r WHERE r.ended_at IS NULL
     AND (r.state = 'held' OR coalesce(r.waits_since, r.started_at) <= %(before)s)
     AND NOT EXISTS (SELECT FROM cases c WHERE c.state = 'open' AND c.owner <> ''
                     AND c.run_id = r.run_id) LIMIT %(most)s)
    UNION ALL
    (SELECT 'dispatch', d.system || ' ' || d.dispatch_id, d.state, d.due_at
     FROM {DISPATCH_STATES} d
     WHERE d.state IN ('planned', 'sending', 'accepted', 'unknown', 'written', 'in_doubt')
     AND (d.state = 'in_doubt' OR d.due_at <= %(before)s)
     AND NOT EXISTS (SELECT FROM cases c WHERE c.state = 'open' AND c.owner <> ''
                     AND c.dispatch_id = d.dispatch_id) LIMIT %(most)s)
    UNION ALL
    (SELECT 'case', reason || ' ' || case_id, state, opened_at
     FROM cases WHERE state = 'open' AND owner = '' LIMIT %(most)s)
) AS found LIMIT %(most)s
"""


def unowned(connection: Connection, before: dt.datetime, most: int = 100) -> list[Unowned]:
    """What is neither at its end nor in an open case that somebody owns (promise P7).

    What still moves counts when it has not moved since `before`; at rest, give now. What is stopped
    (held, in doubt) needs its case at once. At most `most` are listed.
    """
    rows = connection.execute(_UNOWNED, {"before": before, "most": most}).fetchall()
    return [Unowned(*row) for row in rows]
