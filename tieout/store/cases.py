"""Cases: every failure with its owner, its evidence and what to do next.

The same trouble again is the same case (its fingerprint), counted, not opened twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class NewCase:
    """A trouble to open. `reason` is its class; `place` is file:line of the rule that caught it."""

    reason: str
    control: str
    words: str
    next_action: str
    owner: str
    field: str = ""
    value: str = ""
    place: str = ""
    system: str = ""
    stream: str = ""
    source_key: str = ""
    arrival_id: int | None = None
    record_type: str = ""
    record_key: str = ""
    run_id: int | None = None
    dispatch_id: int | None = None
    amount: Decimal | None = None
    currency: str = ""
    legal_entity: str = ""
    period: str = ""

    @property
    def fingerprint(self) -> str:
        """What makes it the same trouble: where it sits and which control caught it."""
        subject = (
            self.reason,
            self.control,
            self.field,
            self.system,
            self.stream,
            self.source_key,
            self.record_type,
            self.record_key,
        )
        return hashlib.sha256("\x1f".join(subject).encode()).hexdigest()


_FIELDS = (
    "reason",
    "control",
    "words",
    "next_action",
    "owner",
    "field",
    "value",
    "place",
    "system",
    "stream",
    "source_key",
    "arrival_id",
    "record_type",
    "record_key",
    "run_id",
    "dispatch_id",
    "amount",
    "currency",
    "legal_entity",
    "period",
)


def open_cases(connection: Connection, new: Sequence[NewCase]) -> None:
    """Open cases, or count another occurrence of one that is open already."""
    now = clock.now()
    by_fingerprint = {case.fingerprint: case for case in new}
    columns = ", ".join(_FIELDS)
    values = ", ".join(["%s"] * (len(_FIELDS) + 3))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO cases AS c (fingerprint, opened_at, last_at, state, {columns}) "
            f"VALUES (%s, %s, %s, 'open', {values.removeprefix('%s, %s, %s, ')}) "
            "ON CONFLICT (fingerprint) WHERE state = 'open' DO UPDATE SET times = c.times + 1, "
            "last_at = excluded.last_at, words = excluded.words, value = excluded.value, "
            "arrival_id = excluded.arrival_id, run_id = excluded.run_id, "
            "dispatch_id = excluded.dispatch_id, amount = coalesce(excluded.amount, c.amount)",
            [
                (fingerprint, now, now, *(getattr(case, name) for name in _FIELDS))
                for fingerprint, case in sorted(by_fingerprint.items())
            ],
        )


def close_for_sources(
    connection: Connection, system: str, stream: str, source_keys: Sequence[str], because: str
) -> int:
    """Close the inbound cases of rows that now went through; returns how many."""
    return connection.execute(
        "UPDATE cases SET state = 'closed', closed_at = %s, closed_by = 'tieout', "
        "closed_because = %s WHERE state = 'open' AND system = %s AND stream = %s "
        "AND source_key = ANY(%s) AND run_id IS NULL",
        (clock.now(), because, system, stream, list(source_keys)),
    ).rowcount


def close(connection: Connection, case_ids: Sequence[int], because: str) -> int:
    """Close these cases; returns how many were open."""
    return connection.execute(
        "UPDATE cases SET state = 'closed', closed_at = %s, closed_by = 'tieout', "
        "closed_because = %s WHERE state = 'open' AND case_id = ANY(%s)",
        (clock.now(), because, list(case_ids)),
    ).rowcount


def of_runs(connection: Connection, run_ids: Sequence[int]) -> set[int]:
    """Which of these runs have an open case."""
    rows = connection.execute(
        "SELECT DISTINCT run_id FROM cases WHERE state = 'open' AND run_id = ANY(%s)",
        (list(run_ids),),
    ).fetchall()
    return {int(row[0]) for row in rows}


def hand_over(connection: Connection, owners: Mapping[int, str]) -> None:
    """From now on the open cases of these runs belong to somebody else (run id -> owner)."""
    connection.execute(
        "UPDATE cases c SET owner = t.owner FROM unnest(%s::bigint[], %s::text[]) "
        "AS t (run_id, owner) WHERE c.run_id = t.run_id AND c.state = 'open' "
        "AND c.owner <> t.owner",
        (list(owners), list(owners.values())),
    )


def close_for_runs(connection: Connection, run_ids: Sequence[int], because: str) -> int:
    """Close the cases of runs that went on; returns how many."""
    return connection.execute(
        "UPDATE cases SET state = 'closed', closed_at = %s, closed_by = 'tieout', "
        "closed_because = %s WHERE state = 'open' AND run_id = ANY(%s)",
        (clock.now(), because, list(run_ids)),
    ).rowcount


def close_for_system(connection: Connection, system: str, doing: str, because: str) -> int:
    """Close a system's own cases (denied, drift) about this kind of call, or about any call, once
    it is answered again; returns how many."""
    return connection.execute(
        "UPDATE cases SET state = 'closed', closed_at = %s, closed_by = 'tieout', "
        "closed_because = %s WHERE state = 'open' AND system = %s "
        "AND reason IN ('denied', 'drift') AND field IN ('', %s) "
        "AND source_key = '' AND run_id IS NULL",
        (clock.now(), because, system, doing),
    ).rowcount


def close_for_reason(
    connection: Connection, reason: str, but_systems: Sequence[str], because: str
) -> int:
    """Close the cases of a reason that is about whole systems, but of these; returns how many."""
    return connection.execute(
        "UPDATE cases SET state = 'closed', closed_at = %s, closed_by = 'tieout', "
        "closed_because = %s WHERE state = 'open' AND reason = %s AND system <> ALL(%s)",
        (clock.now(), because, reason, list(but_systems)),
    ).rowcount


@dataclass(frozen=True, slots=True)
class Case:
    """A case as people read it. `last_at` is when the trouble was last met."""

    case_id: int
    reason: str
    control: str
    words: str
    next_action: str
    owner: str
    field: str
    value: str
    place: str
    system: str
    stream: str
    source_key: str
    arrival_id: int | None
    record_type: str
    record_key: str
    run_id: int | None
    dispatch_id: int | None
    amount: Decimal | None
    currency: str
    legal_entity: str
    period: str
    state: str
    times: int
    opened_at: dt.datetime
    last_at: dt.datetime
    closed_at: dt.datetime | None
    closed_by: str
    closed_because: str


COLUMNS = ", ".join(
    f"c.{name}"
    for name in (
        "case_id",
        *_FIELDS,
        "state",
        "times",
        "opened_at",
        "last_at",
        "closed_at",
        "closed_by",
        "closed_because",
    )
)


def read(
    connection: Connection,
    *,
    state: str = "open",
    case_ids: Sequence[int] | None = None,
    most: int = 1000,
) -> list[Case]:
    """Cases by state ("" = any) and optionally by id, newest trouble last."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM cases c WHERE (%(state)s = '' OR c.state = %(state)s) "
        "AND (%(ids)s::bigint[] IS NULL OR c.case_id = ANY(%(ids)s)) "
        "ORDER BY c.case_id LIMIT %(most)s",
        {"state": state, "ids": list(case_ids) if case_ids is not None else None, "most": most},
    ).fetchall()
    return [Case(*row) for row in rows]
