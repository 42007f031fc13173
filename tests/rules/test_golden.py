"""The pinned meaning of the language: expressions, typed inputs, exact outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules.shapes import one_expression
from tieout.rules.mapping import Row
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType

GOLDEN = yaml.safe_load((Path(__file__).parent / "golden.yaml").read_text(encoding="utf-8"))
DEEP = FieldType("deep", "list", fields=(FieldType("z", "integer"),))
LIST = FieldType(
    "l",
    "list",
    fields=(FieldType("p", "amount"), FieldType("s", "quantity"), FieldType("name", "text"), DEEP),
)
INNER = FieldType("inner", "object", fields=(FieldType("name", "text"),))
FIELDS = (
    *(FieldType(name, kind) for name, kind in GOLDEN["fields"].items()),
    LIST,
    FieldType("o", "object", fields=(INNER,)),
)


@pytest.fixture(scope="module")
def runner():
    with Runner() as one:
        yield one


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['sql']} of {c.get('row')}")
def test_an_expression_means_tomorrow_what_it_means_today(
    runner: Runner, case: dict[str, Any]
) -> None:
    mapping = one_expression(case["sql"], FIELDS)
    row = Row(1, "the-record", case.get("json") or json.dumps(case["row"]), "the-source")
    result = mapping.run(runner, [row])
    for _ in range(2):  # planned for good when it comes again: that changes nothing
        assert mapping.run(runner, [row]) == result
    if "error" in case:
        assert result.mapped == []
        assert case["error"] in result.errors[0].why
        return
    assert result.errors == []
    body = result.mapped[0].body
    expected = {} if case["gives"] == "" else {"v": case["gives"]}
    assert body == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
