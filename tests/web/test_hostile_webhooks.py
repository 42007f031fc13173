"""Callers that mean no good: a clear refusal, bounded time, and good webhooks go on meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.loopback.connector import SIGNATURE, sign
from benchmarks.loopback.load import invoice
from benchmarks.loopback.world import SECRET
from tests.engine.loopback import Loopback, loopback
from tests.engine.test_bad_input import REJECTED
from tests.web.conftest import served
from tieout import clock
from tieout.web import intake, patience
from tieout.web.app import create_app

ADDRESS = "/intake/till/invoice"
JSON = {"Content-Type": "application/json"}
SECONDS = 20.0


@pytest.fixture
def loop(database_url: str) -> Iterator[Loopback]:
    with loopback(database_url) as made, clock.world(clock.RealWorld()):
        yield made


@pytest.fixture
def client(loop: Loopback) -> Iterator[httpx.Client]:
    with (
        served(create_app(loop.context)) as address,
        httpx.Client(base_url=address, timeout=SECONDS) as asking,
    ):
        yield asking


def post(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post(ADDRESS, content=body, headers={**JSON, SIGNATURE: sign(SECRET, body)})


def goes_through(client: httpx.Client, key: str) -> None:
    assert post(client, invoice(key, 1)).status_code == 200


def raw(client: httpx.Client, *parts: bytes) -> tuple[socket.socket, bytes]:
    """Send bytes as they are; what is answered until the other side closes or falls silent."""
    place = urlsplit(str(client.base_url))
    line = socket.create_connection((place.hostname or "", place.port or 0), SECONDS)
    answer = b""
    try:
        for part in parts:
            line.sendall(part)
        while more := line.recv(65_536):
            answer += more
    except (ConnectionResetError, BrokenPipeError):
        pass  # cut off, which is an answer
    return line, answer


TYPE = b"Content-Type: application/json\r\n"
HEAD = b"POST /intake/till/invoice HTTP/1.1\r\nHost: 127.0.0.1\r\n" + TYPE


def test_what_nobody_can_read_is_refused_in_problem_details(
    loop: Loopback, client: httpx.Client
) -> None:
    for nth, (what, body) in enumerate(REJECTED.items()):
        answer = post(client, body)
        assert answer.status_code == 400, what
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 400
        assert len(answer.content) < 1_000, what
        goes_through(client, f"GOOD{nth}")
    keys = loop.rows("SELECT source_key FROM arrivals ORDER BY arrival_id")
    assert [key for (key,) in keys] == [f"GOOD{nth}" for nth in range(len(REJECTED))]


def test_an_unsigned_body_is_not_even_read(client: httpx.Client) -> None:
    for told in ({}, {SIGNATURE: ""}, {SIGNATURE: "0" * 64}):
        answer = client.post(ADDRESS, content=REJECTED["no JSON"], headers={**JSON, **told})
        assert answer.status_code == 401
    table = client.post(ADDRESS, content=b"a,b", headers={"Content-Type": "text/csv"})
    assert table.status_code == 415


def test_a_body_that_never_ends_is_cut_off(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.3)
    line, answer = raw(client, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", b'5\r\n{"id"\r\n')
    line.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    goes_through(client, "GOOD")


def test_a_body_that_is_too_long_is_refused_before_it_is_there(client: httpx.Client) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    line, answer = raw(client, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", chunk * 17)
    line.close()
    assert answer.startswith(b"HTTP/1.1 413")
    claimed = b"Content-Length: 99999999999\r\n\r\n"
    line, answer = raw(client, HEAD, claimed)
    line.close()
    assert answer.startswith(b"HTTP/1.1 413")
    goes_through(client, "GOOD")


def test_a_head_beyond_measure_is_refused(client: httpx.Client) -> None:
    for bomb in (b"X: " + b"a" * 200_000, b"".join(b"X-%d: y\r\n" % n for n in range(20_000))):
        line, answer = raw(client, HEAD, bomb)
        line.close()
        assert answer.startswith(b"HTTP/1.1 400") or answer == b""
    goes_through(client, "GOOD")


def test_a_head_that_never_ends_is_cut_off(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    for beginning in (b"", HEAD):
        line, answer = raw(client, beginning)  # returns when the other side hangs up
        line.close()
        assert answer == b""
    goes_through(client, "GOOD")


def test_more_callers_than_may_be_connected_are_told_when_to_come_again(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_through(client, "GOOD")
    monkeypatch.setattr(patience, "MOST_CONNECTED", 1)
    line, answer = raw(client, b"GET /intake/till/invoice HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    line.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in head.lower()
    assert json.loads(body)["status"] == 503
    goes_through(client, "GOOD2")
