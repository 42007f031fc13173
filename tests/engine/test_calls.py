"""call: a function of the landscape judges a record. What it said is kept; it has no effect, so it
may be asked again at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import order, planned
from tieout.engine.replay import replay

FLOW = "flows/quote_to_cash.yaml"
BOOKING = "  - {write: sales_order, to: anaplan"
FUNCTIONS = """

def too_large(total: Decimal, number: str) -> str | None:
    if total == 666:
        raise ValueError(f"{number} is not to be judged")
    if total == 5:
        return ""
    if total == 7:
        return "x" * 5_000
    return f"{number} is above the limit" if total > 100 else None


def is_small(total: Decimal) -> bool:
    return total <= 100


def unsure(total: Decimal | None) -> bool:
    return total
"""
TOO_LARGE = "{call: too_large, with: {total: total, number: number}, because: Credit limit.%s}"


def calling(folder: Path, step: str) -> Any:
    """The demo, with this step before the plan is told."""
    changed_landscape(folder, {})
    functions = folder / "landscape" / "functions.py"
    head = "from decimal import Decimal\n\nLONGEST = 21"
    functions.write_text(functions.read_text().replace("LONGEST = 21", head) + FUNCTIONS)
    return changed_landscape(folder, {FLOW: (BOOKING, f"  - {step}\n{BOOKING}")})


def said(home: House) -> list[tuple[str, str]]:
    found = home.rows("SELECT state, result FROM run_steps WHERE step LIKE 'call%%' ORDER BY 1")
    return [(str(state), str(result)) for state, result in found]


def test_a_call_that_has_nothing_to_say_passes_and_one_that_does_holds(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, calling(tmp_path, TOO_LARGE % "")) as home:
        deal = order(home, "100")
        home.run()
        assert home.run_states() == ["held"], home.story()
        assert home.open_cases() == [("call", "call too_large")]
        assert home.one("SELECT words FROM cases WHERE state = 'open'") == (
            "10248 is above the limit (Credit limit.)"
        )
        assert said(home) == [("held", "10248 is above the limit")]
        assert planned(home) == 0
        home.seller.reprice(deal, "10")
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert home.open_cases() == []
        assert said(home) == [("done", "nothing")]
        assert planned(home) == 20


def test_yes_and_no(database_url: str, tmp_path: Path) -> None:
    step = "{call: is_small, with: {total: total}}"
    with house(database_url, calling(tmp_path, step)) as home:
        deal = order(home, "100")
        home.run()
        assert home.run_states() == ["held"]
        assert said(home) == [("held", "False")]
        home.seller.reprice(deal, "10")
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert said(home) == [("done", "True")]


@pytest.mark.parametrize(("price", "words"), [("2.5", "says"), ("3.5", "x"), ("333", "judged")])
def test_whatever_a_function_answers_is_a_case_with_words(
    database_url: str, tmp_path: Path, price: str, words: str
) -> None:
    """An empty text, a long one, an exception: a person reads what it was, others go on."""
    with house(database_url, calling(tmp_path, TOO_LARGE % "")) as home:
        order(home, price)
        home.seller.deal("10249", home.seller.account("B"), home.seller.product("NW-2"))
        home.run()
        assert sorted(home.run_states()) == ["complete", "held"], home.story()
        (told,) = home.rows("SELECT words, owner FROM cases WHERE state = 'open'")
        assert words in told[0]
        assert len(told[0]) < 1_000
        assert told[1] == "revenue-operations"


def test_replay_asks_again_and_what_was_written_stays_one(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, calling(tmp_path, TOO_LARGE % "")) as home:
        order(home, "100")
        home.run()
        before = home.one("SELECT count(*) FROM dispatches")
        case_id = home.one("SELECT case_id FROM cases WHERE state = 'open'")
        for _ in range(2):
            replay(home.engine, case_ids=[case_id])
            home.run()
        assert home.run_states() == ["held"]
        assert home.one("SELECT count(*) FROM cases") == 1
        assert home.one("SELECT count(*) FROM dispatches") == before
        assert len(home.table("netsuite", "invoice")) == 1


def test_a_held_call_that_nobody_looks_at_changes_hands(database_url: str, tmp_path: Path) -> None:
    step = TOO_LARGE % ", within: 1 day, escalate: finance_checker"
    with house(database_url, calling(tmp_path, step)) as home:
        order(home, "100")
        home.run()
        assert home.rows("SELECT owner FROM cases") == [("revenue-operations",)]
        home.go_on(24 * 3600.0 * 1.1)
        assert home.rows("SELECT owner FROM cases") == [("revenue-operations",)]
        home.go_on(24 * 3600.0)
        assert home.rows("SELECT owner FROM cases WHERE state = 'open'") == [("finance checker",)]
        assert home.one("SELECT count(*) FROM cases") == 1


def test_what_cannot_be_asked_is_no_consent(database_url: str, tmp_path: Path) -> None:
    """A function is not called without a value it must have: that says nothing for the record."""
    step = "{call: too_large, with: {total: total, number: \"nullif(number, '10248')\"}}"
    with house(database_url, calling(tmp_path, step)) as home:
        order(home, "10")
        home.run()
        assert home.run_states() == ["held"], home.story()
        assert said(home) == [("held", "too_large() cannot judge it: number is empty")]
