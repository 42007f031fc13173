"""Real systems that are started beside the landscape, on this machine: a demo's ledger, say.

What an environment names under `start` becomes one child process, found again and stopped by pid
like every other one. The first start may install the system, so it says what it is doing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tieout import clock
from tieout.cli.processes import Processes, refuse_taken
from tieout.cli.shared import STATE_FOLDER
from tieout.cli.telling import NotAvailable
from tieout.landscape.schema import EnvironmentSpec, Landscape

READY = "ready"
START_SECONDS = 1800.0  # installing and setting up books, on a slow line
STOP_SECONDS = 60.0  # its own server and its own PostgreSQL end first
Say = Callable[[str], None]


def start_programs(
    processes: Processes, landscape: Landscape, environment: str, say: Say
) -> list[str]:
    """Start every system that the environment says is started here; returns their names.

    Raises NotAvailable.
    """
    started = []
    for system, spec in landscape.environments[environment].items():
        if spec.start and processes.running(_process(system)) is None:
            _start(processes, system, spec, say)
            started.append(system)
    return started


def _process(system: str) -> str:
    return f"system-{system}"


def _start(processes: Processes, system: str, spec: EnvironmentSpec, say: Say) -> None:
    refuse_taken(spec.settings["base_url"].removeprefix("http://"), system)
    options = {name: value for name, value in spec.start.items() if name != "program"}
    log = processes.folder / STATE_FOLDER / "log" / f"{_process(system)}.log"
    read_from = log.stat().st_size if log.exists() else 0
    process = processes.start(
        _process(system),
        [
            "tieout.emulators.programs",
            spec.start["program"],
            "--landscape",
            str(processes.folder),
            "--state",
            str(processes.folder / STATE_FOLDER / "started" / system),
            "--settings",
            json.dumps(dict(spec.settings)),
            "--options",
            json.dumps(options),
        ],
        {"PYTHONUNBUFFERED": "1"},
        STOP_SECONDS,
    )
    _relay_until_ready(processes, system, process.log, read_from, say)


def _relay_until_ready(
    processes: Processes, system: str, log: Path, read_from: int, say: Say
) -> None:
    """Pass on what the program says, line by line, until it says that it is ready."""
    told = 0
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline:
        runs = processes.running(_process(system)) is not None  # asked before the log is read
        said = log.read_bytes()[read_from:].decode("utf-8", "replace")
        lines = said[: said.rfind("\n") + 1].splitlines()
        for line in lines[told:]:
            if line == READY:
                return
            if runs:
                say(f"  {system}: {line}")
        told = len(lines)
        if not runs:
            raise NotAvailable(f"{system} did not start; its log {log} ends with:\n{said[-2000:]}")
        clock.sleep(0.1)
    raise NotAvailable(f"{system} was not ready within {START_SECONDS:.0f} s; its log is {log}")
