"""kill -9 in the middle of the demo: of the worker, of PostgreSQL. The end is the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.processes.commands import await_that, rows
from tests.processes.theatre import (
    Disturbance,
    Performance,
    Stage,
    embedded_url,
    holder,
    kill,
    play,
    restart_worker,
)
from tieout import clock
from tieout.cli.processes import Processes
from tieout.cli.shared import STATE_FOLDER, database_url
from tieout.store import embedded

AT_RANDOM = 6
AIMED = 4
DRAWN_WITH = 20_200_801
LONGEST_LIFE_SECONDS = 2.0
AIM_SECONDS = 3.0
SENDING = "SELECT count(*) FROM dispatches WHERE state = 'sending'"


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[Performance]:
    """The story when nobody disturbs it."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-process-"))
    folder.chmod(0o755)
    try:
        yield play(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill_workers(stage: Stage, disturbance: Disturbance) -> None:
    """Ten times: let a worker take over and kill it, six times after a random while, four times
    aimed at the moment when an intent is committed and no answer has come."""
    dice = random.Random(DRAWN_WITH)
    ways = ["random"] * AT_RANDOM + ["aimed"] * AIMED
    dice.shuffle(ways)
    url, last = embedded_url(stage.folder), ""
    for way in ways:
        last = _next_holder(url, last)
        born = clock.monotonic()
        if way == "random":
            clock.sleep(dice.uniform(0, LONGEST_LIFE_SECONDS))
        else:
            while clock.monotonic() < born + AIM_SECONDS and not rows(url, SENDING)[0][0]:
                clock.sleep(0.001)
        kill(stage.folder, "worker")
        disturbance.kills += 1
        disturbance.cut_off += int(rows(url, SENDING)[0][0])
        disturbance.moments.append(round(clock.monotonic() - born, 3))
        restart_worker(stage.folder)


def _next_holder(url: str, last: str) -> str:
    await_that("another worker has taken over", lambda: holder(url) not in ("", last), 60)
    return holder(url)


def kill_postgres(stage: Stage, disturbance: Disturbance) -> None:
    """Twice: kill -9 of the postmaster while work is under way, start it again, and a worker."""
    dice = random.Random(DRAWN_WITH)
    last = ""
    for _ in range(2):
        last = _next_holder(embedded_url(stage.folder), last)
        clock.sleep(dice.uniform(0.5, LONGEST_LIFE_SECONDS))
        server = embedded.running(stage.folder / STATE_FOLDER)
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        await_that("PostgreSQL is gone", partial(_is_gone, stage.folder), 5)
        disturbance.kills += 1
        again = database_url(stage.folder)  # what every verb does first
        disturbance.cut_off += int(rows(again, SENDING)[0][0])
        await_that("the worker noticed", partial(_worker_ended, stage.folder), 30)
        restart_worker(stage.folder)


def _is_gone(folder: Path) -> bool:
    return embedded.running(folder / STATE_FOLDER) is None


def _worker_ended(folder: Path) -> bool:
    return Processes(folder).running("worker") is None


def assert_same(disturbed: Performance, undisturbed: Performance) -> None:
    assert disturbed.twice == {}
    assert disturbed.ending.duplicates == 0
    assert disturbed.unseen == []
    for part, expected in undisturbed.state.__dict__.items():
        assert disturbed.state.__dict__[part] == expected, part
    assert disturbed.state.digest == undisturbed.state.digest


def test_nothing_is_posted_twice_when_nobody_dies(undisturbed: Performance) -> None:
    assert undisturbed.twice == {}
    assert undisturbed.unseen == []
    assert len(undisturbed.state.erp["salesOrder"]) > 20


def test_ten_kills_of_the_worker_change_nothing(home: Path, undisturbed: Performance) -> None:
    killed = play(home, kill_workers)
    print(killed.disturbance)
    assert killed.disturbance.kills == AT_RANDOM + AIMED
    assert killed.disturbance.cut_off > 0, "no kill met a write under way: aim better"
    assert_same(killed, undisturbed)


def test_kills_of_postgres_change_nothing(home: Path, undisturbed: Performance) -> None:
    killed = play(home, kill_postgres)
    print(killed.disturbance)
    assert killed.disturbance.kills == 2
    assert_same(killed, undisturbed)
