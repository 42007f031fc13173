"""A dry run says who would be asked, what would be waited for, and what a rule would stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.house import changed_landscape, house
from tests.engine.test_calls import calling
from tests.engine.test_flow import order
from tests.engine.test_reprocess import again, edit, looked
from tieout.engine.reprocess_planned import WRITES, DocumentSeen
from tieout.engine.reprocess_preview import Preview

FLOW = "flows/quote_to_cash.yaml"
BOOKING = "  - {write: sales_order, to: anaplan"
DOUBLED = (
    ("round_to(Amount, 2)", "round_to(Amount * 2, 2)"),
    ("round_to(TotalPrice, 2)", "round_to(TotalPrice * 2, 2)"),
    ("round_to(UnitPrice, 4)", "round_to(UnitPrice * 2, 4)"),
)
ASK = (
    '{approve: sales_order, when: "total > money(30, currency)", by: controllers, '
    "within: 2 business days, escalate: finance_checker}"
)


def gated(step: str) -> dict[str, tuple[str, str]]:
    """The demo, with this step before the plan is told."""
    return {FLOW: (BOOKING, f"  - {step}\n{BOOKING}")}


def gates(seen: Preview) -> list[DocumentSeen]:
    return [one for one in seen.documents if one.move in {"waits", "held"}]


def written(seen: Preview) -> set[str]:
    return {one.system for one in seen.documents if one.move in WRITES}


@pytest.mark.parametrize(
    ("step", "verb", "why"),
    [
        ('{require: small, must: "total < money(150, currency)", because: Too big.}', "require",
         "Too big."),
        ("{call: is_small, with: {total: total}}", "call", "says no"),
    ],
)  # fmt: skip
def test_what_a_rule_would_stop_is_held_and_nothing_behind_it_is_written(
    database_url: str, tmp_path: Path, step: str, verb: str, why: str
) -> None:
    with house(database_url, calling(tmp_path, step)) as home:
        deal = order(home, "40")
        home.run()
        assert home.run_states() == ["complete"]
        assert gates(looked(home, ids=[deal])) == []
        edit(home, *DOUBLED)
        seen = looked(home, ids=[deal])
        (gate,) = gates(seen)
        assert (gate.move, gate.stream) == ("held", verb)
        assert why in gate.why
        assert written(seen) == {"netsuite"}, "the plan comes after the rule"
        assert home.open_cases() == []
        again(home, ids=[deal])
        home.run()
        assert [reason for reason, _ in home.open_cases()] == [verb], "as the dry run said"


def test_who_would_be_asked_is_said_and_nobody_is(database_url: str, tmp_path: Path) -> None:
    with house(database_url, changed_landscape(tmp_path, gated(ASK))) as home:
        deal = order(home, "10")
        home.run()
        edit(home, *DOUBLED)
        seen = looked(home, ids=[deal])
        (gate,) = gates(seen)
        assert (gate.move, gate.stream, gate.why) == ("waits", "approve", "controllers to agree")
        assert {one.system for one in seen.documents if one.once} == {"anaplan", "salesforce"}
        assert home.one("SELECT count(*) FROM approvals") == 0
        again(home, ids=[deal])
        home.run()
        assert home.run_states() == ["paused"]
        (gate,) = gates(looked(home, ids=[deal]))
        asked = home.one("SELECT approval_id FROM approvals")
        assert gate.why == f"approval:{asked} by controllers", "the question that stands"


def test_what_would_be_waited_for_is_said(database_url: str, tmp_path: Path) -> None:
    step = "{wait: 2 hours}"
    with house(database_url, changed_landscape(tmp_path, gated(step))) as home:
        deal = order(home, "10")
        home.run()
        home.go_on(2.1 * 3600)
        home.run()
        assert home.run_states() == ["complete"], home.story()
        edit(home, *DOUBLED)
        seen = looked(home, ids=[deal])
        (gate,) = gates(seen)
        assert (gate.move, gate.stream) == ("waits", "wait")
        assert "Europe/" in gate.why
        (plan,) = [one for one in seen.documents if one.system == "anaplan"]
        assert plan.move == "change"
        assert plan.once == gate.why


def test_an_approval_that_stands_is_no_gate(database_url: str, tmp_path: Path) -> None:
    with house(database_url, changed_landscape(tmp_path, gated(ASK))) as home:
        deal = order(home, "10")
        home.run()
        seen = looked(home, ids=[deal])
        assert gates(seen) == []
        assert [one for one in seen.documents if one.once] == []
