"""The tables that are kept by month, how their rows look in a file, and which months there are."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from psycopg import sql

from tieout.store.database import Connection

ROWS_IN_A_GROUP = 5_000
_NUMBER, _TEXT, _TIME = pa.int64(), pa.string(), pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class ByMonth:
    """A table that is kept by month: `time` says in which, `key` finds its rows, `id` names one."""

    name: str
    time: str
    key: str
    id: str
    columns: tuple[tuple[str, pa.DataType], ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(name, kind) for name, kind in self.columns])

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.columns]


TABLES: dict[str, ByMonth] = {
    one.name: one
    for one in (
        ByMonth(
            "payloads",
            "received_at",
            "arrival_id",
            "arrival_id",
            (
                ("arrival_id", _NUMBER),
                ("received_at", _TIME),
                ("payload", _TEXT),
                ("key_id", _TEXT),
            ),
        ),
        ByMonth(
            "proofs",
            "read_at",
            "dispatch_id",
            "proof_id",
            (
                ("proof_id", _NUMBER),
                ("dispatch_id", _NUMBER),
                ("document_id", _NUMBER),
                ("verdict", _TEXT),
                ("meant", _TEXT),
                ("found", _TEXT),
                ("differences", _TEXT),
                ("target_id", _TEXT),
                ("number", _TEXT),
                ("digest", _TEXT),
                ("read_at", _TIME),
                ("legal_entity", _TEXT),
            ),
        ),
        ByMonth(
            "attempts",
            "ended_at",
            "dispatch_id",
            "attempt_id",
            (
                ("attempt_id", _NUMBER),
                ("dispatch_id", _NUMBER),
                ("attempt_no", _NUMBER),
                ("kind", _TEXT),
                ("outcome", _TEXT),
                ("code", _TEXT),
                ("words", _TEXT),
                ("http_status", _NUMBER),
                ("started_at", _TIME),
                ("ended_at", _TIME),
                ("worker", _TEXT),
                ("legal_entity", _TEXT),
            ),
        ),
    )
}


def next_month(month: dt.date) -> dt.date:
    """The first day of the month after."""
    return dt.date(month.year + month.month // 12, month.month % 12 + 1, 1)


def months_before(month: dt.date, count: int) -> dt.date:
    """The first day of the month `count` months earlier."""
    index = month.year * 12 + month.month - 1 - count
    return dt.date(index // 12, index % 12 + 1, 1)


def first_moment(month: dt.date) -> dt.datetime:
    """When a month begins; months are those of UTC."""
    return dt.datetime(month.year, month.month, 1, tzinfo=dt.UTC)


def partitions(connection: Connection, table: ByMonth) -> dict[dt.date, str]:
    """Month -> the partition that holds it, for those that have one of their own."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s::regclass ORDER BY c.relname",
        (table.name,),
    ).fetchall()
    found: dict[dt.date, str] = {}
    for (name,) in rows:
        year_month = str(name).removeprefix(f"{table.name}_").split("_")
        if len(year_month) == 2 and all(part.isdigit() for part in year_month):
            found[dt.date(int(year_month[0]), int(year_month[1]), 1)] = str(name)
    return found


def months_with_rows(connection: Connection, table: ByMonth, before: dt.date) -> list[dt.date]:
    """Months before `before` that have rows, also in the partition for everything else."""
    own = [month for month in partitions(connection, table) if month < before]
    found = {month for month in own if counted(connection, table, month, exactly=False)}
    rows = connection.execute(
        sql.SQL(
            "SELECT DISTINCT date_trunc('month', {time} AT TIME ZONE 'UTC')::date FROM {other} "
            "WHERE {time} < %s"
        ).format(time=sql.Identifier(table.time), other=sql.Identifier(f"{table.name}_other")),
        (first_moment(before),),
    ).fetchall()
    return sorted(found | {row[0] for row in rows})


def counted(connection: Connection, table: ByMonth, month: dt.date, *, exactly: bool) -> int:
    """How many rows a month has; not `exactly`: 1 when there are any."""
    row = connection.execute(
        sql.SQL(
            "SELECT count(*) FROM (SELECT FROM {table} WHERE {time} >= %s AND {time} < %s "
            "LIMIT %s) AS found"
        ).format(table=sql.Identifier(table.name), time=sql.Identifier(table.time)),
        (first_moment(month), first_moment(next_month(month)), None if exactly else 1),
    ).fetchone()
    return int(row[0]) if row else 0


def rows_of(
    connection: Connection, table: ByMonth, month: dt.date
) -> Iterator[list[tuple[Any, ...]]]:
    """A month's rows in the order of their keys, in groups."""
    query = sql.SQL(
        "SELECT {columns} FROM {table} WHERE {time} >= %s AND {time} < %s ORDER BY {key}, {id}"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, table.names)),
        table=sql.Identifier(table.name),
        time=sql.Identifier(table.time),
        key=sql.Identifier(table.key),
        id=sql.Identifier(table.id),
    )
    with connection.cursor(name=f"month_of_{table.name}") as cursor:
        cursor.execute(query, (first_moment(month), first_moment(next_month(month))))
        while group := cursor.fetchmany(ROWS_IN_A_GROUP):
            yield group


class RowsDigest:
    """The digest of rows one after the other, the same from the database and from a file."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            said = [_plain(value) for value in row]
            text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
            self._hash.update(text.encode() + b"\n")
            self.rows += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
    return value
