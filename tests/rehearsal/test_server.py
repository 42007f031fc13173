"""The private server: it may forget, says so, and is empty again between two seeds."""

from __future__ import annotations

import psycopg
import pytest

from tieout import clock
from tieout.rehearsal.server import copy_database, private_server, wipe
from tieout.store import database
from tieout.store.arrivals import Incoming, store_page
from tieout.store.database import Database

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


def test_only_a_server_that_says_it_is_a_rehearsals_may_forget(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
    with pytest.raises(database.DatabaseUnfit, match="synchronous_commit = off"):
        database.prepare(database_url, "test")
