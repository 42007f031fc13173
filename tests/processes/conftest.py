"""A folder for whole landscapes that the database's service user can reach, emptied afterwards; and
a server over TCP."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.processes.commands import free_ports
from tieout import clock
from tieout.cli.running import bring_down
from tieout.store import embedded

SYSTEM_SERVER = "postgresql://postgres@127.0.0.1:5432/{}?connect_timeout=2"


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh folder; whatever landscape was started in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-process-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for marker in folder.rglob("landscape.yaml"):
            with contextlib.suppress(Exception):  # the next one must be stopped all the same
                bring_down(marker.parent)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def port() -> int:
    """The first of four free ports."""
    return free_ports()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over TCP: the machine's own if one lets us in, else an embedded one with password.
    Gives the URL of a fresh database, which is dropped at the end."""
    folder = tmp_path_factory.mktemp("server")
    name = f"tieout_{clock.new_id().hex}"
    try:
        administrator, wanted = SYSTEM_SERVER.format("postgres"), SYSTEM_SERVER.format(name)
        psycopg.connect(administrator).close()
    except psycopg.OperationalError:
        own = embedded.start(folder, tcp_port=free_ports())
        administrator, wanted = own.url("postgres"), own.url(name)
    try:
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield wanted
    finally:
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
        embedded.erase(folder)
