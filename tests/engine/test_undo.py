"""undo: what was written is brought out of effect, last first, as the step says; whatever happens
to the record meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import net_invoiced, order, planned
from tieout.store import runs
from tieout.store.runs import Wanted

FLOW = "flows/quote_to_cash.yaml"
BOOKED = "as: sales_order_to_booking_line, batch: 1 second, on_change: update, on_leave: undo"
TOLD = "as: order_status_to_salesforce, on_change: update, on_leave: undo"
NOTHING_BOOKED = """mapping: nothing_booked
from: sales_order
to: anaplan.bookings
version: 1
dated: ordered_on
fields:
"""


def closing(folder: Path) -> Any:
    """The demo, where a booking that is taken back stays as a row of nothing, and the deal is told
    by a mapping of its own."""
    changed_landscape(folder, {})
    mappings = folder / "landscape" / "mappings"
    lines = (mappings / "sales_order_to_booking_line.yaml").read_text()
    zero = lines[lines.index("fields:\n") + len("fields:\n") :]
    zero = zero.replace("value: amount", 'value: "amount - amount"')
    zero = zero.replace("convert(amount,", "convert(amount - amount,")
    (mappings / "nothing_booked.yaml").write_text(NOTHING_BOOKED + zero)
    told = (mappings / "order_status_to_salesforce.yaml").read_text()
    told = told.replace("mapping: order_status_to_salesforce", "mapping: order_is_off")
    told = told[: told.index("  ERP_Status__c")] + "  ERP_Status__c: \"'Off'\"\n"
    (mappings / "order_is_off.yaml").write_text(told)
    flow = folder / "landscape" / FLOW
    text = flow.read_text().replace(BOOKED, BOOKED + ", undo: nothing_booked")
    flow.write_text(text.replace(TOLD, TOLD + ", undo: order_is_off"))
    return changed_landscape(folder, {})


@pytest.fixture
def home(database_url: str, tmp_path: Path) -> Iterator[House]:
    with house(database_url, closing(tmp_path)) as made:
        yield made


def booked(home: House) -> int:
    return len(home.table("anaplan", "bookings"))


def effect(home: House) -> list[object]:
    """Rows booked, what the plan holds, what is invoiced."""
    return [booked(home), planned(home), net_invoiced(home)]


def writes(home: House) -> list[tuple[str, str]]:
    """(stream, action) of what was proved, in the order in which it was planned."""
    return home.rows(
        "SELECT stream, action FROM dispatches WHERE state = 'proved' "
        "AND record_type = 'sales_order' ORDER BY dispatch_id"
    )


def test_what_was_written_is_brought_to_what_undo_says_last_first(home: House) -> None:
    deal = order(home, "10")
    home.run()
    before = len(writes(home))
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert home.run_states() == ["undone"], home.story()
    assert home.open_cases() == []
    assert writes(home)[before:] == [
        ("Opportunity", "change"),
        ("bookings", "change"),
        ("invoice", "void"),
        ("salesOrder", "void"),
    ]
    assert effect(home) == [1, 0, 0]
    assert home.seller.row(deal)["ERP_Status__c"] == "Off"


def test_undo_creates_nothing_that_was_not_there(home: House) -> None:
    deal = order(home, "10")
    home.lines["netsuite"].plant("", "/", times=10**6, status=429, headers={"Retry-After": "4"})
    for _ in range(3):
        home.go_on(1)
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.go_on(3)
    home.lines["netsuite"].plants.clear()
    home.run()
    assert home.run_states() == ["undone"], home.story()
    assert booked(home) == 0
    assert home.table("netsuite", "salesOrder") == []
    assert home.seller.row(deal).get("ERP_Status__c") != "Off"


def test_a_deal_deleted_at_its_source_is_not_told(home: House) -> None:
    """The row that `undo` would change is gone: there is nothing to be told, and no case of it."""
    deal = order(home, "10")
    home.run()
    home.seller.delete("Opportunity", deal)
    home.run()
    assert home.run_states() == ["undone"], home.story()
    assert home.open_cases() == []
    assert effect(home)[1:] == [0, 0]


def test_a_deal_that_comes_back_while_it_is_taken_back_is_written_again(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    for _ in range(3):
        home.go_on(0.5)
    home.seller.change("Opportunity", deal, StageName="Closed Won")
    home.run()
    assert home.run_states() == ["complete"], home.story()
    assert home.open_cases() == []
    assert effect(home) == [1, 20, 20]
    assert home.seller.row(deal)["ERP_Status__c"] == "Invoiced"


def test_an_amendment_while_it_is_taken_back_ends_taken_back(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    for _ in range(2):
        home.go_on(0.5)
    home.seller.reprice(deal, "25")
    home.run()
    assert home.run_states() == ["undone"], home.story()
    assert home.open_cases() == []
    assert effect(home)[1:] == [0, 0]


def test_on_leave_case_asks_people_and_takes_nothing_back(
    database_url: str, tmp_path: Path
) -> None:
    changes = {FLOW: (BOOKED, BOOKED.replace("on_leave: undo", "on_leave: case"))}
    with house(database_url, changed_landscape(tmp_path, changes)) as home:
        deal = order(home, "10")
        home.run()
        home.seller.change("Opportunity", deal, StageName="Cancelled")
        home.run()
        assert home.run_states() == ["held"], home.story()
        assert [reason for reason, _ in home.open_cases()] == ["decision"]
        assert effect(home)[1:] == [20, 20]
        home.seller.change("Opportunity", deal, StageName="Closed Won")
        home.run()
        assert home.run_states() == ["complete"], home.story()
        assert home.open_cases() == []


def test_one_run_per_flow_and_record_whatever_happens(home: House) -> None:
    """Two who start the same run at once, and every revision since: one row."""
    deal = order(home, "10")
    home.run()
    (key,) = (str(row[0]) for row in home.rows("SELECT record_key FROM runs"))
    wanted = Wanted("quote_to_cash", "sales_order", key, 1, "forward", "bulk", "NWEU", 0, "h")
    with home.connection() as first, home.connection() as second:
        assert runs.start(first, [wanted])[0].revision == 2
        second.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(Exception, match="lock timeout"), second.transaction():
            runs.start(second, [wanted])
        first.execute("UPDATE runs SET state = 'complete'")
    for stage in ("Cancelled", "Closed Won", "Cancelled", "Closed Won"):
        home.seller.change("Opportunity", deal, StageName=stage)
        home.run()
    assert home.rows("SELECT state, revision FROM runs") == [("complete", 6)]
    assert planned(home) == 20
    revisions = home.rows("SELECT DISTINCT revision, mode FROM run_steps ORDER BY 1")
    assert [mode for _, mode in revisions] == ["forward", "undo", "forward", "undo", "forward"]
    assert json.dumps(home.open_cases()) == "[]"
