"""The demo's story on a stage of real processes that somebody keeps killing.

`play` tells the story that `tieout demo` tells, with an understudy who disturbs it meanwhile, and
returns the state it ended in.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from tests.processes.commands import MONTH, SEED, await_that, free_ports, quick_landscape, rows
from tests.processes.end_state import EndState, end_state, posted_twice, unseen
from tieout import clock
from tieout.cli.processes import Processes, start_worker
from tieout.cli.shared import DATABASE, STATE_FOLDER, database_url
from tieout.cli.stage import LocalStage
from tieout.engine.rest import Progress as Counts
from tieout.rehearsal.northwind.story import Ending, Story
from tieout.store import embedded

WORK_SECONDS = 60.0


@dataclass
class Disturbance:
    """What the understudy did, for honest reports."""

    kills: int = 0
    cut_off: int = 0  # dispatches that were being sent at the moments of the kills
    moments: list[float] = field(default_factory=list)  # seconds each victim had worked


@dataclass
class Performance:
    """One telling: how it ended, and what was met on the way."""

    ending: Ending
    state: EndState
    twice: dict[str, int]
    unseen: list[str]
    disturbance: Disturbance = field(default_factory=Disturbance)


class Stage(LocalStage):
    """The demo's own stage, disturbed by an understudy from when the worker starts."""

    def __init__(self, folder: Path, port: int, understudy: Understudy | None) -> None:
        super().__init__(folder, "demo", port, "make up", lambda _: None)
        self.folder = folder
        self.port = port
        self.understudy = understudy

    def start_worker(self) -> None:
        super().start_worker()
        if self.understudy is not None:
            self.understudy.begin(self)

    def look(self) -> None:
        """A worker that was killed on purpose comes back; nobody else may die."""
        if self.understudy is None:
            super().look()

    def quiet_seconds(self, context: Any) -> float:
        """No rest before the understudy is done."""
        if self.understudy is not None and not self.understudy.done.is_set():
            return WORK_SECONDS
        return super().quiet_seconds(context)


class Understudy:
    """Somebody who disturbs the play from a thread of his own, then lets it end."""

    def __init__(self, disturb: Callable[[Stage, Disturbance], None]) -> None:
        self.done = threading.Event()
        self.disturbance = Disturbance()
        self.failed: list[BaseException] = []
        self._disturb = disturb
        self._thread: threading.Thread | None = None

    def begin(self, stage: Stage) -> None:
        self._thread = threading.Thread(target=self._run, args=(stage,), daemon=True)
        self._thread.start()

    def _run(self, stage: Stage) -> None:
        try:
            self._disturb(stage, self.disturbance)
        except Exception as error:  # noqa: BLE001 - told by the test's own thread, see `play`
            self.failed.append(error)
        finally:
            self.done.set()


def play(home: Path, disturb: Callable[[Stage, Disturbance], None] | None = None) -> Performance:
    """Tell the story on fresh processes; returns how it ended. Leaves nothing running."""
    port = free_ports()
    folder = quick_landscape(home, port)
    understudy = Understudy(disturb) if disturb is not None else None
    stage = Stage(folder, port, understudy)
    seen: list[tuple[EndState, dict[str, int], list[str]]] = []

    class Telling(Story):
        def _count(self, context: Any) -> Counts:
            while True:
                try:
                    return super()._count(context)
                except psycopg.OperationalError:
                    if understudy is None or understudy.done.is_set():
                        raise
                    clock.sleep(0.1)  # somebody is killing the database just now

        def _end(self, context: Any, *rest: Any) -> Ending:
            ending = super()._end(context, *rest)
            url = context.database.url
            seen.append((end_state(url, port, ending), posted_twice(port), unseen(url, port)))
            return ending

    story = Telling(
        folder,
        data=folder / "data",
        environment="demo",
        month=MONTH,
        seed=SEED,
        console=Console(quiet=True),
        print_tie_outs=lambda _: None,
        stage=stage,
    )
    try:
        ending = story.tell(fix=False)
    finally:
        if understudy is not None and understudy.failed:
            raise understudy.failed[0]
    state, twice, not_seen = seen[0]
    return Performance(
        ending, state, twice, not_seen, understudy.disturbance if understudy else Disturbance()
    )


def kill(folder: Path, name: str) -> None:
    """kill -9, and wait until it is really gone."""
    found = Processes(folder).running(name)
    assert found is not None, f"{name} does not run"
    os.kill(found.pid, signal.SIGKILL)
    await_that(f"{name} is gone", lambda: Processes(folder).running(name) is None, 5)


def holder(url: str) -> str:
    """Which worker has the first partition now."""
    found = rows(url, "SELECT coalesce(holder::text, '') FROM leases WHERE name = 'partition:0'")
    return str(found[0][0]) if found else ""


def restart_worker(folder: Path) -> None:
    start_worker(Processes(folder), folder, "demo", database_url(folder))


def embedded_url(folder: Path) -> str:
    server = embedded.running(folder / STATE_FOLDER)
    assert server is not None, "the embedded server does not run"
    return server.url(DATABASE)
