"""Records: what we hold to be true, in canonical form, one row per version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.database import Connection

REVERSAL = ".reversal"  # marks links to what takes a document back (a credit memo)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest version of a record, and what it was made from."""

    version: int
    digest: str
    in_scope: bool
    source_version: str
    arrival_id: int


@dataclass(frozen=True, slots=True)
class Record:
    """One version of one record. `body` is canonical JSON text."""

    record_type: str
    record_key: str
    version: int
    body: str
    digest: str
    in_scope: bool
    system: str
    stream: str
    source_key: str
    source_version: str
    arrival_id: int
    mapping: str
    mapping_version: int
    landscape_hash: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    accounting_date: dt.date | None
    period: str
    status: str


def heads(connection: Connection, record_type: str, record_keys: Sequence[str]) -> dict[str, Head]:
    """Newest versions by record key, locked until the transaction ends."""
    rows = connection.execute(
        "SELECT record_key, version, digest, in_scope, source_version, arrival_id "
        "FROM record_heads WHERE record_type = %s AND record_key = ANY(%s) "
        "ORDER BY record_key FOR UPDATE",
        (record_type, list(record_keys)),
    ).fetchall()
    return {str(row[0]): Head(*row[1:]) for row in rows}


def add(connection: Connection, records: Sequence[Record]) -> None:
    """Store new versions and move the heads. A version that exists already is an error: the
    primary key is the guard against two makers."""
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO records VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
            "%s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    r.record_type,
                    r.record_key,
                    r.version,
                    r.body,
                    r.digest,
                    r.in_scope,
                    r.system,
                    r.stream,
                    r.source_key,
                    r.source_version,
                    r.arrival_id,
                    r.mapping,
                    r.mapping_version,
                    r.landscape_hash,
                    r.legal_entity,
                    r.currency,
                    r.amount,
                    r.accounting_date,
                    r.period,
                    r.status,
                    now,
                )
                for r in records
            ],
        )
    move_heads(
        connection,
        [
            (
                r.record_type,
                r.record_key,
                Head(r.version, r.digest, r.in_scope, r.source_version, r.arrival_id),
            )
            for r in records
        ],
    )
    connection.execute(
        "INSERT INTO xrefs AS x (system, stream, external_id, record_type, record_key, linked_at) "
        "SELECT t.system, t.stream, t.external_id, t.record_type, t.record_key, %s "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) "
        "AS t (system, stream, external_id, record_type, record_key) "
        "ON CONFLICT (system, stream, external_id) DO NOTHING",
        (
            now,
            [r.system for r in records],
            [r.stream for r in records],
            [r.source_key for r in records],
            [r.record_type for r in records],
            [r.record_key for r in records],
        ),
    )


def move_heads(connection: Connection, moved: Sequence[tuple[str, str, Head]]) -> None:
    """Point the heads at these versions (also when only the source version moved on)."""
    connection.execute(
        "INSERT INTO record_heads AS h (record_type, record_key, version, digest, in_scope, "
        "source_version, arrival_id) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::boolean[], "
        "%s::text[], %s::bigint[]) "
        "ON CONFLICT (record_type, record_key) DO UPDATE SET version = excluded.version, "
        "digest = excluded.digest, in_scope = excluded.in_scope, "
        "source_version = excluded.source_version, arrival_id = excluded.arrival_id",
        (
            [kind for kind, _, _ in moved],
            [key for _, key, _ in moved],
            [head.version for *_, head in moved],
            [head.digest for *_, head in moved],
            [head.in_scope for *_, head in moved],
            [head.source_version for *_, head in moved],
            [head.arrival_id for *_, head in moved],
        ),
    )


_COLUMNS = (
    "r.record_type, r.record_key, r.version, r.body, r.digest, r.in_scope, r.system, r.stream, "
    "r.source_key, r.source_version, r.arrival_id, r.mapping, r.mapping_version, r.landscape_hash, "
    "r.legal_entity, r.currency, r.amount, r.accounting_date, r.period, r.status"
)


def newest(
    connection: Connection, record_type: str, record_keys: Sequence[str]
) -> Mapping[str, Record]:
    """The newest version of each of these records, by record key."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM record_heads h JOIN records r USING (record_type, record_key, "
        "version) WHERE h.record_type = %s AND h.record_key = ANY(%s)",
        (record_type, list(record_keys)),
    ).fetchall()
    return {str(row[1]): Record(*row) for row in rows}


def versions(
    connection: Connection, record_type: str, wanted: Sequence[tuple[str, int]]
) -> Mapping[tuple[str, int], Record]:
    """These exact versions, by (record key, version)."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM records r JOIN unnest(%s::text[], %s::int[]) AS t (key, version) "
        "ON r.record_key = t.key AND r.version = t.version WHERE r.record_type = %s",
        ([key for key, _ in wanted], [version for _, version in wanted], record_type),
    ).fetchall()
    return {(str(row[1]), int(row[2])): Record(*row) for row in rows}


def target_ids(
    connection: Connection, system: str, stream: str, record_type: str, record_keys: Sequence[str]
) -> Mapping[str, tuple[str, str]]:
    """(external id, document number) of records in a system, by record key: proven links only.

    `stream` "" means any stream of the system. The newest link wins (a reposted document).
    """
    rows = connection.execute(
        "SELECT DISTINCT ON (record_key) record_key, external_id, number FROM xrefs "
        "WHERE system = %s AND (stream = %s OR %s = '' AND right(stream, %s) <> %s) "
        "AND record_type = %s AND record_key = ANY(%s) "
        "ORDER BY record_key, linked_at DESC, external_id DESC",
        (system, stream, stream, len(REVERSAL), REVERSAL, record_type, list(record_keys)),
    ).fetchall()
    return {str(key): (str(external), str(number)) for key, external, number in rows}
