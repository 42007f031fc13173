"""A session is one open line to one system: transport, sign-in, throttle, evidence, redaction.

Concurrency towards a system lives here and nowhere else, behind a synchronous face with a stated
limit. The session never retries; its one exception is a 401, which says nothing was applied: the
sign-in renews once and the same request goes out once more.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.signin import SignIn, SignInFailed

MOST_EVIDENCE = 10_000
EXCERPT_BYTES = 400
SHORTEST_SECRET = 4
MOST_TOKEN_LENGTH = 4_096


@dataclass(frozen=True, slots=True)
class Exchange:
    """Evidence of one call: never holds a credential or a whole body."""

    method: str
    url: str
    status: int | None
    milliseconds: int
    excerpt: str


@dataclass
class Session:
    """One system as the engine sees it. `settings` and `secrets` come from the environment file.

    `most_in_flight` bounds concurrent calls, whichever threads and streams they come from;
    `timeout_seconds` bounds each one, from the moment it may leave.
    """

    system: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    transport: Transport
    sign_in: SignIn
    most_in_flight: int = 4
    timeout_seconds: float = 30.0
    evidence: deque[Exchange] = field(default_factory=lambda: deque(maxlen=MOST_EVIDENCE))
    _sign_in_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _credential: str = field(default="", init=False, repr=False)
    _slots: threading.BoundedSemaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slots = threading.BoundedSemaphore(max(1, self.most_in_flight))

    def setting(self, name: str) -> str:
        """A setting by name; KeyError text tells which environment file lacks it."""
        try:
            return self.settings[name]
        except KeyError:
            raise KeyError(
                f"system {self.system}: setting '{name}' is missing; add it to the system's entry "
                "in environments/*.yaml"
            ) from None

    def send(self, request: Request) -> Response:
        """One call. Raises NoAnswer (Unknown) or SignInFailed (Denied)."""
        with self._sign_in_lock:
            signed = self.sign_in.apply(request, self.transport)
        response = self._exchange(signed)
        if response.status == 401:
            with self._sign_in_lock:
                again = self.sign_in.renew(self.transport)
                if again:
                    signed = self.sign_in.apply(request, self.transport)
            if again:
                response = self._exchange(signed)
        return response

    def send_all(self, requests: Sequence[Request]) -> list[Response | NoAnswer | SignInFailed]:
        """Many independent calls, at most `most_in_flight` at a time; answers in request order.
        What `send` would raise stands in its place in the list."""

        def one(request: Request) -> Response | NoAnswer | SignInFailed:
            try:
                return self.send(request)
            except (NoAnswer, SignInFailed) as error:
                return error

        if len(requests) <= 1 or self.most_in_flight <= 1:
            return [one(request) for request in requests]
        with clock.executor(min(self.most_in_flight, len(requests))) as pool:
            return list(pool.map(one, requests))

    def _exchange(self, request: Request) -> Response:
        with self._slots:
            return self._exchange_now(request)

    def _exchange_now(self, request: Request) -> Response:
        started = clock.monotonic()
        self._credential = request.header("Authorization").rpartition(" ")[2]
        status: int | None = None
        excerpt = ""
        try:
            response = self.transport(
                request
                if request.timeout_seconds is not None
                else Request(
                    request.method,
                    request.url,
                    request.headers,
                    request.body,
                    request.query,
                    self.timeout_seconds,
                )
            )
            status, excerpt = response.status, self._excerpt(response)
            return response
        except NoAnswer as error:
            excerpt = error.words
            raise
        finally:
            self.evidence.append(
                Exchange(
                    request.method,
                    request.url.split("?", 1)[0],
                    status,
                    int((clock.monotonic() - started) * 1000),
                    self.redact(excerpt)[:EXCERPT_BYTES],
                )
            )

    def _excerpt(self, response: Response) -> str:
        """Enough text to cut an excerpt from after its secrets are blanked: a secret that the cut
        would halve must still be whole when it is looked for."""
        longest = max((len(one) for one in self.secrets.values()), default=0)
        most = EXCERPT_BYTES + 6 * (longest + MOST_TOKEN_LENGTH)
        return response.body[:most].decode("utf-8", "replace")

    def redact(self, text: str) -> str:
        """The text with every secret of this system blanked out, in whatever spelling a vendor may
        repeat it, and so is the credential that was sent last."""
        for secret in {*self.secrets.values(), self._credential}:
            if len(secret) >= SHORTEST_SECRET:
                for spelling in _spellings(secret):
                    text = text.replace(spelling, "•••")
        return text


def _spellings(secret: str) -> list[str]:
    """As it is, as a form or an address carries it, and as JSON does; the longest first."""
    plain, escaped = json.dumps(secret, ensure_ascii=False), json.dumps(secret)
    try:
        encoded = {quote(secret, safe=""), quote_plus(secret)}
    except UnicodeEncodeError:
        encoded = set()
    return sorted({secret, plain[1:-1], escaped[1:-1], *encoded}, key=len, reverse=True)
