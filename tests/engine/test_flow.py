"""A flow carries a record through every system, and follows it when it changes or leaves."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from tests.engine.house import House, changed_landscape, house
from tieout.engine import confirm, dispatch, flow, resolve
from tieout.engine.collect import collect
from tieout.engine.reconcile import fresh_rows
from tieout.engine.worker import tick


def totals(home: House, name: str) -> list[tuple[str, Decimal]]:
    """(external id, amount) of NetSuite's documents of one kind."""
    return sorted(
        (str(row["externalId"]), Decimal(str(row["total"]))) for row in home.table("netsuite", name)
    )


def net_invoiced(home: House) -> Decimal:
    made = sum((amount for _, amount in totals(home, "invoice")), Decimal(0))
    return made - sum((abs(amount) for _, amount in totals(home, "creditMemo")), Decimal(0))


def planned(home: House) -> Decimal:
    """What the plan holds, over all cells."""
    rows = fresh_rows(home.engine, "anaplan", "bookings").values()
    return sum((Decimal(json.loads(one)["value"]) for one in rows), Decimal(0))


def order(home: House, *prices: str, stage: str = "Closed Won", **more: object) -> str:
    return home.seller.deal(
        "10248", home.seller.account(), home.seller.product(), prices or ("10.00",), stage, **more
    )


def test_an_order_reaches_every_system_once(home: House) -> None:
    deal = order(home, "10", "5")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert totals(home, "salesOrder") == [(f"salesOrder-{deal}", Decimal(30))]
    assert totals(home, "invoice") == [(f"invoice-{deal}", Decimal(30))]
    assert planned(home) == 30
    assert home.seller.row(deal)["ERP_Status__c"] == "Invoiced"
    assert home.seller.row(deal)["ERP_Invoice_Number__c"]


def test_the_echo_of_our_own_write_back_is_no_new_version(home: House) -> None:
    order(home)
    home.run()
    before = home.rows("SELECT record_type, record_key, version FROM records ORDER BY 1, 2, 3")
    for _ in range(3):
        home.go_on(10)
        home.run()
    after = home.rows("SELECT record_type, record_key, version FROM records ORDER BY 1, 2, 3")
    assert before == after
    assert home.one("SELECT count(*) FROM arrivals WHERE state = 'unchanged'") > 0
    assert home.one("SELECT revision FROM runs") == 1
    assert home.one("SELECT count(*) FROM dispatches WHERE state <> 'proved'") == 0


def test_an_amendment_after_completion_updates_and_reposts(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "25.00")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert totals(home, "salesOrder")[-1] == (f"salesOrder-{deal}-R2", Decimal(50))
    assert totals(home, "invoice") == [
        (f"invoice-{deal}", Decimal(20)),
        (f"invoice-{deal}-R2", Decimal(50)),
    ]
    assert [amount for _, amount in totals(home, "creditMemo")] in ([Decimal(20)], [Decimal(-20)])
    assert net_invoiced(home) == 50
    assert planned(home) == 50
    sums = dict(home.rows("SELECT bucket, sum FROM totals WHERE hop = 'netsuite.invoice'"))
    assert sums == {"posted": Decimal(70), "voided": Decimal(20)}, "the reversal is of what was"
    second = home.one("SELECT number FROM documents WHERE stream = 'invoice'")
    assert home.seller.row(deal)["ERP_Invoice_Number__c"] == second


def test_an_amendment_before_anything_left_sends_only_the_new_content(home: House) -> None:
    deal = order(home, "10")
    home.lines["netsuite"].plant("", "/", times=10**6, status=429, headers={"Retry-After": "5"})
    for _ in range(3):
        home.go_on(0.1)
    home.seller.reprice(deal, "25.00")
    home.go_on(3)
    home.lines["netsuite"].plants.clear()
    home.run()
    assert totals(home, "invoice") == [(f"invoice-{deal}", Decimal(50))]
    assert totals(home, "creditMemo") == []


