"""The measuring landscape as processes that start quickly, for those who kill them by hundreds.

Senders post signed invoices all the time; a ledger in this process is what they end in.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.loopback.connector import SIGNATURE, sign
from benchmarks.loopback.load import CUSTOMERS, customer
from benchmarks.loopback.world import PROJECT, SECRET, World, free_port, world
from tests.processes.commands import await_that
from tests.processes.ledger import Ledger
from tieout import clock
from tieout.engine.watchdog import LOOK_SECONDS
from tieout.store.leases import LEASE_SECONDS

ANSWER_SECONDS = 5.0
AGAIN_SECONDS = 60.0
PAUSE_SECONDS = 0.01
FENCE = "fence: 1 second"  # longer than a call may be under way on loopback
SHORT_LEASE_SECONDS = 3.0

Event = tuple[str, int]
"""A row's key at its source, and its version."""


@dataclass
class QuickWorld(World):
    """A world whose web and workers are forks of one warm process."""

    pids: dict[str, int] = field(default_factory=dict)
    born: list[str] = field(default_factory=list)  # names as they were started, oldest first
    forker: subprocess.Popen[str] | None = None
    lease_seconds: float = LEASE_SECONDS
    look_seconds: float = LOOK_SECONDS  # of the watchdog
    ledger: Ledger | None = None
    web_ports: dict[str, int] = field(default_factory=dict)

    def write_landscape(self) -> None:
        super().write_landscape()
        self.web_ports["web"] = self.web_port
        path = self.folder / "environments" / "bench.yaml"
        head, books, tail = path.read_text(encoding="utf-8").partition("  books:\n")
        assert books
        path.write_text(f"{head}{books}    {FENCE}\n{tail}", encoding="utf-8")

    def start_target(self) -> None:
        self.ledger = Ledger(self.target_port)
        self.ledger.open()

    def start_web(self, name: str = "web") -> None:
        port = self.web_ports.setdefault(name, 0) or free_port()
        self.web_ports[name] = port
        arguments = ["--landscape", str(self.folder), "--environment", "bench"]
        self._start(name, ["tieout.web.server", *arguments, "--port", str(port)])

    def start(self, name: str) -> None:
        """Start one process of its kind: web, web-2, worker, worker-2, watchdog …"""
        if name.startswith("web"):
            self.start_web(name)
        elif name.startswith("worker"):
            self.start_worker(name)
        else:
            arguments = ["--landscape", str(self.folder), "--environment", "bench"]
            looks = ["--look-seconds", str(self.look_seconds)]
            self._start(name, ["tieout.engine.watchdog", *arguments, *looks])

    def oldest(self, kind: str) -> str:
        """Who of this kind has run longest: it had time to become what is to be killed."""
        return next(name for name in self.born if name.startswith(kind))

    def running(self, name: str) -> bool:
        try:
            os.kill(self.pids[name], 0)
        except (KeyError, ProcessLookupError):
            return False
        return True

    def kill(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[name], signal.SIGKILL)
        await_that(f"{name} is gone", lambda: not self.running(name), 10)

    def stop(self) -> None:
        for name in self.pids:
            self.kill(name)
        if self.forker is not None:
            self.forker.terminate()
            self.forker.wait()
        if self.ledger is not None:
            self.ledger.shut()
        super().stop()

    def _start(self, name: str, module: Sequence[str]) -> None:
        if self.forker is None:
            self.forker = subprocess.Popen(
                [sys.executable, "-m", "tests.processes.forker", str(self.lease_seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment(),
                cwd=PROJECT,
            )
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        asked = {"module": module[0], "arguments": [*module[1:]], "log": f"{self.home}/{name}.log"}
        self.forker.stdin.write(json.dumps(asked) + "\n")
        self.forker.stdin.flush()
        self.pids[name] = int(self.forker.stdout.readline())
        self.born = [one for one in self.born if one != name] + [name]

    def greet(self) -> None:
        """The customers of all invoices."""
        for number in range(CUSTOMERS):
            assert post(self.web_port, "customer", customer(number)) == 200


@contextlib.contextmanager
def quick_world(
    workers: int = 1,
    webs: int = 1,
    url: str = "",
    lease_seconds: float = LEASE_SECONDS,
    change: Callable[[QuickWorld], None] | None = None,
) -> Iterator[QuickWorld]:
    """A running world. `change`: what else is written into its landscape before it starts."""

    class Changed(QuickWorld):
        def write_landscape(self) -> None:
            self.lease_seconds = lease_seconds
            super().write_landscape()
            if change is not None:
                change(self)

    with world(workers, Changed, url) as made:
        assert isinstance(made, QuickWorld)
        for number in range(2, webs + 1):
            made.start_web(f"web-{number}")
            made._await_port(made.web_ports[f"web-{number}"])
        yield made


def post(port: int, stream: str, body: bytes) -> int:
    """The status of one signed webhook on a connection of its own."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        return _post(line, stream, body)
    finally:
        line.close()


def _post(line: http.client.HTTPConnection, stream: str, body: bytes) -> int:
    headers = {"Content-Type": "application/json", SIGNATURE: sign(SECRET, body)}
    line.request("POST", f"/intake/till/{stream}", body, headers)
    answer = line.getresponse()
    answer.read()
    return answer.status


class Sender(threading.Thread):
    """Posts invoices by the clock until told to stop; remembers which were acknowledged.

    What was not acknowledged is sent again as often as `tries` says: once, it may be there or not.
    """

    def __init__(
        self,
        ports: Sequence[int],
        events: Iterator[tuple[Event, bytes]],
        stopping: threading.Event,
        pause_seconds: float = PAUSE_SECONDS,
        tries: int = 1,
    ) -> None:
        super().__init__(daemon=True)
        self.ports, self.events, self.stopping = ports, events, stopping
        self.pause_seconds, self.tries = pause_seconds, tries
        self.acknowledged: list[Event] = []
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        lines: dict[int, http.client.HTTPConnection] = {}
        due = clock.monotonic()
        for number, (event, body) in enumerate(self.events):
            if self.stopping.is_set():
                return
            for again in range(self.tries):
                port = self.ports[(number + again) % len(self.ports)]
                if self._sent(lines, port, body):
                    self.acknowledged.append(event)
                    break
            due = max(due + self.pause_seconds, clock.monotonic() - 1)
            self.stopping.wait(max(0.0, due - clock.monotonic()))

    def _sent(self, lines: dict[int, http.client.HTTPConnection], port: int, body: bytes) -> bool:
        try:
            if port not in lines:
                lines[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
            status = _post(lines[port], "invoice", body)
            self.answers[str(status)] += 1
        except (OSError, http.client.HTTPException) as error:
            self.answers[type(error).__name__] += 1
            if port in lines:
                lines.pop(port).close()
            self.stopping.wait(PAUSE_SECONDS)
            return False
        return 200 <= status < 300


def await_acknowledged(made: QuickWorld, senders: Sequence[Sender]) -> None:
    """Wait until something more is acknowledged: a kill tells nothing while nothing is."""
    told = sum(len(sender.acknowledged) for sender in senders)
    deadline = clock.monotonic() + AGAIN_SECONDS
    while sum(len(sender.acknowledged) for sender in senders) == told:
        answers = [dict(sender.answers) for sender in senders]
        assert clock.monotonic() < deadline, f"nothing is acknowledged: {answers}; {made.logs()}"
        clock.sleep(0.02)
