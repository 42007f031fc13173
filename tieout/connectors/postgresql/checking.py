"""Looks whether the tables are what the landscape says, before the first row meets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tieout.connectors.postgresql.streams import Table
from tieout.connectors.postgresql.wire import Connection, look, rows
from tieout.ports.connector import Health
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

_COLUMNS = """
SELECT c.relname, a.attname, a.attnotnull FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_UNIQUE = """
SELECT c.relname, array_agg(a.attname ORDER BY a.attname)::text[] FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
WHERE n.nspname = %s AND c.relname = ANY(%s) AND i.indisunique AND i.indimmediate
AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY i.indexrelid, c.relname
"""


def look_around(at: Session, tables: Sequence[Table]) -> Health:
    """Can we sign in, are the columns there, and does the database keep the keys unique?"""
    schema = at.settings.get("schema", "public")
    names = [name for table in tables for name in _names(table)]

    def query(connection: Connection) -> list[Any]:
        return [
            rows(connection, _COLUMNS, (schema, names)),
            rows(connection, _UNIQUE, (schema, names)),
        ]

    try:
        columns, unique = look(at, "the tables' columns and keys", query)
    except VendorFault as fault:
        detail = fault.outcome.detail
        return Health(False, str(fault), detail.next_action if detail is not None else "")
    except SignInFailed as refused:
        return Health(False, refused.words, refused.next_action)
    except NoAnswer as silence:
        return Health(False, silence.words, "Check url, the network and the database server.")
    there: dict[str, dict[str, bool]] = {}
    for table, column, not_null in columns:
        there.setdefault(table, {})[column] = not_null
    keys = {(table, tuple(sorted(names))) for table, names in unique}
    for table in tables:
        for words, next_action in _wrong(table, there, keys):
            return Health(False, f"{schema}.{words}", next_action)
    return Health(True, f"signed in; {len(names)} table(s) of schema {schema} are as declared")


def _names(table: Table) -> list[str]:
    return [table.name, *([table.lines.table] if table.lines else [])]


def _wrong(
    table: Table, there: dict[str, dict[str, bool]], keys: set[tuple[str, tuple[str, ...]]]
) -> Iterator[tuple[str, str]]:
    unique: dict[str, tuple[str, ...]] = {table.name: (table.key,)}
    wanted = {table.name: [one.name for one in table.columns]}
    if table.changed:
        wanted[table.name].append(table.changed)
    if table.lines is not None:
        wanted[table.lines.table] = [table.key, *(one.name for one in table.lines.columns)]
        unique[table.lines.table] = (table.key, table.lines.number)
    for name, columns in wanted.items():
        if name not in there:
            yield f"{name} is not there, or not for this user", "Make the table, or grant it."
            continue
        missing = [one for one in columns if one not in there[name]]
        if missing:
            told = ", ".join(missing)
            yield f"{name} has no column {told}", "Correct the interface in systems/ or the table."
        if table.stream.writes and (name, tuple(sorted(unique[name]))) not in keys:
            told = ", ".join(unique[name])
            yield (
                f"{name} does not keep ({told}) unique, so a repeated write could double a row",
                f"Make ({told}) its primary key.",
            )
    if table.changed and not there.get(table.name, {}).get(table.changed, True):
        yield (
            f"{table.name}.{table.changed} may be NULL, and such a row would never be read",
            "Make the column NOT NULL.",
        )
