"""The measuring landscape as real processes: PostgreSQL, web, workers, and the ledger they fill.

Everything runs on loopback with free ports and is stopped by process id at the end. Also used by
the tests that kill these processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tieout import clock
from tieout.store import database, embedded

LANDSCAPE = Path(__file__).parent / "landscape"
PROJECT = Path(__file__).parents[2]
SECRET = "what only till and we know"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
DISTRIBUTION = "tieout_loopback-1.0.0.dist-info"


@dataclass
class World:
    """A running landscape. `kill` and `start` are for those who want to disturb it."""

    home: Path
    url: str
    web_port: int
    target_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def intake(self) -> str:
        return f"http://127.0.0.1:{self.web_port}/intake/till"

    @property
    def target(self) -> str:
        return f"http://127.0.0.1:{self.target_port}"

    def write_landscape(self) -> None:
        """A copy of the landscape whose twins listen where this world's do."""
        shutil.copytree(LANDSCAPE, self.folder)
        path = self.folder / "environments" / "bench.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(":18999", f":{self.target_port}"), encoding="utf-8")

    def start_target(self) -> None:
        self._start("target", ["benchmarks.loopback.target", str(self.target_port)])
        self._await_port(self.target_port)

    def start_web(self) -> None:
        arguments = ["--landscape", str(self.folder), "--environment", "bench"]
        self._start("web", ["tieout.web.server", *arguments, "--port", str(self.web_port)])

    def await_web(self) -> None:
        self._await_port(self.web_port)

    def start_worker(self, name: str = "worker") -> None:
        arguments = ["worker", "--landscape", str(self.folder), "--environment", "bench"]
        self._start(name, ["tieout.cli", *arguments])

    def kill(self, name: str) -> None:
        """kill -9, and wait until the process is gone."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def finish(self, name: str) -> None:
        """Ask a process to end in good order (a worker ends its tick first), and wait for it."""
        process = self.processes[name]
        process.terminate()
        process.wait(STOP_SECONDS)
        del self.processes[name]

    def running(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def start_database(self) -> None:
        """After a kill of the postmaster: recovery by its log."""
        embedded.start(self.home / "pg")

    def kill_database(self) -> None:
        """kill -9 of the postmaster, and wait until it is gone."""
        server = embedded.running(self.home / "pg")
        if server is None:
            return
        os.kill(server.pid, signal.SIGKILL)
        deadline = clock.monotonic() + STOP_SECONDS
        while embedded.running(self.home / "pg") is not None:
            if clock.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL (pid {server.pid}) survived a kill")
            clock.sleep(0.01)

    @property
    def folder(self) -> Path:
        return self.home / "landscape"

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What the database answers to its administrator."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET tieout.legal_entities = '*'")
            return connection.execute(query.encode(), values).fetchall()

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
        self.processes.clear()

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TIEOUT_DATABASE_URL": self.url,
            "LOOPBACK_SECRET": SECRET,
            "PYTHONPATH": f"{self.home / 'offered'}{os.pathsep}{PROJECT}",
        }

    def _start(self, name: str, module: Sequence[str]) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module], stdout=log, stderr=log, env=self.environment()
            )

    def _await_port(self, port: int) -> None:
        deadline = clock.monotonic() + START_SECONDS
        while clock.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            clock.sleep(0.02)
        raise TimeoutError(f"nothing listens on port {port} after {START_SECONDS} s; {self.logs()}")

    def logs(self) -> str:
        """The ends of what the processes said."""
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-1500:]}"
            for path in sorted(self.home.glob("*.log"))
        )


@contextlib.contextmanager
def world(
    workers: int = 1, made_by: Callable[[Path, str, int, int], World] = World, url: str = ""
) -> Iterator[World]:
    """A fresh world with this many workers; everything is gone afterwards. `url`: a fresh database
    of another server than the embedded one."""
    home = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    home.chmod(0o755)
    try:
        if not url:
            server = embedded.start(home / "pg")
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute("CREATE DATABASE loopback")
            url = server.url("loopback")
        database.prepare(url, "loopback")
        made = made_by(home, url, free_port(), free_port())
        made.write_landscape()
        offer(home / "offered")
        try:
            made.start_target()
            made.start_web()
            for number in range(workers):
                made.start_worker("worker" if number == 0 else f"worker-{number + 1}")
            made.await_web()
            yield made
        finally:
            made.stop()
    finally:
        embedded.stop(home / "pg")
        shutil.rmtree(home, ignore_errors=True)


def offer(folder: Path) -> None:
    """What installing the connector as a package would register."""
    offered = folder / DISTRIBUTION
    offered.mkdir(parents=True)
    (offered / "METADATA").write_text("Metadata-Version: 2.1\nName: tieout-loopback\nVersion: 1\n")
    (offered / "entry_points.txt").write_text(
        "[tieout.connectors]\nloopback = benchmarks.loopback.connector:CONNECTOR\n"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
