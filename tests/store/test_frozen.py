"""A process that is frozen while it holds a lease: a successor takes over, and when it wakes up it
can change nothing. A real process, really stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tieout import clock
from tieout.store import leases
from tieout.store.database import Database

ROOT = Path(__file__).parents[2]
MOST_LOOKS = 1_200  # a minute: also when it was frozen within a transaction and must be cut off


def test_a_frozen_worker_is_succeeded_and_fenced(database: Database, database_url: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.store.frozen_worker", database_url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    try:
        assert worker.stdout.readline() == "has\n"
        clock.sleep(2.0)  # longer than its lease lasts: it beats, and keeps it
        with database.listening("tieout_work") as life:
            successor = clock.new_id()
            leases.live(life, successor)
            with database.transaction() as connection:
                assert leases.take(connection, ["partition:1"], successor) == {}, "it lives"
            worker.send_signal(signal.SIGSTOP)
            for _ in range(MOST_LOOKS):
                with database.transaction() as connection:
                    taken = leases.take(connection, ["partition:1"], successor)
                if taken:
                    break
                clock.sleep(0.05)
            assert list(taken) == ["partition:1"]
            with database.transaction() as connection:
                before = _done(connection)
            worker.send_signal(signal.SIGCONT)
            assert worker.stdout.readline() in {"fenced\n", "cut off\n"}
            with database.transaction() as connection:
                assert _done(connection) == before, "it changed nothing after it woke up"
                assert leases.take(connection, ["partition:1"], successor) == taken
    finally:
        worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()
        worker.stdout.close()


def _done(connection: object) -> int:
    row = connection.execute("SELECT count(*) FROM actions").fetchone()  # type: ignore[attr-defined]
    return int(row[0])