def test_an_amendment_in_flight_is_followed_by_another_dispatch(home: House) -> None:
    deal = order(home, "10")
    line = home.lines["netsuite"]
    changed: list[object] = []

    def amend(request: object) -> None:
        if "transform/invoice" in str(getattr(request, "url", "")) and not changed:
            changed.append(request)
            home.seller.reprice(deal, "25.00")

    line.watchers.append(amend)
    home.run()
    home.go_on(3)
    home.run()
    assert changed
    assert net_invoiced(home) == 50
    assert planned(home) == 50
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def test_a_cancelled_order_is_taken_back_everywhere(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert home.run_states() == ["undone"]
    assert home.open_cases() == []
    assert net_invoiced(home) == 0
    assert planned(home) == 0
    assert home.seller.row(deal)["ERP_Status__c"] == "Cancelled"


def test_cancelled_and_amended_in_one_step_takes_back_what_was_written(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "25.00")
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert home.run_states() == ["undone"]
    assert home.open_cases() == []
    assert net_invoiced(home) == 0
    assert planned(home) == 0


def test_an_unsent_amendment_of_an_order_that_leaves_is_dropped_and_the_order_undone(
    home: House,
) -> None:
    """The plan to change is dropped, but what stands in the ERP is still taken back."""
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "25.00")
    hold_back = home.lines["netsuite"].plant("", "/", times=10**6, status=429)
    hold_back.headers = {"Retry-After": "3"}
    home.renew(home.engine)
    collect(home.engine, at_once=True)
    resolve.resolve(home.engine)
    flow.advance(home.engine)  # the change is planned, nothing is sent
    assert home.one("SELECT count(*) FROM dispatches WHERE state = 'planned'") == 1
    home.lines["netsuite"].plants.clear()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert home.run_states() == ["undone"]
    assert net_invoiced(home) == 0
    assert planned(home) == 0


def test_an_order_that_leaves_before_anything_was_sent_leaves_no_trace(home: House) -> None:
    deal = order(home, "10")
    home.lines["netsuite"].plant("", "/", times=10**6, status=429, headers={"Retry-After": "4"})
    home.go_on(0.1)
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.go_on(2)
    home.lines["netsuite"].plants.clear()
    home.run()
    assert totals(home, "salesOrder") == []
    assert totals(home, "invoice") == []
    assert home.run_states() == ["undone"]
    assert home.open_cases() == []


