"""One door to PostgreSQL: connections with the right role, migrations, safety checks.

Three roles: `tieout_owner` owns the tables and runs migrations, `tieout_app` is what the product
works as, `tieout_audit` may only read. Row-level security is forced, so that even the owner sees
only the legal entities named in the session setting `tieout.legal_entities`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import select
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Literal, Protocol, Self

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from tieout import clock
from tieout.store.arrays import use_binary_arrays
from tieout.store.session import Session

Role = Literal["tieout_owner", "tieout_app", "tieout_audit"]
Connection = psycopg.Connection[TupleRow]
EVERYONE = "*"
MIGRATION_LOCK = 7_408_311_905  # any fixed number: one migrator at a time
CONNECT_SECONDS = 10
MONTHS_AHEAD = 13  # a server that runs longer than that without a start uses the default partition
RECONNECT_SECONDS = 4.0
MOST_PREPARED = 1_000  # statements a session keeps planned; the product has some three hundred


class DatabaseUnfit(Exception):
    """The database must not be used as it is. Says what is wrong and what to do."""


class Pool(Protocol):
    """Where connections come from, ready to be used, and go back to."""

    def open(self, wait: bool, timeout: float) -> None: ...
    def connection(self) -> contextlib.AbstractContextManager[Connection]: ...
    def close(self) -> None: ...


class Database:
    """A small pool of connections to one landscape's database.

    `legal_entities` limits what is seen ("*" = all, for the engine); a request of a person passes
    that person's own. `wait_seconds` is how long a transaction waits for a connection.
    """

    def __init__(
        self,
        url: str,
        *,
        role: Role = "tieout_app",
        most_connections: int = 8,
        wait_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.url = url
        self.role = role
        self._wait_seconds = wait_seconds
        self._pool: Pool = self._pooled(most_connections)

    def _pooled(self, most_connections: int) -> Pool:
        return ConnectionPool(
            self.url,
            connection_class=Session,
            min_size=1,
            max_size=most_connections,
            open=False,
            timeout=self._wait_seconds,
            # It asks a server that is away ever more rarely, and begins anew after this time: a
            # process that outlives its database must not miss for long that it is back.
            reconnect_timeout=RECONNECT_SECONDS,
            kwargs={"autocommit": True, "row_factory": tuple_row},
            configure=self._configure,
            check=still_there,
        )

    def open(self) -> Self:
        """Connect now. Raises DatabaseUnfit when the server does not answer."""
        try:
            self._pool.open(wait=True, timeout=self._wait_seconds)
        except PoolTimeout as error:
            raise DatabaseUnfit(
                f"PostgreSQL does not answer at {redacted(self.url)}: {error}; "
                "check TIEOUT_DATABASE_URL, or unset it to use the embedded server"
            ) from error
        return self

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self, connection: Connection) -> None:
        connection.prepared_max = MOST_PREPARED
        use_binary_arrays(connection)  # before anything is executed: see Session
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.role)))
        connection.execute("SET tieout.legal_entities = '*'")
        connection.execute("SET TIME ZONE 'UTC'")

    @contextlib.contextmanager
    def transaction(self, legal_entities: Sequence[str] | None = None) -> Iterator[Connection]:
        """One transaction, one meaning: commits on leaving, rolls back on any exception.

        `legal_entities` restricts what this transaction sees; None means all.
        """
        clock.reach("before_begin")
        with self._pool.connection() as connection, connection.transaction():
            if legal_entities is not None:
                connection.execute(
                    "SELECT set_config('tieout.legal_entities', %s, true)",
                    (",".join(legal_entities),),
                )
            clock.reach("inside")
            yield connection
            clock.reach("before_commit")
        clock.reach("after_commit")

    @contextlib.contextmanager
    def looking(self) -> Iterator[Connection]:
        """A connection to read with, each statement on its own and seeing everything."""
        with self._pool.connection() as connection:
            yield connection

    @contextlib.contextmanager
    def listening(self, channel: str) -> Iterator[Connection]:
        """A dedicated connection that listens on a channel; not from the pool."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield connection


def common_time(connection: Connection) -> dt.datetime:
    """The time by the database's clock, which all processes share."""

    def ask() -> dt.datetime:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        if row is None:
            raise RuntimeError("the database does not tell the time")
        return row[0]  # type: ignore[no-any-return]

    return clock.common(ask)


def still_there(connection: Connection) -> None:
    """A pooled connection may have died with its server. A living one has nothing to read, and
    that is seen without asking the server; only one that has is asked. Raises OperationalError:
    then the pool opens another, and nobody's work fails."""
    if select.select([connection.fileno()], [], [], 0)[0]:
        ConnectionPool.check_connection(connection)


REHEARSAL = "tieout.rehearsal"  # a setting that only a rehearsal's private server is started with


