"""Records: what we hold to be true, in canonical form, one row per version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.store.arrivals import partition_of
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
    number: str = ""  # what people know it by: an order number, a product code


def partition_of_record(record: Record) -> int:
    """The partition of a record and of everything made from it: that of the row it came from, so
    that one worker carries it all the way."""
    return partition_of(f"{record.system}|{record.source_key}")


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
    for same, group in _alike(records).items():
        connection.execute(
            "INSERT INTO records (record_type, record_key, version, body, digest, in_scope, "
            "system, stream, source_key, source_version, arrival_id, mapping, mapping_version, "
            "landscape_hash, legal_entity, currency, amount, accounting_date, period, status, "
            "number, recorded_at) "
            "SELECT %s, t.key, t.version, t.body, t.digest, t.in_scope, %s, %s, t.source_key, "
            "t.source_version, t.arrival_id, %s, %s, %s, t.entity, t.currency, t.amount, t.day, "
            "t.period, t.status, nullif(t.number, ''), %s "
            "FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::boolean[], %s::text[], "
            "%s::text[], %s::bigint[], %s::text[], %s::text[], %s::numeric[], %s::date[], "
            "%s::text[], %s::text[], %s::text[]) "
            "AS t (key, version, body, digest, in_scope, source_key, source_version, arrival_id, "
            "entity, currency, amount, day, period, status, number)",
            (
                same[0],
                *same[1:],
                now,
                [r.record_key for r in group],
                [r.version for r in group],
                [r.body for r in group],
                [r.digest for r in group],
                [r.in_scope for r in group],
                [r.source_key for r in group],
                [r.source_version for r in group],
                [r.arrival_id for r in group],
                [r.legal_entity for r in group],
                [r.currency for r in group],
                [r.amount for r in group],
                [r.accounting_date for r in group],
                [r.period for r in group],
                [r.status for r in group],
                [r.number for r in group],
            ),
        )
    move_heads(connection, records)


def _alike(records: Sequence[Record]) -> dict[tuple[object, ...], list[Record]]:
    """Records by what a whole batch mostly shares: type, source stream, mapping, landscape."""
    found: dict[tuple[object, ...], list[Record]] = {}
    for r in records:
        same = (r.record_type, r.system, r.stream, r.mapping, r.mapping_version, r.landscape_hash)
        found.setdefault(same, []).append(r)
    return found


def move_heads(connection: Connection, moved: Sequence[Record]) -> None:
    """Point the heads at these versions (also when only the source version moved on)."""
    for (record_type, system, stream, *_), group in _alike(moved).items():
        connection.execute(
            "INSERT INTO record_heads AS h (record_type, record_key, version, digest, in_scope, "
            "source_version, arrival_id, system, stream, source_key, linked_at) "
            "SELECT %s, t.key, t.version, t.digest, t.in_scope, t.source_version, t.arrival_id, "
            "%s, %s, t.source_key, %s "
            "FROM unnest(%s::text[], %s::int[], %s::text[], %s::boolean[], %s::text[], "
            "%s::bigint[], %s::text[]) AS t (key, version, digest, in_scope, source_version, "
            "arrival_id, source_key) ORDER BY t.key "
            "ON CONFLICT (record_type, record_key) DO UPDATE SET version = excluded.version, "
            "digest = excluded.digest, in_scope = excluded.in_scope, "
            "source_version = excluded.source_version, arrival_id = excluded.arrival_id",
            (
                record_type,
                system,
                stream,
                clock.now(),
                [r.record_key for r in group],
                [r.version for r in group],
                [r.digest for r in group],
                [r.in_scope for r in group],
                [r.source_version for r in group],
                [r.arrival_id for r in group],
                [r.source_key for r in group],
            ),
        )


_COLUMNS = (
    "r.record_type, r.record_key, r.version, r.body, r.digest, r.in_scope, r.system, r.stream, "
    "r.source_key, r.source_version, r.arrival_id, r.mapping, r.mapping_version, r.landscape_hash, "
    "r.legal_entity, r.currency, r.amount, r.accounting_date, r.period, r.status, "
    "coalesce(r.number, '')"
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
    """(external id, document number) of records in a system, by record key: the row a record came
    from, and proven links.

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