def test_a_cancelled_order_that_comes_back_is_posted_again(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Closed Won")
    home.run()
    assert home.run_states() == ["complete"], home.story()
    assert net_invoiced(home) == 20
    assert planned(home) == 20
    assert home.seller.row(deal)["ERP_Status__c"] == "Invoiced"


def test_an_order_deleted_at_its_source_is_taken_back_but_not_written_to(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.delete("Opportunity", deal)
    home.run()
    assert home.run_states() == ["undone"]
    assert home.open_cases() == []
    assert net_invoiced(home) == 0
    assert planned(home) == 0


def test_ensure_waits_for_a_parent_that_arrives_later(home: House) -> None:
    """A reference to an account that cannot be mapped waits, becomes a case, and heals itself."""
    account = home.seller.account(region="Antarctica")
    home.seller.deal("10248", account, home.seller.product())
    home.run()
    reasons = [reason for reason, _ in home.open_cases()]
    assert "parent_missing" in reasons
    assert home.run_states() == ["held"]
    assert home.one("SELECT count(*) FROM dispatches WHERE stream = 'salesOrder'") == 0
    home.seller.change("Account", account, Region__c="Central Europe")
    home.go_on(3)
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert home.one("SELECT count(*) FROM cases WHERE closed_by <> 'tieout'") == 0


def test_a_parent_within_its_time_is_no_case(home: House) -> None:
    account = home.seller.account(region="Antarctica")
    home.seller.deal("10248", account, home.seller.product())
    for _ in range(3):
        home.go_on(1.5)
    assert home.run_states() == ["waiting"]
    assert [reason for reason, _ in home.open_cases()] != []
    assert "parent_missing" not in [reason for reason, _ in home.open_cases()]
    home.go_on(6)
    assert "parent_missing" in [reason for reason, _ in home.open_cases()]


def test_on_change_case_asks_people(database_url: str, tmp_path: Path) -> None:
    loaded = changed_landscape(
        tmp_path,
        {
            "flows/quote_to_cash.yaml": (
                "as: sales_order_to_netsuite, on_change: reverse_and_repost",
                "as: sales_order_to_netsuite, on_change: case",
            )
        },
    )
    with house(database_url, loaded) as home:
        deal = order(home, "10")
        home.run()
        home.seller.reprice(deal, "25.00")
        home.run()
        assert home.run_states() == ["held"]
        assert [reason for reason, _ in home.open_cases()] == ["decision"]
        assert net_invoiced(home) == 20
        home.seller.reprice(deal, "10.00")
        home.run()
        assert home.run_states() == ["complete"]
        assert home.open_cases() == []


def test_require_holds_until_it_is_true(database_url: str, tmp_path: Path) -> None:
    loaded = changed_landscape(
        tmp_path,
        {
            "flows/quote_to_cash.yaml": (
                "  - {write: sales_order, to: netsuite, as: sales_order_to_netsuite",
                '  - {require: small, must: "total < money(30, currency)", because: Too big.}\n'
                "  - {write: sales_order, to: netsuite, as: sales_order_to_netsuite",
            )
        },
    )
    with house(database_url, loaded) as home:
        deal = order(home, "100")
        home.run()
        assert [reason for reason, _ in home.open_cases()] == ["require"]
        assert totals(home, "salesOrder") == []
        home.seller.reprice(deal, "10")
        home.run()
        assert home.run_states() == ["complete"]
        assert home.open_cases() == []


def test_a_case_stays_the_same_case_while_a_run_starts_over(home: House) -> None:
    """A new record version starts the run at its first step; the trouble further on is still the
    same trouble, not closed and opened again."""
    deal = order(home, "10", CloseDate="2020-06-15")
    home.run()
    first = home.rows("SELECT case_id FROM cases WHERE state = 'open'")
    assert len(first) == 1
    home.seller.reprice(deal, "11")
    home.run()
    assert home.rows("SELECT case_id FROM cases WHERE state = 'open'") == first
    assert home.one("SELECT count(*) FROM cases") == 1


def test_a_system_with_periods_nobody_has_read_is_not_posted_into(home: House) -> None:
    order(home, "10")
    home.renew(home.engine)
    collect(home.engine, at_once=True)
    for _ in range(40):  # a tick whose periods.refresh never gets through
        resolve.resolve(home.engine)
        flow.advance(home.engine)
        dispatch.send(home.engine)
        confirm.confirm(home.engine)
        home.clock.sleep(1)
    assert totals(home, "salesOrder") != []
    assert totals(home, "invoice") == []
    assert home.run_states() == ["waiting"]
    tick(home.engine)
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def test_a_run_of_another_landscape_skips_no_step(home: House) -> None:
    """A flow that was shortened while a run was under way: its number names another step, or none,
    and must not pass for having done what is left."""
    deal = order(home, "10")
    hold_back = home.lines["netsuite"].plant("", "/", times=10**6, status=429)
    hold_back.headers = {"Retry-After": "3"}
    home.go_on(0.1)
    assert home.run_states() == ["waiting"]
    with home.connection() as connection:
        connection.execute(
            "UPDATE runs SET step_no = 99, landscape_hash = 'older', state = 'ready', "
            "waits_document = NULL"
        )
    home.go_on(0.1)
    assert home.run_states() == ["waiting"]
    home.lines["netsuite"].plants.clear()
    home.run()
    assert home.run_states() == ["complete"]
    assert totals(home, "invoice") == [(f"invoice-{deal}", Decimal(20))]
