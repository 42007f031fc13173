"""A side of a reconciliation reads its own rows; nothing is left out silently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.rules import shapes
from tests.rules.shapes import PLACE, Engine
from tieout.rules import selection
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.rules.selection import compile_selection
from tieout.rules.spec import FieldType

REGION = shapes.crosswalk("region", ("EU", "NWEU"))
LINES = FieldType("lines", "list", fields=(FieldType("value", "number"),))
FIELDS = (
    FieldType("Id", "text"),
    FieldType("Stage", "text"),
    FieldType("Region", "text"),
    FieldType("Amount", "number"),
    FieldType("Close", "date"),
    LINES,
)
COLUMNS = {
    "key": "Id",
    "amount": "round_to(Amount, 2)",
    "legal_entity": "crosswalk('region', Region)",
    "period": "period(Close, crosswalk('region', Region))",
}


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as one:
        yield one


def deal(key: str, **changes: object) -> str:
    fields = {"Stage": "won", "Region": "EU", "Amount": 1.005, "Close": "2020-07-04"}
    return json.dumps({"Id": key, **fields, **changes})


def test_rows_are_selected_or_reported(runner: Runner) -> None:
    compiled = compile_selection(
        FIELDS, COLUMNS, "Stage = 'won'", "", PLACE, crosswalks={"region": REGION}, runner=runner
    )
    payloads = [
        deal("a"),
        deal("b", Stage="lost", Region="XX"),
        deal("c", Region="XX"),
        deal("d", Stage=None),
        deal("e", Amount="z"),
        deal("f", Amount="9" * 19),
        "{",
    ]
    result = compiled.run(runner, iter(payloads), Engine())
    assert result.table.to_pylist() == [
        {
            "key": "a",
            "amount": Decimal("1.01"),
            "legal_entity": "NWEU",
            "period": "NWEU Jul 2020",
        }
    ]
    assert [index for index, _ in result.unreadable] == [2, 3, 4, 5, 6]
    whys = [why for _, why in result.unreadable]
    assert whys[0] == "crosswalk('region', Region) found nothing for XX"
    assert whys[1] == "where gives no answer: Stage = 'won'"
    assert whys[2] == "Amount: 'z' is not a number"
    assert whys[3] == "amount cannot be computed: round_to(Amount, 2)"
    assert "is not JSON" in whys[4]


def test_a_list_is_unfolded(runner: Runner) -> None:
    columns = {"order": "parent.Id", "value": "value"}
    compiled = compile_selection(FIELDS, columns, "value > 1", "lines", PLACE, runner=runner)
    payload = deal("a", lines=[{"value": 1}, {"value": "2.5"}, {"value": 3}])
    found = compiled.run(runner, [payload, deal("b")]).table.to_pylist()
    assert found == [{"order": "a", "value": Decimal("2.5")}, {"order": "a", "value": Decimal(3)}]


def test_chunks_do_not_change_the_result(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_selection(FIELDS, {"key": "Id"}, "Amount > 1", "", PLACE, runner=runner)
    payloads = [deal(str(number), Amount="x" if number % 3 else 2) for number in range(20)]
    whole = compiled.run(runner, payloads)
    monkeypatch.setattr(selection, "MOST_ROWS", 7)
    parts = compiled.run(runner, payloads)
    assert parts.table.to_pylist() == whole.table.to_pylist()
    assert parts.unreadable == whole.unreadable


def test_nothing_gives_an_empty_table(runner: Runner) -> None:
    compiled = compile_selection(FIELDS, {"key": "Id"}, "", "", PLACE, runner=runner)
    assert compiled.run(runner, []).table.to_pylist() == []


@pytest.mark.parametrize(
    ("columns", "where", "each", "what"),
    [
        ({"a": "Amuont"}, "", "", "no field Amuont"),
        ({"a": "Amount / 2"}, "", "", "divide"),
        ({"a": "Id"}, "", "Id", "not a list of objects"),
        ({"a": "Id"}, "Id > Amount", "", "Cast one side"),
        ({"a": "crosswalk('x', Id)"}, "", "", "no crosswalk 'x'"),
    ],
)
def test_a_selection_that_cannot_run_is_refused(
    columns: dict[str, str], where: str, each: str, what: str
) -> None:
    with pytest.raises(BadLandscape, match=what):
        compile_selection(FIELDS, columns, where, each, PLACE)
