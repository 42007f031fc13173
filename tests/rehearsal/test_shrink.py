"""Shrinking finds the least that still breaks the same promise, by planted rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tieout.rehearsal.faults import MENU
from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import Script, draw
from tieout.rehearsal.shrink import shrink
from tieout.rehearsal.verdict import NOT_ENDED, Verdict

EVERYTHING = replace(draw(5, MENU), rates={name: one.most_rate for name, one in MENU.items()})
Rule = Callable[[Script], tuple[str, ...]]


class Fake:
    """A play in which promises break as a rule says; remembers what was played."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.played: list[Script] = []

    def __call__(self, script: Script) -> Verdict:
        self.played.append(script)
        promises = self.rule(script)
        return Verdict(
            script,
            tuple(Broken(one, "as planted") for one in promises if one != NOT_ENDED),
            ended="a defect, as planted" if NOT_ENDED in promises else "",
            changes=script.changes,
        )


def broken_by(rule: Rule) -> tuple[Fake, Verdict]:
    return Fake(rule), Fake(rule)(EVERYTHING)


def test_only_what_is_needed_is_left() -> None:
    def rule(script: Script) -> tuple[str, ...]:
        return ("P2",) if {"lost_reply", "crash"} <= set(script.rates) else ()

    play, failed = broken_by(rule)
    least = shrink(play, failed)
    assert set(least.faults) == {"lost_reply", "crash"}
    assert least.script.rates["crash"] == EVERYTHING.rates["crash"]
    assert (least.script.changes, least.script.seed) == (1, EVERYTHING.seed)
    assert (least.promise, least.repeats, least.complete) == ("P2", True, True)
    assert least.verdict == play(least.script)


def test_changes_are_halved_as_often_as_it_still_breaks() -> None:
    play, failed = broken_by(lambda script: ("P1",) if script.changes > 20 else ())
    least = shrink(play, failed)
    assert least.faults == ()
    assert 20 < least.script.changes <= 41
    again = EVERYTHING
    for _ in range(least.halvings):
        again = again.halved()
    assert again.changes == least.script.changes


def test_another_promise_that_breaks_does_not_count() -> None:
    def rule(script: Script) -> tuple[str, ...]:
        return ("P4",) if "drift" in script.rates else ("P1",)

    play, failed = broken_by(rule)
    least = shrink(play, failed)
    assert (least.promise, least.faults) == ("P4", ("drift",))


def test_a_promise_that_breaks_beside_others_is_the_same_promise() -> None:
    def rule(script: Script) -> tuple[str, ...]:
        return ("P4", "P7") if len(script.rates) > 3 else ("P7", "P4")

    least = shrink(*broken_by(rule))
    assert (least.promise, least.faults) == ("P4", ())


def test_what_can_only_go_after_another_has_gone_goes_too() -> None:
    """`duplicate` can go only when `zombie`, which comes after it, has gone: a second round."""

    def rule(script: Script) -> tuple[str, ...]:
        has = set(script.rates)
        return ("P3",) if "slow" in has and ("zombie" in has) <= ("duplicate" in has) else ()

    assert shrink(*broken_by(rule)).faults == ("slow",)


def test_a_seed_that_does_not_come_to_its_end_shrinks_as_well() -> None:
    least = shrink(*broken_by(lambda script: (NOT_ENDED,) if "poison" in script.rates else ()))
    assert (least.promise, least.faults) == (NOT_ENDED, ("poison",))


def test_plays_are_bounded() -> None:
    play, failed = broken_by(lambda script: ("P2",) if script.rates else ())
    least = shrink(play, failed, most_plays=7)
    assert len(play.played) == least.plays == 7
    assert not least.complete
    assert len(least.faults) == len(MENU) - 5
    assert least.verdict.failures == ("P2",)


def test_what_does_not_break_again_is_told_and_left_whole() -> None:
    failed = Fake(lambda script: ("P2",))(EVERYTHING)
    play = Fake(lambda script: ())
    least = shrink(play, failed)
    assert (least.repeats, least.plays, least.script) == (False, 1, EVERYTHING)


def test_what_needs_no_trouble_is_found_at_once() -> None:
    play, failed = broken_by(lambda script: ("P2",) if script.changes > 60 else ())
    least = shrink(play, failed)
    assert (least.faults, least.plays, least.halvings) == ((), 3, 0)


def test_a_seed_that_held_has_nothing_to_shrink() -> None:
    with pytest.raises(ValueError, match="seed 5 held"):
        shrink(Fake(lambda script: ()), Verdict(EVERYTHING))


@pytest.mark.parametrize("seed", range(40))
def test_the_faults_that_are_left_are_drawn_again_by_their_names(seed: int) -> None:
    """What is told to run it again draws the same rates, also when it names a single fault."""
    whole = draw(seed, MENU)
    for name, rate in whole.rates.items():
        assert dict(draw(seed, [name]).rates) == {name: rate}
    assert draw(seed, list(whole.rates)[:3]).rates == dict(list(whole.rates.items())[:3])
