"""The parts of a record's life, each read with one bounded query."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tieout.store import archive_reading, cases
from tieout.store.cases import Case
from tieout.store.database import Connection
from tieout.store.life_search import Subject
from tieout.store.life_seen import (
    ArrivalSeen,
    AttemptSeen,
    DispatchSeen,
    Fact,
    FieldChange,
    ProofSeen,
    RecordVersion,
    RunSeen,
    StepSeen,
    XrefSeen,
)

MOST_ARRIVALS = 60
MOST_VERSIONS = 40
MOST_RUNS = 20
MOST_STEPS = 200
MOST_DISPATCHES = 60
MOST_ATTEMPTS = 400
MOST_CASES = 60
MOST_XREFS = 60
MOST_CHANGES = 60

Row = TypeVar("Row")


def _bounded(rows: Sequence[Row], most: int, what: str, left_out: list[str]) -> list[Row]:
    """The newest `most` rows, oldest first; says when there were more. Rows come newest first."""
    if len(rows) > most:
        left_out.append(f"only the newest {most} {what} are shown")
    return list(reversed(rows[:most]))


def versions(
    connection: Connection, subject: Subject, left_out: list[str]
) -> tuple[RecordVersion, ...]:
    """Versions without their changes (see `with_changes`)."""
    if not subject.record_key:
        return ()
    rows = connection.execute(
        "SELECT version, recorded_at, system, stream, source_key, arrival_id, mapping, "
        "mapping_version, landscape_hash, legal_entity, currency, amount, accounting_date, "
        "period, status, in_scope, digest, '{}'::text[], body, record_type FROM records "
        "WHERE record_key = %s AND record_type = coalesce(nullif(%s, ''), record_type) "
        "ORDER BY version DESC LIMIT %s",
        (subject.record_key, subject.record_type, MOST_VERSIONS + 1),
    ).fetchall()
    kept = _bounded(rows, MOST_VERSIONS, "versions", left_out)
    return tuple(RecordVersion(*[*row[:17], (), row[18]]) for row in kept)


def with_changes(found: Sequence[RecordVersion]) -> tuple[RecordVersion, ...]:
    """Each version with the fields that differ from the version before it."""
    done: list[RecordVersion] = []
    for index, one in enumerate(found):
        before = flat(json.loads(found[index - 1].body)) if index else {}
        changes = changed_fields(before, flat(json.loads(one.body))) if index else ()
        if index and found[index - 1].in_scope != one.in_scope:
            words = ("in scope", "out of scope")
            moved = FieldChange(
                "scope", words[not found[index - 1].in_scope], words[not one.in_scope]
            )
            changes = (moved, *changes)
        done.append(replace(one, changes=changes[:MOST_CHANGES]))
    return tuple(done)


def changed_fields(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FieldChange, ...]:
    """The fields that differ between two flat bodies, in reading order."""
    return tuple(
        FieldChange(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(set(before) | set(after), key=_in_order)
        if before.get(name, "") != after.get(name, "")
    )


def _in_order(path: str) -> tuple[tuple[int, int, str], ...]:
    """Line 10 after line 9."""
    return tuple(
        (1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part)
        for part in path.split(".")
    )


def flat(value: object, path: str = "") -> dict[str, str]:
    """A canonical body as path -> text: `lines.2.amount` is the second line's amount."""
    items: Iterable[tuple[str, object]]
    if isinstance(value, dict):
        items = ((str(name), one) for name, one in value.items())
    elif isinstance(value, list):
        items = ((str(index), one) for index, one in enumerate(value, start=1))
    else:
        return {path: _text(value)}
    found: dict[str, str] = {}
    for name, one in items:
        found.update(flat(one, f"{path}.{name}" if path else name))
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def name_in(body: str) -> str:
    """The number, code or name people know a record by; "" when its body has none."""
    values = json.loads(body) if body else {}
    named = (values.get(name) for name in ("number", "code", "name"))
    return next((str(one) for one in named if one), "")


