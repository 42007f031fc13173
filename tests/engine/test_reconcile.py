"""Tie-outs over the systems as they are: what differs there shows, whatever our books say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import order
from tieout.engine.reconcile import CannotReconcile, TieOut, reconcile

ORDERS = "netsuite_orders"


def tied(home: House) -> dict[str, TieOut]:
    """The tie-outs of the demo's reconciliation, by the name of their right side."""
    spec = next(iter(home.landscape.reconciliations.values()))
    return {one.right.name: one for one in reconcile(home.engine, spec)}


def test_what_was_carried_ties_out_also_after_an_amendment(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "12")
    home.run()
    assert all(one.agrees for one in tied(home).values())


def test_a_number_changed_in_the_erp_is_a_break_nobody_explains(home: House) -> None:
    deal = order(home, "10")
    home.run()
    for one in home.table("netsuite", "salesOrder"):
        cast(dict[str, object], one).update(total=Decimal("19.00"))
    found = tied(home)[ORDERS]
    assert [(one.key, one.kind, one.difference) for one in found.breaks] == [
        (deal, "amount", Decimal(1))
    ]
    assert not found.explained
    assert home.one("SELECT count(*) FROM breaks WHERE case_id IS NULL") >= 1


def test_a_deal_that_a_case_holds_is_explained_to_the_cent(home: House) -> None:
    deal = order(home, "10", CloseDate="2020-06-15")
    home.run()
    found = tied(home)["netsuite_invoices"]
    assert [(one.key, one.kind) for one in found.breaks] == [(deal, "missing_right")]
    assert found.explained
    assert not found.agrees


def test_a_row_that_cannot_be_read_is_refused_not_left_out(
    database_url: str, tmp_path: Path
) -> None:
    name = "reconciliations/bookings_to_orders_to_plan.yaml"
    loaded = changed_landscape(tmp_path, {name: ("key: Id", "key: Order_Number__c")})
    with house(database_url, loaded) as home:
        deal = order(home, "10")
        home.run()
        home.lines["salesforce"].emulator.tables["Opportunity"][deal]["Order_Number__c"] = None
        with pytest.raises(CannotReconcile, match="without key or amount"):
            tied(home)
