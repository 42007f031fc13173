"""Reads what changed, page by page, by the pair (last change, key).

A transaction stamps its rows when it writes them and shows them when it commits, so a row may
appear with a stamp older than one that was read already. A finished scan therefore starts the next
one `overlap_seconds` earlier: no transaction that writes the table may take longer than that. A row
that comes again is the same row in the same version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from psycopg import sql

from tieout.connectors.postgresql.statements import as_json
from tieout.connectors.postgresql.streams import Table
from tieout.connectors.postgresql.wire import Connection, look, named, rows, type_of
from tieout.finance.outcome import Detail, Drift
from tieout.ports.connector import Item, Page
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session

ROWS_PER_PAGE = 5_000
OVERLAP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cursor:
    """`at` with `key` is the last row of an unfinished scan; without, a scan starts at `at`,
    inclusive. `newest` is the latest change that the scan has met. Empty `at`: the beginning."""

    at: str = ""
    key: str | None = None
    newest: str = ""

    @classmethod
    def read(cls, text: str) -> Cursor:
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        return json.dumps(asdict(self))


def read_page(at: Session, table: Table, cursor: str) -> Page:
    """The next page of changes. Raises VendorFault or NoAnswer."""
    before = Cursor.read(cursor)
    size = max(1, min(int(at.settings.get("rows_per_page", ROWS_PER_PAGE)), ROWS_PER_PAGE))
    overlap = int(at.settings.get("overlap_seconds", OVERLAP_SECONDS))

    def query(connection: Connection) -> list[Any]:
        changed = sql.Identifier("t", table.changed)
        condition, values = _after(at, connection, table, before)
        statement = sql.SQL(
            "SELECT {shown}, {changed}::text, ({changed} - make_interval(secs => %s))::text "
            "FROM {real} t WHERE {condition} ORDER BY {changed}, {key} LIMIT %s"
        ).format(
            shown=_shown(at, table),
            changed=changed,
            real=named(at, table.name),
            condition=condition,
            key=sql.Identifier("t", table.key),
        )
        return rows(connection, statement, (overlap, *values, size + 1))

    found = look(at, table.name, query)
    page = found[:size]
    items = tuple(_item(table, row) for row in page)
    if len(found) > size:
        last = page[-1]
        return Page(items, Cursor(last[3], last[0], last[3]).text(), True)
    if page:
        return Page(items, Cursor(page[-1][4]).text(), False)
    # A scan that ended exactly at a page's border is over; it starts again with the overlap.
    return Page((), _finished(at, table, before, overlap).text(), False)


def _finished(at: Session, table: Table, before: Cursor, overlap: int) -> Cursor:
    if before.key is None:
        return before

    def query(connection: Connection) -> list[Any]:
        kind = type_of(at, connection, table, table.changed)
        statement = sql.SQL("SELECT (%s::text::{} - make_interval(secs => %s))::text").format(kind)
        return rows(connection, statement, (before.newest, overlap))

    return Cursor(str(look(at, table.name, query)[0][0]))


def fetch_items(at: Session, table: Table, keys: Sequence[str]) -> list[Item]:
    """These rows as they are now, in the order asked; a row that is gone comes back deleted."""
    if not keys:
        return []

    def query(connection: Connection) -> list[Any]:
        statement = sql.SQL(
            "SELECT {shown} FROM {real} t WHERE {key}::text = ANY(%s::text[])"
        ).format(
            shown=_shown(at, table),
            real=named(at, table.name),
            key=sql.Identifier("t", table.key),
        )
        return rows(connection, statement, (list(keys),))

    found = {str(row[0]): _item(table, row) for row in look(at, table.name, query)}
    return [found.get(key) or Item(key, "", json.dumps({table.key: key}), True) for key in keys]


def _after(
    at: Session, connection: Connection, table: Table, before: Cursor
) -> tuple[sql.Composable, tuple[object, ...]]:
    changed = sql.Identifier("t", table.changed)
    if not before.at:
        return sql.SQL("{} IS NOT NULL").format(changed), ()
    moment = type_of(at, connection, table, table.changed)
    if before.key is None:
        return sql.SQL("{} >= %s::text::{}").format(changed, moment), (before.at,)
    kind = type_of(at, connection, table, table.key)
    condition = sql.SQL("({}, {}) > (%s::text::{}, %s::text::{})").format(
        changed, sql.Identifier("t", table.key), moment, kind
    )
    return condition, (before.at, before.key)


def _shown(at: Session, table: Table) -> sql.Composed:
    """Key, version and the whole row with its lines as JSON text."""
    members: list[sql.Composable] = []
    for one in table.columns:
        column = as_json(one.type, sql.Identifier("t", one.name))
        members += [sql.Literal(one.name), column]
    if table.lines is not None:
        inner: list[sql.Composable] = []
        for one in table.lines.columns:
            inner += [sql.Literal(one.name), as_json(one.type, sql.Identifier("l", one.name))]
        listed = sql.SQL(
            "(SELECT coalesce(json_agg(json_build_object({members}) ORDER BY {number}), '[]') "
            "FROM {real} l WHERE {of} = {key})"
        ).format(
            members=sql.SQL(", ").join(inner),
            number=sql.Identifier("l", table.lines.number),
            real=named(at, table.lines.table),
            of=sql.Identifier("l", table.key),
            key=sql.Identifier("t", table.key),
        )
        members += [sql.Literal(table.lines.field), listed]
    return sql.SQL("{}::text, {}::text, json_build_object({})::text").format(
        sql.Identifier("t", table.key),
        sql.Identifier("t", table.stream.version),
        sql.SQL(", ").join(members),
    )


def _item(table: Table, row: Sequence[Any]) -> Item:
    key, version, payload = row[:3]
    if version is None:
        raise VendorFault(
            Drift(
                Detail(
                    f"row {key} of {table.name} has no {table.stream.version}, which orders its "
                    "versions",
                    "Give the column a value in every row, and make it NOT NULL.",
                    field=table.stream.version,
                )
            )
        )
    return Item(str(key), str(version), payload)
