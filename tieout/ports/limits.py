"""What a system's headers say about its limits, as a table of data: header -> pattern -> numbers.

Every session knows the common headers; a connector adds its vendor's own as `limits`. Sources:
IETF draft-ietf-httpapi-ratelimit-headers (RateLimit, RateLimit-Policy, and the three headers of its
earlier editions), the X-RateLimit family that many vendors copied from one another, and for each
vendor its page in the connector's `errors.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tieout.rules.limits import Told

EPOCH_SECONDS = 1_000_000_000  # a "reset" above this is a moment, not a wait
MOST_HEADER_LENGTH = 500


@dataclass(frozen=True, slots=True)
class LimitRule:
    """One header. The pattern's groups are named left, used, limit, window, reset (seconds) and
    at_a_time; the first match in the header counts. Rules of the same `limit_name` speak of the
    same limit. `window_seconds` is for a window that the vendor's page states, not its header."""

    header: str
    pattern: str
    limit_name: str = ""
    window_seconds: float | None = None
    _compiled: list[re.Pattern[str]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def read(self, text: str) -> dict[str, float]:
        """The numbers of this header; empty when it does not look as it should."""
        if not self._compiled:
            self._compiled.append(re.compile(self.pattern, re.IGNORECASE))
        found = self._compiled[0].search(text[:MOST_HEADER_LENGTH])
        if found is None:
            return {}
        return {name: float(value) for name, value in found.groupdict().items() if value}


_FIRST = r"^\s*(?P<{}>[0-9]{{1,12}})"
STANDARD: tuple[LimitRule, ...] = (
    LimitRule("RateLimit", r'(?:^|,)\s*"?[^";,]*"?\s*;\s*r=(?P<left>\d{1,12})'
              r"(?:\s*;\s*t=(?P<reset>\d{1,12}))?"),
    LimitRule("RateLimit-Policy", r'(?:^|,)\s*"?[^";,]*"?\s*;\s*q=(?P<limit>\d{1,12})'
              r"(?:\s*;\s*w=(?P<window>\d{1,12}))?"),
    LimitRule("RateLimit-Limit", r"^\s*(?:\d+,\s*)?(?P<limit>\d{1,12})"
              r"(?:\s*;\s*w=(?P<window>\d{1,12}))?"),
    LimitRule("RateLimit-Remaining", _FIRST.format("left")),
    LimitRule("RateLimit-Reset", _FIRST.format("reset")),
    LimitRule("X-RateLimit-Limit", _FIRST.format("limit")),
    LimitRule("X-RateLimit-Remaining", _FIRST.format("left")),
    LimitRule("X-RateLimit-Reset", _FIRST.format("reset")),
    LimitRule("Concurrency-Limit-Limit", _FIRST.format("at_a_time")),
)  # fmt: skip


@dataclass(frozen=True)
class LimitTable:
    """The rules of one system, ready to read the headers of its answers."""

    rules: Sequence[LimitRule] = STANDARD

    @cached_property
    def _by_header(self) -> Mapping[str, Sequence[LimitRule]]:
        found: dict[str, list[LimitRule]] = {}
        for rule in self.rules:
            found.setdefault(rule.header.lower(), []).append(rule)
        return found

    def told(self, headers: Mapping[str, str], now_epoch: float) -> dict[str, Told]:
        """What these headers say, by limit name; empty when they say nothing about limits."""
        numbers: dict[str, dict[str, float]] = {}
        for name, text in headers.items():
            for rule in self._by_header.get(name.lower(), ()):
                read = rule.read(text)
                if read and rule.window_seconds is not None:
                    read.setdefault("window", rule.window_seconds)
                numbers.setdefault(rule.limit_name, {}).update(read)
        return {name: _told(found, now_epoch) for name, found in numbers.items() if found}


def _told(found: Mapping[str, float], now_epoch: float) -> Told:
    reset = found.get("reset")
    if reset is not None and reset > EPOCH_SECONDS:
        reset = max(0.0, reset - now_epoch)
    told = Told(
        left=_whole(found.get("left")),
        limit=_whole(found.get("limit")),
        window_seconds=found.get("window"),
        reset_seconds=reset,
        at_a_time=_whole(found.get("at_a_time")),
    )
    if told.left is None and told.limit is not None and "used" in found:
        return replace(told, left=max(0, told.limit - int(found["used"])))
    return told


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def table_of(connector: object) -> LimitTable:
    """The common headers, and the vendor's own where the connector names some."""
    own: Sequence[LimitRule] = getattr(connector, "limits", ())
    return LimitTable((*STANDARD, *own)) if own else _COMMON


_COMMON = LimitTable()
