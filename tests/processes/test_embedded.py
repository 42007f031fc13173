"""The embedded PostgreSQL on this machine: one server per folder, found again, stopped by pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.processes.commands import await_that, free_ports
from tests.promises.figures import Keeper
from tieout.store import database, embedded
from tieout.store.database import DatabaseUnfit
from tieout.store.embedded import Embedded, EmbeddedPostgresError

SOCKET_PATH_LIMIT = 108


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A state folder at a path that is far too long for a socket, with a blank in it."""
    top = Path(tempfile.mkdtemp(prefix="tieout-embedded-"))
    top.chmod(0o755)
    found = top / "a rather long name of a folder" / ("x" * 120)
    found.mkdir(parents=True)
    try:
        yield found
    finally:
        embedded.erase(found)
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def server(folder: Path) -> Embedded:
    return embedded.start(folder)


def one(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def test_a_second_start_finds_the_first(folder: Path, server: Embedded) -> None:
    assert len(str(folder)) > SOCKET_PATH_LIMIT
    assert embedded.start(folder) == server
    in_another_process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\nfrom tieout.store import embedded\n"
            "print(embedded.start(pathlib.Path(sys.argv[1])).pid)",
            str(folder),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(in_another_process.stdout) == server.pid
    assert one(server.url("postgres"), "SELECT 1") == 1


def test_two_starts_at_the_same_moment_make_one_server(folder: Path) -> None:
    embedded.stop(folder)
    program = (
        "import sys, pathlib\nfrom tieout.store import embedded\n"
        "print(embedded.start(pathlib.Path(sys.argv[1])).pid)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = {starter.communicate(timeout=60)[0] for starter in both}
    assert len(said) == 1
    assert said == {f"{embedded.start(folder).pid}\n"}


def test_it_is_durable_and_not_reachable_over_the_network(server: Embedded) -> None:
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        assert one(server.url("postgres"), f"SHOW {setting}") == "on"
    assert one(server.url("postgres"), "SHOW listen_addresses") == ""
    assert server.socket.stat().st_mode & 0o077 == 0


def test_it_stops_by_pid_and_comes_back_with_its_data(folder: Path, server: Embedded) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert embedded.stop(folder) is True
    assert embedded.running(folder) is None
    assert embedded.stop(folder) is False
    assert not server.socket.exists()
    again = embedded.start(folder)
    assert again.pid != server.pid
    assert one(again.url("postgres"), "SELECT answer FROM kept") == 42


def test_after_a_crash_the_stale_pid_file_is_in_nobodys_way(folder: Path, server: Embedded) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await_that("the server is gone", lambda: embedded.running(folder) is None, 10)
    assert (server.data / "postmaster.pid").exists()
    again = embedded.start(folder)
    assert again.pid != server.pid
    assert one(again.url("postgres"), "SELECT 1") == 1


def test_a_pid_that_is_somebody_elses_now_is_not_taken_for_the_server(folder: Path) -> None:
    """As after a restart of the machine: the file names a pid that another program has."""
    data = embedded.start(folder).data
    embedded.stop(folder)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (data / "postmaster.pid").write_text(
            f"{bystander.pid}\n{data}\n1700000000\n5432\n/tmp/nowhere\n\n12345\nready\n"
        )
        assert embedded.running(folder) is None
        assert embedded.stop(folder) is False
        assert bystander.poll() is None, "an innocent program was stopped"
    finally:
        bystander.kill()
        bystander.wait()
    assert one(embedded.start(folder).url("postgres"), "SELECT 1") == 1


def test_over_tcp_it_wants_the_password(folder: Path) -> None:
    embedded.stop(folder)
    port = free_ports()
    server = embedded.start(folder, tcp_port=port)
    try:
        assert server.tcp_port == port
        assert one(server.url("postgres"), "SHOW listen_addresses") == "127.0.0.1"
        assert server.password not in database.redacted(server.url("postgres"))
        with pytest.raises(psycopg.OperationalError, match="password"):
            one(server.url("postgres").replace(server.password, "guessed"), "SELECT 1")
        kept = server.data / "password"
        assert kept.stat().st_mode & 0o077 == 0
    finally:
        embedded.stop(folder)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_unsafe_settings_are_refused_before_anything_is_written(
    folder: Path, setting: str, promise: Keeper
) -> None:
    server = embedded.start(folder)
    conf = server.data / "postgresql.auto.conf"
    before = conf.read_text()
    embedded.stop(folder)
    conf.write_text(f"{before}{setting} = off\n")
    try:
        server = embedded.start(folder)
        with pytest.raises(DatabaseUnfit, match=f"{setting} = off"):
            database.prepare(server.url("postgres"), "test")
        untouched = one(server.url("postgres"), "SELECT to_regclass('arrivals')") is None
        told = "refused" if untouched else "refused, but written to"
        promise("P1", f"start-up with {setting} = off", told, "refused", kept=untouched)
    finally:
        embedded.stop(folder)
        conf.write_text(before)


def test_a_folder_that_the_service_user_cannot_reach(tmp_path: Path) -> None:
    """pytest's own folders are private. Under root the data then lies in the system's state
    folder; for an ordinary user it lies where it was asked for. Erasing leaves nothing."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = embedded.start(private)
    try:
        assert one(server.url("postgres"), "SELECT 1") == 1
        if os.geteuid() == 0:
            assert embedded.STATE_FOLDER in server.data.parents
        else:
            assert private in server.data.parents
    finally:
        embedded.erase(private)
    assert not server.data.exists()
    assert embedded.running(private) is None


def test_a_cluster_that_cannot_be_made_leaves_no_half(folder: Path) -> None:
    """A file stands where the data should go."""
    blocked = folder / "blocked"
    blocked.mkdir()
    (blocked / "postgres").write_text("not a folder")
    with pytest.raises(EmbeddedPostgresError, match="move it away"):
        embedded.start(blocked)
    assert (blocked / "postgres").read_text() == "not a folder"
