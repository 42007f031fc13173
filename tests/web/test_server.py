"""The console's own process: starts on loopback, says nothing, stops cleanly when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import httpx

from tests.web.conftest import LANDSCAPE
from tieout import clock

START_SECONDS = 60.0


def _command(port: int, environment: str = "demo") -> list[str]:
    return [
        sys.executable,
        "-m",
        "tieout.web.server",
        "--landscape",
        str(LANDSCAPE),
        "--environment",
        environment,
        "--port",
        str(port),
    ]


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])


def _answer(address: str, process: subprocess.Popen[bytes]) -> httpx.Response:
    deadline = clock.monotonic() + START_SECONDS
    while clock.monotonic() < deadline:
        assert process.poll() is None, "the server ended before it answered"
        try:
            return httpx.get(address)
        except httpx.ConnectError:
            clock.sleep(0.1)
    raise AssertionError(f"no answer at {address} within {START_SECONDS} s")


def test_it_serves_says_nothing_and_stops_cleanly(database_url: str) -> None:
    port = _free_port()
    process = subprocess.Popen(
        _command(port),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TIEOUT_DATABASE_URL": database_url},
    )
    try:
        assert _answer(f"http://127.0.0.1:{port}/today", process).status_code == 200
        forwarded = httpx.get(
            f"http://127.0.0.1:{port}/today", headers={"X-Forwarded-For": "192.168.1.7"}
        )
        assert forwarded.status_code == 200
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, (b"", b""))
    finally:
        process.kill()
        process.wait()


def test_without_a_database_address_it_says_what_to_do() -> None:
    environment = {
        name: value for name, value in os.environ.items() if name != "TIEOUT_DATABASE_URL"
    }
    ended = subprocess.run(
        _command(_free_port()), capture_output=True, env=environment, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert b"tieout up" in ended.stderr


def test_an_unknown_environment_names_the_ones_there_are(database_url: str) -> None:
    ended = subprocess.run(
        _command(_free_port(), "nowhere"),
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ | {"TIEOUT_DATABASE_URL": database_url},
    )
    assert ended.returncode == 1
    assert b"demo" in ended.stderr
    assert b"Traceback" not in ended.stderr
