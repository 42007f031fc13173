"""A session is one open line to one system: transport, sign-in, throttle, evidence, redaction.

Concurrency towards a system lives here and nowhere else, behind a synchronous face with a stated
limit. The session never retries; its one exception is a 401, which says nothing was applied: the
sign-in renews once and the same request goes out once more.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from urllib.parse import quote, quote_plus

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.limits import LimitTable
from tieout.ports.signin import SignIn, SignInFailed
from tieout.ports.turn import Gate, Turn

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


class Line(Protocol):
    """What is kept open to a system that speaks no HTTP: a database connection, a broker's client,
    a folder. The connector's package makes it and knows its other methods; the session keeps it."""

    def close(self) -> None: ...


LineT = TypeVar("LineT", bound=Line)


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
    opens: Callable[[], Line] | None = None  # makes the line, on first use
    counts: Callable[[str, int], None] | None = None  # (answer, milliseconds) of work over a line
    may_leave: Callable[[], bool] | None = None  # asked at the last moment before a call leaves
    limits: LimitTable = field(default_factory=LimitTable, repr=False)
    turn: Turn | None = field(default=None, repr=False)  # what the engine watches of its calls
    evidence: deque[Exchange] = field(default_factory=lambda: deque(maxlen=MOST_EVIDENCE))
    _sign_in_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    moved_at: float = field(default_factory=clock.monotonic, init=False, repr=False)
    _credential: str = field(default="", init=False, repr=False)
    _slots: Gate = field(init=False, repr=False)
    _line: Line | None = field(default=None, init=False, repr=False)
    _line_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._slots = Gate(self.most_in_flight)

    def allow(self, at_a_time: int) -> None:
        """Make at most so many calls at a time from now on: a share of what all workers may."""
        self._slots.allow(at_a_time)

    def begin_turn(self) -> Turn:
        """Watch the calls from here on; the turn says what they met (see `ports/turn.py`)."""
        self.turn = Turn(self.limits)
        return self.turn

    def setting(self, name: str) -> str:
        """A setting by name; KeyError text tells which environment file lacks it."""
        try:
            return self.settings[name]
        except KeyError:
            raise KeyError(
                f"system {self.system}: setting '{name}' is missing; add it to the system's entry "
                "in environments/*.yaml"
            ) from None

    def line(self, kind: type[LineT]) -> LineT:
        """The open line of a system that speaks no HTTP, opened on first use and kept.

        Raises what the connector's `open_line` raises (NoAnswer, SignInFailed), and TypeError when
        the connector opens another kind of line.
        """
        with self._line_lock:
            if self._line is None:
                if self.opens is None:
                    raise TypeError(f"the connector of {self.system} opens no line of its own")
                self._line = self.opens()
            if not isinstance(self._line, kind):
                raise TypeError(f"{self.system} has a {type(self._line).__name__}")
            return self._line

    def drop_line(self) -> None:
        """Forget a line that broke; the next use opens a new one."""
        with self._line_lock:
            line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()

    @contextlib.contextmanager
    def told(self, what: str, where: str) -> Iterator[None]:
        """Keep evidence of something done over a line: `what` (COPY, publish), `where` (a table, a
        subject). Takes one of the session's slots, like a call does."""
        with self._slots:
            started = clock.monotonic()
            excerpt, answer = "", "good"
            if self.turn is not None:
                self.turn.line_used()
            clock.reach("before_send")
            self._refuse_to_leave_late()
            try:
                yield
                clock.reach("after_send")
            except Exception as error:
                excerpt = f"{type(error).__name__}: {error}"
                answer = "none" if isinstance(error, NoAnswer | OSError) else "failed"
                raise
            finally:
                self.moved_at = clock.monotonic()
                milliseconds = int((clock.monotonic() - started) * 1000)
                excerpt = self.redact(excerpt)[:EXCERPT_BYTES]
                self.evidence.append(Exchange(what, where, None, milliseconds, excerpt))
                if self.counts is not None:
                    self.counts(answer, milliseconds)

    def close(self) -> None:
        """Let go of the line; a session without one has nothing to close."""
        self.drop_line()

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
        turn = self.turn
        instead = turn.instead() if turn is not None else None
        if instead is not None:
            return instead
        started = clock.monotonic()
        self._credential = request.header("Authorization").rpartition(" ")[2]
        status: int | None = None
        excerpt = ""
        clock.reach("before_send")
        self._refuse_to_leave_late()
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
            clock.reach("after_send")
            status, excerpt = response.status, self._excerpt(response)
            if turn is not None:
                turn.heard(response)
            clock.reach("after_reply")
            return response
        except NoAnswer as error:
            excerpt = error.words
            if turn is not None:
                turn.silent(error)
            raise
        finally:
            self.moved_at = clock.monotonic()
            self.evidence.append(
                Exchange(
                    request.method,
                    request.url.split("?", 1)[0],
                    status,
                    int((clock.monotonic() - started) * 1000),
                    self.redact(excerpt)[:EXCERPT_BYTES],
                )
            )

    def _refuse_to_leave_late(self) -> None:
        """Raises NoAnswer, held back: no word about the system, which was not asked."""
        if self.may_leave is not None and not self.may_leave():
            raise NoAnswer(
                "this process stood still for longer than its leases last; it did not send this",
                held_back=True,
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
        known = {*self.secrets.values(), self._credential}
        for secret in sorted(known, key=len, reverse=True):  # one may begin with another
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
