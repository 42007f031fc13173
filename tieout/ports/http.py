"""The one seam between us and every other system: a request goes in, a response comes out.

A `Transport` is a plain function. Production puts a pooled HTTP client behind it, a rehearsal an
emulator's `handle` method; connectors and emulators speak only these shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tieout import clock

MOST_WAIT_SECONDS = 366 * 86_400.0  # a year


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `url` is absolute and already encoded; `query` is appended encoded.

    Header names are as given; `header()` looks them up case-insensitively.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # credentials
    body: bytes = field(default=b"", repr=False)  # a sign-in's form holds a secret
    query: tuple[tuple[str, str], ...] = ()
    timeout_seconds: float | None = None  # None: the session's own limit

    def full_url(self) -> str:
        if not self.query:
            return self.url
        joiner = "&" if "?" in self.url else "?"
        return self.url + joiner + urlencode(self.query, quote_via=quote)

    def path(self) -> str:
        return urlsplit(self.url).path

    def arguments(self) -> dict[str, str]:
        """Query parameters, decoded; the last one wins."""
        return dict(parse_qsl(urlsplit(self.full_url()).query, keep_blank_values=True))

    def header(self, name: str, default: str = "") -> str:
        return _header(self.headers, name, default)

    def with_headers(self, extra: Mapping[str, str]) -> Request:
        return replace(self, headers={**self.headers, **extra})


@dataclass(frozen=True, slots=True)
class Response:
    """One complete HTTP response. `held_back`: an earlier one that stands for a request that was
    not sent any more (see `ports/turn.py`)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    held_back: bool = False

    def header(self, name: str, default: str = "") -> str:
        return _header(self.headers, name, default)

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def retry_after_seconds(self) -> float | None:
        """`Retry-After` in seconds (RFC 9110 §10.2.3), also when it is given as a moment; None
        when absent, unreadable or longer than a year."""
        value = self.header("Retry-After").strip()
        if re.fullmatch(r"[0-9]{1,7}", value):
            return float(value)
        try:
            moment = parsedate_to_datetime(value)
            seconds = (moment - clock.now()).total_seconds()
        except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
            return None
        return max(0.0, seconds) if seconds < MOST_WAIT_SECONDS else None


class NoAnswer(Exception):
    """The request may have arrived, but no complete answer came back: the outcome is Unknown.

    `never_sent` is true only when no byte of the request can have reached the system
    (connection refused, name not resolved): then the outcome is Outage. `held_back` says of such a
    one that we did not even try, since the calls before it got no answer.
    """

    def __init__(self, words: str, *, never_sent: bool = False, held_back: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.never_sent = never_sent or held_back
        self.held_back = held_back


Transport = Callable[[Request], Response]  # raises NoAnswer


def _header(headers: Mapping[str, str], name: str, default: str) -> str:
    wanted = name.lower()
    for key, value in headers.items():
        if key.lower() == wanted:
            return value
    return default
