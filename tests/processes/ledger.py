"""The ledger of the measuring landscape, in this process: it remembers what came when, and it can
be shut and opened again without forgetting anything."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tieout import clock

Came = tuple[float, str]
"""When an entry came (seconds, monotonic), and with which total."""


class Ledger:
    """Entries and accounts by reference; `story` has every total that came, in its order."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"entry": {}, "account": {}}
        self.story: dict[str, list[Came]] = {}
        self._mutex = threading.Lock()
        self._lines: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Listen."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def shut(self) -> None:
        """Refuse every connection from now on, and cut those that are open."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._mutex:
            lines, self._lines = self._lines, set()
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def take(self, path: str, asked: list[Any]) -> object:
        kind, _, verb = path.strip("/").partition("/")
        with self._mutex:
            rows = self.rows[kind]
            if verb == "find":
                return {one: rows[one] for one in asked if one in rows}
            now = clock.monotonic()
            for one in asked:
                rows[one["reference"]] = one["document"]
                if kind == "entry":
                    total = str(one["document"]["total"])
                    self.story.setdefault(one["reference"], []).append((now, total))
        return [one["reference"] for one in asked]

    def met(self, line: socket.socket) -> None:
        with self._mutex:
            self._lines.add(line)

    def left(self, line: socket.socket) -> None:
        with self._mutex:
            self._lines.discard(line)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed is what these tests are about."""


def _handler(ledger: Ledger) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            ledger.met(self.connection)

        def finish(self) -> None:
            ledger.left(self.connection)
            super().finish()

        def do_GET(self) -> None:
            self._answer([])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(ledger.take(self.path, json.loads(body)))

        def _answer(self, what: object) -> None:
            body = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    return Handler
