"""The production transport: one pooled HTTP/1.1 client, no retries, no redirects, bounded bodies.

Outbound URLs are guarded: a session may talk only to the hosts its environment file names.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import urllib3

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport

MOST_BODY_BYTES = 256 * 1024 * 1024
READ_BYTES = 256 * 1024
CONNECT_SECONDS = 5.0


class HostNotAllowed(Exception):
    """An outbound URL points at a host that the environment file does not name (SSRF guard)."""


def http_transport(allowed_urls: Iterable[str], *, most_in_flight: int = 8) -> Transport:
    """A transport that may reach only the hosts of `allowed_urls` (scheme, host and port)."""
    allowed = {_origin(url) for url in allowed_urls}
    pool = urllib3.PoolManager(
        num_pools=8,
        maxsize=most_in_flight,
        block=False,
        retries=False,
        headers={"User-Agent": "tieout"},
    )

    def send(request: Request) -> Response:
        if _origin(request.url) not in allowed:
            raise HostNotAllowed(
                f"refused to call {_origin(request.url)}: it is not among this system's addresses; "
                "add it to the system's entry in environments/*.yaml if it is right"
            )
        limit = request.timeout_seconds
        deadline = None if limit is None else clock.monotonic() + limit
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=limit)
        try:
            answer = pool.request(
                request.method,
                request.full_url(),
                body=request.body or None,
                headers={"User-Agent": "tieout", **request.headers},
                timeout=timeout,
                redirect=False,
                preload_content=False,
                decode_content=True,
            )
            try:
                body = _whole_body(answer, deadline)
            except NoAnswer:
                answer.close()  # unread bytes must not greet the next caller of this connection
                raise
            finally:
                answer.release_conn()
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise NoAnswer(f"cannot connect to {_origin(request.url)}: {e}", never_sent=True) from e
        except urllib3.exceptions.HTTPError as e:
            raise NoAnswer(
                f"no complete answer from {_origin(request.url)}: {type(e).__name__}"
            ) from e
        return Response(answer.status, dict(answer.headers), body)

    return send


def _whole_body(answer: urllib3.BaseHTTPResponse, deadline: float | None) -> bytes:
    """The whole body. A client's own read timeout bounds each gap; `deadline` bounds the sum, or a
    system that sends a byte now and then would hold a worker for ever. Raises NoAnswer."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise NoAnswer(f"the answer exceeds {MOST_BODY_BYTES} bytes")
        if deadline is not None and clock.monotonic() > deadline:
            raise NoAnswer("the answer was still arriving when its time was over")
    return b"".join(parts)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
