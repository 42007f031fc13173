"""Runs: one row per flow and record, advanced set-wise; a million waiting runs cost no memory.

A waiting run is woken by its event. What it waits for stands in its own row when it is one
document, else in run_waits; `due_at` is a deadline, a date, or a rare look for safety.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.store.database import Connection

LANES = ("close_critical", "standard", "bulk")  # in the order in which they leave
MOST_COUNTED = 10_000  # of one lane: more is simply many


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the flow engine advances it."""

    run_id: int
    flow: str
    record_type: str
    record_key: str
    record_version: int
    revision: int
    mode: str
    step_no: int
    state: str
    waits_for: str
    waits_since: dt.datetime | None
    lane: str
    legal_entity: str
    partition_no: int
    waits_many: bool = False
    started_at: dt.datetime | None = None
    landscape_hash: str = ""  # the landscape in which `step_no` counts

    @property
    def taking_back(self) -> bool:
        """Whether it takes back what was written, last first."""
        return self.mode != "forward"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A record version a flow must carry on: start or amend (`forward`), or take back (`undo`)."""

    flow: str
    record_type: str
    record_key: str
    record_version: int
    mode: str
    lane: str
    legal_entity: str
    partition_no: int
    landscape_hash: str


_RUN = (
    "r.run_id, r.flow, r.record_type, r.record_key, r.record_version, r.revision, r.mode, "
    "r.step_no, r.state, r.waits_for, r.waits_since, r.lane, r.legal_entity, r.partition_no, "
    "r.waits_many, r.started_at, r.landscape_hash"
)

# A join would let a planner with old statistics choose them again for every row: ids first.
_CHOSEN_ONCE = "r.run_id = ANY(ARRAY(SELECT run_id FROM next))"


def start(connection: Connection, wanted: Sequence[Wanted]) -> list[Run]:
    """Start runs, or make the existing ones work on the newer version from their first step;
    returns them, locked and ready, so that the caller may advance them at once.

    Steps whose document already is as it should be are passed at once; a run that had ended opens
    its next revision. A record that leaves scope before it was ever in a run starts none.
    """
    if not wanted:
        return []
    rows = connection.execute(
        "INSERT INTO runs AS r (flow, record_type, record_key, record_version, mode, state, lane, "
        "legal_entity, partition_no, landscape_hash, started_at) "
        "SELECT t.flow, t.record_type, t.record_key, t.version, t.mode, 'ready', t.lane, t.entity, "
        "t.part_no, t.hash, %(now)s "
        "FROM unnest(%(flows)s::text[], %(types)s::text[], %(keys)s::text[], %(versions)s::int[], "
        "%(modes)s::text[], %(lanes)s::text[], %(entities)s::text[], %(parts)s::int[], "
        "%(hashes)s::text[]) AS t (flow, record_type, record_key, version, mode, lane, entity, "
        "part_no, hash) "
        "WHERE t.mode = 'forward' OR EXISTS (SELECT FROM runs o WHERE o.flow = t.flow "
        "AND o.record_key = t.record_key) ORDER BY t.record_key, t.flow "
        "ON CONFLICT (record_key, flow) DO UPDATE SET record_version = excluded.record_version, "
        "mode = excluded.mode, step_no = 0, state = 'ready', waits_for = '', waits_since = NULL, "
        "waits_document = NULL, due_at = NULL, ended_at = NULL, "
        "legal_entity = excluded.legal_entity, landscape_hash = excluded.landscape_hash, "
        "revision = r.revision + CASE WHEN r.state IN ('complete', 'undone') THEN 1 ELSE 0 END "
        f"RETURNING {_RUN}",
        {
            "now": clock.now(),
            "flows": [w.flow for w in wanted],
            "types": [w.record_type for w in wanted],
            "keys": [w.record_key for w in wanted],
            "versions": [w.record_version for w in wanted],
            "modes": [w.mode for w in wanted],
            "lanes": [w.lane for w in wanted],
            "entities": [w.legal_entity for w in wanted],
            "parts": [w.partition_no for w in wanted],
            "hashes": [w.landscape_hash for w in wanted],
        },
    ).fetchall()
    return [Run(*row) for row in rows]


def ready(
    connection: Connection,
    partitions: Sequence[int],
    most: int,
    held_flows: Sequence[str] = (),
    *,
    lane: str = "",
) -> list[Run]:
    """Runs that may move now, locked: oldest first, of one lane, or of all in lane order; none of
    the flows that are held back.

    Reads a short range of the queue per partition and lane, so that a million ready rows cost no
    more than a thousand. A partition gives at most twice its share at a time.
    """
    if not partitions:
        return []
    rows = connection.execute(
        "WITH next AS (SELECT q.run_id FROM unnest(%(lanes)s::text[]) WITH ORDINALITY "
        "  AS l (lane, nth) CROSS JOIN unnest(%(parts)s::int[]) AS p (no) CROSS JOIN LATERAL ("
        "    SELECT run_id FROM runs WHERE state = 'ready' AND partition_no = p.no "
        "    AND lane = l.lane AND flow <> ALL(%(held)s) ORDER BY run_id LIMIT %(share)s) AS q "
        "  ORDER BY l.nth, q.run_id LIMIT %(most)s) "
        f"SELECT {_RUN} FROM runs r WHERE {_CHOSEN_ONCE} AND r.state = 'ready' "
        "ORDER BY r.run_id FOR UPDATE OF r",
        {
            "lanes": [lane] if lane else list(LANES),
            "held": list(held_flows),
            "parts": list(partitions),
            "share": 2 * most // len(partitions) + 1,
            "most": most,
        },
    ).fetchall()
    return [Run(*row) for row in rows]


def ready_by_lane(connection: Connection, partitions: Sequence[int]) -> Mapping[str, int]:
    """How many runs are ready in each lane; counting stops at MOST_COUNTED."""
    rows = connection.execute(
        "SELECT l.lane, (SELECT count(*) FROM (SELECT FROM runs WHERE state = 'ready' "
        "AND partition_no = ANY(%s) AND lane = l.lane LIMIT %s) AS some) "
        "FROM unnest(%s::text[]) AS l (lane)",
        (list(partitions), MOST_COUNTED, list(LANES)),
    ).fetchall()
    return {str(lane): int(count) for lane, count in rows}


def due(
    connection: Connection, partitions: Sequence[int], most: int, held_flows: Sequence[str] = ()
) -> list[Run]:
    """Waiting, paused and held runs whose time has come, locked; none of the flows held back."""
    rows = connection.execute(
        "WITH next AS (SELECT run_id FROM runs WHERE due_at <= %(now)s "
        "  AND partition_no = ANY(%(parts)s) AND flow <> ALL(%(held)s) "
        "  ORDER BY due_at, run_id LIMIT %(most)s) "
        f"SELECT {_RUN} FROM runs r WHERE {_CHOSEN_ONCE} AND r.due_at <= %(now)s "
        "ORDER BY r.run_id FOR UPDATE OF r",
        {
            "parts": list(partitions),
            "now": clock.now(),
            "most": most,
            "held": list(held_flows),
        },
    ).fetchall()
    return [Run(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Advance:
    """Where a run stands now. `documents`, `records` and `events` are what wakes it, `due_at` when
    it looks by itself."""

    run: Run
    state: str
    step_no: int
    waits_for: str = ""
    due_at: dt.datetime | None = None
    documents: tuple[int, ...] = ()
    records: tuple[str, ...] = ()
    events: tuple[str, ...] = ()

    @property
    def document(self) -> int | None:
        """The one document it waits for, when that is all."""
        only = len(self.documents) == 1 and not (self.records or self.events)
        return self.documents[0] if only else None

    @property
    def others(self) -> list[tuple[int, str, str]]:
        """Its rows in run_waits: (run id, kind, subject)."""
        run_id = self.run.run_id
        rows = (
            []
            if self.document is not None
            else [(run_id, "document", str(one)) for one in self.documents]
        )
        rows += [(run_id, "record", one) for one in self.records]
        return rows + [(run_id, "event", one) for one in self.events]


def advance(connection: Connection, advances: Sequence[Advance], landscape_hash: str) -> None:
    """Store where runs stand in this landscape, and what wakes the waiting ones."""
    if not advances:
        return
    waits = [row for one in advances for row in one.others]
    many = {run_id for run_id, _, _ in waits}
    connection.execute(
        "UPDATE runs r SET state = t.state, step_no = t.step_no, mode = t.mode, "
        "waits_for = t.waits_for, due_at = t.due_at, waits_document = t.document_id, "
        "waits_many = t.many, landscape_hash = %(landscape)s, "
        "waits_since = CASE WHEN t.state IN ('waiting', 'paused', 'held') THEN "
        "  CASE WHEN r.step_no = t.step_no AND r.mode = t.mode "
        "  THEN coalesce(r.waits_since, %(now)s) ELSE %(now)s END END, "
        "ended_at = CASE WHEN t.state IN ('complete', 'undone') THEN %(now)s::timestamptz END "
        "FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(steps)s::int[], %(modes)s::text[], "
        "%(waits)s::text[], %(dues)s::timestamptz[], %(documents)s::bigint[], %(many)s::boolean[]) "
        "AS t (run_id, state, step_no, mode, waits_for, due_at, document_id, many) "
        "WHERE r.run_id = t.run_id",
        {
            "now": clock.now(),
            "landscape": landscape_hash,
            "ids": [a.run.run_id for a in advances],
            "states": [a.state for a in advances],
            "steps": [a.step_no for a in advances],
            "modes": [a.run.mode for a in advances],
            "waits": [a.waits_for for a in advances],
            "dues": [a.due_at for a in advances],
            "documents": [a.document for a in advances],
            "many": [a.run.run_id in many for a in advances],
        },
    )
    before = [a.run.run_id for a in advances if a.run.waits_many]
    if before:
        connection.execute("DELETE FROM run_waits WHERE run_id = ANY(%s)", (before,))
    if waits:
        connection.execute(
            "INSERT INTO run_waits (run_id, kind, subject) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
            tuple(list(column) for column in zip(*waits, strict=True)),
        )


def locked(connection: Connection, run_ids: Sequence[int]) -> list[Run]:
    """Those of these runs that may still move: none that has ended, or waits by now."""
    rows = connection.execute(
        f"SELECT {_RUN} FROM runs r WHERE r.run_id = ANY(%s) "
        "AND (r.state = 'ready' OR r.due_at <= %s) ORDER BY r.run_id FOR UPDATE",
        (list(run_ids), clock.now()),
    ).fetchall()
    return [Run(*row) for row in rows]


def waiting_for(connection: Connection, document_ids: Sequence[int]) -> list[Run]:
    """Runs that wait for one of these documents, locked. The documents are locked by the caller:
    see `wake`."""
    rows = connection.execute(
        f"SELECT {_RUN} FROM runs r WHERE r.state IN ('waiting', 'paused', 'held') "
        "AND r.run_id = ANY(ARRAY("
        "SELECT run_id FROM runs WHERE waits_document = ANY(%s) UNION ALL "
        "SELECT run_id FROM run_waits WHERE kind = 'document' AND subject = ANY(%s))) "
        "ORDER BY r.run_id FOR UPDATE OF r",
        (list(document_ids), [str(one) for one in document_ids]),
    ).fetchall()
    return [Run(*row) for row in rows]


def wake(connection: Connection, kind: str, subjects: Sequence[str]) -> int:
    """Make every run that waits for one of these ready; returns how many.

    Whoever changes what is waited for holds its row while calling this: a run that reads the same
    row then either sees the change, or has its wait stored before this looks.
    """
    if not subjects:
        return 0
    documents = [int(one) for one in subjects] if kind == "document" else []
    return connection.execute(
        "UPDATE runs SET state = 'ready', due_at = NULL, waits_document = NULL "
        "WHERE state IN ('waiting', 'paused', 'held') AND run_id IN ("
        "SELECT run_id FROM runs WHERE waits_document = ANY(%s) "
        "UNION ALL SELECT run_id FROM run_waits WHERE kind = %s AND subject = ANY(%s))",
        (documents, kind, list(subjects)),
    ).rowcount


def wake_runs(connection: Connection, run_ids: Sequence[int]) -> int:
    """Make these runs ready, whatever they wait for; returns how many."""
    if not run_ids:
        return 0
    return connection.execute(
        "UPDATE runs SET state = 'ready', due_at = NULL, waits_document = NULL "
        "WHERE state IN ('waiting', 'paused', 'held') AND run_id = ANY(%s)",
        (list(run_ids),),
    ).rowcount


@dataclass(frozen=True, slots=True)
class StepNote:
    """One line of a run's history: a step that was passed ("done"), holds it ("held"), or at which
    it began to wait ("started"). `result` is what the step had to say."""

    run: Run
    step_no: int
    step: str
    state: str
    document_id: int | None = None
    result: str = ""


def note_steps(connection: Connection, notes: Sequence[StepNote]) -> None:
    """Keep the history, one statement for all. A step that is passed again keeps its first times;
    what would say the same again is not written."""
    if not notes:
        return
    now = clock.now()
    connection.execute(
        "INSERT INTO run_steps AS s (run_id, revision, mode, step_no, step, record_version, state, "
        "document_id, started_at, done_at, result) "
        "SELECT t.run_id, t.revision, t.mode, t.step_no, t.step, t.version, t.state, "
        "t.document_id, t.started_at, CASE WHEN t.state = 'done' THEN %(now)s::timestamptz END, "
        "t.result FROM unnest(%(runs)s::bigint[], %(revisions)s::int[], %(modes)s::text[], "
        "%(numbers)s::int[], %(steps)s::text[], %(versions)s::int[], %(states)s::text[], "
        "%(documents)s::bigint[], %(starts)s::timestamptz[], %(results)s::text[]) AS t (run_id, "
        "revision, mode, step_no, step, version, state, document_id, started_at, result) "
        "ON CONFLICT (run_id, revision, mode, step_no) DO UPDATE SET state = excluded.state, "
        "step = excluded.step, record_version = excluded.record_version, "
        "document_id = coalesce(excluded.document_id, s.document_id), "
        "done_at = coalesce(s.done_at, excluded.done_at), result = excluded.result "
        "WHERE (s.state, s.record_version, s.step, s.result) IS DISTINCT FROM "
        "(excluded.state, excluded.record_version, excluded.step, excluded.result) "
        "OR s.document_id IS DISTINCT FROM coalesce(excluded.document_id, s.document_id)",
        {
            "now": now,
            "runs": [n.run.run_id for n in notes],
            "revisions": [n.run.revision for n in notes],
            "modes": [n.run.mode for n in notes],
            "numbers": [n.step_no for n in notes],
            "steps": [n.step for n in notes],
            "versions": [n.run.record_version for n in notes],
            "states": [n.state for n in notes],
            "documents": [n.document_id for n in notes],
            "starts": [_started(n, now) for n in notes],
            "results": [n.result for n in notes],
        },
    )


def _started(note: StepNote, now: dt.datetime) -> dt.datetime:
    """When the run came to the step: when it began to wait there, else now."""
    waited = note.run.waits_since if note.run.step_no == note.step_no else None
    return waited or now


def came_to(
    connection: Connection, step_no: int, step: str, some: Sequence[Run]
) -> Mapping[int, dt.datetime]:
    """When each run first came to this step in its revision, as the history has it. A flow that was
    changed meanwhile may have had another step at this place."""
    rows = connection.execute(
        "SELECT s.run_id, s.started_at FROM run_steps s JOIN unnest(%s::bigint[], %s::int[]) "
        "AS t (run_id, revision) ON t.run_id = s.run_id AND t.revision = s.revision "
        "WHERE s.mode = 'forward' AND s.step_no = %s AND s.step = %s",
        ([one.run_id for one in some], [one.revision for one in some], step_no, step),
    ).fetchall()
    return {int(run_id): at for run_id, at in rows}


def held_further_on(connection: Connection, passed: Mapping[int, int], mode: str) -> set[int]:
    """Which of these runs (run id -> the last step passed) a later step of the same revision
    still holds."""
    rows = connection.execute(
        "SELECT DISTINCT s.run_id FROM run_steps s JOIN runs r ON r.run_id = s.run_id "
        "AND r.revision = s.revision JOIN unnest(%s::bigint[], %s::int[]) AS t (run_id, step_no) "
        "ON t.run_id = s.run_id AND s.step_no > t.step_no WHERE s.mode = %s AND s.state = 'held'",
        (list(passed), list(passed.values()), mode),
    ).fetchall()
    return {int(row[0]) for row in rows}


def states(connection: Connection) -> Mapping[str, int]:
    """How many runs stand where."""
    rows = connection.execute("SELECT state, count(*) FROM runs GROUP BY state").fetchall()
    return {str(state): int(count) for state, count in rows}
