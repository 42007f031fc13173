"""The database's disk is full in the middle: plain words, nothing broken, the next run goes on."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.processes.end_state import posted_twice
from tests.processes.shop import Shop, shop_in_a_new_folder
from tieout.cli.shared import STATE_FOLDER, database_url
from tieout.cli.telling import UNAVAILABLE
from tieout.store import embedded

# No file of the server may grow beyond this: a real refusal by the kernel that needs no rights. Log
# segments are just as large, so only tables feel it.
LARGEST_FILE_BYTES = 16 * 1024 * 1024
MANY_ROWS = 20_000
MOST_SINGLE_ROWS = 2_000
DEAD_ROWS = (
    "INSERT INTO arrivals (system, stream, source_key, source_version, digest, deleted, "
    "received_at, received_by, state, partition_no) SELECT '', '', '', '', "
    "repeat('x', 1500), false, '2020-01-01', '', 'superseded', 0 FROM generate_series(1, %s)"
)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with shop_in_a_new_folder(6) as found:
        yield found


def start_with_little_room(state: Path) -> None:
    """Start the landscape's server under the limit; its processes inherit it."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\nfrom tieout.store import embedded\n"
            "embedded.start(pathlib.Path(sys.argv[1]))",
            str(state),
        ],
        check=True,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES)
        ),
    )


def fill(url: str) -> None:
    """Let the table of arrivals reach the limit, with rows that are dead at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE arrivals SET (autovacuum_enabled = false)")
        for rows in (MANY_ROWS, *[1] * MOST_SINGLE_ROWS):
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(DEAD_ROWS, (rows,))
            except psycopg.Error as error:
                if "could not extend file" not in str(error):
                    raise
                if rows == 1:
                    return
    raise AssertionError("the disk did not get full")


def test_a_full_disk_is_told_and_the_next_run_goes_on(shop: Shop) -> None:
    state = shop.folder / STATE_FOLDER
    embedded.stop(state)
    start_with_little_room(state)
    fill(database_url(shop.folder))
    shop.win(6)
    done = shop.sync()
    assert done.code == UNAVAILABLE, done.out + done.err
    assert "could not extend file" in done.err
    assert "What was committed is safe" in done.err
    assert "Traceback" not in done.err
    assert shop.ask("SELECT count(*) FROM dispatches WHERE state <> 'proved'") == [(0,)]
    embedded.stop(state)  # somebody makes room
    again = shop.sync()
    assert again.code == 0, again.err
    assert again.json["arrivals"] > 0
    assert posted_twice(shop.port) == {}
    tied = shop("reconcile", "--as", "elena", "--json")
    assert tied.code == 0, tied.out
