"""The production transport: one pooled HTTP/1.1 client, no retries, no redirects, bounded bodies.

Outbound URLs are guarded: a session may talk only to the hosts its environment file names.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import urllib3

from tieout.ports.http import NoAnswer, Request, Response, Transport

MOST_BODY_BYTES = 256 * 1024 * 1024
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
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=request.timeout_seconds)
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
                body = answer.read(MOST_BODY_BYTES + 1)
            finally:
                answer.release_conn()
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as e:
            raise NoAnswer(f"cannot connect to {_origin(request.url)}: {e}", never_sent=True) from e
        except urllib3.exceptions.HTTPError as e:
            raise NoAnswer(
                f"no complete answer from {_origin(request.url)}: {type(e).__name__}"
            ) from e
        if len(body) > MOST_BODY_BYTES:
            raise NoAnswer(f"the answer of {_origin(request.url)} exceeds {MOST_BODY_BYTES} bytes")
        return Response(answer.status, dict(answer.headers), body)

    return send


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
