"""Twins over the installed emulators: people work in them, our documents are seen from inside."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tieout import clock
from tieout.engine.opening import connectors_of
from tieout.finance.outcome import Busy, Outcome, Written
from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.ports.connector import Write
from tieout.ports.opening import open_session
from tieout.ports.secrets import resolve
from tieout.ports.session import Session
from tieout.rehearsal.twins.anaplan import AnaplanTwin
from tieout.rehearsal.twins.base import Twin, Unplayable
from tieout.rehearsal.twins.casting import twin_of
from tieout.rehearsal.twins.emulated import Emulated
from tieout.rehearsal.twins.netsuite import NetSuiteTwin
from tieout.rehearsal.twins.salesforce import SalesforceTwin
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
LANDSCAPE = load(example("quote_to_cash"))
CONNECTORS = connectors_of(LANDSCAPE)


@pytest.fixture(autouse=True)
def world() -> Iterator[SeededWorld]:
    with clock.world(SeededWorld("emulated", START)) as made:
        assert isinstance(made, SeededWorld)
        yield made


def played(system: str) -> tuple[Any, Any, Session]:
    """The twin of a system of the demo, its connector and an open session between them."""
    spec = LANDSCAPE.environments["demo"][system]
    twin, connector = twin_of(system, LANDSCAPE.systems[system], CONNECTORS[system], spec)
    secrets = {name: resolve(name, reference) for name, reference in spec.secrets.items()}
    at = open_session(system, connector, spec.settings, secrets, [], transport=twin.handle)
    return twin, connector, at


def once(connector: Any, at: Session, stream: str, write: Write) -> Outcome:
    (outcome,) = connector.write(at, stream, [write])
    kept: Outcome = outcome
    return kept


# --- casting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "kind"),
    [("salesforce", SalesforceTwin), ("netsuite", NetSuiteTwin), ("anaplan", AnaplanTwin)],
)
def test_what_is_emulated_is_played_by_its_emulator(system: str, kind: type[Emulated]) -> None:
    twin, connector, _ = played(system)
    assert isinstance(twin, kind)
    assert connector is CONNECTORS[system]
    assert "emulator" in twin.described
    as_twin: Twin = twin
    assert as_twin.system == system


def test_what_is_not_emulated_is_played_by_an_understudy() -> None:
    spec = replace(LANDSCAPE.environments["demo"]["netsuite"], emulate="")
    real = CONNECTORS["netsuite"]
    twin, connector = twin_of("netsuite", LANDSCAPE.systems["netsuite"], real, spec)
    assert isinstance(twin, Understudy)
    assert isinstance(connector, UnderstudyConnector)
    assert "understudy" in twin.described
    assert connector.streams is real.streams


# --- Salesforce ---------------------------------------------------------------------------------


def deal(twin: Any, number: str = "10248", **more: object) -> str:
    """An opportunity with two lines, as the demo's tests write it."""
    account = twin.put(
        "Account", {"Name": "Ana", "AccountNumber": f"A{number}", "Region__c": "North America"}
    )
    product = twin.put("Product2", {"Name": "Queso", "ProductCode": f"P{number}"})
    lines = [
        {"Product2Id": product, "Quantity": 12, "UnitPrice": 14, "Discount": 0, "SortOrder": 1},
        {
            "Product2Id": product,
            "Quantity": 10,
            "UnitPrice": Decimal("9.80"),
            "Discount": 0,
            "TotalPrice": Decimal("98.00"),
            "SortOrder": 2,
        },
    ]
    row: dict[str, object] = {
        "Id": "006000000000999AAA",
        "Name": f"Order {number}",
        "AccountId": account,
        "StageName": "Closed Won",
        "CloseDate": "2020-07-04",
        "Amount": Decimal("440.00"),
        "CurrencyIsoCode": "EUR",
        "Region__c": "Central Europe",
        "Order_Number__c": number,
        "OpportunityLineItems": {"records": lines},
        **more,
    }
    return str(twin.put("Opportunity", row))


def read(connector: Any, at: Session, key: str) -> Mapping[str, Any]:
    """A row as the real connector reads it."""
    rows = {one.key: one for one in connector.read(at, "Opportunity", "").items}
    value: Mapping[str, Any] = json.loads(rows[key].payload, parse_float=Decimal)
    assert value["IsDeleted"] is rows[key].deleted
    return value


def test_what_people_put_is_read_by_the_real_connector() -> None:
    twin, connector, at = played("salesforce")
    key = deal(twin)
    seen = read(connector, at, key)
    assert (seen["StageName"], seen["Amount"]) == ("Closed Won", Decimal("266.00"))
    assert [one["SortOrder"] for one in seen["OpportunityLineItems"]["records"]] == [1, 2]
    shown = twin.rows("Opportunity")[key]
    for name, value in shown.items():
        if name != "OpportunityLineItems":
            assert seen[name] == value, name