def prepare(url: str, landscape: str) -> list[str]:
    """Make the database fit for use by this landscape: checks, roles, migrations, identity.

    Returns the names of migrations that ran. A rehearsal's own server says that it is one, and may
    forget what it was told. Raises DatabaseUnfit (unsafe durability, another
    landscape's database, a newer schema than this program, missing rights).
    """
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise DatabaseUnfit(
            f"PostgreSQL does not answer at {redacted(url)}: {str(error).strip()}; "
            "check TIEOUT_DATABASE_URL, or unset it to use the embedded server"
        ) from error
    with connection:
        _refuse_unsafe(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        try:
            _ensure_roles(connection)
            ran = _migrate(connection)
            _make_months(connection)
            _claim(connection, landscape)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
    return ran


def _refuse_unsafe(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version
    if version < 150000:
        raise DatabaseUnfit(f"PostgreSQL {version // 10000} is too old; Tieout needs 15 or newer")
    row = connection.execute("SELECT current_setting(%s, true)", (REHEARSAL,)).fetchone()
    if row is not None and row[0] == "on":
        return
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        row = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        if row is None or row[0] == "off":
            raise DatabaseUnfit(
                f"the server runs with {setting} = off: an acknowledged event could be lost in a "
                f"crash. Set {setting} = on in postgresql.conf and start again"
            )


def _ensure_roles(connection: psycopg.Connection[Any]) -> None:
    for role in ("tieout_owner", "tieout_app", "tieout_audit"):
        if _is_member(connection, role):
            continue
        try:
            with contextlib.suppress(
                psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation
            ):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnfit(
                f"this login may not create or use the role {role}. As an administrator run: "
                f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO <this login>;"
            ) from error
    database = connection.info.dbname
    connection.execute(
        sql.SQL(
            "GRANT CREATE, TEMPORARY, CONNECT ON DATABASE {} TO tieout_owner, tieout_app"
        ).format(sql.Identifier(database))
    )
    connection.execute("GRANT ALL ON SCHEMA public TO tieout_owner")
    connection.execute(  # a frozen worker must not hold row locks for ever
        sql.SQL("ALTER DATABASE {} SET idle_in_transaction_session_timeout = '30s'").format(
            sql.Identifier(database)
        )
    )


def _is_member(connection: psycopg.Connection[Any], role: str) -> bool:
    """Whether the role is there and this login may use it: an administrator has seen to it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s "
        "AND pg_has_role(current_user, oid, 'MEMBER') AND NOT rolsuper)",
        (role,),
    ).fetchone()
    return bool(row and row[0])


def migrations() -> list[tuple[str, str]]:
    """(name, SQL text) of every migration, in order."""
    folder = files("tieout.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def _migrate(connection: psycopg.Connection[Any]) -> list[str]:
    connection.execute("SET ROLE tieout_owner")
    connection.execute("SET tieout.legal_entities = '*'")  # a migration moves every row
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations "
        "(name text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL)"
    )
    rows = connection.execute("SELECT name, digest FROM schema_migrations").fetchall()
    applied = {str(name): str(digest) for name, digest in rows}
    known = migrations()
    newer = sorted(set(applied) - {name for name, _ in known})
    if newer:
        raise DatabaseUnfit(
            f"the database has migrations this program does not know ({', '.join(newer)}); "
            "it was used by a newer Tieout: upgrade this one"
        )
    ran = []
    for name, text in known:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if name in applied:
            if applied[name] != digest:
                raise DatabaseUnfit(
                    f"migration {name} was changed after it ran here; restore the original file"
                )
            continue
        with connection.transaction():
            connection.execute(text.encode())
            connection.execute(
                "INSERT INTO schema_migrations VALUES (%s, %s, %s)", (name, digest, clock.now())
            )
        ran.append(name)
    connection.execute("RESET ROLE")
    return ran


def _make_months(connection: psycopg.Connection[Any]) -> None:
    """Tables that are kept by month have theirs made ahead: rows of other months go to a default
    partition, so that nothing is ever refused."""
    connection.execute("SET ROLE tieout_owner")
    connection.execute(
        "SELECT tieout_make_months(%s, %s)",
        (clock.now().date() - dt.timedelta(days=31), MONTHS_AHEAD + 2),
    )
    connection.execute("RESET ROLE")


def _claim(connection: psycopg.Connection[Any], landscape: str) -> None:
    """One database = one landscape."""
    connection.execute("SET ROLE tieout_owner")
    row = connection.execute(
        "INSERT INTO landscape_identity (only_row, name, claimed_at) VALUES (true, %s, %s) "
        "ON CONFLICT (only_row) DO UPDATE SET only_row = true RETURNING name",
        (landscape, clock.now()),
    ).fetchone()
    connection.execute("RESET ROLE")
    if row is None or row[0] != landscape:
        owner = row[0] if row else "?"
        raise DatabaseUnfit(
            f"this database belongs to the landscape '{owner}', not to '{landscape}'; give each "
            "landscape a database of its own"
        )


def redacted(url: str) -> str:
    """A connection URL that may be shown: the password is blanked."""
    head, at, tail = url.rpartition("@")
    if not at or ":" not in head.rsplit("/", 1)[-1]:
        return url
    return head.rsplit(":", 1)[0] + ":•••@" + tail
