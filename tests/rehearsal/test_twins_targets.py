"""Emulated targets as twins: documents, what undoes them, closed periods, restores."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.rehearsal.test_twins_emulated import LANDSCAPE, START, once, played
from tieout import clock
from tieout.finance.outcome import Accepted, Busy, Outcome, Rejected, Written
from tieout.ports.connector import Job, Write
from tieout.ports.opening import open_session
from tieout.ports.secrets import resolve
from tieout.ports.session import Session
from tieout.rehearsal.line import Line
from tieout.rehearsal.twins.base import Unplayable
from tieout.rehearsal.world import SeededWorld


@pytest.fixture(autouse=True)
def world() -> Iterator[SeededWorld]:
    with clock.world(SeededWorld("targets", START)) as made:
        assert isinstance(made, SeededWorld)
        yield made


# --- NetSuite -----------------------------------------------------------------------------------


class Erp:
    """Documents as the demo writes them."""

    def __init__(self) -> None:
        self.twin, self.connector, self.at = played("netsuite")
        customer = {"companyName": "Ana", "entityId": "ANATR", "subsidiary": {"id": "2"}}
        self.customer = self.write("customer", "create", {**customer, "currency": {"id": "1"}})
        self.item = self.write("inventoryItem", "create", {"itemId": "P1", "displayName": "Queso"})

    def try_to(
        self, stream: str, action: Any, document: Mapping[str, object], number: int = 1
    ) -> Outcome:
        reference = f"{stream}-{number}"
        write = Write(f"erp/{reference}/{action}", reference, action, document)
        return once(self.connector, self.at, stream, write)

    def write(
        self, stream: str, action: Any, document: Mapping[str, object], number: int = 1
    ) -> str:
        outcome = self.try_to(stream, action, document, number)
        assert isinstance(outcome, Written), outcome
        return outcome.target_id

    def order(self, number: int = 1) -> str:
        line = {"line": 1, "item": {"id": self.item}, "quantity": "12", "rate": "14.00"}
        return self.write("salesOrder", "create", self.ordered(line), number)

    def ordered(self, *lines: Mapping[str, object]) -> Mapping[str, object]:
        return {
            "entity": {"id": self.customer},
            "currency": {"id": "1"},
            "tranDate": "2020-07-04",
            "item": {"items": [{**one, "amount": "168.00"} for one in lines]},
        }

    def invoice(self, order: str, number: int = 1) -> Mapping[str, object]:
        document = {
            "createdFrom": {"id": order},
            "tranDate": "2020-07-04",
            "currency": {"id": "1"},
            "amount": "168.00",
        }
        self.write("invoice", "create", document, number)
        return document

    def alive(self) -> dict[str, bool]:
        return {one.reference: one.alive for one in self.twin.effects()}


def test_documents_of_netsuite_are_seen_with_what_undoes_them() -> None:
    erp = Erp()
    order = erp.order()
    invoice = erp.invoice(order)
    erp.order(2)
    assert all(erp.alive().values())
    shown = {one.stream: one.facts for one in erp.twin.effects()}
    assert shown["customer"] == {"name": "Ana", "subsidiary": "2", "currency": "1"}
    assert shown["inventoryItem"] == {"name": "Queso"}
    assert shown["invoice"] == {
        "amount": "168.00",
        "currency": "1",
        "date": "2020-07-04",
        "status": "Open",
    }
    for facts, stream in ((shown["salesOrder"], "salesOrder"), (shown["invoice"], "invoice")):
        assert set(facts) == set(erp.connector.streams[stream].facts)
    erp.write("invoice", "void", invoice)
    erp.write("salesOrder", "void", {}, 2)
    assert erp.alive() == {
        "customer-1": True,
        "inventoryItem-1": True,
        "salesOrder-1": True,
        "salesOrder-2": False,
        "invoice-1": False,
    }
    assert [(one.reference, one.action) for one in erp.twin.applied()] == [
        ("customer-1", "create"),
        ("inventoryItem-1", "create"),
        ("salesOrder-1", "create"),
        ("invoice-1", "create"),
        ("salesOrder-2", "create"),
        ("invoice-1", "void"),
        ("salesOrder-2", "void"),
    ]


def test_an_upsert_of_what_is_there_is_a_change_and_a_refusal_is_nothing() -> None:
    erp = Erp()
    erp.write("inventoryItem", "create", {"itemId": "P1", "displayName": "Other"})
    last = erp.twin.applied()[-1]
    assert (last.reference, last.action) == ("inventoryItem-1", "change")
    assert last.facts == {"name": "Other"}
    done = len(erp.twin.applied())
    assert isinstance(erp.try_to("inventoryItem", "create", {"itemId": ""}, 2), Rejected)
    assert len(erp.twin.applied()) == done


def test_a_period_in_use_is_closed_and_opened_again_but_no_other_is() -> None:
    erp = Erp()
    assert not erp.twin.strike("period_close", random.Random(1))
    order, later = erp.order(), erp.order(2)
    document = erp.invoice(order)
    assert "Jul 2020" in erp.twin.strike("period_close", random.Random(1))
    assert not erp.twin.strike("period_close", random.Random(1)), "there is no other to close"
    refused = erp.try_to("invoice", "create", {**document, "createdFrom": {"id": later}}, 2)
    assert isinstance(refused, Rejected)
    assert refused.detail.code == "period_closed"
    states = {one.name: one.state for one in erp.connector.periods(erp.at)}
    assert states["Jul 2020"] == "closed"
    assert erp.twin.reopen() == ["Jul 2020"]
    after = {one.name: one.state for one in erp.connector.periods(erp.at)}
    assert after == {**states, "Jul 2020": "open"}
    erp.invoice(later, 2)


def test_a_restored_netsuite_has_lost_documents_and_knows_it_everywhere() -> None:
    erp = Erp()
    for number in range(1, 12):
        erp.order(number)
    before = erp.alive()
    assert erp.twin.strike("restore", random.Random(1)).startswith("netsuite was restored")
    left = erp.alive()
    assert left.keys() < before.keys()
    items = erp.connector.read(erp.at, "salesOrder", "").items
    assert len(items) == sum(name.startswith("salesOrder") for name in left)
    assert len(erp.twin.applied()) == 13
    highest = max(int(one.target_id) for one in erp.twin.applied())
    if "inventoryItem-1" in left:
        assert int(erp.order(11)) > highest, "no id is given twice"


def test_people_do_not_make_rows_in_netsuite() -> None:
    twin, _, _ = played("netsuite")
    with pytest.raises(Unplayable):
        twin.put("customer", {"companyName": "Ana"})
    with pytest.raises(Unplayable):
        twin.remove("customer", "1")


def test_busy_comes_in_the_form_of_the_vendor() -> None:
    twin, connector, _ = played("netsuite")
    line = Line(twin, random.Random(1), {"busy": 0.999999})
    spec = LANDSCAPE.environments["demo"]["netsuite"]
    secrets = {name: resolve(name, reference) for name, reference in spec.secrets.items()}
    at = open_session("netsuite", connector, spec.settings, secrets, [], transport=line)
    outcome = once(connector, at, "customer", Write("k", "customer-1", "create", {}))
    assert isinstance(outcome, Busy)
    assert outcome.detail.code == "CONCURRENCY_LIMIT_EXCEEDED"
    assert outcome.wait_seconds is not None


# --- Anaplan ------------------------------------------------------------------------------------


def load_order(
    setting: tuple[Any, Any, Session], world: SeededWorld, action: Any, *values: str
) -> None:
    """Load the lines of one order, and see the import to its end."""
    _, connector, at = setting
    lines = [
        {
            "code": f"006-{number}",
            "order_id": "006",
            "line": number,
            "legal_entity": "NWNA",
            "period": "2020-07",
            "currency": "USD",
            "product": "P011",
            "quantity": "12",
            "value": value,
            "value_group": "1.00",
        }
        for number, value in enumerate(values, start=1)
    ]
    write = Write(f"plan/{action}/{values}", "bookings-006", action, {"rows": lines})
    outcome = once(connector, at, "bookings", write)
    assert isinstance(outcome, Accepted)
    world.sleep(5.0)
    (settled,) = connector.follow(at, "bookings", [Job(outcome.handle, (write,))])
    assert isinstance(settled[0], Written), settled


def test_an_order_in_anaplan_is_one_document_made_of_its_lines(world: SeededWorld) -> None:
    setting = twin, _, _ = played("anaplan")
    load_order(setting, world, "create", "168.00", "32.00")
    (effect,) = twin.effects()
    assert (effect.reference, effect.alive) == ("bookings-006", True)
    assert (effect.facts["rows"], effect.facts["amount"]) == ("2", "200")
    assert set(twin.rows("bookings")) == {"006-1", "006-2"}
    load_order(setting, world, "change", "168.00", "33.00")
    load_order(setting, world, "change", "168.00", "33.00")
    load_order(setting, world, "void", "168.00", "33.00")
    assert [one.alive for one in twin.effects()] == [False]
    shown = [(one.action, one.facts["amount"]) for one in twin.applied()]
    assert shown == [("create", "200"), ("change", "201"), ("void", "0")], "a repeat changes none"


def test_an_import_ends_without_anybody_asking(world: SeededWorld) -> None:
    twin, connector, at = played("anaplan")
    row = {"code": "7-1", "order_id": "7", "line": 1, "legal_entity": "NWNA", "period": "2020-07"}
    cells = {"currency": "USD", "product": "P", "quantity": "1", "value": "1", "value_group": "1"}
    write = Write("k", "bookings-7", "create", {"rows": [{**row, **cells}]})
    assert isinstance(once(connector, at, "bookings", write), Accepted)
    assert not twin.applied()
    world.sleep(5.0)
    assert [one.reference for one in twin.applied()] == ["bookings-7"]


def test_a_restored_anaplan_has_lost_its_bookings(world: SeededWorld) -> None:
    setting = twin, _, _ = played("anaplan")
    assert not twin.strike("restore", random.Random(1))
    load_order(setting, world, "create", "168.00")
    assert "restored" in twin.strike("restore", random.Random(1))
    assert not twin.effects()
    assert len(twin.applied()) == 1
    load_order(setting, world, "create", "168.00")
    assert len(twin.effects()) == 1
    assert len(twin.applied()) == 2
