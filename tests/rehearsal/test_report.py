"""What a rehearsal tells: somebody who runs finance systems must understand it, and a machine."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tieout import __version__
from tieout.clock import POINTS
from tieout.rehearsal.coverage import NEEDS, aligned, covered, never_met, point_lines
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.report import (
    PROMISES,
    WIDTH,
    Asked,
    Told,
    again,
    as_json,
    bound,
    failure,
    words,
)
from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import draw
from tieout.rehearsal.shrink import Shrunk
from tieout.rehearsal.verdict import NOT_ENDED, Verdict

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = replace(
    draw(17, MENU),
    changes=108,
    rates={"lost_reply": 0.1, "late_apply": 0.1, "crash": 0.01, "period_close": 0.02},
)
ASKED = Asked("northwind", "da439d7d50d1aaaa", frozenset(MENU), 200)
TWICE = Broken(
    "P2",
    "two documents stand in the target for one of ours",
    tuple(f"netsuite salesOrder-{n}" for n in range(12)),
)
TIMELINES = {
    "netsuite salesOrder-0": (
        "02-28 22:00:01  dispatch 5 planned: create netsuite.salesOrder salesOrder-0",
        "02-28 22:00:02  netsuite carried out: create salesOrder salesOrder-0 as 1001",
    )
}
FAILED = Verdict(SCRIPT, (TWICE,), changes=108, struck={"lost_reply": 4, "crash": 1})
LEAST = Shrunk(
    promise="P2",
    verdict=replace(
        FAILED,
        script=replace(SCRIPT.without("crash").without("period_close"), changes=13),
        timelines=TIMELINES,
    ),
    halvings=3,
    plays=11,
    repeats=True,
    complete=True,
)


def held(seed: int, **struck: int) -> Verdict:
    return Verdict(
        replace(SCRIPT, seed=seed),
        changes=100,
        deliveries=4,
        ticks=50,
        struck=struck,
        reached={("dispatch", "before_send"): 30, ("resolve", "inside"): 7},
        died_at={("dispatch", "before_send"): 2},
        digest=f"d{seed}",
    )


def test_a_failure_says_what_was_promised_what_broke_why_to_whom_and_how_to_see_it_again() -> None:
    told = "\n".join(failure(ASKED, FAILED, LEAST))
    assert "Seed 17 broke 1 promise." in told
    assert "No document is posted twice, none is dropped. (P2)" in told
    assert "two documents stand in the target for one of ours." in told
    assert "netsuite salesOrder-9\n" in told
    assert "and 2 more" in told
    assert "needs 2 of the 4 kinds of trouble that the seed drew" in told
    assert "13 of 108 changes are enough; found by 11 plays" in told
    assert "lost_reply  the request was carried out, its answer was lost" in told
    assert "late_apply  the request was carried out after we had given up" in told
    assert MENU["crash"].words not in told
    assert all(line in told for line in TIMELINES["netsuite salesOrder-0"])
    assert "tieout rehearse --seed 17 --faults lost_reply,late_apply --halved 3" in told
    assert f"tieout {__version__}, landscape northwind da439d7d50d1" in told
    assert "aaaa" not in told


def test_what_did_not_happen_again_is_not_blamed_on_anything() -> None:
    told = "\n".join(failure(ASKED, FAILED, replace(LEAST, verdict=FAILED, repeats=False)))
    assert "did not happen again" in told
    assert "It needs" not in told


def test_what_needs_no_trouble_says_so() -> None:
    calm = replace(LEAST.verdict, script=replace(LEAST.script, rates={}))
    told = "\n".join(failure(ASKED, FAILED, replace(LEAST, verdict=calm)))
    assert "It needs no trouble at all" in told
    assert "--faults none" in told


def test_a_seed_that_did_not_come_to_its_end_is_a_defect_and_says_which() -> None:
    ended = Verdict(SCRIPT, ended="Traceback:\n  ZeroDivisionError: division by zero")
    told = "\n".join(failure(ASKED, ended, None))
    assert "defect of Tieout or of this rehearsal" in told
    assert "ZeroDivisionError: division by zero" in told
    assert f"({NOT_ENDED})" not in told
    assert "with these kinds of trouble" in told


def test_a_second_promise_that_the_least_does_not_break_is_told_as_well() -> None:
    lost = Broken("P1", "an event that we acknowledged is not in the register", ("crm.Deal 7",))
    told = "\n".join(failure(ASKED, replace(FAILED, broken=(TWICE, lost)), LEAST))
    assert "Seed 17 broke 2 promises." in told
    assert "crm.Deal 7" in told


def test_the_command_says_what_is_not_as_usual() -> None:
    asked = replace(ASKED, hours=6.5, halved=1, options="--landscape 'my books'")
    assert again(asked, FAILED, LEAST) == (
        "tieout rehearse --landscape 'my books' --seed 17 --faults lost_reply,late_apply "
        "--hours 6.5 --halved 4"
    )
    assert again(ASKED, FAILED, None) == (
        "tieout rehearse --seed 17 --faults lost_reply,late_apply,crash,period_close"
    )


def test_sentences_fit_a_terminal() -> None:
    long = replace(TWICE, words=" ".join(["a document"] * 40))
    for line in failure(ASKED, replace(FAILED, broken=(long,)), None):
        assert len(line) <= WIDTH


def test_a_good_end_says_what_it_bounds_and_what_was_met() -> None:
    verdicts = tuple(held(seed, lost_reply=3, crash=seed % 2) for seed in range(1, 201))
    told = "\n".join(words(Told(ASKED, verdicts, {}, 61.0)))
    assert (
        "Every promise held in 200 seeds of 24 hours, with 21,500 events in all (61 s):\n"
        "20,000 changes at the sources, 800 deliveries, 700 troubles.\n"
    ) in told
    assert (
        "Zero failures in 200 seeds bounds the failure rate at 3/200 (1.5 %) with 95 % confidence."
    ) in told
    assert re.search(r"^lost_reply +600 +200  the request was carried out", told, re.M)
    assert re.search(r"^crash +100 +100  a worker died", told, re.M)
    assert re.search(
        r"200 seeds drew it and it did not come to that; it needs a target with accounting "
        r"periods: +period_close",
        told,
    )
    assert re.search(r"no seed drew it: +duplicate, delay, ", told)
    assert re.search(r"^dispatch .*6000 †400", told, re.M)


def test_a_few_seeds_bound_nothing() -> None:
    assert "say little" in bound(1)
    assert "3/3000 (0.1 %)" in bound(3000)


def test_after_failures_it_is_said_how_many_held() -> None:
    told = Told(ASKED, (held(16), FAILED), {17: LEAST}, 3.0)
    assert words(told)[-1] == "1 of 2 seeds held. 198 more were not played."
    assert not any("Every promise held" in line for line in words(told))


def test_coverage_is_the_sum_of_the_seeds() -> None:
    found = covered([held(1, crash=2), held(2, crash=0), held(3)])
    assert (found.seeds, found.events, found.ticks) == (3, 300 + 3 * 4 + 2, 150)
    assert (found.changes, found.deliveries) == (300, 12)
    assert (found.struck["crash"], found.met["crash"], found.drawn["crash"]) == (2, 1, 3)
    assert found.by_point["before_send"] == (90, 6)
    assert list(found.by_point) == list(POINTS)
    assert set(never_met(found, ["crash", "slow"])) == {"slow"}


def test_every_point_and_stage_has_its_cell() -> None:
    lines = point_lines(covered([held(1)]))
    assert lines[0].split() == list(POINTS)
    assert lines[1].split() == ["dispatch", *["."] * 4, "30", "†2", *["."] * 3]
    assert lines[2].split() == ["resolve", ".", "7", *["."] * 6]
    assert lines[3].split()[0] == "all"
    assert point_lines(covered([])) == []


def test_columns_stand_under_each_other() -> None:
    assert aligned([("a", "1"), ("long", "100")], right=(1,)) == ["a       1", "long  100"]


def test_the_promises_are_those_of_the_page() -> None:
    page = (DOCS / "promises.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (P\d+) \| ([^|]+?) \|", page, re.M))
    assert told
    for promise, text in told.items():
        if promise in PROMISES and promise != "P7":
            assert PROMISES[promise] == f"{text}."
    assert PROMISES["P7"].startswith(told["P7"])


def test_what_troubles_need_is_about_troubles_there_are() -> None:
    assert set(NEEDS) <= set(MENU)


@pytest.mark.parametrize("shrunk", [{17: LEAST}, {}])
def test_a_machine_reads_the_same(shrunk: dict[int, Shrunk]) -> None:
    told = json.loads(json.dumps(as_json(Told(ASKED, (held(16, slow=2), FAILED), shrunk, 3.0))))
    assert told["held"] is False
    assert told["seeds"] == {"asked": 200, "played": 2, "failed": 1}
    assert told["landscape_hash"] == ASKED.content_hash
    (one,) = told["failures"]
    assert one["seed"] == 17
    assert one["faults"] == (["lost_reply", "late_apply"] if shrunk else list(SCRIPT.rates))
    assert one["drawn"] == list(SCRIPT.rates)
    assert one["broken"][0]["keys"] == list(TWICE.keys)
    assert one["again"].startswith("tieout rehearse --seed 17")
    assert bool(one["timelines"]) is bool(shrunk)
    assert told["coverage"]["faults"]["slow"] == {"times": 2, "in_seeds": 1, "drawn": 0}
    assert "slow" not in told["coverage"]["never_met"]
    assert told["coverage"]["points"]["before_send"] == {"reached": 30, "died": 2}
    assert told["digests"]["16"] == "d16"
