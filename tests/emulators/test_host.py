"""The emulator host: faults on a real socket, the back door, webhooks, lasting state."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tieout import clock
from tieout.emulators.host import Served, free_port, serve
from tieout.emulators.kit import Fault, FaultPlan, OutboundCall, read_json, write_json
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.transport import http_transport

NOTEBOOK = '''
"""A tenant that keeps notes."""
from tests.emulators.test_host import Notebook

EMULATOR = Notebook
'''


class Notebook:
    """The smallest tenant: PUT /notes/N stores, GET shows, and it tells `webhook_url`."""

    name = "notebook"

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.faults = FaultPlan()
        self.tables: dict[str, dict[str, dict[str, object]]] = {"note": {}}
        self.due: list[OutboundCall] = []
        self.acknowledged: list[bool] = []

    def handle(self, request: Request) -> Response:
        key = request.path().removeprefix("/notes/")
        if request.method == "PUT":
            value = read_json(request.body)
            assert isinstance(value, dict)
            self.tables.setdefault("note", {})[key] = value
            if url := self.settings.get("webhook_url"):
                said = {"X-Signature": "mine"}
                self.due.append(OutboundCall(url, b'{"id": 1}', "application/json", key, said))
        row = self.tables.get("note", {}).get(key)
        return Response(404) if row is None else Response(200, {}, write_json(row))

    def busy(self, fault: Fault) -> Response:
        return Response(429, {"Retry-After": f"{fault.seconds:.0f}"})

    def outbox(self) -> list[OutboundCall]:
        due, self.due = self.due, []
        return due

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        self.acknowledged.append(acknowledged)
        if not acknowledged:
            self.due.append(call)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook as an installed emulator, for this process and its children."""
    (tmp_path / "notebook_emulator.py").write_text(NOTEBOOK)
    info = tmp_path / "notebook-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: notebook\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[tieout.emulators]\nnotebook = notebook_emulator:EMULATOR\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def served(offered: Path) -> Iterator[Served]:
    with serve("notebook") as running:
        yield running


def put(url: str, key: str, body: bytes) -> Request:
    return Request("PUT", f"{url}/notes/{key}", body=body, timeout_seconds=3.0)


def get(url: str, path: str) -> Request:
    return Request("GET", f"{url}{path}", timeout_seconds=3.0)


def control(send: Transport, url: str, faults: list[dict[str, object]]) -> None:
    body = json.dumps({"seed": 3, "faults": faults}).encode()
    assert send(Request("PUT", f"{url}/_emulator/faults", body=body)).status == 204


def test_faults_are_what_they_say(served: Served) -> None:
    send = http_transport([served.url])
    control(send, served.url, [{"kind": "lost_request", "rate": 1.0, "most": 1}])
    with pytest.raises(NoAnswer) as lost:
        send(put(served.url, "1", b'{"a": 1}'))
    assert not lost.value.never_sent
    assert send(get(served.url, "/notes/1")).status == 404

    control(send, served.url, [{"kind": "lost_reply", "rate": 1.0, "most": 1}])
    with pytest.raises(NoAnswer):
        send(put(served.url, "1", b'{"a": 1}'))
    assert send(get(served.url, "/notes/1")).status == 200

    control(send, served.url, [{"kind": "busy", "rate": 1.0, "seconds": 4.0, "most": 1}])
    told = send(put(served.url, "2", b'{"a": 1}'))
    assert (told.status, told.retry_after_seconds()) == (429, 4.0)

    control(send, served.url, [{"kind": "server_error", "rate": 1.0, "most": 1}])
    assert send(put(served.url, "2", b'{"a": 1}')).status == 500
    assert send(get(served.url, "/notes/2")).status == 404
    assert send(get(served.url, "/_emulator/met")).text() == '{"0:server_error": 1}'


def test_the_back_door_shows_and_alters_rows_exactly(served: Served) -> None:
    send = http_transport([served.url])
    send(put(served.url, "1", b'{"amount": 0.30, "text": "a"}'))
    patch = Request("PATCH", f"{served.url}/_emulator/tables/note/1", body=b'{"amount": 0.10}')
    assert send(patch).status == 204
    shown = send(get(served.url, "/_emulator/tables/note"))
    assert shown.text() == '{"1": {"amount": 0.10, "text": "a"}}'
    absent = Request("PATCH", f"{served.url}/_emulator/tables/note/9", body=b"{}")
    assert send(absent).status == 404
    assert send(get(served.url, "/_emulator/nothing")).status == 404


def test_two_tenants_share_nothing(offered: Path) -> None:
    with serve("notebook") as one, serve("notebook") as other:
        send = http_transport([one.url, other.url])
        send(put(one.url, "1", b'{"a": 1}'))
        assert send(get(other.url, "/notes/1")).status == 404


def test_nothing_listens_afterwards(offered: Path) -> None:
    with serve("notebook") as running:
        pass
    with pytest.raises(NoAnswer) as gone:
        http_transport([running.url])(get(running.url, "/notes/1"))
    assert gone.value.never_sent


def test_webhooks_carry_their_signature_and_are_tried_until_acknowledged(offered: Path) -> None:
    received: list[tuple[str, bytes]] = []
    done = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["X-Signature"], body))
            answer = b"false" if len(received) == 1 else b"true"
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            if len(received) == 2:
                done.set()

        def log_message(self, *args: object) -> None:
            return

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    hook = f"http://127.0.0.1:{receiver.server_port}/hook"
    with serve("notebook", {"webhook_url": hook}) as running:
        http_transport([running.url])(put(running.url, "1", b'{"a": 1}'))
        assert done.wait(5)
        emulator = running.emulator
        assert isinstance(emulator, Notebook)
        for _ in range(100):
            if len(emulator.acknowledged) == 2:
                break
            clock.sleep(0.02)
    receiver.shutdown()
    receiver.server_close()
    assert received == [("mine", b'{"id": 1}')] * 2
    assert emulator.acknowledged == [False, True]


def test_the_state_outlives_the_process(offered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{offered}:{Path(__file__).parents[2]}")
    state = offered / "state.json"
    for expected, body in ((404, b'{"amount": 0.30}'), (200, b'{"amount": 0.40}')):
        url = f"http://127.0.0.1:{free_port()}"
        listen = url.removeprefix("http://")
        options = [f"--listen={listen}", f"--state={state}", "notebook"]
        process = subprocess.Popen([sys.executable, "-m", "tieout.emulators.host", *options])
        try:
            send = http_transport([url])
            assert _when_up(send, get(url, "/notes/1")).status == expected
            assert send(put(url, "1", body)).status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
    assert json.loads(state.read_text()) == {"note": {"1": {"amount": {"$decimal": "0.40"}}}}


def _when_up(send: Transport, request: Request) -> Response:
    for _ in range(200):
        try:
            return send(request)
        except NoAnswer:
            clock.sleep(0.05)
    raise AssertionError("the host did not start")
