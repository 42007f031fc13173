"""The private PostgreSQL of a rehearsal: real SQL, and nothing that anyone would miss.

It is the only server that may forget: fsync is off here and nowhere else, and the server says so
itself (`store.database.REHEARSAL`). One prepared database is copied for each process that
rehearses; between two seeds its tables are emptied, not made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tieout.store import database, embedded
from tieout.store.database import Connection, Database, Pool, still_there
from tieout.store.session import Session

TEMPLATE = "rehearsal_template"
SETTINGS = {
    database.REHEARSAL: "on",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",  # what it does when would be another source of chance
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",  # tables are small, and planning was a fifth of it
}
PREFIX = "tieout-rehearsal-"
OWNER = "owner.lock"  # held for as long as its rehearsal lives
MEMORY = "/dev/shm"
ROOM_BYTES = 2 * 1024**3
MOST_LOOKS = 10_000  # a millisecond each
KEPT = ("schema_migrations", "landscape_identity")

_FILLED = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relname = ANY(%s)
AND pg_relation_size(c.oid) > 0 ORDER BY 1
"""
_RESTART = """
SELECT setval(c.oid::regclass, 1, false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'S'
"""


@contextlib.contextmanager
def private_server(landscape: str) -> Iterator[embedded.Embedded]:
    """A server of its own with one prepared database of this landscape; gone on leaving. What a
    killed rehearsal left behind is removed on the way."""
    place = _in_memory()
    _remove_abandoned(Path(place or tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    folder.chmod(0o755)  # the server's own user must get through
    owner = (folder / OWNER).open("w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        server = embedded.start(folder, settings=SETTINGS)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        database.prepare(server.url(TEMPLATE), landscape)
        yield server
    finally:
        embedded.erase(folder)
        shutil.rmtree(folder, ignore_errors=True)
        owner.close()


def _remove_abandoned(place: Path) -> None:
    """Servers and folders of rehearsals that were killed: nobody holds their lock any more."""
    for folder in sorted(place.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError), (folder / OWNER).open() as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            embedded.erase(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _in_memory() -> str | None:
    """A folder of the machine's that is kept in memory and has room, if there is one: emptying
    tables between two seeds makes and removes hundreds of files."""
    try:
        room = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return MEMORY if room >= ROOM_BYTES and os.access(MEMORY, os.W_OK) else None


def copy_database(server: embedded.Embedded, name: str) -> str:
    """A copy of the prepared database; returns its address."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
    return server.url(name)


def wipe(connection: psycopg.Connection[Any]) -> None:
    """Empty what the last seed left; every number starts at 1 again. Nobody else is connected."""
    filled = [row[0] for row in connection.execute(_FILLED, (list(KEPT),)).fetchall()]
    if filled:
        connection.execute(f"TRUNCATE {', '.join(filled)} CASCADE".encode())
    connection.execute(_RESTART)


class Sessions:
    """A pool without threads of its own: a session that died is replaced when the next is asked
    for. Whoever hangs up in the middle of something is gone for the server as well before anybody
    goes on, so that nothing happens beside anything else."""

    def __init__(self, opens: Callable[[], Connection], gone: Callable[[int], None]) -> None:
        self._opens = opens
        self._gone = gone
        self._idle: list[Connection] = []

    def open(self, wait: bool, timeout: float) -> None:
        """Nothing: sessions are opened when they are asked for."""

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        connection = self._ready()
        pid = connection.info.backend_pid
        try:
            yield connection
        finally:
            status = connection.info.transaction_status
            if connection.closed or status != psycopg.pq.TransactionStatus.IDLE:
                connection.close()
                self._gone(pid)
            else:
                self._idle.append(connection)

    def _ready(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            try:
                still_there(connection)
            except psycopg.OperationalError:
                connection.close()
            else:
                return connection
        return self._opens()

    def close(self) -> None:
        """Hang up every session that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class RehearsedDatabase(Database):
    """The store's own door, with `Sessions` behind it. `admin` sees and may end every session."""

    def __init__(self, url: str) -> None:
        self.admin: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        super().__init__(url)

    def _pooled(self, most_connections: int) -> Pool:
        return Sessions(self._session, self.until_gone)

    def _session(self) -> Connection:
        connection = Session.connect(self.url, autocommit=True)
        self._configure(connection)
        connection.prepare_threshold = 0  # sessions die young here
        return connection

    def close(self) -> None:
        super().close()
        self.admin.close()

    def until_gone(self, pid: int) -> None:
        """Wait until the server has noticed that a session is over. Raises TimeoutError."""
        for _ in range(MOST_LOOKS):
            row = self.admin.execute(
                "SELECT pg_sleep(0.001) FROM pg_stat_activity WHERE pid = %s", (pid,)
            ).fetchone()
            if row is None:
                return
        raise TimeoutError(f"the session {pid} is not over")

    def cut_sessions(self) -> int:
        """What a restart of the server does to everybody else: every session is over when this
        returns; how many they were."""
        rows = self.admin.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid"
        ).fetchall()
        for pid, _ in rows:
            self.until_gone(int(pid))
        self._pool.close()  # whether their ends are noticed in time must not be left to chance
        return len(rows)
