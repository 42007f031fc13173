"""Alerts: at once, then in a digest, never a flood, and over is told once."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tieout.rules.alerting import (
    AT_ONCE,
    MOST_IN_WINDOW,
    Alert,
    Channel,
    Quiet,
    Telling,
    decide,
    new_channel,
)

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
WINDOW = dt.timedelta(minutes=15)
LOOK = dt.timedelta(seconds=15)


@dataclass
class Life:
    """One alert: when it is open, and what was told of it."""

    urgent: bool
    opens: int
    closes: int
    told: list[dt.datetime] = field(default_factory=list)
    over: list[dt.datetime] = field(default_factory=list)


def play(lives: list[Life], looks: int) -> list[tuple[dt.datetime, Telling]]:
    """Look every 15 seconds; returns what was sent when."""
    channel: Channel = new_channel(START)
    sent: list[tuple[dt.datetime, Telling]] = []
    for look in range(looks):
        now = START + look * LOOK
        seen = [
            Alert(number, one.urgent, look < one.closes, bool(one.told), bool(one.over))
            for number, one in enumerate(lives)
            if one.opens <= look and (look < one.closes or (one.told and not one.over))
        ]
        channel, telling = decide(now, channel, seen, WINDOW)
        if telling is None:
            continue
        sent.append((now, telling))
        for number in telling.begun:
            lives[number].told.append(now)
        for number in telling.over:
            lives[number].over.append(now)
    return sent


LIVES = st.lists(
    st.builds(
        lambda urgent, opens, lasts: Life(urgent, opens, opens + lasts),
        st.booleans(),
        st.integers(0, 300),
        st.integers(1, 200),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(LIVES)
def test_never_a_flood_nothing_untold_and_over_once(lives: list[Life]) -> None:
    sent = play(lives, 700)
    times = [at for at, _ in sent]
    for at in times:  # any stretch as long as a window meets at most two of them
        assert sum(at <= other < at + WINDOW for other in times) <= 2 * MOST_IN_WINDOW
    digests = [at for at, telling in sent if telling.kind == "digest"]
    assert all(b - a >= WINDOW for a, b in itertools.pairwise(digests))
    for one in lives:
        assert len(one.told) <= 1
        assert len(one.over) == len(one.told), "what was told is told to be over, once"
        opened = START + one.opens * LOOK
        if one.closes - one.opens > WINDOW / LOOK:
            assert one.told, "who stays is told"
            assert one.told[0] - opened <= WINDOW


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.booleans())
def test_the_first_is_told_at_once(opens: int, urgent: bool) -> None:
    one = Life(urgent, opens, opens + 1)
    play([one], 400)
    assert one.told == [START + opens * LOOK]


def test_what_is_new_in_one_look_is_one_message() -> None:
    sent = play([Life(False, 0, 10_000) for _ in range(50)], 5)
    assert [telling.kind for _, telling in sent] == ["alert"]
    assert len(sent[0][1].begun) == 50


def test_something_urgent_finds_room_when_the_rest_is_used_up() -> None:
    lives = [Life(False, look, 10_000) for look in range(AT_ONCE + 3)]
    late = Life(True, AT_ONCE + 10, 10_000)
    play([*lives, late], AT_ONCE + 12)
    assert late.told == [START + late.opens * LOOK]
    assert all(one.told for one in lives), "those that waited go along"


def test_a_digest_lists_what_stands() -> None:
    sent = play([Life(False, 0, 10_000)], 200)
    assert [telling.kind for _, telling in sent][:2] == ["alert", "digest"]
    assert sent[1][1].standing == (0,)


def test_the_same_trouble_again_waits_for_the_digest() -> None:
    channel = new_channel(START)
    again = Alert(1, urgent=True, open=True, told=False, again=True)
    channel, telling = decide(START + LOOK, channel, [again], WINDOW)
    assert telling is None
    channel, telling = decide(START + WINDOW, channel, [again], WINDOW)
    assert telling == Telling("digest", (1,), (), ())


def test_in_quiet_hours_only_what_is_urgent() -> None:
    alerts = [Alert(1, False, True, False), Alert(2, True, True, False)]
    _, telling = decide(START, new_channel(START), alerts, WINDOW, quiet=True)
    assert telling == Telling("alert", (2,), (), ())
    _, telling = decide(START, new_channel(START), alerts[:1], WINDOW, quiet=True)
    assert telling is None


def test_quiet_hours_may_go_over_midnight() -> None:
    night = Quiet(dt.time(22), dt.time(7))
    assert [night.holds(dt.time(h)) for h in (21, 22, 0, 6, 7, 12)] == [0, 1, 1, 1, 0, 0]
    noon = Quiet(dt.time(12), dt.time(13))
    assert [noon.holds(dt.time(h)) for h in (11, 12, 13)] == [0, 1, 0]
