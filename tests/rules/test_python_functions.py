"""Expressions call a landscape's typed Python functions: set-wise, strictly typed, row by row."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.rules.shapes import PLACE, Engine, crosswalk, leaf, outbound, row
from tieout.landscape.functions import callables, declared
from tieout.rules.compile import compile_mapping
from tieout.rules.control import compile_conditions, compile_controls
from tieout.rules.mapping import CompiledMapping, MappingResult
from tieout.rules.place import BadLandscape, Place
from tieout.rules.python_functions import PythonFunction, PythonType
from tieout.rules.runner import Runner
from tieout.rules.spec import ControlSpec, Each, FieldType, Leaf, RecordTypeSpec, Shape

LINE = (FieldType("price", "amount", money_in="parent.currency"), FieldType("code", "text"))
FIELDS = (
    FieldType("price", "amount", money_in="currency"),
    FieldType("discount", "rate", required=False),
    FieldType("currency", "text"),
    FieldType("code", "text", required=False),
    FieldType("count", "integer", required=False),
    FieldType("paid", "boolean", required=False),
    FieldType("day", "date", required=False),
    FieldType("moment", "timestamp", required=False),
    FieldType("lines", "list", required=False, fields=LINE),
)
SOURCE = """
from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

calls = []


@dataclass
class Rate:
    value: Decimal


def net_price(price: Decimal, discount: Decimal) -> Decimal:
    calls.append((price, discount))
    if discount > 1:
        raise ValueError(f"a discount of {discount} is more than everything")
    return _net(price, Rate(discount))


def _net(price, rate):
    return price * (1 - rate.value) if rate.value < 1 else price / (1 - rate.value)


def tidy(code: str | None) -> str | None:
    calls.append(code)
    return None if code == "none" else (code or "absent").upper()


def echo(code: str) -> str:
    return code * 4096


def lies(code: str) -> Decimal:
    return {"float": 0.5, "none": None, "nan": Decimal("NaN"), "int": 1, "many": Decimal(1) / 3,
            "large": Decimal(10) ** 20, "fine": Decimal("1.50")}[code]


def bad_text(code: str) -> str:
    return {"nul": "a\\x00", "half": "\\ud800"}[code]


def told(count: int, paid: bool, day: dt.date) -> str:
    return f"{count!r} {paid!r} {day!r}"


def day_after(day: dt.date) -> dt.date:
    return dt.datetime(2020, 1, 1) if day.year == 1999 else day + dt.timedelta(days=1)


def doubled(count: int) -> int:
    return True if count == 7 else count * 2


def is_paid(paid: bool) -> bool:
    return paid


def always() -> int:
    calls.append("always")
    return 42
