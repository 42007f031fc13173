"""The line to a database: a few connections, each bounded in time, none trusted after a failure."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import pq, sql
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

from tieout.connectors.postgresql.errors import outcome_of
from tieout.connectors.postgresql.streams import Table
from tieout.finance.outcome import Denied
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

CONNECT_SECONDS = 5
LEAST_SECONDS = 1.0
Statement = LiteralString | sql.SQL | sql.Composed


class Silence(psycopg.OperationalError):
    """The server did not answer in time. The connection is closed: what it is doing is unknown."""


class Connection(psycopg.Connection[Any]):
    """A connection on which nothing waits longer than `most_seconds`, also when the server is
    stopped, or the network swallows everything."""

    most_seconds: float = 30.0

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        super().__init__(pgconn)
        self.staged: set[str] = set()  # the temporary tables that this connection has
        self.types: dict[tuple[str, str], str] = {}  # (table, column) -> its SQL type
        self.plain: dict[str, bool] = {}  # table -> neither partitioned nor a view

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or self.most_seconds)
        except _WaitTimeout:
            self.pgconn.finish()
            raise Silence(f"no answer within {self.most_seconds:g} s") from None


class Wire:
    """Connections to one database. `Session.told` bounds how many are in use at a time."""

    def __init__(self, parameters: Mapping[str, str | int], most_seconds: float) -> None:
        self._parameters = dict(parameters)
        self._most_seconds = max(LEAST_SECONDS, most_seconds)
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Wire({self._parameters['host']}:{self._parameters['port']})"

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection outside any transaction. What the caller leaves open is rolled back; a
        connection that failed is closed. Raises NoAnswer (never sent) or SignInFailed."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._open()
        try:
            yield connection
            if not connection.closed:
                connection.rollback()
        except BaseException:
            connection.close()  # PostgreSQL undoes what was not committed
            raise
        if not connection.closed:
            with self._lock:
                self._idle.append(connection)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _open(self) -> Connection:
        try:
            connection = Connection.connect(
                **self._parameters,  # type: ignore[arg-type]
                connect_timeout=CONNECT_SECONDS,
                keepalives_idle=30,
                autocommit=False,
                prepare_threshold=2,
            )
        except psycopg.OperationalError as error:
            raise self._unreachable(error) from None
        connection.most_seconds = self._most_seconds
        milliseconds = int(self._most_seconds * 1000)
        try:
            connection.execute(
                "SELECT set_config('TimeZone', 'UTC', false), "
                "set_config('DateStyle', 'ISO, YMD', false), "
                # A proof must outlive a crash of the server.
                "set_config('synchronous_commit', 'on', false), "
                "set_config('client_min_messages', 'warning', false), "
                "set_config('statement_timeout', %s, false), "
                "set_config('idle_in_transaction_session_timeout', %s, false)",
                (str(max(1, milliseconds - 500)), str(2 * milliseconds)),
            )
            connection.commit()
        except psycopg.Error as error:
            connection.close()
            raise self._unreachable(error) from None
        return connection

    def _unreachable(self, error: psycopg.Error) -> NoAnswer | SignInFailed:
        """What a failed attempt to connect means; nothing of ours was sent."""
        outcome = outcome_of(error)
        words = str(error).strip().splitlines()[-1] if str(error).strip() else "no connection"
        for name in ("user", "password"):  # the server repeats who was refused
            if name in self._parameters:
                words = words.replace(str(self._parameters[name]), "•••")
        if isinstance(outcome, Denied):
            return SignInFailed(f"the database refuses us: {words}", outcome.detail.next_action)
        where = f"{self._parameters['host']}:{self._parameters['port']}"
        return NoAnswer(f"cannot connect to the database at {where}: {words}", never_sent=True)


def look(at: Session, what: str, query: Callable[[Connection], list[Any]]) -> list[Any]:
    """Rows of a query that changes nothing. Raises VendorFault, NoAnswer or SignInFailed."""
    try:
        with at.told("SELECT", what), at.line(Wire).connection() as connection:
            return query(connection)
    except psycopg.OperationalError as error:
        if error.sqlstate is None:
            at.drop_line()
            raise NoAnswer(f"the database did not answer: {str(error).strip()}") from None
        raise VendorFault(outcome_of(error)) from None
    except psycopg.Error as error:
        raise VendorFault(outcome_of(error)) from None


def rows(connection: Connection, query: Statement, values: Sequence[Any] = ()) -> list[Any]:
    """Every row of a query."""
    return connection.execute(query, values).fetchall()


def named(at: Session, table: str) -> sql.Composed:
    """A table in the schema that the environment names."""
    return sql.SQL("{}.{}").format(
        sql.Identifier(at.settings.get("schema", "public")), sql.Identifier(table)
    )


def type_of(at: Session, connection: Connection, table: Table, column: str) -> sql.SQL:
    """The SQL type of a column as the database knows it. Raises VendorFault (Drift)."""
    schema = at.settings.get("schema", "public")
    known = connection.types.get((table.name, column))
    if known is None:
        found = rows(
            connection,
            "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
            "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s AND a.attname = %s AND a.attnum > 0 "
            "AND NOT a.attisdropped",
            (schema, table.name, column),
        )
        if not found:
            raise psycopg.errors.UndefinedColumn(
                f"there is no column {column} in {schema}.{table.name}, or no such table"
            )
        known = connection.types[table.name, column] = str(found[0][0])
    return sql.SQL(known)  # the database's own word


def is_plain(at: Session, connection: Connection, table: Table) -> bool:
    """Whether the table is an ordinary one: neither partitioned nor a view."""
    if table.name not in connection.plain:
        schema = at.settings.get("schema", "public")
        found = rows(
            connection,
            "SELECT c.relkind = 'r' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            (schema, table.name),
        )
        connection.plain[table.name] = bool(found and found[0][0])
    return connection.plain[table.name]