def xrefs(connection: Connection, subject: Subject, left_out: list[str]) -> tuple[XrefSeen, ...]:
    if not subject.record_key:
        return ()
    rows = connection.execute(
        "SELECT system, stream, external_id, number, linked_at FROM xrefs WHERE record_key = %s "
        "ORDER BY linked_at DESC, system DESC, stream DESC, external_id DESC LIMIT %s",
        (subject.record_key, MOST_XREFS + 1),
    ).fetchall()
    return tuple(XrefSeen(*row) for row in _bounded(rows, MOST_XREFS, "links", left_out))


def arrivals(
    connection: Connection, subject: Subject, left_out: list[str]
) -> tuple[ArrivalSeen, ...]:
    """Everything that arrived for the record: settled into it, or from the same source row."""
    rows = connection.execute(
        "WITH sources AS ("
        "  SELECT %(system)s::text AS system, %(stream)s::text AS stream, %(source)s AS source_key "
        "  WHERE %(source)s <> '' "
        "  UNION SELECT system, stream, source_key FROM records WHERE record_key = %(key)s "
        "    AND %(key)s <> '' "
        "  UNION SELECT system, stream, source_key FROM cases WHERE record_key = %(key)s "
        "    AND %(key)s <> '' AND arrival_id IS NOT NULL) "
        "SELECT a.arrival_id, a.system, a.stream, a.source_key, a.source_version, a.received_at, "
        "a.received_by, a.state, a.settled_at, a.deleted, a.record_version, a.digest, "
        "coalesce(k.times, 1), coalesce(k.last_at, a.received_at) "
        "FROM sources JOIN arrivals a USING (system, stream, source_key) "
        "LEFT JOIN arrival_keys k USING (system, stream, source_key, source_version, digest) "
        "ORDER BY a.arrival_id DESC LIMIT %(most)s",
        {
            "system": subject.system,
            "stream": subject.stream,
            "source": subject.source_key,
            "key": subject.record_key,
            "most": MOST_ARRIVALS + 1,
        },
    ).fetchall()
    return tuple(ArrivalSeen(*row) for row in _bounded(rows, MOST_ARRIVALS, "arrivals", left_out))


def runs(connection: Connection, subject: Subject, left_out: list[str]) -> tuple[RunSeen, ...]:
    if not subject.record_key:
        return ()
    rows = connection.execute(
        "SELECT run_id, flow, record_version, revision, mode, state, waits_for, waits_since, lane, "
        "started_at, ended_at FROM runs WHERE record_key = %s ORDER BY run_id DESC LIMIT %s",
        (subject.record_key, MOST_RUNS + 1),
    ).fetchall()
    kept = _bounded(rows, MOST_RUNS, "runs", left_out)
    steps: dict[int, list[StepSeen]] = defaultdict(list)
    for run_id, *rest in connection.execute(
        "SELECT run_id, revision, mode, step_no, step, record_version, state, document_id, "
        "started_at, done_at FROM run_steps WHERE run_id = ANY(%s) "
        "ORDER BY run_id, started_at, revision, mode, step_no LIMIT %s",
        ([row[0] for row in kept], MOST_STEPS),
    ).fetchall():
        steps[run_id].append(StepSeen(*rest))
    return tuple(RunSeen(*[*row, tuple(steps[row[0]])]) for row in kept)


def dispatches(
    connection: Connection, subject: Subject, left_out: list[str]
) -> tuple[DispatchSeen, ...]:
    if not subject.record_key:
        return ()
    rows = connection.execute(
        "SELECT dispatch_id, write_key, action, system, stream, reference, revision, state, "
        "record_version, flow, planned_at, due_at, settled_at, target_id, legal_entity, currency, "
        "amount, period, mapping, mapping_version, rate_ids, digest, body FROM dispatches "
        "WHERE document_id IN (SELECT document_id FROM documents WHERE record_key = %s) "
        "ORDER BY dispatch_id DESC LIMIT %s",
        (subject.record_key, MOST_DISPATCHES + 1),
    ).fetchall()
    kept = _bounded(rows, MOST_DISPATCHES, "dispatches", left_out)
    ids = [int(row[0]) for row in kept]
    tries = _attempts(connection, ids, left_out)
    read = _proofs(connection, ids, left_out)
    return tuple(_dispatch(row, tries[row[0]], read[row[0]]) for row in kept)