"""


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as one:
        yield one


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PythonFunction]:
    folder: Path = tmp_path_factory.mktemp("landscape")
    (folder / "functions.py").write_text(SOURCE)
    specs = declared(SOURCE.encode(), "functions.py", [])
    return {
        name: PythonFunction(
            name,
            tuple((one, PythonType.of(kind)) for one, kind in specs[name].parameters),
            PythonType.of(specs[name].returns),
            specs[name].place,
            call,
            str(folder / "functions.py"),
        )
        for name, call in callables(folder).items()
    }


@pytest.fixture
def calls(functions: dict[str, PythonFunction]) -> list[object]:
    """What the functions were called with, from here on."""
    made: list[object] = functions["always"].call.__globals__["calls"]  # type: ignore[attr-defined]
    made.clear()
    return made


def compiled(functions: dict[str, PythonFunction], **fields: str | Shape) -> CompiledMapping:
    shapes = {name: leaf(one) if isinstance(one, str) else one for name, one in fields.items()}
    return compile_mapping(outbound(shapes), FIELDS, None, system="", functions=functions)


def bodies(result: MappingResult) -> list[object]:
    return [json.loads(one.body) for one in result.mapped]


def test_a_function_is_called_once_per_distinct_tuple_of_a_batch(
    runner: Runner, functions: dict[str, PythonFunction], calls: list[object]
) -> None:
    lines = Each("lines", {"net": leaf("net_price(price, parent.discount)")}, PLACE)
    mapping = compiled(functions, net="net_price(price, discount)", lines=lines)
    rows = [
        row(n, price="12.50", discount="0.2", lines=[{"price": "12.5"}, {"price": "3"}])
        for n in range(40)
    ]
    result = mapping.run(runner, rows)
    assert result.errors == []
    assert bodies(result)[39] == {"lines": [{"net": "10"}, {"net": "2.4"}], "net": "10"}
    assert sorted(calls) == [  # type: ignore[type-var]
        (Decimal(3), Decimal("0.2")),
        (Decimal("12.5"), Decimal("0.2")),
    ]
    assert {str(price) for price, _ in calls} == {"3", "12.5"}  # type: ignore[misc]


def test_an_exception_is_the_error_of_its_row(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    mapping = compiled(functions, net="net_price(price, discount)", code="code")
    rows = [row(1, price=1, discount="0"), row(2, price=1, discount=2), row(3, price=2, discount=1)]
    result = mapping.run(runner, rows)
    assert bodies(result) == [{"net": "1"}]
    first, second = result.errors
    assert (first.row_id, first.field, first.place) == (2, "net", Place("mappings/test.yaml", 7))
    assert first.value == "price = 1.00, discount = 2"
    assert first.why == (
        "net_price() (functions.py:19) failed for price = 1, discount = 2: "
        "ValueError: a discount of 2 is more than everything"
    )
    assert "replay" in first.next_action
    assert (second.row_id, "functions.py:24" in second.why) == (3, True)
    assert "DivisionByZero" in second.why


def test_an_error_is_bounded(runner: Runner, functions: dict[str, PythonFunction]) -> None:
    mapping = compiled(functions, v="lies(code)")
    [error] = mapping.run(runner, [row(1, code="x" * 5000)]).errors
    assert error.why.startswith("lies() (functions.py:")
    assert "KeyError" in error.why
    assert len(error.why) < 500


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("float", "returned a float, not a Decimal"),
        ("none", "returned None, not a Decimal"),
        ("nan", "returned NaN, which is no number"),
        ("int", "returned an int, not a Decimal"),
        ("many", "has more than 18 decimals (quantize it)"),
        ("large", "more than 20 digits before the point"),
    ],
)
def test_a_result_of_another_type_is_an_error(
    runner: Runner, functions: dict[str, PythonFunction], code: str, words: str
) -> None:
    result = compiled(functions, v="lies(code)").run(
        runner, [row(1, code=code), row(2, code="fine")]
    )
    assert bodies(result) == [{"v": "1.5"}]
    assert [(one.row_id, words in one.why) for one in result.errors] == [(1, True)]


@pytest.mark.parametrize("code", ["nul", "half"])
def test_a_text_nobody_can_store_is_an_error(
    runner: Runner, functions: dict[str, PythonFunction], code: str
) -> None:
    assert len(compiled(functions, v="bad_text(code)").run(runner, [row(1, code=code)]).errors) == 1


def test_a_text_result_is_at_most_64_kb(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    rows = [row(1, code="x" * 16), row(2, code="x" * 17)]
    result = compiled(functions, v="echo(code)").run(runner, rows)
    assert [len(one["v"]) for one in bodies(result)] == [65536]  # type: ignore[index,call-overload]
    assert [(one.row_id, "more than 64 KB" in one.why) for one in result.errors] == [(2, True)]


def test_every_type_arrives_as_declared(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    mapping = compiled(
        functions,
        a="told(count, paid, day)",
        b="day_after(day)",
        c="doubled(count)",
        d="is_paid(paid)",
    )
    result = mapping.run(runner, [row(1, count=3, paid=True, day="2020-02-28")])
    assert bodies(result) == [
        {"a": "3 True datetime.date(2020, 2, 28)", "b": "2020-02-29", "c": 6, "d": True}
    ]
    strict = mapping.run(
        runner, [row(1, count=7, paid=True, day="1999-01-01"), row(2, count=2**62, paid=True)]
    )
    assert [(one.row_id, one.field) for one in strict.errors] == [(1, "b"), (1, "c"), (2, "c")]
    assert "returned a datetime, not a date" in strict.errors[0].why


def test_null_for_a_parameter_that_takes_none_only(
    runner: Runner, functions: dict[str, PythonFunction], calls: list[object]
) -> None:
    mapping = compiled(functions, net="net_price(price, discount)", code="tidy(code)")
    result = mapping.run(runner, [row(1, price=1), row(2, price=1, discount=0, code="none")])
    assert bodies(result) == [{"code": "ABSENT"}, {"net": "1"}]
    assert sorted(map(str, calls)) == ["(Decimal('1'), Decimal('0'))", "None", "none"]


def test_null_from_a_value_is_still_an_error(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    mapping = compiled(functions, v="net_price(price, TRY_CAST(code AS DECIMAL(6,2)))")
    [error] = mapping.run(runner, [row(1, price=1, code="abc")]).errors
    assert "gives no value although its inputs have values" in error.why


def test_a_call_that_is_not_reached_is_not_made(
    runner: Runner, functions: dict[str, PythonFunction], calls: list[object]
) -> None:
    mapping = compiled(
        functions,
        a="CASE WHEN paid THEN tidy(code) ELSE 'x' END",
        b="CASE WHEN paid THEN always() ELSE 0 END",
        c="CASE WHEN paid THEN net_price(price, 5) ELSE 0 END",
    )
    result = mapping.run(runner, [row(1, price=1, paid=False, code="c")])
    assert bodies(result) == [{"a": "x", "b": 0, "c": "0"}]
    assert calls == []
    assert [one.field for one in mapping.run(runner, [row(1, price=1, paid=True)]).errors] == ["c"]
    assert sorted(map(str, calls)) == ["(Decimal('1'), Decimal('5'))", "None", "always"]


def test_functions_take_lookups_and_each_others_answers(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    table = crosswalk("code", ("a", "b"))
    sql = "tidy(crosswalk('code', tidy(period(day, tidy(crosswalk('code', code))))))"
    mapping = compile_mapping(
        outbound({"v": leaf(sql.replace("tidy(period", "lower_first(period"))}),
        FIELDS,
        None,
        system="",
        crosswalks={"code": table},
        functions={**functions, "lower_first": _renamed(functions["tidy"], lambda _: "a")},
    )
    result = mapping.run(runner, [row(1, code="a", day="2020-07-04")], Engine())
    assert bodies(result) == [{"v": "B"}]


def _renamed(one: PythonFunction, call: object) -> PythonFunction:
    return PythonFunction("lower_first", one.parameters, one.returns, one.place, call)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sql", "what", "next_action"),
    [
        ("net_prize(price, discount)", "no function net_prize()", "Did you mean net_price()?"),
        ("net_price(price)", "takes 2 values, not 1", "net_price(price: Decimal, discount: Dec"),
        ("net_price(price, code)", "its parameter discount is Decimal, and is given VARCHAR", ""),
        ("tidy(price)", "its parameter code is str | None, and is given DECIMAL(22,6)", "Cast it"),
        ("doubled(price)", "its parameter count is int, and is given DECIMAL(22,6)", "Cast it"),
        ("day_after(moment)", "its parameter day is date, and is given TIMESTAMP", "Cast it"),
        ("is_paid(count)", "its parameter paid is bool, and is given BIGINT", "Cast it"),
        ("[tidy(x.code) for x in lines]", "cannot stand inside", "each"),
    ],
)
def test_types_are_judged_before_anything_runs(
    functions: dict[str, PythonFunction], sql: str, what: str, next_action: str
) -> None:
    with pytest.raises(BadLandscape) as caught:
        compiled(functions, v=Leaf(sql, Place("mappings/test.yaml", 12)))
    problem = caught.value.problems[0]
    assert what in problem.what
    assert next_action in problem.next_action
    assert problem.place.line == 12


def test_a_whole_number_is_a_decimal_to_python(
    runner: Runner, functions: dict[str, PythonFunction], calls: list[object]
) -> None:
    compiled(functions, v="net_price(count, 0)").run(runner, [row(1, count=5)])
    assert calls == [(Decimal(5), Decimal(0))]


def test_controls_and_conditions_call_functions(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    must = "net_price(price, discount) > 5"
    record = RecordTypeSpec("order", "Order", FIELDS, controls=(ControlSpec("c", must, "", PLACE),))
    controls = compile_controls(record, runner, functions)
    rows = [
        (n, json.dumps({"price": price, "discount": d}))
        for n, (price, d) in enumerate([("10", "0.1"), ("5", "0.1"), ("10", "2"), ("10", None)])
    ]
    failed = {one.row_id: one.value for one in controls.run(runner, rows)}
    assert set(failed) == {1, 2, 3}
    assert failed[1] == ("price = 5.00, discount = 0.1, net_price(price, discount) = 4.5")
    assert "ValueError: a discount of 2 is more than everything" in failed[2]
    conditions = compile_conditions(FIELDS, {"big": (must, PLACE)}, runner, functions)
    answers = conditions.run(runner, rows)
    assert [answers[n]["big"] for n in range(4)] == [True, False, None, None]
    with pytest.raises(BadLandscape, match="given VARCHAR"):
        compile_conditions(FIELDS, {"c": ("is_paid(code)", PLACE)}, runner, functions)


def test_a_condition_of_a_mapping_calls_functions(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    mapping = compile_mapping(
        outbound({"v": leaf("code")}),
        FIELDS,
        None,
        system="",
        conditions={"big": ("net_price(price, discount) > 5", PLACE)},
        functions=functions,
    )
    rows = [row(1, price=10, discount=0), row(2, price=10, discount=2)]
    result = mapping.run(runner, rows)
    assert [one.conditions["big"] for one in result.mapped] == [True, None]


def test_a_function_sees_exact_dates_and_whole_batches(
    runner: Runner, functions: dict[str, PythonFunction]
) -> None:
    rows = [row(n, day=(dt.date(2020, 1, 1) + dt.timedelta(n)).isoformat()) for n in range(300)]
    found = bodies(compiled(functions, v="day_after(day)").run(runner, rows))
    assert found[299] == {"v": "2020-10-27"}
