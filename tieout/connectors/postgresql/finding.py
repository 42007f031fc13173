"""Reads rows back by their key, many in one query, and says what a proof must show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from tieout.connectors.postgresql import statements
from tieout.connectors.postgresql.documents import BadDocument, reader
from tieout.connectors.postgresql.errors import concerns_a_row
from tieout.connectors.postgresql.streams import Table, sum_name
from tieout.connectors.postgresql.wire import Connection, look, named, rows, type_of
from tieout.finance.decimals import parse_amount
from tieout.finance.outcome import Found
from tieout.ports.connector import Total, TotalAsk, Write
from tieout.ports.session import Session

GONE = {"row": "deleted"}
MOST_TOTALS = 100_000


def meant_facts(table: Table, write: Write) -> dict[str, str]:
    """The facts that a read-back must show; none for a document that no row can be made of."""
    if write.action == "delete":
        return dict(GONE)
    if write.action == "void":
        return dict([table.void]) if table.void is not None else {}
    try:
        return reader(table).facts(reader(table).read(write))
    except BadDocument:
        return {}


def find_all(at: Session, table: Table, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key, the effect as the table shows it now. Raises VendorFault or NoAnswer."""
    keys: dict[str, str] = {}
    for write in writes:
        try:
            keys[write.write_key] = reader(table).key_of(write)
        except BadDocument:
            continue  # nothing of it can be there
    shown = _by_key(at, table, sorted(set(keys.values())))
    return {
        write.write_key: _found(table, write, key, shown.get(key))
        if (key := keys.get(write.write_key)) is not None
        else None
        for write in writes
    }


def _found(table: Table, write: Write, key: str, row: Mapping[str, str] | None) -> Found | None:
    if write.action == "delete":
        return None if row is not None else Found(key, dict(GONE))
    if row is None:
        return None
    if write.action == "void":
        if table.void is None or row.get(table.void[0]) != table.void[1]:
            return None  # the row is there, its reversal is not
        return Found(key, dict([table.void]), key)
    return Found(key, {k: v for k, v in row.items() if k in table.stream.facts}, key)


def _by_key(at: Session, table: Table, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """By key, the facts of the rows that are there."""
    if not keys:
        return {}
    names = list(statements.shown_facts(table))
    if table.lines is not None:
        names += [table.lines.field]
        names += [sum_name(table.lines, name) for name in table.lines.summed]

    def query(connection: Connection) -> list[Any]:
        kind = type_of(at, connection, table, table.key)
        lines = named(at, table.lines.table if table.lines else "")
        statement = statements.find(table, named(at, table.name), lines, kind)
        return _sound(connection, statement, keys)

    return {
        row[0]: {name: value or "" for name, value in zip(names, row[1:], strict=True)}
        for row in look(at, table.name, query)
    }


def _sound(connection: Connection, statement: sql.Composed, keys: Sequence[str]) -> list[Any]:
    """The rows of every key that the key's column can hold; any other is surely not there."""
    found: list[Any] = []
    waiting = [keys]
    while waiting:  # at most two parts per key
        part = waiting.pop()
        try:
            with connection.transaction():
                found += rows(connection, statement, (list(part),))
        except psycopg.Error as error:
            if not concerns_a_row(error):
                raise
            if len(part) > 1:
                waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
    return found


def totals(at: Session, table: Table, ask: TotalAsk) -> list[Total]:
    """Counts and sums on the database's side, by group. Raises ValueError for a field that the
    interface does not have, VendorFault or NoAnswer."""
    wanted = (ask.amount, *ask.by, *ask.where)
    unknown = [name for name in wanted if table.column(name) is None]
    if unknown:
        known = ", ".join(one.name for one in table.columns)
        raise ValueError(f"{table.stream.name} has no {', '.join(unknown)}; it has {known}")
    groups = [sql.SQL("coalesce({}::text, '')").format(sql.Identifier(name)) for name in ask.by]
    shown = [*groups, sql.SQL("count(*)"), _sum(ask.amount)]
    statement = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(shown), named(at, table.name)
    )
    if ask.where:
        same = [sql.SQL("{}::text = %s").format(sql.Identifier(name)) for name in ask.where]
        statement += sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(same))
    if groups:
        statement += sql.SQL(" GROUP BY {0} ORDER BY {0}").format(sql.SQL(", ").join(groups))
    statement += sql.SQL(" LIMIT {}").format(sql.Literal(MOST_TOTALS + 1))
    values = tuple(ask.where.values())
    found = look(at, table.name, lambda connection: rows(connection, statement, values))
    if len(found) > MOST_TOTALS:
        raise ValueError(f"more than {MOST_TOTALS} groups in {table.name}: total by fewer fields")
    return [Total(tuple(row[: len(groups)]), int(row[-2]), parse_amount(row[-1])) for row in found]


def _sum(name: str) -> sql.Composed:
    return sql.SQL("coalesce(sum({}), 0)::text").format(sql.Identifier(name))
