"""One row that nobody can work on stops no other, wherever it fails; it becomes somebody's case."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loopback.load import invoice
from tests.engine.loopback import Loopback, customers, loopback
from tieout.engine import planner, record_making
from tieout.engine.isolating import MOST_GIVEN_UP, in_parts
from tieout.rules.runner import RuleTooSlow
from tieout.store import intents

ROWS = 9
BAD = 4


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=MOST_GIVEN_UP))
def test_every_good_item_is_worked_on_once_and_every_bad_one_given_up(
    count: int, bad: set[int]
) -> None:
    done: list[int] = []
    given_up: list[int] = []

    def work(some: Sequence[int]) -> None:
        if bad & set(some):
            raise ValueError("one of them")
        done.extend(some)

    in_parts(range(count), work, lambda one, _: given_up.append(one))
    there = {one for one in bad if one < count}
    assert sorted(given_up) == sorted(there)
    assert len(done) == len(set(done))
    if len(there) < MOST_GIVEN_UP:
        assert set(done) == set(range(count)) - bad


def test_a_database_that_is_away_is_no_rows_fault() -> None:
    def work(some: Sequence[int]) -> None:
        raise psycopg.OperationalError("away")

    with pytest.raises(psycopg.OperationalError):
        in_parts([1, 2, 3], work, lambda one, error: pytest.fail(f"{one} was given up: {error}"))


def deliver(loop: Loopback, version: int = 1) -> None:
    loop.deliver(*customers("", list(range(20))))
    change = 20 * (version - 1)  # also other amounts
    loop.deliver(*(("invoice", invoice(f"i-{n}", n + change, version)) for n in range(ROWS)))


def states(loop: Loopback) -> dict[str, str]:
    """How each invoice's run stands, by source key."""
    rows = loop.rows(
        "SELECT h.source_key, r.state FROM runs r JOIN record_heads h USING (record_type, "
        "record_key) WHERE h.stream = 'invoice'"
    )
    return {str(key): str(state) for key, state in rows}


def open_cases(loop: Loopback) -> list[tuple[str, str]]:
    return [
        (str(key), str(words))
        for key, words in loop.rows("SELECT source_key, words FROM cases WHERE state = 'open'")
    ]


def test_a_row_that_cannot_be_resolved_is_a_case_and_the_others_go_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = record_making.digest_bytes

    def digest(body: bytes) -> str:
        if f'"number":"i-{BAD}"'.encode() in body or f'"i-{BAD}"'.encode() in body:
            raise RuleTooSlow("stopped")
        return real(body)

    with loopback(database_url) as loop:
        with monkeypatch.context() as patch:
            patch.setattr(record_making, "digest_bytes", digest)
            deliver(loop)
            loop.run()
        good = {f"i-{n}" for n in range(ROWS)} - {f"i-{BAD}"}
        assert states(loop) == dict.fromkeys(good, "complete")
        ((key, words),) = open_cases(loop)
        assert (key, "RuleTooSlow" in words) == (f"i-{BAD}", True)
        deliver(loop, version=2)
        loop.run()
        assert states(loop) == {f"i-{n}": "complete" for n in range(ROWS)}
        assert open_cases(loop) == []


def test_a_run_that_cannot_go_on_is_a_case_and_the_others_go_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = intents.target_of

    def target_of(document: intents.Document, action: str, generation: int) -> str:
        if document.reference == f"entry-i-{BAD}":
            raise ArithmeticError("out of all bounds")
        return real(document, action, generation)

    with loopback(database_url) as loop:
        with monkeypatch.context() as patch:
            patch.setattr(planner.intents, "target_of", target_of)
            deliver(loop)
            loop.run()
        told = states(loop)
        assert told.pop(f"i-{BAD}") == "held"
        assert set(told.values()) == {"complete"}
        ((_, words),) = open_cases(loop)
        assert "ArithmeticError" in words
        deliver(loop, version=2)
        loop.run()
        assert set(states(loop).values()) == {"complete"}
        assert open_cases(loop) == []
