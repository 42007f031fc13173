"""The PostgreSQL connector: each capability in one line, its work in the module of that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.postgresql.checking import look_around
from tieout.connectors.postgresql.errors import ERRORS
from tieout.connectors.postgresql.finding import find_all, meant_facts, totals
from tieout.connectors.postgresql.reading import (
    OVERLAP_SECONDS,
    ROWS_PER_PAGE,
    fetch_items,
    read_page,
)
from tieout.connectors.postgresql.signin import parameters
from tieout.connectors.postgresql.streams import OPTIONS, Table, tables_of
from tieout.connectors.postgresql.wire import Wire
from tieout.connectors.postgresql.writing import write_all
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import Health, Item, Page, Stream, Total, TotalAsk, Write
from tieout.ports.session import Line, Session
from tieout.ports.signin import NoSignIn, SignIn
from tieout.rules.interface import InterfaceSpec


class PostgreSQLConnector:
    """Tables of a PostgreSQL database (15 or newer), as the landscape declares them."""

    name = "postgresql"
    title = "PostgreSQL"
    errors = ERRORS
    settings: Mapping[str, str] = {
        "url": "postgresql://HOST:PORT/DATABASE, without user and password; on this machine also "
        "postgresql:///DATABASE?host=/SOCKET/FOLDER",
        "schema": "optional: the schema of the tables (public)",
        "sslmode": "optional: verify-full, verify-ca or require; on this machine also disable "
        "(verify-full; on this machine prefer)",
        "sslrootcert": "optional: file with the certificates of the authority (the system's own)",
        "rows_per_page": f"optional: rows of a page that is read, at most {ROWS_PER_PAGE} "
        f"({ROWS_PER_PAGE})",
        "overlap_seconds": "optional: how far a new scan reaches back, longer than any transaction "
        f"that writes the tables ({OVERLAP_SECONDS})",
    }
    secrets: Mapping[str, str] = {
        "user": "the user of the database",
        "password": "optional: its password; without one the server must trust the connection",
    }
    options = OPTIONS

    def __init__(self, tables: Mapping[str, Table] | None = None) -> None:
        self._tables: Mapping[str, Table] = tables or {}
        self.streams: Mapping[str, Stream] = {
            name: table.stream for name, table in self._tables.items()
        }

    def declared(self, interfaces: Mapping[str, InterfaceSpec]) -> PostgreSQLConnector:
        """The connector of a database with these tables. Raises BadLandscape."""
        return PostgreSQLConnector(tables_of(interfaces))

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        for name in ("url", "user"):
            if name not in {**settings, **secrets}:
                raise KeyError(name)
        return NoSignIn()

    def open_line(
        self,
        settings: Mapping[str, str],
        secrets: Mapping[str, str],
        addresses: Sequence[str],
        timeout_seconds: float,
    ) -> Line:
        """The connections to the database; the first one is opened now."""
        wire = Wire(parameters(settings, secrets, addresses), timeout_seconds)
        with wire.connection():
            return wire

    def check(self, at: Session) -> Health:
        return look_around(at, list(self._tables.values()))

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return read_page(at, self._tables[stream], cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return fetch_items(at, self._tables[stream], keys)

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        return write_all(at, self._tables[stream], writes)

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        return meant_facts(self._tables[stream], write)

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        return find_all(at, self._tables[stream], writes)

    def totals(self, at: Session, stream: str, ask: TotalAsk) -> Sequence[Total]:
        return totals(at, self._tables[stream], ask)
