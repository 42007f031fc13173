"""The real `tieout` command, real ports, and looks into what a landscape's processes hold."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import simplejson

from tieout import clock
from tieout.cli.demo import fresh_copy
from tieout.landscape.examples import example
from tieout.ports.http import Request
from tieout.ports.transport import http_transport

FIRST_PORT = 18380
LAST_PORT = 19580
PORTS_FOR_ONE = 4
MONTH = "2020-08"
SEED = 7


def free_ports() -> int:
    """The first of four free loopback ports. Every process looks from a place of its own, so that
    test runs side by side, of this checkout or another, do not take each other's."""
    places = range(FIRST_PORT, LAST_PORT, PORTS_FOR_ONE)
    first = os.getpid() % len(places)
    for port in (*places[first:], *places[:first]):
        if all(_is_free(port + offset) for offset in range(PORTS_FOR_ONE)):
            return port
    raise AssertionError(f"no four free ports between {FIRST_PORT} and {LAST_PORT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def quick_landscape(home: Path, port: int, *, crm_poll: str = "1 second") -> Path:
    """The demo's landscape on these ports, with waits as short as loopback allows."""
    folder = fresh_copy(example("quote_to_cash"), home / "quote_to_cash", port)
    path = folder / "environments" / "demo.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("fence: 2 seconds", "fence: 1 second").replace(
        'task_seconds: "0.3"', 'task_seconds: "0.1"'
    )
    text = text.replace("poll: 2 seconds", f"poll: {crm_poll}")
    path.write_text(text, encoding="utf-8")
    return folder


def tieout(*arguments: object, folder: Path | None = None, **environment: str) -> Done:
    """Run the real command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "tieout.cli", *map(str, arguments), *_landscape(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    # DuckDB's binding says so at exit when a thread outlives the command: something is not closed.
    assert "nanobind" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def tieout_started(*arguments: object, folder: Path | None = None) -> subprocess.Popen[str]:
    """Start the real command and go on."""
    return subprocess.Popen(
        [sys.executable, "-m", "tieout.cli", *map(str, arguments), *_landscape(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """A shell's background job ignores ctrl-C, and so do its children: these are to heed it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _landscape(folder: Path | None) -> list[str]:
    return ["--landscape", str(folder)] if folder is not None else []


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout as JSON."""
        return simplejson.loads(self.out.splitlines()[-1], use_decimal=True)


def await_that(what: str, is_so: Callable[[], bool], most_seconds: float = 30.0) -> None:
    """Wait until something is so; fail with its name when it never is."""
    deadline = clock.monotonic() + most_seconds
    while not is_so():
        assert clock.monotonic() < deadline, f"not within {most_seconds:.0f} s: {what}"
        clock.sleep(0.05)


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What the landscape's database answers, read as its administrator."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE tieout_app")
        connection.execute("SET tieout.legal_entities = '*'")
        return connection.execute(statement.encode()).fetchall()


def table(port: int, name: str) -> dict[str, dict[str, Any]]:
    """A table of an emulated system, by its back door."""
    url = f"http://127.0.0.1:{port}"
    answer = http_transport([url])(Request("GET", f"{url}/_emulator/tables/{name}"))
    assert answer.status == 200, answer.text()
    found: dict[str, dict[str, Any]] = simplejson.loads(answer.body, use_decimal=True)
    return found


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes on this machine that have to do with this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found
