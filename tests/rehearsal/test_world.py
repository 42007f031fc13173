"""The rehearsed clock: the same seed, the same times, ids and chance; nothing of the machine's."""

from __future__ import annotations

import datetime as dt

import pytest

from tieout import clock
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2028, 2, 28, 23, 59, 59, tzinfo=dt.UTC)


def told(seed: str) -> list[object]:
    with clock.world(SeededWorld(seed, START)):
        clock.sleep(2)
        with clock.executor(4) as pool:
            drawn = list(pool.map(lambda _: clock.random(), range(3)))
        return [clock.now(), clock.monotonic(), clock.new_id(), clock.new_id(), *drawn]


def test_one_seed_is_one_world_and_another_is_another() -> None:
    assert told("7") == told("7")
    assert told("7") != told("8")


def test_no_two_looks_at_the_clock_show_the_same_time() -> None:
    with clock.world(SeededWorld("1", START)):
        looks = [clock.now() for _ in range(1000)]
    assert len(set(looks)) == 1000
    assert looks == sorted(looks)


def test_a_wait_passes_midnight_into_the_leap_day() -> None:
    with clock.world(SeededWorld("1", START)):
        clock.sleep(3)
        assert clock.now().date() == dt.date(2028, 2, 29)


def test_a_jump_moves_wall_clocks_and_no_monotonic_one() -> None:
    world = SeededWorld("1", START)
    with clock.world(world):
        before = clock.monotonic()
        world.jump(dt.timedelta(hours=1))
        assert clock.monotonic() - before < 1
        assert clock.now() - START >= dt.timedelta(hours=1)
    with pytest.raises(ValueError, match="never goes back"):
        world.jump(dt.timedelta(seconds=-1))


def test_a_wrong_clock_is_wrong_for_whoever_acts_and_not_in_truth() -> None:
    world = SeededWorld("1", START)
    with clock.world(world):
        world.wrong_by = dt.timedelta(seconds=-20)
        assert clock.now() < START
        assert world.true_time >= START


def test_ids_rise_with_the_time() -> None:
    world = SeededWorld("1", START)
    with clock.world(world):
        first = clock.new_id()
        clock.sleep(0.01)
        second = clock.new_id()
    assert first.version == 7
    assert first.int < second.int
