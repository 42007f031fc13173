"""Starts the product's programs quickly: imports once, forks often.

`python -m tests.processes.forker LEASE_SECONDS`: hundreds of kills would spend their time on
imports, and waiting for the leases of who is frozen. Each line of stdin is a program to start, as
JSON {"module": …, "arguments": […], "log": …}; the answer is the pid of the fork that runs it.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys

# Not the programs themselves: they are run as `__main__`.
MODULES = (
    "tieout.web.app",
    "tieout.web.patience",
    "tieout.cli.app",
    "tieout.cli.workers",
    "tieout.engine.opening",
    "tieout.engine.watchdog",
    "sqlglot.dialects.duckdb",
    "benchmarks.loopback.connector",
)


def become(module: str, arguments: list[str], log: str) -> None:
    """In the fork: run the program to its end, as `python -m` would."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException as error:  # noqa: BLE001  a fork must not go on in its parent's code
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    leases = importlib.import_module("tieout.store.leases")  # first: others copy what it says
    leases.LEASE_SECONDS = float(sys.argv[1])
    for module in MODULES:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what ends is gone at once
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(asked["module"], asked["arguments"], asked["log"])
        print(pid, flush=True)


if __name__ == "__main__":
    main()
