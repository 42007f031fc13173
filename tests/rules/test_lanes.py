"""Lanes: weighted, work-conserving, nobody starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tieout.rules.lanes import LANES, WEIGHTS, Lane, Turns, shares

WAITING = st.fixed_dictionaries({lane: st.integers(0, 400) for lane in LANES})


@given(WAITING, st.integers(0, 500))
def test_all_room_is_used_and_no_more(waiting: dict[Lane, int], room: int) -> None:
    chosen, _ = shares(waiting, room)
    assert sum(chosen.values()) == min(room, sum(waiting.values()))
    assert all(number <= waiting[lane] for lane, number in chosen.items())


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_under_load_each_lane_gets_its_weight(rooms: list[int]) -> None:
    """However the room is cut into calls: within one of the lane's own turns of its part."""
    turns, sent = Turns(), dict.fromkeys(LANES, 0)
    for room in rooms:
        chosen, turns = shares(dict.fromkeys(LANES, 10**6), room, turns)
        for lane, number in chosen.items():
            sent[lane] += number
    for lane in LANES:
        part = sum(rooms) * WEIGHTS[lane] / 12
        assert abs(sent[lane] - part) <= 8, (lane, sent, part)


@given(st.lists(st.tuples(WAITING, st.integers(1, 20)), max_size=40))
def test_bulk_leaves_within_twelve_whatever_came_before(
    before: list[tuple[dict[Lane, int], int]],
) -> None:
    turns = Turns()
    for waiting, room in before:
        _, turns = shares(waiting, room, turns)
    gone = 0
    for _ in range(24):
        chosen, turns = shares({"close_critical": 99, "standard": 99, "bulk": 99}, 1, turns)
        gone += chosen.get("bulk", 0)
    assert 1 <= gone <= 4, "bulk is neither starved nor let flood what matters for the close"


@given(st.lists(st.integers(1, 20), max_size=40))
def test_a_lane_that_was_idle_has_saved_nothing_up(rooms: list[int]) -> None:
    turns = Turns()
    for room in rooms:
        _, turns = shares({"close_critical": 999}, room, turns)
    chosen, _ = shares({"close_critical": 999, "bulk": 999}, 9, turns)
    assert chosen["close_critical"] >= 7


def test_the_share_of_an_idle_lane_goes_to_the_others() -> None:
    assert shares({"bulk": 50}, 12)[0] == {"bulk": 12}
    assert shares({"close_critical": 2, "bulk": 50}, 12)[0] == {"close_critical": 2, "bulk": 10}
    assert shares(dict.fromkeys(LANES, 99), 12)[0] == {
        "close_critical": 8,
        "standard": 3,
        "bulk": 1,
    }
