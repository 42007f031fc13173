"""A person agrees to the content of a record, or does not; nobody else and nothing else counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import net_invoiced, order, planned, totals
from tieout.engine.replay import replay
from tieout.store import approvals
from tieout.store.approvals import Approval, NotDecided

FLOW = "flows/quote_to_cash.yaml"
BOOKING = "  - {write: sales_order, to: anaplan"
ASK = (
    '  - {approve: sales_order, when: "total > money(30, currency)", by: controllers, '
    "within: 2 business days, escalate: finance_checker}\n"
)


def asking(step: str = ASK) -> dict[str, tuple[str, str]]:
    """The demo, with this step before the plan is told."""
    return {FLOW: (BOOKING, step + BOOKING)}


@pytest.fixture
def home(database_url: str, tmp_path: Path) -> Iterator[House]:
    with house(database_url, changed_landscape(tmp_path, asking())) as made:
        yield made


@pytest.fixture
def undoing(database_url: str, tmp_path: Path) -> Iterator[House]:
    changed_landscape(tmp_path, asking())
    changes = {FLOW: ("closed_period: hold", "on_reject: undo\nclosed_period: hold")}
    with house(database_url, changed_landscape(tmp_path, changes)) as made:
        yield made


def open_questions(home: House) -> list[Approval]:
    with home.connection() as connection:
        return approvals.asked(connection)


def answer(home: House, one: Approval, said: approvals.Decision, who: str = "elena") -> None:
    with home.connection() as connection:
        approvals.decide(connection, one, said, who, "seen")


def test_a_small_order_asks_nobody(home: House) -> None:
    order(home, "10")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.one("SELECT count(*) FROM approvals") == 0


def test_a_large_order_pauses_until_somebody_agrees(home: House) -> None:
    order(home, "100")
    home.run()
    assert home.run_states() == ["paused"]
    assert planned(home) == 0
    assert home.open_cases() == []
    (one,) = open_questions(home)
    assert (one.asks, one.amount, one.maker) == ("controller", 200, "")
    answer(home, one, "approved")
    home.run()
    assert home.run_states() == ["complete"]
    assert planned(home) == 200
    assert home.one("SELECT result FROM run_steps WHERE step LIKE 'approve%%'") == (
        "approved by elena"
    )
    assert home.one("SELECT count(*) FROM actions WHERE verb = 'approve'") == 1
    with pytest.raises(NotDecided, match="no longer open"):
        answer(home, one, "declined")


def test_changed_content_voids_what_was_asked_and_what_was_given(home: House) -> None:
    deal = order(home, "100")
    home.run()
    (first,) = open_questions(home)
    home.seller.reprice(deal, "120")
    home.run()
    with pytest.raises(NotDecided, match="has changed"):
        answer(home, first, "approved")
    (second,) = open_questions(home)
    assert second.approval_id != first.approval_id
    answer(home, second, "approved")
    home.run()
    assert home.run_states() == ["complete"]
    home.seller.reprice(deal, "150")
    home.run()
    assert home.run_states() == ["paused"], "what was given was about another amount"
    assert len(open_questions(home)) == 1
    assert planned(home) == 240
    home.seller.reprice(deal, "10")
    home.run()
    assert home.run_states() == ["complete"], "small by now: nobody need be asked"
    assert open_questions(home) == []


def test_a_declined_order_is_held_until_its_content_changes_or_it_is_asked_again(
    home: House,
) -> None:
    order(home, "100")
    home.run()
    answer(home, open_questions(home)[0], "declined")
    home.run()
    assert home.run_states() == ["held"]
    assert [reason for reason, _ in home.open_cases()] == ["declined"]
    assert planned(home) == 0
    replay(home.engine, reason="declined")
    home.run()
    assert home.run_states() == ["paused"]
    answer(home, open_questions(home)[0], "approved")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def test_a_declined_order_is_taken_back_where_the_flow_says_so(undoing: House) -> None:
    order(undoing, "100")
    undoing.run()
    assert net_invoiced(undoing) == 200
    answer(undoing, open_questions(undoing)[0], "declined")
    undoing.run()
    assert undoing.run_states() == ["undone"], undoing.story()
    assert net_invoiced(undoing) == 0
    assert planned(undoing) == 0
    assert undoing.open_cases() == []
    assert undoing.one("SELECT mode FROM runs") == "reject"


def test_an_order_that_leaves_is_no_longer_asked_about(home: House) -> None:
    deal = order(home, "100")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert home.run_states() == ["undone"]
    assert open_questions(home) == []


def test_an_answer_that_takes_too_long_is_a_case_that_changes_hands(home: House) -> None:
    """Asked on a Monday: late on Wednesday, and for somebody else from Friday."""
    order(home, "100")
    home.run()
    day = 24 * 3600.0
    home.go_on(1.9 * day)
    assert home.open_cases() == []
    home.go_on(0.2 * day)
    assert [reason for reason, _ in home.open_cases()] == ["approval"]
    assert home.one("SELECT owner FROM cases WHERE state = 'open'") == "controllers"
    assert open_questions(home)[0].may_decide == ("controller",)
    home.go_on(2 * day)
    assert home.one("SELECT owner FROM cases WHERE state = 'open'") == "finance checker"
    assert open_questions(home)[0].may_decide == ("controller", "finance checker")
    answer(home, open_questions(home)[0], "approved", "dev")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def test_the_maker_is_known_and_is_not_the_checker(database_url: str, tmp_path: Path) -> None:
    step = "  - {approve: sales_order, by: controllers, maker: \"'elena@northwind.example'\"}\n"
    with house(database_url, changed_landscape(tmp_path, asking(step))) as home:
        order(home, "1")
        home.run()
        (one,) = open_questions(home)
        assert one.maker == "elena"
        with pytest.raises(psycopg.errors.CheckViolation, match="maker_is_not_checker"):
            answer(home, one, "approved", "elena")
        answer(home, one, "approved", "dev")
        home.run()
        assert home.run_states() == ["complete"]


def test_a_condition_that_nobody_can_answer_asks(database_url: str, tmp_path: Path) -> None:
    step = '  - {approve: sales_order, when: "CAST(NULL AS BOOLEAN)", by: elena}\n'
    with house(database_url, changed_landscape(tmp_path, asking(step))) as home:
        order(home, "1")
        home.run()
        assert home.run_states() == ["paused"]
        assert open_questions(home)[0].asks == "elena"


def test_one_question_stands_however_often_it_is_asked(home: House) -> None:
    order(home, "100")
    home.run()
    one = open_questions(home)[0]
    for _ in range(3):
        home.rows("UPDATE runs SET state = 'ready' RETURNING 1")
        home.run()
    assert [again.approval_id for again in open_questions(home)] == [one.approval_id]
    assert len(totals(home, "invoice")) == 1
