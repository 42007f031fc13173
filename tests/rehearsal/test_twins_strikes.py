"""What an understudy can suffer, and what fence and look make of all of it together."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rehearsal.understudies import (
    IN_FLIGHT_SECONDS,
    KEY_LIFETIME_SECONDS,
    LAG_SECONDS,
    Following,
    Plain,
    Whole,
    entry,
    find,
    once,
    pair,
)
from tieout import clock
from tieout.finance.outcome import (
    Accepted,
    AlreadyThere,
    Busy,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Job, Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.opening import open_session
from tieout.rehearsal.line import Line
from tieout.rehearsal.twins.base import Unplayable
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def world() -> Iterator[SeededWorld]:
    with clock.world(SeededWorld("strikes", START)) as made:
        assert isinstance(made, SeededWorld)
        yield made


# --- strikes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("grade", ["A", "B", "C"])
def test_partial_refuses_some_of_one_batch_in_a_good_answer_and_a_repeat_cures_it(
    grade: str, world: SeededWorld
) -> None:
    twin, connector, at = pair()
    assert twin.strike("partial", random.Random(3))
    writes = [entry(number) for number in range(12)]
    outcomes = connector.write(at, f"entry_{grade}", writes)
    kinds = {type(one) for one in outcomes}
    assert Written in kinds
    assert kinds & {Busy, Unknown}
    assert (Unknown in kinds) is (grade == "B"), "only a remembered key replays an error"
    again = [one for one, was in zip(writes, outcomes, strict=True) if not isinstance(was, Written)]
    if grade == "B":
        unknown = [
            one for one, was in zip(writes, outcomes, strict=True) if isinstance(was, Unknown)
        ]
        replayed = connector.write(at, "entry_B", unknown)
        assert {type(one) for one in replayed} == {Unknown}, "a stored error is replayed"
        there = connector.find(at, "entry_B", again)
        world.sleep(KEY_LIFETIME_SECONDS)
        there = connector.find(at, "entry_B", again)
        again = [one for one in again if there[one.write_key] is None]
    assert {type(one) for one in connector.write(at, f"entry_{grade}", again)} <= {Written}
    assert len(twin.effects()) == len(writes)


def test_heal_ends_what_was_planted() -> None:
    twin, connector, at = pair()
    twin.strike("partial", random.Random(3))
    twin.heal()
    assert isinstance(once(connector, at, "entry_A", entry(1)), Written)


def test_a_forgotten_key_makes_a_double_of_a_repeat() -> None:
    twin, connector, at = pair()
    assert not twin.strike("forgotten_key", random.Random(1)), "there was none to forget"
    once(connector, at, "entry_B", entry(1))
    assert "1" in twin.strike("forgotten_key", random.Random(1))
    once(connector, at, "entry_B", entry(1))
    assert len(twin.effects()) == 2


def test_a_closed_period_takes_nothing_until_it_is_reopened() -> None:
    twin, connector, at = pair()
    assert not twin.strike("period_close", random.Random(1)), "no period is in use"
    made = once(connector, at, "entry_A", entry(1))
    assert "2026-02" in twin.strike("period_close", random.Random(1))
    states = {one.name: one.state for one in connector.periods(at)}
    assert (states["2026-02"], states["2026-03"]) == ("closed", "open")
    for refused in (
        entry(2),
        entry(1, "11.00", "change"),
        entry(1, action="void"),
        entry(1, "11.00", "change", day="2026-03-01", revision=2),
    ):
        outcome = once(connector, at, "entry_A", refused)
        assert isinstance(outcome, Rejected)
        assert outcome.detail.code == "period_closed"
    assert isinstance(once(connector, at, "entry_A", entry(3, day="2026-03-01")), Written)
    assert twin.reopen() == ["2026-02"]
    assert isinstance(once(connector, at, "entry_A", entry(2)), Written)
    assert isinstance(made, Written)
    assert not any(one.closed for one in twin.applied())


def test_a_restore_loses_documents_and_changes_but_not_what_is_known_of_them() -> None:
    twin, connector, at = pair()
    for number in range(8):
        once(connector, at, "entry_A", entry(number))
    once(connector, at, "entry_A", entry(0, "99.00", "change"))
    once(connector, at, "entry_A", entry(9))
    assert twin.strike("restore", random.Random(2)).startswith("books was restored")
    kept = {one.reference: one.facts["amount"] for one in twin.effects()}
    assert "entry-9" not in kept
    assert kept.get("entry-0", "10.00") == "10.00"
    assert len(twin.applied()) == 10
    shown = connector.read(at, "entry_A", "").items
    assert {one.key for one in shown} <= {one.target_id for one in twin.effects()}
    assert isinstance(once(connector, at, "entry_A", entry(9, revision=2)), Written)


def test_a_row_that_is_stored_late_is_passed_by_and_found_by_a_sweep(world: SeededWorld) -> None:
    twin, connector, at = pair(hooks=())
    began = clock.now()
    twin.put("customer", {"id": "N-1", "name": "read already"})
    first = connector.read(at, "customer", "")
    assert [one.key for one in first.items] == ["N-1"]
    for number in range(2, 9):
        twin.put("customer", {"id": f"N-{number}", "name": "fresh"})
    assert twin.strike("late_commit", random.Random(1)).startswith("books stores customer N-")
    second = connector.read(at, "customer", first.cursor)
    third = connector.read(at, "customer", second.cursor)
    shown = {one.key for one in (*second.items, *third.items)}
    late = {f"N-{number}" for number in range(2, 9)} - shown
    assert len(late) == 3
    marks = connector.marks
    assert not late & {one.key for one in marks(at, "customer", began, "").marks}
    assert late <= set(twin.rows("customer")), "who made it sees it"
    world.sleep(600)
    polled = {one.key for one in connector.read(at, "customer", third.cursor).items}
    assert late - polled, "the overlap finds some of them"
    assert late <= {one.key for one in marks(at, "customer", began, "").marks}
    assert {one.key for one in connector.fetch(at, "customer", sorted(late))} == late
    assert twin.strike("late_commit", random.Random(1)) == "", "nothing is new"


def test_a_row_that_is_stored_late_is_there_when_the_faults_are_over() -> None:
    twin, connector, at = pair(hooks=())
    twin.put("customer", {"id": "N-1", "name": "fresh"})
    assert twin.strike("late_commit", random.Random(1))
    assert connector.read(at, "customer", "").items == ()
    twin.heal()
    assert [one.key for one in connector.read(at, "customer", "").items] == ["N-1"]


def test_only_what_the_system_can_suffer_is_offered() -> None:
    plain = Understudy("books", Plain())
    assert plain.strikes == {"partial", "restore", "forgotten_key"}
    assert Understudy("books", Whole()).strikes == plain.strikes | {"period_close", "late_commit"}
    with pytest.raises(ValueError, match="period_close"):
        plain.strike("period_close", random.Random(1))


def test_jobs_end_by_themselves(world: SeededWorld) -> None:
    twin, connector, at = pair(Following())
    write = entry(1)
    accepted = once(connector, at, "entry_A", write)
    assert isinstance(accepted, Accepted)
    job = Job(accepted.handle, (write,))
    assert isinstance(connector.follow(at, "entry_A", [job])[0][0], Accepted)
    assert not twin.effects()
    world.sleep(accepted.look_after_seconds)
    assert isinstance(connector.follow(at, "entry_A", [job])[0][0], Written)
    strange = connector.follow(at, "entry_A", [Job("nobody", (write,))])[0][0]
    assert isinstance(strange, Unknown)
    assert len(twin.effects()) == 1


def test_rows_that_nobody_can_make_are_unplayable() -> None:
    twin, _, _ = pair()
    with pytest.raises(Unplayable):
        twin.put("nothing", {})


# --- all of it together -------------------------------------------------------------------------


def story(seed: int) -> list[object]:
    """Writes over a line with every fault, repeated after their fence until they are found."""
    told: list[object] = []
    with clock.world(SeededWorld(str(seed), START)) as world:
        assert isinstance(world, SeededWorld)
        real = Whole()
        twin, connector = Understudy("books", real), UnderstudyConnector(real)
        late = IN_FLIGHT_SECONDS - LAG_SECONDS
        line = Line(
            twin,
            random.Random(seed),
            dict.fromkeys(("busy", "lost_reply", "lost_request", "late_apply", "slow"), 0.2),
            late_seconds=late,
            on_exchange=lambda *said: told.append(said),
        )
        at = open_session("books", connector, {}, {}, [], transport=line)
        for number in range(30):
            write = entry(number)
            for stream in ("entry_A", "entry_B"):
                _until_it_is_there(connector, at, world, stream, write)
        line.flush()
        told += [*twin.effects(), *twin.applied()]
        references = [(one.stream, one.reference) for one in twin.effects()]
        assert len(references) == len(set(references)) == 60
    return told


def _until_it_is_there(
    connector: UnderstudyConnector, at: Any, world: SeededWorld, stream: str, write: Write
) -> None:
    for _ in range(50):
        outcome = once(connector, at, stream, write)
        if isinstance(outcome, Written | AlreadyThere):
            return
        for _ in range(50):
            world.sleep(IN_FLIGHT_SECONDS)
            try:
                found = find(connector, at, stream, write)
            except (NoAnswer, VendorFault):
                continue
            if found is not None:
                return
            break
    raise AssertionError(f"{write.reference} never came to be")


def test_fence_and_look_make_one_document_each_whatever_the_line_does_and_always_the_same() -> None:
    for seed in range(3):
        assert story(seed) == story(seed)
