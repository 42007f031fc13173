"""The production transport: one pooled HTTP/1.1 client, no retries, no redirects, bounded bodies.

Outbound URLs are guarded: a session may talk only to the hosts its environment file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import urllib3
from urllib3.util import parse_url

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.signin import SignInFailed

MOST_BODY_BYTES = 256 * 1024 * 1024
READ_BYTES = 256 * 1024
CONNECT_SECONDS = 5.0
MOST_SECONDS = 600.0  # for a call that states no limit of its own
USUAL_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]  # scheme, host, port


class HostNotAllowed(SignInFailed):
    """An outbound URL points at a host that the environment file does not name (SSRF guard)."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"refused to call {place}: it is not among this system's addresses in "
            "environments/*.yaml",
            "Add it to the addresses of the system's entry in environments/*.yaml if it is right.",
        )


def http_transport(allowed_urls: Iterable[str], *, most_in_flight: int = 8) -> Transport:
    """A transport that may reach only the hosts of `allowed_urls` (scheme, host and port)."""
    allowed = {_origin(url) for url in allowed_urls} - {None}
    pool = urllib3.PoolManager(
        num_pools=8,
        maxsize=most_in_flight,
        block=False,
        retries=False,
        headers={"User-Agent": "tieout"},
    )

    def send(request: Request) -> Response:
        origin = _origin(request.url)
        if origin is None or origin not in allowed:
            raise HostNotAllowed(_shown(origin))
        place = _shown(origin)
        if not all(map(_fits_a_header, request.headers.values())):
            # Its text is not told: it may be a credential.
            raise NoAnswer(f"a header for {place} cannot be sent as it is", never_sent=True)
        limit = MOST_SECONDS if request.timeout_seconds is None else request.timeout_seconds
        deadline = clock.monotonic() + limit
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
            raise NoAnswer(f"cannot connect to {place}: {e}", never_sent=True) from e
        except urllib3.exceptions.HTTPError as e:
            raise NoAnswer(f"no complete answer from {place}: {type(e).__name__}") from e
        except ValueError as e:
            raise NoAnswer(f"no usable answer from {place}: {type(e).__name__}") from None
        return Response(answer.status, dict(answer.headers), body)

    return send


def _whole_body(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The whole body. A client's own read timeout bounds each gap; `deadline` bounds the sum, or a
    system that sends a byte now and then would hold a worker for ever. Raises NoAnswer."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise NoAnswer(f"the answer exceeds {MOST_BODY_BYTES} bytes")
        if clock.monotonic() > deadline:
            raise NoAnswer("the answer was still arriving when its time was over")
    return b"".join(parts)


def _fits_a_header(text: str) -> bool:
    """No line break that would start a header of its own (RFC 9110 §5.5), nothing unencodable."""
    return text.isascii() and not re.search(r"[\r\n\0]", text)


def _origin(url: str) -> Origin | None:
    """Scheme, host and port as the HTTP client itself reads them, so that the guard and the client
    can never mean two hosts; None for what names no host plainly, or carries a user name."""
    try:
        parts = parse_url(url)
    except urllib3.exceptions.LocationValueError:
        return None
    usual = USUAL_PORTS.get(parts.scheme or "")
    if usual is None or not parts.host or parts.auth is not None or not url[:4].isalpha():
        return None
    return parts.scheme or "", parts.host, parts.port or usual


def _shown(origin: Origin | None) -> str:
    return "an address in no plain form" if origin is None else "{}://{}:{}".format(*origin)
