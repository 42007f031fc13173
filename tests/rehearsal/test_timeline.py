"""What is told of a broken key: a seed that is really played, a promise broken on purpose."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tieout.landscape.examples import example
from tieout.rehearsal import trial
from tieout.rehearsal.cast import Cast, open_cast
from tieout.rehearsal.invariants.base import Invariant
from tieout.rehearsal.invariants.register import dispatched
from tieout.rehearsal.scene import Broken, Scene
from tieout.rehearsal.script import draw
from tieout.rehearsal.server import private_server
from tieout.rehearsal.timeline import MOST_KEYS, MOST_LINES, timelines
from tieout.rehearsal.trial import Result, rehearse

SCRIPT = replace(draw(11, [], 1.0).halved().halved(), rates={"lost_reply": 0.25, "duplicate": 0.5})


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    with (
        private_server("quote_to_cash") as server,
        open_cast(example("quote_to_cash"), "", server, "timeline") as ready,
    ):
        yield ready


def planted(scene: Scene) -> list[Broken]:
    """A document whose first reply was lost, its record, a row that people made, and nothing."""
    unanswered = {
        row[0]
        for row in scene.connection.execute(
            "SELECT dispatch_id FROM attempts WHERE kind = 'send' AND attempt_no = 1 "
            "AND outcome = 'Unknown'"
        ).fetchall()
    }
    most = next(
        one
        for one in dispatched(scene)
        if one.system == "netsuite" and one.action == "create" and one.dispatch_id in unanswered
    )
    (record,) = scene.connection.execute(
        "SELECT record_key FROM documents WHERE document_id = %s", (most.document_id,)
    ).fetchone() or ("",)
    deed = scene.deeds[0]
    return [
        Broken("P2", "as planted", (f"netsuite {most.reference}", record)),
        Broken("P1", "as planted", (f"{deed.system}.{deed.stream} {deed.key}", "no such thing")),
    ]


@pytest.fixture(scope="module")
def told(cast: Cast) -> Mapping[str, tuple[str, ...]]:
    return play(cast).timelines


def play(cast: Cast) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "ALL", {"P2": Invariant("P2", planted, ("rest",))})
        return rehearse(cast, SCRIPT)


def test_a_document_is_told_from_the_deed_to_the_proof(told: Mapping[str, tuple[str, ...]]) -> None:
    document, record, _, nothing = told.values()
    for wanted in (
        r"people saved salesforce\.\w+ ",
        r"arrived: salesforce\.\w+ .* → recorded",
        r"recorded: \w+ version 1",
        r"dispatch \d+ planned: create netsuite\.\w+ ",
        r"dispatch \d+ send 1 to netsuite: Unknown",
        r"on the line to netsuite: the request was carried out, its answer was lost",
        r"netsuite carried out: create ",
        r"dispatch \d+ read back .*: agrees",
    ):
        assert any(re.search(wanted, line) for line in document), (wanted, document)
    assert document == record
    assert nothing == ()


def test_it_is_in_order_and_in_the_rehearsals_time(told: Mapping[str, tuple[str, ...]]) -> None:
    for lines in told.values():
        times = [line[:14] for line in lines]
        assert times == sorted(times)
        assert all(re.fullmatch(r"0[23]-\d\d \d\d:\d\d:\d\d", time) for time in times)
        assert len(lines) <= MOST_LINES + 1


def test_the_same_seed_tells_the_same(cast: Cast, told: Mapping[str, tuple[str, ...]]) -> None:
    assert play(cast).timelines == told


def test_a_seed_is_the_same_whatever_was_played_before(cast: Cast) -> None:
    """The calls that a seed counted and did not write down once made the next one another."""
    other = replace(SCRIPT, seed=12)
    first = rehearse(cast, SCRIPT).trace.digest
    rehearse(cast, other)
    assert rehearse(cast, SCRIPT).trace.digest == first


def test_keys_and_lines_are_bounded_and_troubles_around_are_told(cast: Cast) -> None:
    began = dt.datetime(2028, 2, 28, 22, tzinfo=dt.UTC)
    noise = [
        (began + dt.timedelta(milliseconds=10 * n), f"crash worker-{n} at flow")
        for n in range(9_000)
    ]

    def check(scene: Scene) -> list[Broken]:
        (key, *_), *_ = (one.keys for one in planted(scene))
        names = tuple(f"nothing {n}" for n in range(MOST_KEYS))
        found = timelines(scene, [Broken("P2", "as planted", (key, *names))], noise)
        assert len(found) == MOST_KEYS
        assert len(found[key]) == MOST_LINES + 1
        assert sum("lines left out)" in line for line in found[key]) == 1
        assert any("meanwhile: a worker died (worker-" in line for line in found[key])
        seen.append(key)
        return []

    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "ALL", {"P2": Invariant("P2", check, ("rest",))})
        assert rehearse(cast, SCRIPT).held
    assert seen
