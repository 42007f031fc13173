"""Replay: what was stopped goes on once the cause is mended, and never twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import net_invoiced, order, totals
from tieout.engine.opening import renew
from tieout.engine.replay import NothingToReplay, replay
from tieout.engine.worker import tick
from tieout.store import cases


def everything(home: House) -> list[object]:
    """What a replay must not change when it only looks."""
    return [
        home.rows("SELECT arrival_id, state FROM arrivals ORDER BY 1"),
        home.rows("SELECT run_id, state, step_no FROM runs ORDER BY 1"),
        home.rows("SELECT case_id, state, times FROM cases ORDER BY 1"),
        home.rows("SELECT * FROM hints"),
        home.rows("SELECT * FROM actions"),
        home.rows("SELECT * FROM totals ORDER BY 1, 2, 3, 4, 5, 6"),
    ]


def close(home: House, month: str, closed: bool) -> None:
    """The controller closes or opens a month in NetSuite."""
    for row in home.lines["netsuite"].emulator.tables["accountingPeriod"].values():
        if str(row["startDate"]).startswith(month) and str(row["endDate"]).startswith(month):
            row.update({"closed": closed, "allLocked": closed, "arLocked": closed})


def test_a_closed_period_holds_and_its_reopening_completes_once(home: House) -> None:
    deal = order(home, "10", CloseDate="2020-06-15")
    home.run()
    assert home.run_states() == ["held"]
    assert [reason for reason, _ in home.open_cases()] == ["period_closed"]
    assert home.lines["netsuite"].sent("POST", "transform/invoice") == 0, "not even tried"
    close(home, "2020-06", closed=False)
    home.go_on(11)
    assert replay(home.engine, reason="period_closed").runs == 1
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert [name for name, _ in totals(home, "invoice")] == [f"invoice-{deal}"]
    with pytest.raises(NothingToReplay):
        replay(home.engine)
    home.run()
    assert len(totals(home, "invoice")) == 1


def test_a_period_that_closes_holds_the_reversal_of_what_is_in_it(home: House) -> None:
    deal = order(home, "10")
    home.run()
    close(home, "2020-07", closed=True)
    home.go_on(11)
    home.seller.change("Opportunity", deal, StageName="Cancelled", CloseDate="2020-08-03")
    home.run()
    assert [reason for reason, _ in home.open_cases()] == ["period_closed"]
    assert home.lines["netsuite"].sent("POST", "transform/creditMemo") == 0, "not even tried"
    close(home, "2020-07", closed=False)
    home.go_on(11)
    replay(home.engine)
    home.run()
    assert home.run_states() == ["undone"]
    assert net_invoiced(home) == 0


def test_a_crosswalk_that_is_mended_lets_the_row_through(database_url: str, tmp_path: Path) -> None:
    loaded = changed_landscape(tmp_path, {"crosswalks/currency.csv": ("EUR,EUR", "EURO,EUR")})
    with house(database_url, loaded) as home:
        deal = order(home, "10")
        home.run()
        assert home.open_cases() != []
        assert home.run_states() == []
        before = everything(home)
        assert replay(home.engine, dry_run=True).arrivals == 2
        assert everything(home) == before, "a dry run changes nothing"
        path = loaded[0].folder / "crosswalks/currency.csv"
        path.write_text(path.read_text().replace("EURO,EUR", "EUR,EUR"))
        assert renew(home.engine)
        assert not renew(home.engine), "nothing has changed since"
        replay(home.engine)
        home.run()
        assert home.run_states() == ["complete"]
        assert home.open_cases() == []
        assert [name for name, _ in totals(home, "invoice")] == [f"invoice-{deal}"]
        versions = home.rows("SELECT max(version) FROM records GROUP BY record_key")
        assert set(versions) == {(1,)}


def test_a_mend_at_the_source_is_read_by_the_replay_itself(home: House) -> None:
    """Nobody waits for the next poll: the row is read afresh."""
    account = home.seller.account(region="Antarctica")
    home.run()
    home.seller.change("Account", account, Region__c="Nordics")
    replay(home.engine, any_id=account)
    home.renew(home.engine)
    tick(home.engine)  # no poll is due
    assert home.open_cases() == []
    assert home.one("SELECT legal_entity FROM records") == "NWUK"


def test_cases_are_chosen_by_id_by_any_id_and_by_reason(home: House) -> None:
    first = home.seller.account("A1", "Antarctica")
    home.seller.account("A2", "Antarctica")
    home.run()
    with home.connection() as connection:
        numbers = [one.case_id for one in cases.read(connection)]
    assert len(numbers) == 2
    assert replay(home.engine, case_ids=numbers[:1], dry_run=True).cases == (numbers[0],)
    assert len(replay(home.engine, any_id=first, dry_run=True).cases) == 1
    assert len(replay(home.engine, any_id=f"case:{numbers[1]}", dry_run=True).cases) == 1
    reason = home.open_cases()[0][0]
    assert len(replay(home.engine, reason=reason, dry_run=True).cases) == 2
    with pytest.raises(NothingToReplay, match="'nonsense'"):
        replay(home.engine, any_id="nonsense")


def test_replaying_twice_at_once_does_nothing_twice(home: House) -> None:
    order(home, "10", CloseDate="2020-06-15")
    home.run()
    close(home, "2020-06", closed=False)
    home.go_on(11)
    replay(home.engine)
    replay(home.engine)
    home.run()
    assert home.run_states() == ["complete"]
    assert home.lines["netsuite"].sent("POST", "transform/invoice") == 1


def test_a_refusal_is_tried_again_by_replay_and_only_by_replay(home: House) -> None:
    line = home.lines["netsuite"]
    line.plant(
        "",
        "transform/invoice",
        "POST",
        times=1,
        status=400,
        body=b'{"o:errorDetails": [{"o:errorCode": "USER_ERROR", "detail": "no"}]}',
    )
    order(home, "10")
    home.run()
    home.go_on(60)
    home.run()
    assert line.sent("POST", "transform/invoice") == 1
    replay(home.engine)
    home.run()
    assert line.sent("POST", "transform/invoice") == 2
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
