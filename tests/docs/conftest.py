"""One demo for all pages: told once, its output kept, its landscape up until the last page ran."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.docs.stage import SECONDS, WAIT_SECONDS, environment, free_ports, programs
from tieout import clock
from tieout.cli.running import bring_down, bring_up
from tieout.cli.shared import DATABASE, STATE_FOLDER
from tieout.landscape.loader import ROOT_FILE
from tieout.store import embedded


@dataclass(frozen=True)
class Demo:
    """What `tieout demo` left: its words, its landscape (up), and the command to work with it."""

    output: str
    exit_code: int
    folder: Path
    programs: Path


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder the database's service user can reach; what was started in it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-docs-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for marker in folder.rglob(ROOT_FILE):
            bring_down(marker.parent)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def demo(home: Path) -> Demo:
    """The demo with its default seed, as `make demo` runs it."""
    port = free_ports()
    arguments = ["demo", "--folder", str(home / "demo"), "--port", str(port)]
    tools = programs(home / "bin", port)
    done = subprocess.run(
        [sys.executable, "-m", "tieout.cli", *arguments],
        cwd=home,
        env=environment(tools),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    folder = home / "demo" / "quote_to_cash"
    if done.returncode == 0:
        bring_up(folder, "demo", port)
        _await_worker(folder)
    return Demo(done.stdout + done.stderr, done.returncode, folder, tools)


def _await_worker(folder: Path) -> None:
    """Wait until the worker has read the landscape and taken its leases."""
    server = embedded.running(folder / STATE_FOLDER)
    assert server is not None
    deadline = clock.monotonic() + WAIT_SECONDS
    with psycopg.connect(server.url(DATABASE), autocommit=True) as connection:
        while not connection.execute("SELECT FROM leases WHERE holder IS NOT NULL").fetchall():
            assert clock.monotonic() < deadline, "the worker took no lease"
            clock.sleep(0.1)


@pytest.fixture(scope="session")
def elsewhere(home: Path) -> Path:
    """Programs for landscapes of the pages' own, on other ports than the demo's."""
    return programs(home / "bin-elsewhere", free_ports())
