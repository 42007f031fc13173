"""wait: for a length of time, until a date, or for a record that names this one. Nothing waits in
memory, and what a run waits for wakes it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import order, planned
from tieout.rules.place import BadLandscape

FLOW = "flows/quote_to_cash.yaml"
BOOKING = "  - {write: sales_order, to: anaplan"
DAY = 24 * 3600.0
HOUR = 3600.0
WELCOME = """flow: welcome
steward: revenue-operations
starts: {on: salesforce.Account, when: "TRUE"}
steps:
  - %s
  - {write: customer, to: netsuite, as: customer_to_netsuite, on_change: update, on_leave: undo}
"""
FIRST_ORDER = (
    "{wait: event, record: sales_order, refers: customer, within: 2 days, "
    "escalate: finance_checker}"
)


def waiting(step: str) -> dict[str, tuple[str, str]]:
    """The demo, with this step before the plan is told."""
    return {FLOW: (BOOKING, f"  - {step}\n{BOOKING}")}


def welcoming(folder: Path, step: str) -> Any:
    """The demo, and a flow of the customers that waits for something before its last step."""
    changed_landscape(folder, {})
    (folder / "landscape" / "flows" / "welcome.yaml").write_text(WELCOME % step)
    return changed_landscape(folder, {})


def state_of(home: House, flow: str) -> str:
    return str(home.one("SELECT state FROM runs WHERE flow = %s", flow))


def owner(home: House) -> list[str]:
    return [str(row[0]) for row in home.rows("SELECT owner FROM cases WHERE state = 'open'")]


# --- for a length of time ---


def test_a_length_of_time_counts_from_when_the_run_came_to_the_step(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, changed_landscape(tmp_path, waiting("{wait: 2 hours}"))) as home:
        order(home, "10")
        home.run()
        assert home.run_states() == ["paused"], home.story()
        assert planned(home) == 0
        since = home.one("SELECT started_at FROM run_steps WHERE step LIKE 'wait%%'")
        assert home.one("SELECT due_at FROM runs") - since < dt.timedelta(hours=2, seconds=1)
        home.go_on(1.9 * HOUR)
        assert home.run_states() == ["paused"]
        home.go_on(0.2 * HOUR)
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert planned(home) == 20
        assert "waited until 2026-03-02T10:" in home.one(
            "SELECT result FROM run_steps WHERE step LIKE 'wait%%'"
        )
        assert home.open_cases() == []


def test_an_amendment_does_not_begin_the_wait_again_and_the_new_content_is_told(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, changed_landscape(tmp_path, waiting("{wait: 2 hours}"))) as home:
        deal = order(home, "10")
        home.run()
        due = home.one("SELECT due_at FROM runs")
        home.clock.sleep(1.5 * HOUR)
        home.seller.reprice(deal, "25")
        home.run()
        assert home.run_states() == ["paused"]
        assert due <= home.one("SELECT due_at FROM runs") < due + dt.timedelta(seconds=1)
        assert planned(home) == 0
        home.go_on(0.6 * HOUR)
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert planned(home) == 50


def test_a_new_revision_waits_anew(database_url: str, tmp_path: Path) -> None:
    with house(database_url, changed_landscape(tmp_path, waiting("{wait: 2 hours}"))) as home:
        deal = order(home, "10")
        home.run()
        home.go_on(2.1 * HOUR)
        home.run()
        home.go_on(DAY)
        home.seller.reprice(deal, "25")
        home.run()
        assert home.run_states() == ["paused"]
        assert home.one("SELECT revision FROM runs") == 2
        assert planned(home) == 20
        home.go_on(2.1 * HOUR)
        home.run()
        assert home.run_states() == ["complete"]
        assert planned(home) == 50
        assert home.one("SELECT count(*) FROM runs") == 1


def test_business_days_leave_out_the_weekend(database_url: str, tmp_path: Path) -> None:
    """From Monday 2 March, 09:00 in Amsterdam: five of them end on Monday 9 March, 09:00."""
    step = "{wait: 5 business days}"
    with house(database_url, changed_landscape(tmp_path, waiting(step))) as home:
        order(home, "10")
        home.run()
        due = home.one("SELECT due_at FROM runs")
        assert (due.date(), due.hour) == (dt.date(2026, 3, 9), 8)
        home.go_on(6.9 * DAY)
        assert home.run_states() == ["paused"]
        home.go_on(0.2 * DAY)
        home.run()
        assert home.run_states() == ["complete"]


def test_a_wait_that_outlives_its_deadline_is_a_case_that_changes_hands(
    database_url: str, tmp_path: Path
) -> None:
    step = "{wait: 10 days, within: 2 days, escalate: finance_checker}"
    with house(database_url, changed_landscape(tmp_path, waiting(step))) as home:
        order(home, "10")
        home.run()
        home.go_on(1.9 * DAY)
        assert home.open_cases() == []
        home.go_on(0.2 * DAY)
        assert home.open_cases() == [("late", "wait 10 days")]
        assert owner(home) == ["revenue-operations"]
        assert home.run_states() == ["paused"], "a person knows; it still goes on by itself"
        home.go_on(2 * DAY)
        assert owner(home) == ["finance checker"]
        home.go_on(6 * DAY)
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert home.open_cases() == []
        assert home.one("SELECT count(*) FROM cases WHERE reason = 'late'") == 1


# --- until a date ---

FIRST_STEP = "  - {ensure: customer, in: netsuite"


def at_first(step: str) -> dict[str, tuple[str, str]]:
    """The demo, with this step before all others."""
    return {FLOW: (FIRST_STEP, f"  - {step}\n{FIRST_STEP}")}


def came_through(home: House) -> bool:
    return bool(home.one("SELECT count(*) FROM run_steps WHERE step_no = 0 AND state = 'done'"))


def test_a_date_begins_at_midnight_in_the_legal_entitys_zone(
    database_url: str, tmp_path: Path
) -> None:
    step = "{wait: until, date: ordered_on}"
    with house(database_url, changed_landscape(tmp_path, at_first(step))) as home:
        order(home, "10", CloseDate="2026-03-04")
        home.run()
        assert home.run_states() == ["paused"], home.story()
        assert home.one("SELECT due_at FROM runs") == dt.datetime(2026, 3, 3, 23, tzinfo=dt.UTC)
        assert home.one("SELECT waits_for FROM runs") == "2026-03-04 00:00 (Europe/Amsterdam)"
        home.go_on(1.6 * DAY)
        assert home.run_states() == ["paused"]
        home.go_on(0.1 * DAY)
        assert came_through(home), home.story()


def test_a_date_that_moves_moves_the_wait(database_url: str, tmp_path: Path) -> None:
    step = "{wait: 2 days, after: ordered_on}"
    with house(database_url, changed_landscape(tmp_path, at_first(step))) as home:
        deal = order(home, "10", CloseDate="2026-03-04")
        home.run()
        assert home.one("SELECT due_at FROM runs") == dt.datetime(2026, 3, 5, 23, tzinfo=dt.UTC)
        home.seller.change("Opportunity", deal, CloseDate="2026-03-10")
        home.run()
        assert home.one("SELECT due_at FROM runs") == dt.datetime(2026, 3, 11, 23, tzinfo=dt.UTC)
        home.seller.change("Opportunity", deal, CloseDate="2020-07-10")
        home.run()
        assert home.run_states() == ["complete"], home.story()


def test_no_date_is_a_case_that_the_source_heals(database_url: str, tmp_path: Path) -> None:
    step = '{wait: until, date: "CASE WHEN total > money(50, currency) THEN ordered_on END"}'
    with house(database_url, changed_landscape(tmp_path, waiting(step))) as home:
        deal = order(home, "10")
        home.run()
        assert home.run_states() == ["held"]
        assert [reason for reason, _ in home.open_cases()] == ["wait"]
        home.seller.reprice(deal, "30")
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert home.open_cases() == []


def test_a_length_that_no_calendar_holds_is_refused_where_it_stands(tmp_path: Path) -> None:
    step = "{wait: 2 hours, within: 999999 weeks}"
    with pytest.raises(BadLandscape, match="'within' of a 'wait' step is '999999 weeks'"):
        changed_landscape(tmp_path, waiting(step))


@pytest.mark.parametrize(
    "date",
    [
        "DATE '9999-12-31'",
        "DATE '9999-12-30'",
        "DATE '0001-01-01'",
        "CAST('12026-01-01' AS DATE)",
        "CAST('0044-03-15 (BC)' AS DATE)",
        "CAST('infinity' AS DATE)",
    ],
)
@pytest.mark.parametrize("kind", ["wait: until, date", "wait: 3 business days, after"])
def test_a_date_beyond_all_calendars_stops_only_its_own_record(
    database_url: str, tmp_path: Path, kind: str, date: str
) -> None:
    step = f"{{{kind}: \"CASE WHEN number = '10248' THEN {date} ELSE ordered_on END\"}}"
    with house(database_url, changed_landscape(tmp_path, waiting(step))) as home:
        order(home, "10")
        home.seller.deal("10249", home.seller.account("BLAUS"), home.seller.product("NW-2"))
        home.run()
        states = dict(
            home.rows(
                "SELECT d.number, r.state FROM runs r JOIN record_heads h USING (record_type, "
                "record_key) JOIN records d USING (record_type, record_key, version)"
            )
        )
        assert states["10249"] == "complete", home.story()
        assert states["10248"] in {"held", "paused", "complete"}
        past = "0001" in date or "BC" in date
        assert states["10248"] != "complete" or past, "a day that never comes has not come"


# --- for a record ---


def test_a_run_waits_for_the_record_that_names_its_own(database_url: str, tmp_path: Path) -> None:
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        account, product = home.seller.account(), home.seller.product()
        home.seller.account("OTHER")
        home.run()
        assert home.run_states() == ["paused", "paused"]
        home.seller.deal("10248", account, product)
        home.run()
        assert sorted(home.rows("SELECT flow, state FROM runs")) == [
            ("quote_to_cash", "complete"),
            ("welcome", "complete"),
            ("welcome", "paused"),
        ], home.story()
        assert home.open_cases() == []


def test_an_event_that_does_not_come_is_a_case_that_changes_hands(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        account, product = home.seller.account(), home.seller.product()
        home.run()
        home.go_on(1.9 * DAY)
        assert home.open_cases() == []
        home.go_on(0.2 * DAY)
        assert [reason for reason, _ in home.open_cases()] == ["late"]
        assert owner(home) == ["revenue-operations"]
        home.go_on(2 * DAY)
        assert owner(home) == ["finance checker"]
        home.seller.deal("10248", account, product)
        home.run()
        assert state_of(home, "welcome") == "complete"
        assert home.open_cases() == []


def test_what_came_before_the_wait_counts(database_url: str, tmp_path: Path) -> None:
    """The order is there first; its customer cannot be mapped until it is corrected."""
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        account = home.seller.account(region="Antarctica")
        home.seller.deal("10248", account, home.seller.product())
        home.run()
        home.seller.change("Account", account, Region__c="Central Europe")
        home.run()
        assert sorted(home.run_states()) == ["complete", "complete"], home.story()


def test_a_record_that_was_corrected_to_name_another_counts_only_there(
    database_url: str, tmp_path: Path
) -> None:
    """The order was booked for the wrong customer, whose wait had not begun."""
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        wrong = home.seller.account("WRONG", region="Antarctica")
        right, product = home.seller.account("RIGHT"), home.seller.product()
        deal = home.seller.deal("10248", wrong, product)
        home.run()
        home.seller.change("Opportunity", deal, AccountId=right)
        home.run()
        home.seller.change("Account", wrong, Region__c="Central Europe")
        home.run()
        states = dict(
            home.rows(
                "SELECT d.number, r.state FROM runs r JOIN record_heads h USING (record_type, "
                "record_key) JOIN records d USING (record_type, record_key, version) "
                "WHERE r.flow = 'welcome'"
            )
        )
        assert states == {"RIGHT": "complete", "WRONG": "paused"}, home.story()


def test_a_record_that_left_scope_does_not_count(database_url: str, tmp_path: Path) -> None:
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        account = home.seller.account(region="Antarctica")
        deal = home.seller.deal("10248", account, home.seller.product())
        home.run()
        home.seller.change("Opportunity", deal, StageName="Cancelled")
        home.run()
        home.seller.change("Account", account, Region__c="Central Europe")
        home.run()
        assert state_of(home, "welcome") == "paused"


FIRST_PROVED_ORDER = (
    "{wait: event, record: sales_order, refers: customer, in: netsuite.salesOrder, within: 30 days}"
)


def test_a_record_counts_once_it_is_proved_where_the_step_says(
    database_url: str, tmp_path: Path
) -> None:
    with house(database_url, welcoming(tmp_path, FIRST_PROVED_ORDER)) as home:
        account, product = home.seller.account(), home.seller.product()
        home.run()
        lost = home.lines["netsuite"].plant("", "/", times=10**6, status=429)
        lost.headers = {"Retry-After": "30"}
        home.seller.deal("10248", account, product)
        for _ in range(10):
            home.go_on(10)
        assert state_of(home, "welcome") == "paused"
        home.lines["netsuite"].plants.clear()
        home.run()
        assert state_of(home, "quote_to_cash") == "complete", home.story()
        assert state_of(home, "welcome") == "complete", home.story()


def test_a_record_whose_document_is_planned_much_later_still_wakes_who_waits_for_its_proof(
    database_url: str, tmp_path: Path
) -> None:
    """Two days pass before the order, which is there, is put on the register of documents."""
    welcoming(tmp_path, FIRST_PROVED_ORDER)
    ordered = "  - {write: sales_order, to: netsuite, as: sales_order_to_netsuite"
    changes = {FLOW: (ordered, "  - {wait: 2 days}\n" + ordered)}
    with house(database_url, changed_landscape(tmp_path, changes)) as home:
        account, product = home.seller.account(), home.seller.product()
        home.run()
        home.seller.deal("10248", account, product)
        home.run()
        for _ in range(5):
            home.go_on(10)
        home.clock.sleep(2.1 * DAY)
        home.run()
        assert state_of(home, "quote_to_cash") == "complete", home.story()
        assert state_of(home, "welcome") == "complete", home.story()
