"""Virtual processes: one moves at a time, and may die or stand still at any named point."""

from __future__ import annotations

import datetime as dt

import pytest

from tieout import clock
from tieout.rehearsal.acting import MAY_FREEZE, Actor, Fate, Stage
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2028, 2, 28, tzinfo=dt.UTC)


def staged(fates: dict[str, Fate | Exception]) -> tuple[SeededWorld, Stage]:
    world = SeededWorld("1", START)
    return world, Stage(world, lambda actor, point: fates.get(f"{actor.name}:{point}", "go"))


def test_who_dies_does_nothing_more_and_catches_nothing() -> None:
    world, stage = staged({"worker:before_send": "die"})
    done: list[str] = []

    def work() -> None:
        try:
            done.append("began")
            clock.reach("before_send")
            done.append("sent")
        except Exception:  # noqa: BLE001 - a death is none
            done.append("caught")

    with clock.world(world):
        assert stage.turn(Actor("worker"), work) == "dead"
    assert done == ["began"]


def test_one_stands_still_while_others_go_on_and_then_goes_on_itself() -> None:
    world, stage = staged({"slow:after_send": "freeze"})
    done: list[str] = []

    def work(name: str) -> None:
        clock.reach("before_send")
        clock.reach("after_send")
        done.append(name)

    slow, quick = Actor("slow"), Actor("quick")
    with clock.world(world):
        assert stage.turn(slow, lambda: work("slow")) == "frozen"
        assert stage.turn(quick, lambda: work("quick")) == "done"
        assert stage.go_on(slow) == "done"
    assert done == ["quick", "slow"]


def test_nobody_stands_still_inside_a_transaction_where_he_would_hold_locks() -> None:
    world, stage = staged({f"worker:{point}": "freeze" for point in clock.POINTS})

    def work() -> None:
        clock.reach("inside")
        clock.reach("before_send")  # a call from within a transaction
        clock.reach("before_commit")

    worker = Actor("worker")
    with clock.world(world):
        assert stage.turn(worker, work) == "done"
    assert {"inside", "before_commit"}.isdisjoint(MAY_FREEZE)


def test_whoever_still_stands_still_at_the_end_dies() -> None:
    world, stage = staged({"worker:after_commit": "freeze"})
    done: list[str] = []

    def work() -> None:
        clock.reach("after_commit")
        done.append("went on")

    worker = Actor("worker")
    with clock.world(world):
        assert stage.turn(worker, work) == "frozen"
        stage.end([worker])
    assert worker.state == "dead"
    assert not done


def test_a_fault_of_the_house_is_met_where_it_happens() -> None:
    world, stage = staged({"worker:before_commit": OSError("the disk is full")})
    worker = Actor("worker")
    with clock.world(world):
        assert stage.turn(worker, lambda: clock.reach("before_commit")) == "failed"
    assert str(worker.error) == "the disk is full"


def test_what_was_reached_is_counted_by_what_was_being_done() -> None:
    world, stage = staged({})
    worker = Actor("worker")

    def work() -> None:
        worker.stage = "dispatch"
        clock.reach("before_send")
        clock.reach("before_send")

    with clock.world(world):
        stage.turn(worker, work)
        clock.reach("before_send")  # the rehearsal itself: nobody's step
    assert stage.reached == {("dispatch", "before_send"): 2}


def test_two_turns_at_once_are_refused() -> None:
    world, stage = staged({"worker:after_send": "freeze"})
    worker = Actor("worker")
    with clock.world(world):
        stage.turn(worker, lambda: clock.reach("after_send"))
        with pytest.raises(ValueError, match="in the middle"):
            stage.turn(worker, lambda: None)
        stage.go_on(worker)
        with pytest.raises(ValueError, match="does not stand still"):
            stage.go_on(worker)
