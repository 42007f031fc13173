"""What a replay moves: arrivals back to the line's head, runs to their first step.

Nothing here sends anything. What is put back goes through the same queue as everything else, and
the register of documents decides what is still to be done, so that no second document can come of
it. Every statement changes only rows that are still as they were chosen: of two replays at the same
moment, one finds nothing left to do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout.store.database import Connection
from tieout.store.runs import Run
from tieout.store.totals import Movement

REOPENED = ("recorded", "unchanged", "out_of_scope", "held")


@dataclass(frozen=True, slots=True)
class Reopened:
    """An arrival that is in line again, and the bucket it was counted in before."""

    arrival_id: int
    system: str
    stream: str
    state: str
    record_type: str
    record_key: str
    legal_entity: str
    period: str
    currency: str
    amount: Decimal | None

    @property
    def leaves(self) -> Movement:
        """It leaves its bucket, and is counted again where it ends."""
        settled = self.state in ("recorded", "unchanged")
        return Movement(
            f"{self.system}.{self.stream}",
            "resolved",
            self.state,
            self.legal_entity if settled else "",
            self.period if settled else "",
            self.currency if settled else "",
            self.amount if settled else None,
            -1,
        )


def reopen(connection: Connection, arrival_ids: Sequence[int]) -> list[Reopened]:
    """Put settled arrivals back in line to be resolved again.

    One that was overtaken since it was chosen stays as it is, and so does one that is in line.
    """
    rows = connection.execute(
        "WITH before AS (SELECT arrival_id, system, stream, source_key, state, record_type, "
        "  record_key, record_version FROM arrivals WHERE arrival_id = ANY(%(ids)s) "
        "  AND state = ANY(%(states)s) ORDER BY arrival_id FOR UPDATE), "
        "speaks AS (SELECT b.* FROM before b WHERE NOT EXISTS (SELECT FROM arrivals l "
        "  WHERE l.source_key = b.source_key AND l.system = b.system AND l.stream = b.stream "
        "  AND l.arrival_id > b.arrival_id AND l.state <> 'superseded')), "
        "moved AS (UPDATE arrivals a SET state = 'new', settled_at = NULL FROM speaks s "
        "  WHERE a.arrival_id = s.arrival_id RETURNING a.arrival_id) "
        "SELECT s.arrival_id, s.system, s.stream, s.state, s.record_type, s.record_key, "
        "coalesce(r.legal_entity, ''), coalesce(r.period, ''), coalesce(r.currency, ''), r.amount "
        "FROM moved JOIN speaks s USING (arrival_id) LEFT JOIN records r "
        "ON r.record_type = s.record_type AND r.record_key = s.record_key "
        "AND r.version = s.record_version ORDER BY s.arrival_id",
        {"ids": list(arrival_ids), "states": list(REOPENED)},
    ).fetchall()
    return [Reopened(*row) for row in rows]


def start_over(connection: Connection, record_keys: Sequence[str]) -> list[tuple[str, str]]:
    """Runs of these records that stand still begin again at their first step; one that had ended
    opens its next revision. Returns (record type, record key) of each."""
    rows = connection.execute(
        "WITH still AS (SELECT run_id FROM runs WHERE record_key = ANY(%s) "
        "  AND state IN ('held', 'complete', 'undone') ORDER BY run_id FOR UPDATE) "
        "UPDATE runs u SET state = 'ready', step_no = 0, waits_for = '', waits_since = NULL, "
        "due_at = NULL, ended_at = NULL, "
        "revision = u.revision + CASE WHEN u.state IN ('complete', 'undone') THEN 1 ELSE 0 END "
        "FROM still WHERE u.run_id = still.run_id RETURNING u.record_type, u.record_key",
        (list(record_keys),),
    ).fetchall()
    return [(str(kind), str(key)) for kind, key in rows]


def runs_anew(connection: Connection, flow: str, record_keys: Sequence[str]) -> dict[str, Run]:
    """The runs of these records in a flow, by record key, as `start_over` leaves those that stand
    still and as the others are."""
    rows = connection.execute(
        "SELECT run_id, flow, record_type, record_key, record_version, "
        "revision + CASE WHEN state IN ('complete', 'undone') THEN 1 ELSE 0 END, 'forward', 0, "
        "'ready', '', NULL, lane, legal_entity, partition_no FROM runs "
        "WHERE flow = %s AND record_key = ANY(%s)",
        (flow, list(record_keys)),
    ).fetchall()
    return {str(row[3]): Run(*row) for row in rows}


def documents_of(connection: Connection, record_keys: Sequence[str]) -> list[int]:
    """The documents these records have anywhere."""
    rows = connection.execute(
        "SELECT document_id FROM documents WHERE record_key = ANY(%s) ORDER BY document_id",
        (list(record_keys),),
    ).fetchall()
    return [int(row[0]) for row in rows]


@dataclass(frozen=True, slots=True)
class Payload:
    """What a system said, verbatim; `received_at` says in which month it is kept."""

    arrival_id: int
    received_at: dt.datetime
    payload: str
    key_id: str | None = None


_BY_MONTH = (
    "SELECT p.arrival_id, p.received_at, p.payload, p.key_id FROM arrivals a JOIN payloads p "
    "ON p.arrival_id = a.arrival_id AND p.received_at = a.received_at WHERE a.arrival_id = ANY(%s)"
)


def payloads(connection: Connection, arrival_ids: Sequence[int]) -> dict[int, Payload]:
    """The verbatim texts that the database still has, by arrival."""
    rows = connection.execute(_BY_MONTH, (list(arrival_ids),)).fetchall()
    return {int(row[0]): Payload(*row) for row in rows}


def identities(
    connection: Connection, arrival_ids: Sequence[int]
) -> dict[int, tuple[dt.datetime, bool, str]]:
    """When these arrivals were received, whether they say "deleted", and the digest of their
    texts."""
    rows = connection.execute(
        "SELECT arrival_id, received_at, deleted, digest FROM arrivals WHERE arrival_id = ANY(%s)",
        (list(arrival_ids),),
    ).fetchall()
    return {int(number): (at, bool(gone), str(digest)) for number, at, gone, digest in rows}


def bring_back(connection: Connection, archived: Sequence[Payload]) -> None:
    """Put archived texts where the resolver reads them; the next archiving takes them out again."""
    connection.execute(
        "INSERT INTO payloads (arrival_id, received_at, payload, key_id) "
        "SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[]) "
        "ON CONFLICT DO NOTHING",
        (
            [one.arrival_id for one in archived],
            [one.received_at for one in archived],
            [one.payload for one in archived],
            [one.key_id for one in archived],
        ),
    )


def newest_versions(
    connection: Connection, record_keys: Sequence[str]
) -> dict[tuple[str, str], tuple[int, bool]]:
    """(record type, record key) -> (newest version, whether it is in scope)."""
    rows = connection.execute(
        "SELECT record_type, record_key, version, in_scope FROM record_heads "
        "WHERE record_key = ANY(%s)",
        (list(record_keys),),
    ).fetchall()
    return {
        (str(kind), str(key)): (int(version), bool(scope)) for kind, key, version, scope in rows
    }


def wait_briefly(connection: Connection) -> None:
    """Somebody who only looks never stands in a worker's way for long: after a short wait for a
    lock this transaction gives up, well before PostgreSQL would look for a deadlock."""
    connection.execute("SET LOCAL lock_timeout = '300ms'")


def tell_workers(connection: Connection) -> None:
    """Wake the workers when the transaction commits."""
    connection.execute("SELECT pg_notify('tieout_work', 'replay')")
