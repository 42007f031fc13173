"""Starts a real Tryton with Northwind's books, for the demo and for tests against a real ledger.

The first use installs Tryton and sets the books up (a minute or two); later ones clone the prepared
database (about a second). Nothing keeps running afterwards. Production never imports this module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tieout import clock
from tieout.emulators import tryton_books, tryton_home
from tieout.ports.session import Session
from tieout.store import embedded


@dataclass(frozen=True, slots=True)
class TrytonServer:
    """A running Tryton. `ids` maps a kind (company, currency) to names and their ids there."""

    url: str
    database: str
    user: str
    password: str
    ids: Mapping[str, Mapping[str, str]]

    def settings(self) -> dict[str, str]:
        """The connector's settings for this server."""
        return {"base_url": self.url, "database": self.database, "login": self.user}

    def secrets(self) -> dict[str, str]:
        """The connector's secrets for this server."""
        return {"password": self.password}

    def session(self) -> Session:
        """An open line as the connection's own user."""
        return tryton_books.session(self.url, self.database, self.user, self.password)

    def administrator(self) -> Session:
        """An open line as the administrator: for what a person would do in Tryton."""
        return tryton_books.session(self.url, self.database, "admin", self.password)


@contextlib.contextmanager
def tryton_server(
    folder: Path,
    *,
    database: str = "",
    fresh: bool = False,
    port: int = 0,
    say: Callable[[str], None] = lambda words: None,
) -> Iterator[TrytonServer]:
    """A real Tryton whose files live in `folder`/tryton.

    Without `database` a fresh clone is made and dropped at the end; a named one is made when it is
    missing and kept; `fresh` starts it anew. `port` 0 takes a free one. The password of both users
    is in the file `folder`/tryton/password, made for this folder. `say` hears what takes long.
    Raises TrytonUnfit, EmbeddedPostgresError.
    """
    home = folder / "tryton"
    home.mkdir(parents=True, exist_ok=True)
    binaries = tryton_home.ensure_installed(home, say)
    password = tryton_home.password(home)
    with tryton_home.cluster(home) as postgres:
        template = _template(home, binaries, postgres, password, say)
        name = database or f"tryton_{clock.new_id().hex[-12:]}"
        if fresh:
            tryton_home.drop_database(postgres, name)
        if name not in tryton_home.databases(postgres):
            tryton_home.create_database(postgres, name, template)
        chosen = port or tryton_home.free_port()
        configuration = tryton_home.write_configuration(home, postgres, chosen)
        say("starting the server")
        try:
            with tryton_home.server(binaries, configuration, name, chosen) as address:
                ids = tryton_books.ids(address, name, password)
                yield TrytonServer(address, name, tryton_books.LOGIN, password, ids)
        finally:
            tryton_home.tidy(configuration)
            if not database:
                tryton_home.drop_database(postgres, name)


def _template(
    home: Path,
    binaries: Path,
    postgres: embedded.Embedded,
    password: str,
    say: Callable[[str], None],
) -> str:
    """The prepared database, made when this content was never prepared here. It gets its final
    name last: an interrupted preparation is thrown away and starts afresh."""
    empty = f"empty_{tryton_home.digest(password, *tryton_home.PINS)}"
    name = f"books_{tryton_home.digest(tryton_books.VERSION, password, *tryton_home.PINS)}"
    there = tryton_home.databases(postgres)
    if name in there:
        return name
    building = "building"
    chosen = tryton_home.free_port()
    configuration = tryton_home.write_configuration(home, postgres, chosen)
    try:
        tryton_home.drop_database(postgres, building)
        if empty not in there:
            say("initialising Tryton's database, once")
            tryton_home.create_database(postgres, building)
            tryton_home.initialise(binaries, configuration, building, password)
            tryton_home.rename_database(postgres, building, empty)
        say("setting up companies, currencies, charts of accounts and periods, once")
        tryton_home.create_database(postgres, building, empty)
        with tryton_home.server(binaries, configuration, building, chosen) as address:
            at = tryton_books.session(address, building, "admin", password)
            tryton_books.Books(at).set_up(password)
        tryton_home.rename_database(postgres, building, name)
    finally:
        tryton_home.tidy(configuration)
    return name