def _dispatch(
    row: Sequence[Any], tries: Sequence[AttemptSeen], read: Sequence[ProofSeen]
) -> DispatchSeen:
    values = (*row[:20], tuple(row[20]), *row[21:], tuple(tries), tuple(read))
    return DispatchSeen(*values)


_ATTEMPT = (
    "dispatch_id", "attempt_no", "kind", "outcome", "code", "words", "http_status", "started_at",
    "ended_at",
)  # fmt: skip
_PROOF = (
    "proof_id", "dispatch_id", "verdict", "read_at", "target_id", "number", "digest", "meant",
    "found", "differences",
)  # fmt: skip


def _archived(
    connection: Connection, table: str, dispatch_ids: Sequence[int], left_out: list[str]
) -> list[dict[str, Any]]:
    """Rows that are in the archive by now; a file that cannot be read is said, not fatal."""

    def broken(words: str) -> None:
        left_out.append(f"archived {table} are missing: {words}")

    return archive_reading.rows(connection, table, dispatch_ids, broken)


def _attempts(
    connection: Connection, dispatch_ids: Sequence[int], left_out: list[str]
) -> dict[int, list[AttemptSeen]]:
    rows = connection.execute(
        f"SELECT attempt_id, {', '.join(_ATTEMPT)} FROM attempts WHERE dispatch_id = ANY(%s) "
        "ORDER BY attempt_id DESC LIMIT %s",
        (list(dispatch_ids), MOST_ATTEMPTS + 1),
    ).fetchall()
    old = [
        (row["attempt_id"], *(row[name] for name in _ATTEMPT))
        for row in _archived(connection, "attempts", dispatch_ids, left_out)
    ]
    newest = sorted([*rows, *old], key=lambda row: int(row[0]), reverse=True)
    found: dict[int, list[AttemptSeen]] = defaultdict(list)
    for row in _bounded(newest, MOST_ATTEMPTS, "attempts", left_out):
        found[row[1]].append(AttemptSeen(*row[1:]))
    return found


def _proofs(
    connection: Connection, dispatch_ids: Sequence[int], left_out: list[str]
) -> dict[int, list[ProofSeen]]:
    """A dispatch is settled by its proof, so that their number is bounded by the dispatches."""
    rows = connection.execute(
        f"SELECT {', '.join(_PROOF)} FROM proofs WHERE dispatch_id = ANY(%s) "
        "ORDER BY proof_id LIMIT %s",
        (list(dispatch_ids), MOST_ATTEMPTS),
    ).fetchall()
    old = [
        tuple(row[name] for name in _PROOF)
        for row in _archived(connection, "proofs", dispatch_ids, left_out)
    ]
    found: dict[int, list[ProofSeen]] = defaultdict(list)
    for row in sorted([*rows, *old], key=lambda row: int(row[0])):
        found[row[1]].append(ProofSeen(*[*row[:7], _facts(row[7], row[8], row[9])]))
    return found


def _facts(meant_text: str, found_text: str, differences_text: str) -> tuple[Fact, ...]:
    """Only what was meant is proven; what else the target shows is no part of the proof."""
    meant, found = json.loads(meant_text), json.loads(found_text)
    differing = json.loads(differences_text) if differences_text else {}
    return tuple(
        Fact(name, str(value), str(found.get(name, "")), name not in differing)
        for name, value in sorted(meant.items())
    )


def cases_of(connection: Connection, subject: Subject, left_out: list[str]) -> tuple[Case, ...]:
    """Cases about the record, or about the source row that could not become one."""
    rows = connection.execute(
        "SELECT case_id FROM cases WHERE (record_key = %(key)s AND %(key)s <> '') "
        "OR (source_key = %(source)s AND %(source)s <> '' AND system = %(system)s "
        "AND stream = %(stream)s) ORDER BY case_id DESC LIMIT %(most)s",
        {
            "key": subject.record_key,
            "source": subject.source_key,
            "system": subject.system,
            "stream": subject.stream,
            "most": MOST_CASES + 1,
        },
    ).fetchall()
    kept = _bounded(rows, MOST_CASES, "cases", left_out)
    return tuple(cases.read(connection, state="", case_ids=[int(row[0]) for row in kept]))
