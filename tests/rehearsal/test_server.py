"""The private server: it may forget, says so, and is empty again between two seeds."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from tieout import clock
from tieout.rehearsal.server import copy_database, private_server, wipe
from tieout.store import database
from tieout.store.arrivals import Incoming, store_page
from tieout.store.database import Database

HELD = """
import sys
from tieout.rehearsal.server import private_server
with private_server("test") as server:
    print(server.url("postgres"), flush=True)
    sys.stdin.read()
"""
ROW = [Incoming.storable("7", "1", "{}")]


def stored(url: str) -> int:
    with Database(url) as opened, opened.transaction() as connection:
        store_page(connection, "crm", "deal", ROW, received_by="test")
        row = connection.execute("SELECT max(arrival_id) FROM arrivals").fetchone()
    assert row is not None
    return int(row[0])


def test_a_seed_finds_nothing_of_the_last_one() -> None:
    with private_server("test") as server:
        url = copy_database(server, f"r{clock.new_id().hex}")
        assert stored(url) == 1
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
            wipe(connection)
            for table in ("arrivals", "arrival_keys", "payloads"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
            assert connection.execute("SELECT name FROM landscape_identity").fetchone() == ("test",)
        assert stored(url) == 1  # numbers begin anew as well


def test_what_a_killed_rehearsal_left_is_removed_by_the_next() -> None:
    """It is kept in memory: left behind it would stay there until the machine is started anew."""
    killed = subprocess.Popen(
        [sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    url = killed.stdout.readline().strip()
    killed.kill()
    killed.wait()
    assert answers(url), "its server goes on, and nobody will ever ask it"
    with private_server("test") as ours:
        assert not answers(url)
        with private_server("test") as another:
            assert another.socket != ours.socket
        assert answers(ours.url("postgres")), "who lives is left alone"


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_only_a_server_that_says_it_is_a_rehearsals_may_forget(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
    with pytest.raises(database.DatabaseUnfit, match="synchronous_commit = off"):
        database.prepare(database_url, "test")
