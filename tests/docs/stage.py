"""The stage on which the documentation's commands run: one demo, its landscape kept up."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from tests.docs.pages import LEFT_OUT, Block, Command
from tieout import clock
from tieout.cli.app import application
from tieout.cli.shared import STATE_FOLDER
from tools.life_page import plain

FIRST_PORT = 18_600
PORTS_FOR_ONE = 4
MOST_PORTS = 160
SECONDS = 150.0
WAIT_SECONDS = 60.0

# Verbs that start no process of their own, nor write what our `tieout` must change.
IN_PROCESS = ("cases", "check", "doctor", "reconcile", "replay", "show", "sync", "test")
_STEERING = dict.fromkeys((*(n for n in os.environ if n.startswith("TIEOUT_")), "TIEOUT_ACTOR"))

# The command as people type it, on ports of its own: other tests use the usual ones.
_TIEOUT = """#!/bin/sh
verb=$1
case $verb in
  up) shift; exec {python} -m tieout.cli up --port {console} "$@" ;;
  new) {python} -m tieout.cli "$@" || exit $?
       sed -i 's/:1818\\([0-3]\\)/:{prefix}\\1/' "$2"/environments/*.yaml ;;
  *) exec {python} -m tieout.cli "$@" ;;
esac
"""


@dataclass(frozen=True)
class Done:
    """How one command ended."""

    output: str
    exit_code: int


class Place:
    """A folder in which the commands of one page run, one after the other, as in a terminal."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs

    def _called(self, arguments: list[str]) -> Done:
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(application, arguments, env=_STEERING)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.output, done.exit_code)

    def await_log(self, pattern: str) -> None:
        """Wait until the worker of the landscape has said something."""
        log = self.folder / STATE_FOLDER / "log" / "worker.log"
        deadline = clock.monotonic() + WAIT_SECONDS
        while not re.search(pattern, log.read_text(encoding="utf-8")):
            assert clock.monotonic() < deadline, f"{log} never said {pattern}"
            clock.sleep(0.1)

    def put(self, block: Block) -> None:
        """Write the file whose content a titled block is."""
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def run(self, command: Command) -> Done:
        """Run one command line; `cd` holds for the next one.

        A plain `tieout …` runs in this process, which has done its imports already.
        """
        words = shlex.split(command.line)
        if words[0] == "cd":
            self.folder = (self.folder / words[1]).resolve()
            return Done("", 0)
        if words[0] == "tieout" and words[1] in IN_PROCESS and not set("|<>&;") & {*command.line}:
            return self._called(words[1:])
        done = subprocess.run(
            ["sh", "-c", command.line],
            cwd=self.folder,
            env=environment(self._programs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Done(done.stdout, done.returncode)


def environment(programs: Path) -> dict[str, str]:
    """What the commands see: our `tieout` first, none of the variables that steer it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIEOUT_")}
    return {**kept, "PATH": f"{programs}:{kept.get('PATH', '')}", "COLUMNS": "120"}


def programs(folder: Path, first_port: int) -> Path:
    """A folder with `tieout` in it, which starts its consoles on `first_port`."""
    folder.mkdir(parents=True)
    script = folder / "tieout"
    script.write_text(
        _TIEOUT.format(
            python=shlex.quote(sys.executable), console=first_port, prefix=first_port // 10
        )
    )
    script.chmod(0o755)
    return folder


def free_ports() -> int:
    """A multiple of ten whose first four ports are free on loopback."""
    runner = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0)
    first = FIRST_PORT + runner * MOST_PORTS
    for port in range(first, first + MOST_PORTS, 10):
        if all(_is_free(port + offset) for offset in range(PORTS_FOR_ONE)):
            return port
    raise AssertionError(f"no four free ports from {first} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def differs(shown: str, output: str) -> str:
    """ "" when the output is what the page shows, where `…` stands for anything; else both."""
    wanted = re.escape(plain(shown)).replace(re.escape(LEFT_OUT), ".*?").replace(r"\ ", " ")
    wanted = re.sub(r" ?\.\*\? ?", ".*?", wanted)
    if re.fullmatch(wanted, plain(output)):
        return ""
    return f"the page shows:\n{plain(shown)}\n\nit printed:\n{plain(output)}"
