"""What every test shares: one embedded PostgreSQL for the session, a fresh database per test."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.promises.figures import Keeper
from tieout import clock
from tieout.store import database as store
from tieout.store import embedded

TEMPLATE = "tieout_template"
LANDSCAPE = "test"


@pytest.fixture(scope="session")
def cluster() -> Iterator[embedded.Embedded]:
    """The embedded server, durable as in production, in a folder its service user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-test-"))
    folder.chmod(0o755)
    try:
        server = embedded.start(folder)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        store.prepare(server.url(TEMPLATE), LANDSCAPE)
        yield server
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh_database(cluster: embedded.Embedded) -> Iterator[str]:
    """A fresh, migrated database that belongs to the landscape 'test'; dropped afterwards."""
    name = f"t{clock.new_id().hex}"
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
        yield cluster.url(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(cluster: embedded.Embedded) -> Iterator[str]:
    """A fresh, migrated database."""
    with fresh_database(cluster) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[store.Database]:
    """The fresh database, opened as the application."""
    with store.Database(database_url) as opened:
        yield opened


@pytest.fixture
def promise() -> Keeper:
    """Hands a figure to the table of `make promises`, and fails unless its bar is met."""
    return Keeper()
