"""A control passes only when it is TRUE; NULL and unreadable records fail it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.rules.shapes import PLACE
from tieout.rules.control import compile_conditions, compile_controls
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.rules.spec import ControlSpec, FieldType, RecordTypeSpec

LINE = FieldType("amount", "amount", money_in="parent.currency")
FIELDS = (
    FieldType("currency", "text"),
    FieldType("total", "amount", money_in="currency"),
    FieldType("status", "text"),
    FieldType("lines", "list", fields=(LINE,)),
)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as one:
        yield one


def record(*controls: ControlSpec) -> RecordTypeSpec:
    return RecordTypeSpec("sales_order", "Sales order", FIELDS, controls=controls, place=PLACE)


ADD_UP = ControlSpec(
    "lines_add_up",
    "total = list_sum([x.amount for x in lines])",
    "Revenue is scheduled by line.",
    PLACE,
)
SMALL = ControlSpec("small", "total <= money(250000, 'EUR')", "Over the limit.", PLACE, "warn")


def body(total: str, *amounts: str, currency: str = "EUR") -> str:
    lines = [{"amount": one} for one in amounts]
    return json.dumps({"currency": currency, "total": total, "lines": lines})


def test_a_control_shows_what_it_read(runner: Runner) -> None:
    controls = compile_controls(record(ADD_UP), runner)
    rows = [(7, body("440.00", "98", "342.00")), (8, body("440.00", "98", "343.00"))]
    [failure] = controls.run(runner, rows)
    assert (failure.row_id, failure.control, failure.field) == (8, "lines_add_up", "total")
    assert failure.value == "total = 440.00, list_sum(lines.amount) = 441.00"
    assert failure.because == "Revenue is scheduled by line."
    assert failure.severity == "stop"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (body("440.00"), "total = 440.00, list_sum(lines.amount) = nothing"),
        ('{"lines":[{"amount":"1"}]}', "total = nothing, list_sum(lines.amount) = 1.00"),
        ('{"total":"x"}', "total: 'x' is not a number"),
        ("not json", "it is not JSON"),
    ],
)
def test_what_cannot_be_judged_does_not_pass(runner: Runner, text: str, value: str) -> None:
    [failure] = compile_controls(record(ADD_UP), runner).run(runner, [(1, text)])
    assert failure.value.startswith(value)


def test_amounts_in_different_currencies_pass_no_control(runner: Runner) -> None:
    rows = [(1, body("1")), (2, body("1", currency="USD")), (3, body("250000.01"))]
    failures = compile_controls(record(SMALL), runner).run(runner, rows)
    assert [(one.row_id, one.severity) for one in failures] == [(2, "warn"), (3, "warn")]


@pytest.mark.parametrize(
    ("must", "what"),
    [
        ("total", "is not a condition"),
        ("total > 5", "compared with the bare number 5"),
        ("crosswalk('x', status) = 'a'", r"crosswalk\(\) is not available here"),
        ("staus = 'x'", "Did you mean status"),
    ],
)
def test_a_control_that_is_none_is_refused(must: str, what: str) -> None:
    with pytest.raises(BadLandscape, match=what):
        compile_controls(record(ControlSpec("c", must, "", PLACE)))


def test_two_controls_of_one_name_are_refused() -> None:
    with pytest.raises(BadLandscape, match="lines_add_up stands twice"):
        compile_controls(record(ADD_UP, ADD_UP))


def test_conditions_have_three_answers(runner: Runner) -> None:
    compiled = compile_conditions(FIELDS, {"won": ("status = 'won'", PLACE)}, runner)
    rows = [(1, '{"status":"won"}'), (2, '{"status":"lost"}'), (3, "{}"), (4, "broken")]
    answers = compiled.run(runner, rows)
    assert {row: one["won"] for row, one in answers.items()} == {
        1: True,
        2: False,
        3: None,
        4: None,
    }
