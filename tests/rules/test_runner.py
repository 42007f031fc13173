"""The room in which rules run is locked, and its clock runs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tieout.rules import reference, shown
from tieout.rules import runner as runner_module
from tieout.rules.functions import PLAIN, PLAIN_BY_NODE
from tieout.rules.lookups import Answers, NoLookups
from tieout.rules.runner import RuleTooSlow, Runner

ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/tieout-leak.csv'",
        "ATTACH '/tmp/tieout-leak.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '8GB'",
        "SELECT * FROM local_table",
    ],
)
def test_nothing_leaves_the_room(sql: str) -> None:
    local_table = pa.table({"a": [1]})
    with Runner() as runner, pytest.raises(duckdb.Error):
        runner.query(sql)
    assert local_table.num_rows == 1


def test_what_runs_too_long_is_stopped_and_the_room_stays_usable() -> None:
    with Runner(most_seconds=0.2) as runner:
        with pytest.raises(RuleTooSlow, match="longer than"):
            runner.query(ENDLESS)
        assert runner.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_tables_are_hidden_again() -> None:
    with Runner() as runner:
        with runner.tables({"#t": pa.table({"a": [1]})}):
            assert runner.query('FROM "#t"').num_rows == 1
        with pytest.raises(duckdb.Error):
            runner.query('FROM "#t"')


def test_a_kept_table_is_replaced_only_by_another() -> None:
    first, second = pa.table({"a": [1]}), pa.table({"a": [2]})
    with Runner() as runner:
        for table, value in ((first, 1), (first, 1), (second, 2)):
            runner.keep("kept", table)
            for _ in range(3):
                assert runner.query("FROM kept").to_pylist() == [{"a": value}]


def test_a_query_that_is_planned_once_reads_what_is_shown_now() -> None:
    with Runner() as runner:
        for number in range(4):
            with runner.tables({"#t": pa.table({"a": [number]})}):
                assert runner.query('FROM "#t"').to_pylist() == [{"a": number}]
        with pytest.raises(duckdb.Error):
            runner.query('FROM "#t"')


def test_a_name_may_show_tables_of_another_shape() -> None:
    shapes = [pa.table({"a": [1]}), pa.table({"a": ["x"]}), pa.table({"a": [1], "b": [2]})]
    with Runner() as runner:
        for table in (*shapes, *shapes):
            for _ in range(3):
                with runner.tables({"#t": table}):
                    assert runner.query('FROM "#t"').equals(table)


def test_plans_and_shown_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "MOST_PREPARED", 2)
    monkeypatch.setattr(shown, "MOST_SEEN", 3)
    monkeypatch.setattr(runner_module, "MOST_SHOWN", 2)
    with Runner() as runner:
        for number in [*range(5), *range(5), 4, 4, 0, 0]:
            name = f"#t{number}"
            with runner.tables({name: pa.table({"a": [number]})}):
                for _ in range(3):
                    assert runner.query(f'FROM "{name}"').to_pylist() == [{"a": number}]
        kept = runner.query("SELECT count(*) AS n FROM duckdb_prepared_statements()")
        assert kept.to_pylist() == [{"n": 2}]


def test_a_planned_query_that_runs_too_long_is_stopped() -> None:
    some = ENDLESS.replace("range(10000000) a", 'range(10000000) a, "#t"')
    one_row = pa.table({"t": [1]})
    with Runner(most_seconds=0.2) as runner:
        for table in (one_row.slice(1), one_row.slice(1)):
            with runner.tables({"#t": table}):
                runner.query(some)
        for _ in range(2):
            with runner.tables({"#t": one_row}), pytest.raises(RuleTooSlow):
                runner.query(some)
        assert runner.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]


def test_no_question_means_no_call() -> None:
    assert Answers(NoLookups()).table([], {}) == {}


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "expressions.md"
    assert page.read_text(encoding="utf-8") == reference.document()


def test_every_listed_function_exists_in_duckdb() -> None:
    syntax = {"if", "coalesce", "date"}
    with Runner() as runner:
        known = set(
            runner.query("SELECT DISTINCT function_name AS name FROM duckdb_functions()")
            .column("name")
            .to_pylist()
        )
    assert {one.name for one in PLAIN} - known - syntax == {"nullif"} - known
    assert len(PLAIN_BY_NODE) == sum(1 for one in PLAIN if one.node)
