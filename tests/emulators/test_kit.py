"""The emulator kit: same seed, same faults; a tenant's tables come back as they were."""

from __future__ import annotations

import datetime as dt
import json
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from tieout.emulators.kit import (
    Fault,
    FaultPlan,
    load_tables,
    read_json,
    save_tables,
    write_json,
)
from tieout.ports.http import Request

FAULTS = (Fault("busy", 0.2, path="/orders"), Fault("lost_reply", 0.1, methods=("PUT",)))


def calls(number: int) -> list[Request]:
    return [Request("PUT", f"http://x/orders/{n % 20}") for n in range(number)]


def kinds(plan: FaultPlan, requests: list[Request]) -> list[str]:
    drawn = [plan.draw(request) for request in requests]
    return [fault.kind if fault else "" for fault in drawn]


def test_the_same_seed_meets_the_same_faults() -> None:
    first = kinds(FaultPlan(7, FAULTS), calls(400))
    assert first == kinds(FaultPlan(7, FAULTS), calls(400))
    assert first != kinds(FaultPlan(8, FAULTS), calls(400))
    assert {"busy", "lost_reply", ""} == set(first)
    assert 40 <= first.count("busy") <= 120


def test_the_order_of_different_paths_does_not_change_who_is_hit() -> None:
    requests = calls(400)
    straight = dict(zip(range(400), kinds(FaultPlan(7, FAULTS), requests), strict=True))
    order = sorted(range(400), key=lambda n: (n % 20, n))
    shuffled = kinds(FaultPlan(7, FAULTS), [requests[n] for n in order])
    assert dict(zip(order, shuffled, strict=True)) == straight


def test_path_method_and_most_are_kept() -> None:
    plan = FaultPlan(1, (Fault("busy", 1.0, path="/orders", methods=("PUT",), most=2),))
    assert plan.draw(Request("GET", "http://x/orders/1")) is None
    assert plan.draw(Request("PUT", "http://x/customers/1")) is None
    assert kinds(plan, calls(5)) == ["busy", "busy", "", "", ""]
    assert plan.met == {"0:busy": 2}


def test_the_back_door_meets_no_faults() -> None:
    plan = FaultPlan(1, (Fault("busy", 1.0),))
    assert plan.draw(Request("PUT", "http://x/_emulator/faults")) is None


def test_a_plan_from_json_is_the_same_plan() -> None:
    value = {"seed": 7, "faults": [{"kind": "busy", "rate": 0.2, "path": "/orders"}]}
    other = {"kind": "lost_reply", "rate": 0.1, "methods": ["PUT"]}
    plan = FaultPlan.from_json({**value, "faults": [*value["faults"], other]})
    assert kinds(plan, calls(100)) == kinds(FaultPlan(7, FAULTS), calls(100))
    with pytest.raises(ValueError, match="list"):
        FaultPlan.from_json({"faults": "busy"})


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    tables: dict[str, dict[str, dict[str, object]]] = {
        "order": {
            "1": {
                "amount": Decimal("1234567890123456.780"),
                "changed": dt.datetime(2026, 2, 1, 9, 30, tzinfo=dt.UTC),
                "lines": [{"rate": Decimal("0.1")}, None, True, "Ü"],
                "count": 3,
            }
        },
        "empty": {},
    }
    file = tmp_path / "state.json"
    save_tables(tables, file)
    loaded = load_tables(file)
    assert loaded == tables
    assert str(loaded["order"]["1"]["amount"]) == "1234567890123456.780"
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_failed_save_leaves_the_old_state(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    save_tables({"order": {"1": {"id": "1"}}}, file)
    with pytest.raises(TypeError, match="lock"):
        save_tables({"order": {"1": {"id": threading.Lock()}}}, file)
    assert load_tables(file) == {"order": {"1": {"id": "1"}}}


def test_an_absent_file_is_an_empty_tenant(tmp_path: Path) -> None:
    assert load_tables(tmp_path / "none.json") == {}


def test_numbers_are_exact_both_ways() -> None:
    text = b'{"a":1234567890123456.78,"b":0.30,"c":1e-7,"n":12}'
    value = read_json(text)
    assert isinstance(value, dict)
    assert value["a"] == Decimal("1234567890123456.78")
    assert str(value["b"]) == "0.30"
    again = read_json(write_json(value))
    assert again == value
    assert b"0.30" in write_json(value)
    assert json.loads(write_json({"ü": "é"})) == {"ü": "é"}
