"""The supervisor: starts the landscape's own processes again when they end, and says why.

A worker that loses its database ends, loudly; here it comes back. Back-off doubles up to half a
minute, and a process that ended MOST_RESTARTS times within a minute is left alone until the minute
is over: a fault that repeats must not eat the machine. What `tieout down` stops stays stopped: it
stops this process first. Emulated systems and real ones beside us are not its business.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tieout import clock
from tieout.cli.processes import Processes, log_tail
from tieout.cli.shared import STATE_FOLDER
from tieout.engine.logs import BadLogLevel, event, start_logs
from tieout.store import embedded
from tieout.store.embedded import EmbeddedPostgresError

LOOK_SECONDS = 0.5
ROTATE_SECONDS = 10.0
FIRST_WAIT_SECONDS = 0.5
MOST_WAIT_SECONDS = 30.0
WELL_SECONDS = 60.0  # who ran so long begins again with the first wait
MOST_RESTARTS = 8  # a minute
SUPERVISED = ("worker", "watchdog", "web")
LEAVING = "-leaving"  # a predecessor in a rolling restart: it ends, and that is right
TAIL_LINES = 3


@dataclass
class Restarts:
    """How often one process was started again lately, and when it may be again."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESTARTS))
    wait_seconds: float = FIRST_WAIT_SECONDS
    due_at: float | None = None

    def ended(self, now: float) -> None:
        """It is not there: decide when it is started again."""
        if self.due_at is not None:
            return
        if not self.times or now - self.times[-1] > WELL_SECONDS:
            self.wait_seconds = FIRST_WAIT_SECONDS
        self.due_at = now + self.wait_seconds
        if len(self.times) == MOST_RESTARTS:
            self.due_at = max(self.due_at, self.times[0] + 60.0)

    def started(self, now: float) -> None:
        self.times.append(now)
        self.wait_seconds = min(MOST_WAIT_SECONDS, self.wait_seconds * 2)
        self.due_at = None


class Supervisor:
    """Looks after the processes of one landscape on this machine."""

    def __init__(self, folder: Path, url: str, *, with_database: bool) -> None:
        self._folder = folder
        self._url = url
        self._with_database = with_database
        self._processes = Processes(folder)
        self._restarts: dict[str, Restarts] = {}
        self._rotated_at = clock.monotonic()

    def run(self, stopping: Callable[[], bool]) -> None:
        while not stopping():
            self.look()
            clock.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Start what ended and is due."""
        if self._with_database:
            self._mind("postgres", self._database_runs(), self._start_database)
        for one in self._processes.all():
            if one.name.startswith(SUPERVISED) and not one.name.endswith(LEAVING):
                arguments = self._processes.arguments(one.name)
                if arguments:
                    self._mind(one.name, one.running, partial(self._start, one.name, arguments))
        if clock.monotonic() - self._rotated_at > ROTATE_SECONDS:
            self._rotated_at = clock.monotonic()
            self._processes.rotate_logs()

    def _mind(self, name: str, runs: bool, start: Callable[[], None]) -> None:
        known = self._restarts.setdefault(name, Restarts())
        now = clock.monotonic()
        if runs:
            known.due_at = None
            return
        if known.due_at is None:
            known.ended(now)
            wait = round((known.due_at or now) - now, 1)
            event("ended", level="error", name=name, again_in_seconds=wait, why=self._why(name))
        if known.due_at is not None and now >= known.due_at:
            known.started(now)
            start()
            event("started again", level="warning", name=name, times=len(known.times))

    def _why(self, name: str) -> str:
        tail = log_tail(self._folder, name).splitlines()
        return " | ".join(tail[-TAIL_LINES:])

    def _start(self, name: str, arguments: list[str]) -> None:
        try:
            self._processes.start(name, arguments, {"TIEOUT_DATABASE_URL": self._url})
        except OSError as error:
            event("cannot be started", level="error", name=name, why=error.strerror or "")

    def _database_runs(self) -> bool:
        return embedded.running(self._folder / STATE_FOLDER) is not None

    def _start_database(self) -> None:
        try:
            embedded.start(self._folder / STATE_FOLDER)
        except (EmbeddedPostgresError, OSError) as error:
            event("cannot be started", level="error", name="postgres", why=str(error))


def main(arguments: Sequence[str]) -> int:
    """Supervise until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tieout.cli.supervisor")
    parser.add_argument("--landscape", type=Path, required=True, help="the landscape's folder")
    parser.add_argument("--embedded", action="store_true", help="the database is ours to start")
    asked = parser.parse_args(arguments)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        start_logs("supervisor")
    except BadLogLevel as error:
        print(error, file=sys.stderr)
        return 1
    url = os.environ.get("TIEOUT_DATABASE_URL", "")
    Supervisor(asked.landscape, url, with_database=asked.embedded).run(lambda: stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
