"""Who may look: until sign-in exists, only people on this machine, and only to read.

A console without sign-in must not be reachable from elsewhere, not even through a browser on this
machine that was told to call it by another name (DNS rebinding). So the client's address and the
name it calls us by must both be loopback. Source: OWASP ASVS 5.0, chapters 3 (browser security
headers) and 4 (HTTP message structure).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
READING = frozenset(("GET", "HEAD"))

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class LoopbackOnly:
    """Refuses every client and every Host that is not loopback, and writing outside the intake."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing here speaks over a web socket: the connection is dropped
        refusal = refuse(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        await self.app(scope, receive, _hardened(send, str(scope["path"])))


def refuse(scope: Scope) -> tuple[int, str, str] | None:
    """(status, title, what to do) when this request may not pass; None when it may."""
    client = scope.get("client")
    if client is None or not _is_loopback(str(client[0])):
        return (
            403,
            "This console answers only on its own machine",
            "Open it in a browser on the machine that runs Tieout, for example through "
            "`ssh -L 8181:127.0.0.1:8181`.",
        )
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or _host_name(hosts[0]) not in LOOPBACK_NAMES:
        return (
            421,
            "This console does not answer to that name",
            "Call it as http://127.0.0.1 or http://localhost with its port.",
        )
    if scope["method"] not in READING and not str(scope["path"]).startswith("/intake/"):
        return (
            405,
            "The console is read-only until sign-in exists",
            "Use the `tieout` command to change anything; it knows who you are.",
        )
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _hardened(send: Send, path: str) -> Send:
    """Adds the security headers to every answer; what is read is never kept by a cache."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = b"max-age=300" if path.startswith("/static/") else b"no-store"
            headers = list(message.get("headers", []))
            message["headers"] = [*headers, *SECURITY_HEADERS, (b"cache-control", kept)]
        await send(message)

    return sending


async def _answer(send: Send, status: int, title: str, detail: str) -> None:
    body = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *SECURITY_HEADERS,
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
