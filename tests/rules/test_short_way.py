"""The short way of clean rows (Arrow writes) gives what the whole way (SQL writes) gives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.shapes import Engine, leaf, outbound, row
from tests.rules.test_mapping import CHANGES, deal, mapping
from tieout.rules import level_run
from tieout.rules.compile import compile_mapping
from tieout.rules.mapping import CompiledMapping
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as one:
        yield one


@pytest.fixture(scope="module")
def compiled() -> CompiledMapping:
    return mapping()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, max_size=6))
def test_what_arrow_writes_is_what_sql_writes(
    runner: Runner, compiled: CompiledMapping, changes: list[dict[str, object]]
) -> None:
    rows = [deal(number, **change) for number, change in enumerate(changes)]
    fast = compiled.run(runner, rows, Engine())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level_run, "_bodies", _refuse)
        slow = compiled.run(runner, rows, Engine())
    assert fast == slow


def test_every_value_is_written_alike_by_arrow_and_by_sql(runner: Runner) -> None:
    kinds = {
        "a": "amount",
        "q": "quantity",
        "r": "rate",
        "n": "number",
        "i": "integer",
        "b": "boolean",
        "d": "date",
        "s": "timestamp",
        "t": "text",
    }
    fields = tuple(FieldType(name, kind) for name, kind in kinds.items())
    texts = {name: leaf(name) for name in kinds} | {"tt": leaf("t || t"), "bb": leaf("q > 1")}
    every_kind = compile_mapping(
        outbound({**texts, "ii": leaf("CAST(i AS VARCHAR)")}),
        fields,
        None,
        system="",
        facts=tuple(kinds),
    )
    numbers = ["0", "-0.5", "12", "1200", "0.1", "-3.25", "9999.99", "0.123456", "-0.000001"]
    words = ["", "a", 'q"', "back\\", "tab\t", "\x01\x1f\x7f", "é😀\u2028", "/", "null"]
    days = ["2020-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "1970-01-01"]
    rows = [
        row(
            k,
            a=one,
            q=one,
            r=one,
            n=one,
            i=k - 4,
            b=bool(k % 2),
            d=days[k % 5],
            s=f"{days[k % 3]}T10:00:00",
            t=words[k],
        )
        for k, one in enumerate(numbers)
    ]
    for batch in (rows, [row(99), *rows], *([one] for one in rows)):
        fast = every_kind.run(runner, batch)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(level_run, "_bodies", _refuse)
            assert every_kind.run(runner, batch) == fast
        assert fast.errors == []
        for made in fast.mapped:
            found = json.loads(made.body)
            again = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert made.body == again
            values = [found.get(name) for name in kinds]
            shown = [one if isinstance(one, str | None) else json.dumps(one) for one in values]
            assert made.facts == tuple(shown)


def _refuse(*_: object) -> None:
    raise pa.ArrowInvalid("everything goes through SQL")
