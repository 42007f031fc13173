"""One turn of calls to one system: how many at a time, what was heard, and when to stop asking.

A system that has just said "too many" is not asked the rest of a batch: its refusal stands for
what was not sent, marked as held back, so that nobody takes it for an attempt. So a batch of two
hundred meets a storm with a handful of requests.
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from types import TracebackType

from tieout import clock
from tieout.ports.http import NoAnswer, Response
from tieout.ports.limits import LimitTable
from tieout.rules.limits import Told

MOST_SILENT = 3  # lost answers in a row, after which the rest of a turn stays here
_TOO_MANY = re.compile(rb"REQUEST_LIMIT_EXCEEDED|CONCURRENCY_LIMIT_EXCEEDED|ThrottleExceeded")
_LOOKED_AT_BYTES = 2_000


def is_refusal(response: Response) -> bool:
    """Whether the system says that we call too much (RFC 6585 §4, RFC 9110 §15.6.4, and the codes
    that Salesforce and NetSuite put into a 403 or 400)."""
    if response.status == 429:
        return True
    if response.status == 503:
        return bool(response.header("Retry-After"))
    return (
        response.status in {400, 403}
        and _TOO_MANY.search(response.body[:_LOOKED_AT_BYTES]) is not None
    )


class Gate:
    """Calls at a time: like a semaphore whose bound may be moved while calls are under way."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)
        self._allowed = self._most
        self._inside = 0
        self._changed = threading.Condition()

    def allow(self, number: int) -> None:
        """From now on so many at a time, at least one and never more than at the beginning."""
        with self._changed:
            self._allowed = max(1, min(number, self._most))
            self._changed.notify_all()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self._allowed)
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify()


class Turn:
    """What the calls of one turn came to. Used by many threads at once.

    `requests` left; `failed` of them were refused, answered with a server's fault or not at all,
    `refused` with "too many". `told` is what the headers said about limits, by limit name.
    """

    def __init__(self, limits: LimitTable) -> None:
        self.requests = 0
        self.failed = 0
        self.refused = 0
        self._told_failed = 0
        self.told: dict[str, Told] = {}
        self._limits = limits
        self._lock = threading.Lock()
        self._refusal: Response | None = None
        self._unreachable: NoAnswer | None = None
        self._silent = 0

    def instead(self) -> Response | None:
        """What stands for a call that is not made any more, or None: make it, it is counted.

        Raises NoAnswer, held back, when the system has stopped answering.
        """
        with self._lock:
            if self._refusal is not None:
                return replace(self._refusal, held_back=True)
            if self._unreachable is not None:
                raise NoAnswer(self._unreachable.words, held_back=True)
            if self._silent >= MOST_SILENT:
                raise NoAnswer(
                    f"not sent: the {self._silent} calls before it got no answer", held_back=True
                )
            self.requests += 1
            return None

    def take_failed(self) -> int:
        """How many calls failed since this was last asked."""
        with self._lock:
            new, self._told_failed = self.failed - self._told_failed, self.failed
            return new

    def line_used(self) -> None:
        """Something was done over a line, which answers in its own ways."""
        with self._lock:
            self.requests += 1

    def heard(self, response: Response) -> None:
        """Learn from an answer."""
        told = self._limits.told(response.headers, clock.now().timestamp())
        with self._lock:
            self.told.update(told)
            if is_refusal(response):
                self.refused += 1
                self._refusal = response
            self._silent = self._silent + 1 if response.status in {502, 503, 504} else 0
            if response.status >= 500 or is_refusal(response):
                self.failed += 1

    def silent(self, error: NoAnswer) -> None:
        """Learn from a call without an answer."""
        with self._lock:
            self._silent += 1
            self.failed += 1
            if error.never_sent:
                self._unreachable = error
