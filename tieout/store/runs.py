"""Runs: one row per flow and record, advanced set-wise; a million waiting runs cost no memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.store.database import Connection


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


def want(connection: Connection, wanted: Sequence[Wanted]) -> None:
    """Start runs, or make the existing ones work on the newer version from their first step.

    Steps whose document already is as it should be are passed at once; a run that had ended opens
    its next revision. A record that leaves scope before it was ever in a run starts none.
    """
    if not wanted:
        return
    now = clock.now()
    connection.execute(
        "INSERT INTO runs AS r (flow, record_type, record_key, record_version, mode, state, lane, "
        "legal_entity, partition_no, landscape_hash, started_at) "
        "SELECT t.flow, t.record_type, t.record_key, t.version, t.mode, 'ready', t.lane, t.entity, "
        "t.part_no, t.hash, %(now)s "
        "FROM unnest(%(flows)s::text[], %(types)s::text[], %(keys)s::text[], %(versions)s::int[], "
        "%(modes)s::text[], %(lanes)s::text[], %(entities)s::text[], %(parts)s::int[], "
        "%(hashes)s::text[]) AS t (flow, record_type, record_key, version, mode, lane, entity, "
        "part_no, hash) "
        "WHERE t.mode = 'forward' OR EXISTS (SELECT FROM runs o WHERE o.flow = t.flow "
        "AND o.record_key = t.record_key) ORDER BY t.record_key "
        "ON CONFLICT (flow, record_key) DO UPDATE SET record_version = excluded.record_version, "
        "mode = excluded.mode, step_no = 0, state = 'ready', waits_for = '', waits_since = NULL, "
        "due_at = NULL, ended_at = NULL, legal_entity = excluded.legal_entity, "
        "landscape_hash = excluded.landscape_hash, "
        "revision = r.revision + CASE WHEN r.state IN ('complete', 'undone') THEN 1 ELSE 0 END",
        {
            "now": now,
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
    )


_RUN = (
    "run_id, flow, record_type, record_key, record_version, revision, mode, step_no, state, "
    "waits_for, waits_since, lane, legal_entity, partition_no"
)


def ready(connection: Connection, partitions: Sequence[int], most: int) -> list[Run]:
    """Runs to advance now, locked: ready ones, and waiting ones whose time has come."""
    rows = connection.execute(
        f"SELECT {_RUN} FROM runs WHERE partition_no = ANY(%(parts)s) AND (state = 'ready' "
        "OR (state = 'waiting' AND due_at <= %(now)s)) "
        "ORDER BY array_position(ARRAY['close_critical', 'standard', 'bulk'], lane), run_id "
        "LIMIT %(most)s FOR UPDATE",
        {"parts": list(partitions), "now": clock.now(), "most": most},
    ).fetchall()
    return [Run(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Advance:
    """Where a run stands now. `documents`/`records` are what wakes it."""

    run: Run
    state: str
    step_no: int
    waits_for: str = ""
    due_at: dt.datetime | None = None
    documents: tuple[int, ...] = ()
    records: tuple[str, ...] = ()


def advance(connection: Connection, advances: Sequence[Advance]) -> None:
    """Store where runs stand, and what wakes the waiting ones."""
    if not advances:
        return
    now = clock.now()
    connection.execute(
        "UPDATE runs r SET state = t.state, step_no = t.step_no, waits_for = t.waits_for, "
        "due_at = t.due_at, "
        "waits_since = CASE WHEN t.state IN ('waiting', 'held') THEN "
        "  CASE WHEN r.step_no = t.step_no THEN coalesce(r.waits_since, %(now)s) ELSE %(now)s END "
        "END, "
        "ended_at = CASE WHEN t.state IN ('complete', 'undone') THEN %(now)s::timestamptz END "
        "FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(steps)s::int[], %(waits)s::text[], "
        "%(dues)s::timestamptz[]) AS t (run_id, state, step_no, waits_for, due_at) "
        "WHERE r.run_id = t.run_id",
        {
            "now": now,
            "ids": [a.run.run_id for a in advances],
            "states": [a.state for a in advances],
            "steps": [a.step_no for a in advances],
            "waits": [a.waits_for for a in advances],
            "dues": [a.due_at for a in advances],
        },
    )
    connection.execute(
        "DELETE FROM run_waits WHERE run_id = ANY(%s)", ([a.run.run_id for a in advances],)
    )
    waits = [(a.run.run_id, "document", str(one)) for a in advances for one in a.documents]
    waits += [(a.run.run_id, "record", one) for a in advances for one in a.records]
    if waits:
        connection.execute(
            "INSERT INTO run_waits (run_id, kind, subject) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING",
            tuple(list(column) for column in zip(*waits, strict=True)),
        )


def wake(connection: Connection, kind: str, subjects: Sequence[str]) -> int:
    """Make every run that waits for one of these ready; returns how many."""
    return connection.execute(
        "UPDATE runs SET state = 'ready', due_at = NULL WHERE state IN ('waiting', 'held') "
        "AND run_id IN "
        "(SELECT run_id FROM run_waits WHERE kind = %s AND subject = ANY(%s))",
        (kind, list(subjects)),
    ).rowcount


def note_steps(
    connection: Connection, steps: Sequence[tuple[Run, int, str, str, int | None]]
) -> None:
    """Keep the history: (run, step number, step name, state, document id)."""
    if not steps:
        return
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO run_steps AS s VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (run_id, revision, mode, step_no) DO UPDATE SET state = excluded.state, "
            "record_version = excluded.record_version, "
            "document_id = coalesce(excluded.document_id, s.document_id), "
            "done_at = coalesce(s.done_at, excluded.done_at)",
            [
                (
                    run.run_id,
                    run.revision,
                    run.mode,
                    step_no,
                    name,
                    run.record_version,
                    state,
                    document_id,
                    now,
                    now if state == "done" else None,
                )
                for run, step_no, name, state, document_id in steps
            ],
        )


def held_further_on(
    connection: Connection, run_ids: Sequence[int], mode: str, step_no: int
) -> set[int]:
    """Which of these runs a later step of the same revision still holds."""
    rows = connection.execute(
        "SELECT DISTINCT s.run_id FROM run_steps s JOIN runs r ON r.run_id = s.run_id "
        "AND r.revision = s.revision WHERE s.run_id = ANY(%s) AND s.mode = %s "
        "AND s.step_no > %s AND s.state = 'held'",
        (list(run_ids), mode, step_no),
    ).fetchall()
    return {int(row[0]) for row in rows}


def states(connection: Connection) -> Mapping[str, int]:
    """How many runs stand where."""
    rows = connection.execute("SELECT state, count(*) FROM runs GROUP BY state").fetchall()
    return {str(state): int(count) for state, count in rows}
