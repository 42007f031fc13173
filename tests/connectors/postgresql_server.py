"""A real PostgreSQL for contract cases: a schema per tenant, and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from tests.processes.theatre import free_ports
from tieout import clock
from tieout.emulators.kit import FaultPlan
from tieout.store import embedded

COMMIT = b"COMMIT\x00"
COPY = b"COPY "
TABLES = """
CREATE TABLE invoice (
    invoice_id text PRIMARY KEY, version int NOT NULL, currency text NOT NULL
      CHECK (currency <> 'XXX'), status text NOT NULL, issued date NOT NULL,
    total numeric(24,6) NOT NULL, changed_at timestamptz NOT NULL);
CREATE TABLE invoice_line (
    invoice_id text NOT NULL, line int NOT NULL, sku text NOT NULL, amount numeric(24,6) NOT NULL,
    PRIMARY KEY (invoice_id, line));
"""


class Cable:
    """TCP to the server. It obeys the faults that a case plants: `lost_request` cuts the line
    before COMMIT is passed on, `lost_reply` after; `server_error` cuts it at the first COPY."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self.faults = FaultPlan()
        self.mute = False  # everything is swallowed, nothing breaks
        self._cut: dict[str, int] = {}
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """Every connection breaks now."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                answers = threading.Event()
                answers.set()
                for one, other in ((client, server), (server, client)):
                    arguments = (one, other, answers, one is client)
                    threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(
        self, one: socket.socket, other: socket.socket, answers: threading.Event, outward: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if self.mute:
                    continue
                if outward and COPY in data and self._due("server_error"):
                    break
                if outward and COMMIT in data:
                    if self._due("lost_request"):
                        break
                    if self._due("lost_reply"):
                        answers.clear()
                if not outward and not answers.is_set():
                    break  # the answer to COMMIT gets lost
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _due(self, kind: str) -> bool:
        for fault in self.faults.faults:
            met = self._cut.get(kind, 0)
            if fault.kind == kind and (not fault.most or met < fault.most):
                self._cut[kind] = met + 1
                return True
        return False


@dataclass
class Tenant:
    """One schema of the server, behind a cable of its own."""

    server: Server
    schema: str
    emulator: Cable

    @property
    def url(self) -> str:
        return f"postgresql://127.0.0.1:{self.emulator.port}/postgres"

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the server itself, past the cable."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


@dataclass
class Server:
    """An embedded server that listens on loopback and asks for a password."""

    url: str
    port: int
    user: str
    password: str
    _number: int = 0
    tenants: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def tenant(self, tables: str = TABLES) -> Iterator[Tenant]:
        self._number += 1
        cable = Cable(self.port)
        one = Tenant(self, f"tenant_{self._number}", cable)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(one.schema)))
        one.ask(tables)
        try:
            yield one
        finally:
            cable.close()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The server, stopped on leaving."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-target-"))
    folder.chmod(0o755)
    try:
        started = embedded.start(folder, tcp_port=free_ports())
        url = started.url("postgres")
        with psycopg.connect(url) as connection:
            port = connection.info.port
            # A reader of its own name: the canary of the suite must not be the server's own user.
            password = f"pw-{clock.new_id().hex}"
            connection.execute("CREATE ROLE warehouse_writer LOGIN SUPERUSER")
            connection.execute(
                sql.SQL("ALTER ROLE warehouse_writer PASSWORD {}").format(sql.Literal(password))
            )
        yield Server(url, port, "warehouse_writer", password)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