def test_a_changed_row_keeps_its_key_and_gets_another_version_and_other_lines() -> None:
    twin, connector, at = played("salesforce")
    key = deal(twin)
    now = dict(twin.rows("Opportunity")[key])
    first, second = now["OpportunityLineItems"]["records"]
    new = {"Product2Id": first["Product2Id"], "Quantity": 1, "UnitPrice": 5, "SortOrder": 3}
    lines = {"records": [{**second, "UnitPrice": Decimal("20.00")}, new]}
    assert twin.put("Opportunity", {**now, "Name": "Again", "OpportunityLineItems": lines}) == key
    seen = read(connector, at, key)
    assert seen["Name"] == "Again"
    assert seen["SystemModstamp"] > now["SystemModstamp"]
    assert seen["Amount"] == Decimal("205.00")
    kept = [one["Id"] for one in twin.rows("Opportunity")[key]["OpportunityLineItems"]["records"]]
    assert second["Id"] in kept
    assert first["Id"] not in kept
    assert len(kept) == 2
    before = twin.rows("Opportunity")[key]["SystemModstamp"]
    twin.put("Opportunity", twin.rows("Opportunity")[key])
    assert twin.rows("Opportunity")[key]["SystemModstamp"] > before, "saving is a new version"


def test_a_deleted_row_is_gone_for_people_and_told_as_deleted() -> None:
    twin, connector, at = played("salesforce")
    key = deal(twin)
    twin.remove("Opportunity", key)
    assert key not in twin.rows("Opportunity")
    assert read(connector, at, key)["IsDeleted"]
    with pytest.raises(Unplayable):
        twin.remove("Opportunity", key)
    with pytest.raises(Unplayable):
        twin.put("Quote", {})
    with pytest.raises(Unplayable, match="REQUIRED_FIELD_MISSING"):
        twin.put("Account", {"AccountNumber": "1"})


def test_a_won_deal_is_told_by_webhook_once() -> None:
    twin, connector, _ = played("salesforce")
    key = deal(twin)
    (call,) = twin.calls()
    assert call.stream == "Opportunity"
    secret = LANDSCAPE.environments["demo"]["salesforce"].settings["organization_id"]
    assert connector.receive(replace(call, secret=secret)).hints == (("Opportunity", key),)
    assert not twin.calls()


def told(key: str, status: str) -> Write:
    document = {"ERP_Order_Number__c": "SO1", "ERP_Status__c": status}
    return Write(f"crm/{key}/{status}", f"Opportunity-{key}", "change", document, key)


def test_what_we_write_to_a_row_is_seen_from_inside_and_tells_nobody() -> None:
    twin, connector, at = played("salesforce")
    key = deal(twin)
    twin.calls()
    assert isinstance(once(connector, at, "Opportunity", told(key, "Invoiced")), Written)
    (effect,) = twin.effects()
    assert (effect.reference, effect.target_id, effect.alive) == (f"Opportunity-{key}", key, True)
    assert effect.facts["ERP_Status__c"] == "Invoiced"
    (applied,) = twin.applied()
    assert (applied.action, applied.facts["ERP_Order_Number__c"]) == ("change", "SO1")
    assert not twin.calls(), "our own change starts no workflow"


def test_partial_refuses_some_rows_of_a_collection_and_a_repeat_cures_it() -> None:
    twin, connector, at = played("salesforce")
    writes = [told(deal(twin, str(number)), "Invoiced") for number in range(6)]
    twin.strike("partial", random.Random(5))
    outcomes = connector.write(at, "Opportunity", writes)
    assert {type(one) for one in outcomes} == {Written, Busy}
    written = [one for one, was in zip(writes, outcomes, strict=True) if isinstance(was, Written)]
    assert [one.target_id for one in twin.applied()] == [one.target_id for one in written]
    assert {type(one) for one in connector.write(at, "Opportunity", writes)} == {Written}
    twin.strike("partial", random.Random(5))
    assert isinstance(once(connector, at, "Opportunity", writes[0]), Busy), "also when it is alone"
    twin.strike("partial", random.Random(5))
    twin.heal()
    assert isinstance(once(connector, at, "Opportunity", writes[0]), Written)


# --- the same again -----------------------------------------------------------------------------


def story() -> list[object]:
    with clock.world(SeededWorld("story", START)):
        twin, connector, at = played("salesforce")
        keys = [deal(twin, str(number)) for number in range(5)]
        twin.strike("partial", random.Random(9))
        outcomes = connector.write(at, "Opportunity", [told(key, "Invoiced") for key in keys])
        return [keys, outcomes, twin.calls()[0].body, twin.rows("Opportunity"), twin.applied()]


TOLD = "from tests.rehearsal.test_twins_emulated import story; print(repr(story()))"


def test_the_same_seed_tells_the_same_story_in_another_process_too() -> None:
    first = repr(story())
    assert repr(story()) == first
    for salt in ("1", "2"):  # of the order of sets of texts
        done = subprocess.run(
            [sys.executable, "-c", TOLD],
            capture_output=True,
            check=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": salt},
        )
        assert done.stdout.strip() == first
