"""Limits that all workers share: how many calls at a time, how many a second.

Concurrency follows additive increase, multiplicative decrease (Chiu and Jain, 1989): halved when a
system says it is too much, one more per quiet while up to what the environment allows. The rate is
a token bucket that is corrected by what the system's own headers say is left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

GROW_SECONDS = 5.0
SHRINK_SECONDS = 1.0  # several workers that hear the same refusal halve once


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker that wants to call a system: how many calls at a time it has now and would like,
    and since when it has been waiting with none (seconds)."""

    worker: str
    has: int
    wants: int
    waited_seconds: float = 0.0


def fair_shares(limit: int, claims: Sequence[Claim]) -> dict[str, int]:
    """Calls at a time for each worker, at most `limit` in all: equal parts, and what one does not
    want goes to the others; with fewer than one each, whoever has waited longest has it first."""
    order = sorted(claims, key=lambda one: (-one.waited_seconds, -one.has, one.worker))
    left = max(0, limit)
    given = {one.worker: 0 for one in order}
    hungry = [one for one in order if one.wants > 0]
    while left and hungry:
        part = max(1, left // len(hungry))
        for one in hungry:
            more = min(part, one.wants - given[one.worker], left)
            given[one.worker] += more
            left -= more
        hungry = [one for one in hungry if given[one.worker] < one.wants]
    return given


def grant(limit: int, mine: Claim, others: Sequence[Claim]) -> int:
    """How many calls at a time I may have now: my fair share, as far as the others have let go."""
    fair = fair_shares(limit, [mine, *others])[mine.worker]
    return max(0, min(fair, limit - sum(one.has for one in others)))


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Calls at a time that a system takes from all of us, learned between 1 and `most`."""

    now: int
    most: int
    changed_at: dt.datetime


def concurrency_after(known: Concurrency, refused: bool, at: dt.datetime) -> Concurrency:
    """Halved on a refusal, one more after a quiet while; never outside 1 … most."""
    bounded = max(1, min(known.now, known.most))
    quiet_seconds = (at - known.changed_at).total_seconds()
    if refused:
        if quiet_seconds < SHRINK_SECONDS:
            return replace(known, now=bounded)
        return Concurrency(max(1, bounded // 2), known.most, at)
    if bounded < known.most and quiet_seconds >= GROW_SECONDS:
        return Concurrency(bounded + 1, known.most, at)
    return replace(known, now=bounded)


@dataclass(frozen=True, slots=True)
class Told:
    """What a system's headers said about its limit: calls left, calls in a window, the window and
    the time until it starts anew (seconds), calls at a time."""

    left: int | None = None
    limit: int | None = None
    window_seconds: float | None = None
    reset_seconds: float | None = None
    at_a_time: int | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Calls that may still be made, filled at a rate up to a brim; no call before `not_before`.

    `tokens` may be negative: a call that took more requests than was thought is paid off first.
    """

    tokens: float
    per_second: float
    brim: float
    filled_at: dt.datetime
    not_before: dt.datetime | None = None

    def at(self, now: dt.datetime) -> Bucket:
        """The bucket with what has flowed in since."""
        since = max(0.0, (now - self.filled_at).total_seconds())
        return replace(
            self, tokens=min(self.brim, self.tokens + since * self.per_second), filled_at=now
        )

    def calls(self, now: dt.datetime) -> int:
        """How many calls may be made at this moment."""
        if self.not_before is not None and now < self.not_before:
            return 0
        return max(0, int(self.at(now).tokens))

    def less(self, calls: int, now: dt.datetime) -> Bucket:
        """After so many calls were made, or given back when negative."""
        full = self.at(now)
        return replace(full, tokens=min(full.brim, full.tokens - calls))


def learned(bucket: Bucket | None, told: Told, now: dt.datetime) -> Bucket | None:
    """The bucket after the system said what is left. None while no rate can be told from it.

    The system's word counts when it is less than ours: other programs may share the limit.
    """
    limit = told.limit if told.limit else (int(bucket.brim) if bucket is not None else 0)
    left = told.left if told.left is not None else limit
    if told.window_seconds:
        per_second = limit / told.window_seconds
    elif told.reset_seconds and told.left is not None:
        per_second = left / told.reset_seconds  # for the rest of a window whose length is not told
    elif bucket is not None:
        per_second = bucket.per_second
    else:
        return None
    if limit < 1 or per_second < 0:
        return bucket
    known = bucket.at(now).tokens if bucket is not None and bucket.brim == limit else float(limit)
    wait = told.reset_seconds if told.left == 0 else None
    return Bucket(
        tokens=min(known, float(left)),
        per_second=per_second,
        brim=float(limit),
        filled_at=now,
        not_before=None if wait is None else now + dt.timedelta(seconds=wait),
    )


def tightest(heard: Mapping[str, Told]) -> Told | None:
    """Of several limits of one system, the one with the smallest part left: it is met first."""

    def part(told: Told) -> float:
        if told.left is None:
            return 1.0
        return told.left / told.limit if told.limit else (0.0 if told.left == 0 else 1.0)

    return min(heard.values(), key=part, default=None)
