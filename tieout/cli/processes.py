"""The landscape's processes on this machine: started, found again, stopped by pid.

Each has a small file in `.tieout/run/`; its output goes to `.tieout/log/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from tieout import clock
from tieout.cli.shared import STATE_FOLDER
from tieout.cli.telling import NotAvailable
from tieout.landscape.schema import EnvironmentSpec, Landscape

START_SECONDS = 20.0
STOP_SECONDS = 15.0
LET_GO_SECONDS = 1.0
CONSOLE_PORT = 18180
TAIL_CHARACTERS = 2_000
LISTENING = "0A"  # the state of a socket in /proc/net/tcp
_ORDER = ("supervisor", "watchdog", "worker", "web")  # stopped first: they use the others
MOST_LOG_BYTES = 10 * 1024 * 1024  # then it becomes NAME.log.1, and begins anew


@dataclass(frozen=True, slots=True)
class Process:
    """One child process. `running` is false when its pid is gone or belongs to another program."""

    name: str
    pid: int
    running: bool
    log: Path
    stop_seconds: float = STOP_SECONDS


class Processes:
    """The processes of one landscape in one environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = folder / STATE_FOLDER / "run"
        self._log = folder / STATE_FOLDER / "log"

    def all(self) -> list[Process]:
        """Every process that was started and not stopped."""
        return [self._read(path) for path in sorted(self._run.glob("*.json"))]

    def running(self, name: str) -> Process | None:
        path = self._run / f"{name}.json"
        found = self._read(path) if path.exists() else None
        return found if found is not None and found.running else None

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        stop_seconds: float = STOP_SECONDS,
    ) -> Process:
        """Start `python -m …` in the background, unless it runs already. `stop_seconds` is how
        long it may take to end when it is told to."""
        found = self.running(name)
        if found is not None:
            return found
        self._run.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        log = self._log / f"{name}.log"
        rotate(log)
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        (self._run / f"{name}.json").write_text(
            json.dumps(
                {
                    "pid": child.pid,
                    "marker": arguments[0],
                    "log": str(log),
                    "stop_seconds": stop_seconds,
                    "arguments": list(arguments),
                }
            )
        )
        return Process(name, child.pid, True, log, stop_seconds)

    def arguments(self, name: str) -> list[str] | None:
        """What a process was started with; None when it was never started, or was stopped."""
        try:
            told = json.loads((self._run / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None  # stopped, or being started, just now
        return [str(one) for one in told.get("arguments", [])]

    def rename(self, name: str, to: str) -> None:
        """The process of this name is known by another one from now on."""
        (self._run / f"{name}.json").rename(self._run / f"{to}.json")

    def rotate_logs(self) -> None:
        """Logs that have grown too large begin anew."""
        for log in self._log.glob("*.log"):
            rotate(log)

    def stop(self, name: str) -> bool:
        """Stop one process by its pid; False when it did not run."""
        found = self.running(name)
        if found is not None:
            self._stop(found)
        (self._run / f"{name}.json").unlink(missing_ok=True)
        return found is not None

    def stop_all(self, but: Set[str] = frozenset()) -> list[str]:
        """Stop every process by pid, the users before what they use; returns their names."""
        found = sorted(
            (one for one in self.all() if one.name not in but),
            key=lambda one: next(
                (n for n, head in enumerate(_ORDER) if one.name.startswith(head)), len(_ORDER)
            ),
        )
        stopped = []
        for one in found:
            if one.running:
                self._stop(one)
                stopped.append(one.name)
            (self._run / f"{one.name}.json").unlink(missing_ok=True)
        return stopped

    def _stop(self, one: Process) -> None:
        os.kill(one.pid, signal.SIGTERM)
        deadline = clock.monotonic() + one.stop_seconds
        while _alive(one.pid):
            if clock.monotonic() > deadline:
                os.kill(one.pid, signal.SIGKILL)
                return
            clock.sleep(0.02)

    def _read(self, path: Path) -> Process:
        told = json.loads(path.read_text())
        pid = int(told["pid"])
        return Process(
            path.stem,
            pid,
            _alive(pid) and _is(pid, str(told["marker"])),
            Path(told["log"]),
            float(told.get("stop_seconds", STOP_SECONDS)),
        )


def start_emulators(processes: Processes, landscape: Landscape, environment: str) -> list[str]:
    """Start the twins of every emulated system; returns their names."""
    started = []
    for system, spec in landscape.environments[environment].items():
        if not spec.emulate:
            continue
        address = spec.settings["base_url"].removeprefix("http://")
        if processes.running(f"emulator-{system}") is None:
            refuse_taken(address, system)
        state = processes.folder / STATE_FOLDER / "emulated"
        state.mkdir(parents=True, exist_ok=True)
        processes.start(
            f"emulator-{system}",
            [
                "tieout.emulators.host",
                spec.emulate,
                "--listen",
                address,
                "--state",
                str(state / f"{system}.json"),
                "--settings-file",
                str(_private(state / f"{system}.settings", emulator_settings(spec))),
            ],
            {},
        )
        started.append(system)
    for system in started:
        spec = landscape.environments[environment][system]
        wait_for_port(processes, f"emulator-{system}", spec.settings["base_url"])
    return started


def emulator_settings(spec: EnvironmentSpec) -> dict[str, str]:
    """What a twin must know: its tenant's settings, the credentials to accept, its own options."""
    secrets = {name: reference.removeprefix("literal:") for name, reference in spec.secrets.items()}
    return {**spec.settings, **secrets, **spec.emulator}


def _private(path: Path, settings: Mapping[str, str]) -> Path:
    """Settings with credentials, in a file that only we can read: everybody sees a command line."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(settings, file)
    return path


def rotate(log: Path) -> None:
    """Keep a log within twice MOST_LOG_BYTES. Its writer appends, so it goes on at the new start;
    what it says in this very moment may be lost."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > MOST_LOG_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def start_web(processes: Processes, folder: Path, environment: str, url: str, port: int) -> None:
    """Start the console and the webhook intake."""
    if processes.running("web") is None:
        refuse_taken(f"127.0.0.1:{port}", "the console")
    processes.start(
        "web",
        [
            "tieout.web.server",
            "--landscape",
            str(folder),
            "--environment",
            environment,
            "--port",
            str(port),
        ],
        {"TIEOUT_DATABASE_URL": url},
    )
    wait_for_port(processes, "web", f"http://127.0.0.1:{port}")


def worker_name(number: int) -> str:
    """The first worker is `worker`, the others `worker-2` and so on."""
    return "worker" if number == 1 else f"worker-{number}"


def start_worker(
    processes: Processes, folder: Path, environment: str, url: str, name: str = "worker"
) -> Process:
    """Start one worker."""
    return processes.start(
        name,
        ["tieout.cli", "worker", "--landscape", str(folder), "--environment", environment],
        {"TIEOUT_DATABASE_URL": url},
    )


def start_watchdog(processes: Processes, folder: Path, environment: str, url: str) -> Process:
    """Start the process that tells people."""
    return processes.start(
        "watchdog",
        [
            "tieout.engine.watchdog",
            "--landscape",
            str(folder),
            "--environment",
            environment,
        ],
        {"TIEOUT_DATABASE_URL": url},
    )


def start_supervisor(processes: Processes, folder: Path, url: str, *, embedded: bool) -> Process:
    """Start the process that starts the others again when they end."""
    return processes.start(
        "supervisor",
        [
            "tieout.cli.supervisor",
            "--landscape",
            str(folder),
            *(["--embedded"] if embedded else []),
        ],
        {"TIEOUT_DATABASE_URL": url},
    )


def wait_for_port(processes: Processes, name: str, url: str) -> None:
    """Wait until this very process listens. Raises NotAvailable with the end of its log when it
    died, or when another program has the port."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            taken = probe.connect_ex((host, int(port))) == 0
        found = processes.running(name)
        if found is None:
            break
        if taken and listens(found.pid, int(port)):
            return
        clock.sleep(0.05)
    raise NotAvailable(f"{name} did not come up on {url}; {log_tail(processes.folder, name)}")


def listens(pid: int, port: int) -> bool:
    """Whether this process has the port; True where the machine does not tell (no /proc)."""
    if not Path("/proc/net/tcp").exists():
        return True
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                parts = line.split()
                if parts[3] == LISTENING and int(parts[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{parts[9]}]")
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    for one in opened:
        with contextlib.suppress(FileNotFoundError):
            if str(one.readlink()) in sockets:
                return True
    return False


def fail_if_ended(processes: Processes, name: str) -> None:
    """Raises NotAvailable, with the end of its log, when a started process does not run."""
    if processes.running(name) is None:
        raise NotAvailable(
            f"the {name} ended although nobody stopped it. What was committed is safe; "
            f"{log_tail(processes.folder, name)}"
        )


def log_tail(folder: Path, name: str) -> str:
    """The end of a process's log, in words."""
    log = folder / STATE_FOLDER / "log" / f"{name}.log"
    tail = log.read_text(errors="replace")[-TAIL_CHARACTERS:].strip() if log.exists() else ""
    return f"its log {log} " + (f"ends with:\n{tail}" if tail else "is empty")


def refuse_taken(address: str, what: str) -> None:
    """Raises NotAvailable when somebody listens there, and goes on listening: the threads of a
    process that was killed just now may hold its port a moment longer than its pid."""
    host, _, port = address.partition(":")
    deadline = clock.monotonic() + LET_GO_SECONDS
    while True:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, int(port))) != 0:
                return
        if clock.monotonic() > deadline:
            raise NotAvailable(
                f"port {port} for {what} is taken by another program; stop it, or choose other "
                "ports in environments/*.yaml (the demo: --port)"
            )
        clock.sleep(0.05)


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # not ours: somebody else reaps it
        finished, _ = os.waitpid(pid, os.WNOHANG)
        if finished == pid:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie whose parent has not waited yet runs nothing
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return not Path("/proc/self/stat").exists()


def _is(pid: int, marker: str) -> bool:
    """Whether the pid still is the program we started (pids are used again).

    While a program is being loaded its command line is empty; it is ours all the same. A zombie's
    is empty too, but `_alive` has said that nothing runs there.
    """
    if not Path("/proc/self/cmdline").exists():
        return True
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not command or marker in command.decode("utf-8", "replace")
