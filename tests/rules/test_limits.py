"""Limits shared by workers: never more than the limit, nobody left out, headers believed."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from tieout.ports.limits import LimitRule, LimitTable
from tieout.rules.limits import (
    Bucket,
    Claim,
    Concurrency,
    Told,
    concurrency_after,
    fair_shares,
    grant,
    learned,
    tightest,
)

NOW = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
CLAIMS = st.lists(
    st.builds(
        Claim,
        worker=st.uuids().map(str),
        has=st.integers(0, 8),
        wants=st.integers(0, 12),
        waited_seconds=st.floats(0, 60),
    ),
    max_size=8,
    unique_by=lambda one: one.worker,
)


@given(st.integers(0, 30), CLAIMS)
def test_shares_fit_the_limit_and_are_fair(limit: int, claims: list[Claim]) -> None:
    shares = fair_shares(limit, claims)
    wanted = {one.worker: one.wants for one in claims}
    assert sum(shares.values()) == min(limit, sum(wanted.values()))
    assert all(shares[worker] <= wants for worker, wants in wanted.items())
    short = [shares[worker] for worker, wants in wanted.items() if shares[worker] < wants]
    for one in short:
        assert max(shares.values()) <= one + 1 or not one, "nobody has two more than one who lacks"


@given(st.integers(1, 10), st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_workers_that_take_turns_never_exceed_the_limit(limit: int, order: list[int]) -> None:
    has = dict.fromkeys(map(str, range(6)), 0)
    waits = dict.fromkeys(has, 0.0)
    for number in order:
        me = str(number)
        others = [Claim(one, has[one], 4, waits[one]) for one in has if one != me]
        has[me] = grant(limit, Claim(me, has[me], 4, waits[me]), others)
        waits = {one: 0.0 if has[one] else waits[one] + 1 for one in has}
        assert sum(has.values()) <= limit


def test_with_one_call_at_a_time_workers_alternate() -> None:
    has, waits, had = {"a": 0, "b": 0}, {"a": 0.0, "b": 0.0}, []
    for number in range(12):
        me, other = ("a", "b") if number % 2 else ("b", "a")
        mine, theirs = (Claim(one, has[one], 1, waits[one]) for one in (me, other))
        has[me] = grant(1, mine, [theirs])
        waits = {one: 0.0 if has[one] else waits[one] + 1 for one in has}
        had.append([one for one in has if has[one]])
    assert ["a"] in had
    assert ["b"] in had


def test_concurrency_halves_once_and_grows_slowly() -> None:
    at = NOW + dt.timedelta(seconds=10)
    half = concurrency_after(Concurrency(8, 8, NOW), True, at)
    assert half.now == 4
    assert concurrency_after(half, True, at).now == 4, "four workers heard the same refusal"
    assert concurrency_after(half, False, at).now == 4
    grown = half
    for step in range(1, 30):
        grown = concurrency_after(grown, False, at + dt.timedelta(seconds=step))
    assert grown.now == 8
    assert concurrency_after(Concurrency(1, 8, NOW), True, at).now == 1


@given(st.integers(1, 500), st.integers(1, 600), st.lists(st.integers(0, 30), max_size=50))
def test_a_bucket_gives_no_more_than_flowed_in(limit: int, window: int, pauses: list[int]) -> None:
    bucket = learned(None, Told(left=limit, limit=limit, window_seconds=window), NOW)
    assert bucket is not None
    now, made = NOW, 0
    for pause in pauses:
        now += dt.timedelta(seconds=pause)
        calls = bucket.calls(now)
        bucket, made = bucket.less(calls, now), made + calls
    assert made <= limit + (now - NOW).total_seconds() * limit / window + 0.001


def test_a_used_up_limit_waits_for_its_reset() -> None:
    told = Told(left=0, limit=60, window_seconds=60, reset_seconds=20)
    bucket = learned(None, told, NOW)
    assert bucket is not None
    assert bucket.calls(NOW + dt.timedelta(seconds=19)) == 0
    assert bucket.calls(NOW + dt.timedelta(seconds=21)) == 21


def test_the_systems_own_count_wins_when_it_is_less() -> None:
    bucket = Bucket(50, 1, 60, NOW)
    less = learned(bucket, Told(left=7, limit=60, window_seconds=60), NOW)
    more = learned(bucket, Told(left=58, limit=60, window_seconds=60), NOW)
    assert less is not None
    assert more is not None
    assert (less.calls(NOW), more.calls(NOW)) == (7, 50)
    assert learned(None, Told(at_a_time=5), NOW) is None


SALESFORCE = LimitRule(
    "Sforce-Limit-Info", r"api-usage=(?P<used>\d+)/(?P<limit>\d+)", window_seconds=86_400
)


def test_headers_as_vendors_write_them() -> None:
    table = LimitTable((*LimitTable().rules, SALESFORCE))

    def told(**headers: str) -> Told | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return tightest(table.told(named, NOW.timestamp()))

    assert told(RateLimit='"burst";r=50;t=30', RateLimit_Policy='"burst";q=100;w=60') == Told(
        left=50, limit=100, window_seconds=60, reset_seconds=30
    )
    assert told(
        ratelimit_limit="2250000, 50000;w=60", ratelimit_remaining="49999", ratelimit_reset="12"
    ) == Told(left=49_999, limit=50_000, window_seconds=60, reset_seconds=12)
    assert told(X_RateLimit_Limit="60", X_RateLimit_Remaining="3", X_RateLimit_Reset="1") == Told(
        left=3, limit=60, reset_seconds=1
    )
    moment = str(int(NOW.timestamp()) + 30)
    assert told(X_RateLimit_Remaining="3", X_RateLimit_Reset=moment) == Told(
        left=3, reset_seconds=30
    )
    assert told(Sforce_Limit_Info="api-usage=18/5000") == Told(
        left=4982, limit=5000, window_seconds=86_400
    )
    assert told(Concurrency_Limit_Limit="40") == Told(at_a_time=40)
    assert told(RateLimit="all is well", X_RateLimit_Limit="plenty") is None
