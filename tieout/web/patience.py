"""How long and how many we wait for: a caller that never finishes its head holds nothing for long.

The HTTP server bounds the size of a head and the time between two requests, but neither the time
that a head may take nor, in words a machine understands, the number of connections. Source: OWASP
ASVS 5.0, chapter 4 (HTTP message structure) and 15 (resources).
"""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.h11_impl import H11Protocol

from tieout.web.access import Receive, Scope, Send

HEAD_SECONDS = 10.0
MOST_CONNECTED = 1_000
RETRY_AFTER_SECONDS = 1


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a limit on the time of a head, and a refusal that says when to come again."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTED:
            self.app = too_many
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()  # the first bytes of a next request

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


async def too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """What a caller hears when as many are connected as may be."""
    said = {
        "type": "about:blank",
        "title": "Too many callers at once",
        "status": 503,
        "detail": "Send it again; it was not acknowledged.",
    }
    body = json.dumps(said).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
