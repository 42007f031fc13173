"""A real Tryton on this machine: its own environment, its own PostgreSQL cluster, its own process.

Tryton is GPL software and stays what it is: a separate program in a separate environment that we
talk to over the network and never import. Everything lives under one folder and is kept between
runs; nothing keeps running when the caller is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from tieout import clock
from tieout.store import embedded

# Exactly what was tested; every one is a wheel.
PINS = (
    "argon2-cffi==25.1.0",
    "argon2-cffi-bindings==26.2.0",
    "cffi==2.1.1",
    "defusedxml==0.7.1",
    "Genshi==0.7.12",
    "lxml==6.1.3",
    "MarkupSafe==3.0.4",
    "polib==1.2.0",
    "psycopg==3.3.9",
    "psycopg-binary==3.3.9",
    "psycopg-pool==3.3.3",
    "puremagic==1.30",
    "pwdlib==0.3.1",
    "pycparser==3.12",
    "python-dateutil==4.0.0",
    "python-sql==1.8.1",
    "python-stdnum==2.2",
    "relatorio==1.0.0",
    "simpleeval==1.0.8",
    "trytond==8.2.1",
    "trytond-account==8.2.1",
    "trytond-account-invoice==8.2.0",
    "trytond-account-invoice-stock==8.2.0",
    "trytond-account-product==8.2.0",
    "trytond-company==8.2.0",
    "trytond-country==8.2.0",
    "trytond-currency==8.2.0",
    "trytond-party==8.2.0",
    "trytond-product==8.2.0",
    "trytond-sale==8.2.0",
    "trytond-stock==8.2.1",
    "typing-extensions==4.16.0",
    "tzdata==2026.6",
    "Werkzeug==3.1.9",
)
MODULES = ("account_invoice", "sale")
INSTALL_SECONDS = 600
INITIALISE_SECONDS = 600
START_SECONDS = 60
STOP_SECONDS = 20


class TrytonUnfit(Exception):
    """Tryton could not be installed, initialised or started. Says why, and what to do."""


def ensure_installed(home: Path, say: Callable[[str], None] = lambda words: None) -> Path:
    """The `bin` folder of Tryton's own environment, made when it is missing or other pins apply."""
    environment = home / "venv"
    marker = environment / "pins"
    wanted = "\n".join(PINS)
    if not (marker.exists() and marker.read_text() == wanted):
        say("installing Tryton in an environment of its own, once")
        home.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(environment)], INSTALL_SECONDS)
        requirements = environment / "requirements.txt"
        requirements.write_text(wanted + "\n")
        # Every dependency is pinned, so none is resolved; wheels only, nothing is compiled.
        _run(
            [
                str(environment / "bin" / "pip"),
                *("install", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary", ":all:", "-r", str(requirements)),
            ],
            INSTALL_SECONDS,
        )
        marker.write_text(wanted)
    return environment / "bin"


@contextlib.contextmanager
def cluster(home: Path) -> Iterator[embedded.Embedded]:
    """Tryton's own PostgreSQL; the last one to leave stops it."""
    try:
        yield embedded.start(home)
    finally:
        running = embedded.running(home)  # also when starting it was interrupted
        if running is not None and not _others(running):
            embedded.stop(home)


def _others(postgres: embedded.Embedded) -> bool:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    return row is not None and int(row[0]) > 0


def databases(postgres: embedded.Embedded) -> set[str]:
    """The names of all databases of the cluster."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database ORDER BY datname").fetchall()
    return {str(name) for (name,) in rows}


def create_database(postgres: embedded.Embedded, name: str, template: str = "template0") -> None:
    """A new database; with a template, a clone of it."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def rename_database(postgres: embedded.Embedded, name: str, other: str) -> None:
    """Give a finished database its final name."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(name), sql.Identifier(other)
            )
        )


def drop_database(postgres: embedded.Embedded, name: str) -> None:
    """Remove a database and whoever is still connected to it."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def write_configuration(home: Path, postgres: embedded.Embedded, port: int) -> Path:
    """Tryton's configuration. Prices keep 8 decimals, so that a net unit price times its quantity
    rounds to the line amount that was agreed."""
    path = home / f"trytond-{port}.conf"
    path.write_text(
        "[database]\n"
        f"uri = {postgres.url('')}\n"
        "[web]\n"
        f"listen = 127.0.0.1:{port}\n"
        "[product]\n"
        "price_decimal = 8\n"
    )
    return path


def initialise(binaries: Path, configuration: Path, database: str, password: str) -> None:
    """Make Tryton's tables in an empty database and set the administrator's password."""
    password_file = configuration.with_suffix(".password")
    password_file.touch(mode=0o600)
    password_file.write_text(password + "\n")
    try:
        _run(
            [
                *(str(binaries / "trytond-admin"), "-c", str(configuration), "-d", database),
                *("--email", "admin@northwind.example", "-l", "en"),
                *("--activate-dependencies", "-u", *MODULES),
            ],
            INITIALISE_SECONDS,
            {"TRYTONPASSFILE": str(password_file)},
        )
    finally:
        password_file.unlink()


@contextlib.contextmanager
def server(binaries: Path, configuration: Path, database: str, port: int) -> Iterator[str]:
    """A running Tryton server on one database; yields its address and stops it by its pid."""
    log = configuration.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(binaries / "trytond"), "-c", str(configuration), "-d", database],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(process, address, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def password(home: Path) -> str:
    """The password of Tryton's users in this folder, made once."""
    path = home / "password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"tryton-{clock.new_id().hex[12:]}\n")
    return path.read_text().strip()


def tidy(configuration: Path) -> None:
    """Keep the last server's log under one name, and no configuration of a server that is gone."""
    log = configuration.with_suffix(".log")
    if log.exists():
        log.replace(configuration.with_name("trytond.log"))
    configuration.unlink(missing_ok=True)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def digest(*parts: str) -> str:
    """A short name for exactly this content."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    ask = urllib.request.Request(
        f"{address}/rpc/",
        b'{"id":1,"method":"common.server.version","params":[]}',
        {"Content-Type": "application/json"},
    )
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(ask, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            clock.sleep(0.1)
    tail = log.read_text(errors="replace")[-1500:]
    raise TrytonUnfit(f"Tryton did not start within {START_SECONDS} s; its log ends:\n{tail}")


def _run(command: list[str], seconds: int, extra: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **(extra or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrytonUnfit(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        raise TrytonUnfit(
            f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-1500:]}\n"
            "Installing needs a Python package index; remove the folder to start afresh."
        )
