"""The door: shut after trouble, one probe, slow start, and a budget that no storm can exceed."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from tieout.rules import door as rule
from tieout.rules.door import Door, Heard, after

NOW = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
BUSY = Heard("busy", failed=1)
WELL = Heard("well", well=1)


def seconds(door: Door, now: dt.datetime = NOW) -> float:
    assert door.until is not None
    return (door.until - now).total_seconds()


@given(st.integers(0, 100_000), st.floats(0, 0.999))
def test_what_a_system_tells_us_to_wait_is_waited(told: int, chance: float) -> None:
    shut = after(Door(), Heard("busy", failed=1, told_seconds=told), NOW, chance)
    assert seconds(shut) == min(told, rule.LONGEST_TOLD_SECONDS)
    worse = after(shut, Heard("down", failed=1), NOW, 0.0)
    assert worse.until is not None
    assert shut.until is not None
    assert worse.until >= shut.until, "a later trouble does not shorten what it told us"


@given(st.integers(1, 50), st.floats(0, 0.999))
def test_back_off_is_full_jitter(failures: int, chance: float) -> None:
    ceiling = min(60.0, 0.5 * 2**failures)
    assert rule.back_off_seconds(failures, chance) == ceiling * chance


def test_after_trouble_it_is_ajar_and_opens_slowly() -> None:
    shut = after(Door(), BUSY, NOW, 0.5)
    assert shut.shut(NOW)
    assert not shut.ajar(NOW)
    later = NOW + dt.timedelta(seconds=60)
    assert shut.ajar(later)
    rooms = []
    while not shut.is_well:
        shut = after(shut, Heard("well", well=shut.room or 1), later, 0.5)
        rooms.append(shut.room)
    assert rooms[:8] == [2, 4, 8, 16, 32, 64, 128, None]


def test_one_lost_answer_is_no_outage_three_are() -> None:
    unsure = Heard("unsure", failed=1)
    door = after(Door(), unsure, NOW, 0.5)
    assert door.state == "open"
    door = after(after(door, unsure, NOW, 0.5), unsure, NOW, 0.5)
    assert door.state == "down"
    probed = after(door, unsure, NOW + dt.timedelta(seconds=60), 0.5)
    assert probed.state == "down", "a probe without an answer is no answer"
    assert after(probed, WELL, NOW, 0.5).state == "open"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.999)), max_size=400))
def test_failures_stay_within_a_tenth_and_a_trickle(calls: list[tuple[bool, float]]) -> None:
    """Whatever fails: at most a tenth of what went well, the first ten, and one in five seconds."""
    door, now, failed, well = Door(), NOW, 0, 0
    for is_well, chance in calls:
        if door.until is not None:
            now = max(now, door.until)
        door = after(door, WELL if is_well else BUSY, now, chance)
        failed, well = failed + (not is_well), well + is_well
    trickle = (now - NOW).total_seconds() / (rule.TRICKLE_SECONDS / 2)
    assert failed <= 0.1 * well + 11 + trickle
