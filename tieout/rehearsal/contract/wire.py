"""Transports that misbehave in ways an emulator cannot: the suite puts them around the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from tieout.emulators.kit import read_json, write_json
from tieout.ports.http import NoAnswer, Request, Response, Transport

Matches = Callable[[Request], bool]
HTML = b"<!DOCTYPE html><html><body><h1>Down for maintenance</h1></body></html>"


def every(request: Request) -> bool:
    """Matches any request."""
    return True


@dataclass(frozen=True)
class Effect:
    """Which HTTP calls make a write happen: their methods, and a part of their path."""

    methods: tuple[str, ...] = ("POST", "PUT", "PATCH")
    path: str = ""

    def __call__(self, request: Request) -> bool:
        return request.method in self.methods and self.path in request.path()


def changed(inner: Transport, which: Matches, how: Callable[[Response], Response]) -> Transport:
    """The request arrives and takes effect; its answer is altered on the way back."""

    def send(request: Request) -> Response:
        response = inner(request)
        return how(response) if which(request) else response

    return send


def as_html(response: Response) -> Response:
    """A proxy's maintenance page instead of the answer, with status 200."""
    return Response(200, {"Content-Type": "text/html"}, HTML)


def truncated(response: Response) -> Response:
    """The first half of the answer; where there was no body at all, half of one."""
    if not response.body:
        return Response(200, {"Content-Type": "application/json"}, b'{"items": [{"id": "1')
    return Response(response.status, response.headers, response.body[: len(response.body) // 2])


def with_extra_fields(response: Response) -> Response:
    """The answer with a field nobody knows in the root object and in every listed object."""
    value = _json(response)
    return response if value is None else _replace(response, _extended(value, listed=True))


def without_field(name: str) -> Callable[[Response], Response]:
    """Takes the field `name` out of every listed object of the answer."""

    def take_out(response: Response) -> Response:
        value = _json(response)
        return response if value is None else _replace(response, _without(value, name, False))

    return take_out


@dataclass
class HoldsBack:
    """Keeps matching requests back (the sender sees no answer) and delivers them when told."""

    inner: Transport
    which: Matches
    held: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        if self.which(request):
            self.held.append(request)
            raise NoAnswer("the connection broke before an answer came")
        return self.inner(request)

    def deliver_late(self) -> None:
        """The network delivers after all what it had held back."""
        for request in self.held:
            self.inner(request)


@dataclass
class Unauthorised:
    """Answers the first `times` matching requests with 401 before the system sees them."""

    inner: Transport
    which: Matches
    answer: Response
    times: int
    seen: int = 0

    def __call__(self, request: Request) -> Response:
        if not self.which(request):
            return self.inner(request)
        self.seen += 1
        return self.answer if self.seen <= self.times else self.inner(request)


def leaves(value: object) -> list[object]:
    """Every scalar of a parsed JSON value."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def exact_json(text: str) -> object:
    """Parse JSON with every number as a Decimal."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _json(response: Response) -> object | None:
    if response.body.lstrip()[:1] not in {b"{", b"["}:
        return None
    return read_json(response.body)


def _replace(response: Response, value: object) -> Response:
    return Response(response.status, response.headers, write_json(value))


def _extended(value: object, *, listed: bool) -> object:
    if isinstance(value, list):
        return [_extended(inner, listed=True) for inner in value]
    if isinstance(value, dict):
        inner = {name: _extended(part, listed=False) for name, part in value.items()}
        return {**inner, "notYetKnown": {"added": "by a newer release"}} if listed else inner
    return value


def _without(value: object, name: str, listed: bool) -> object:
    if isinstance(value, list):
        return [_without(inner, name, True) for inner in value]
    if isinstance(value, dict):
        return {
            key: _without(part, name, False)
            for key, part in value.items()
            if not (listed and key == name)
        }
    return value
