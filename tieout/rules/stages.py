"""The rows of one level with every question answered: a chain of SQL stages.

base rows → arguments of the calls of depth 1 → answers joined → arguments of depth 2 → …
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa

from tieout.rules.binding import Bound
from tieout.rules.column_types import is_column, literal, quoted, sql_type
from tieout.rules.level import DATED, RECORD_KEY, SOURCE_KEY, Call, Level
from tieout.rules.lookups import Answers
from tieout.rules.runner import Runner

SOURCE = "#source"
RECORD_KEY_COLUMN = f"#{RECORD_KEY}"
SOURCE_KEY_COLUMN = f"#{SOURCE_KEY}"


@dataclass
class Batch:
    """What a level needs while one batch runs. `tables` outlive the stages in `stack`."""

    runner: Runner
    stack: ExitStack
    answers: Answers
    crosswalks: Mapping[str, pa.Table]

    def show(self, name: str, table: pa.Table) -> None:
        self.stack.enter_context(self.runner.tables({name: table}))


def root_base(dated: Bound | None) -> str:
    """The rows of the record itself, from the table `#source`."""
    date = f", TRY(CAST({dated.sql} AS DATE)) AS {quoted(DATED)}" if dated else ""
    return f"SELECT *{date} FROM {quoted(SOURCE)}"


def child_base(level: Level, parent_base: str, over: Bound) -> str:
    """One row per item of the list `over` of the parent's rows."""
    parent = level.parent
    assert parent is not None
    keys = ", ".join(quoted(key) for key in parent.keys)
    position = quoted(level.keys[-1])
    carried = "".join(
        f", {quoted(name)} AS {quoted(f'parent.{name}')}" for name in sorted(level.from_parent)
    )
    carried_on = "".join(f", {quoted(f'parent.{n}')}" for n in sorted(level.from_parent))
    members = "".join(
        f', struct_extract("#item", {literal(name)}) AS {quoted(name)}' for name in level.by_name
    )
    return (
        f"SELECT {keys}, {position}{carried_on}{members} FROM ("
        f'SELECT {keys}{carried}, unnest({over.sql}) AS "#item", '
        f"unnest(range(len({over.sql}))) AS {position} FROM ({parent_base}))"
    )


def typed(level: Level, base: str) -> str:
    """SQL with the columns and types of `answered`, every answer NULL: for judging types only."""
    sql = base
    for depth in range(1, max((one.depth for one in level.calls), default=0) + 1):
        calls = [one for one in level.calls if one.depth == depth]
        sql = f"SELECT *, {_arguments(calls)} FROM ({sql})"
        columns = []
        for one in calls:
            columns.append(f"CAST(NULL AS {_answer_type(one)}) AS {quoted(one.column)}")
            if one.python is not None:
                columns.append(f"CAST(NULL AS VARCHAR) AS {quoted(one.error_column)}")
        sql = f"SELECT *, {', '.join(columns)} FROM ({sql})"
    return sql


def _answer_type(call: Call) -> str:
    if call.python is not None:
        return sql_type(call.python.returns.kind)
    return "DECIMAL(38,18)" if call.function == "convert" else "VARCHAR"


def _arguments(calls: Sequence[Call]) -> str:
    return ", ".join(
        f"{sql if is_column(sql) else f'TRY({sql})'} AS {quoted(one.argument_column(index))}"
        for one in calls
        for index, sql in enumerate(one.arguments)
    )


def answered(batch: Batch, level: Level, base: str, label: str) -> str:
    """SQL of the level's rows with an argument column `#a…` and an answer column `#c…` per call.

    Runs the stages before each question to the engine; `label` keeps table names apart.
    """
    sql = base
    for depth in range(1, max((one.depth for one in level.calls), default=0) + 1):
        calls = [one for one in level.calls if one.depth == depth]
        sql = f"SELECT *, {_arguments(calls)} FROM ({sql})"
        asked = [one for one in calls if one.function != "crosswalk"]
        if asked:
            stage = f"#stage{label}_{depth}"
            batch.show(stage, batch.runner.query(sql))
            sql = f"SELECT * FROM {quoted(stage)}"
            distinct = {one.number: batch.runner.query(_distinct(one, sql)) for one in asked}
            for number, table in batch.answers.table(asked, distinct).items():
                batch.show(_answer_name(label, number), table)
        sql = _joined(batch, calls, sql, label)
    return sql


def _distinct(call: Call, sql: str) -> str:
    columns = [quoted(call.argument_column(index)) for index in range(len(call.arguments))]
    shown = ", ".join(f"{column} AS a{index}" for index, column in enumerate(columns))
    present = " AND ".join(f"{columns[index]} IS NOT NULL" for index in call.needed)
    return f"SELECT DISTINCT {shown} FROM ({sql}) WHERE {present}"


def _answer_name(label: str, number: int) -> str:
    return f"#answers{label}_{number}"


def _joined(batch: Batch, calls: list[Call], sql: str, label: str) -> str:
    columns, joins = ["s.*"], []
    for one in calls:
        name = f"j{one.number}"
        arguments = [f"s.{quoted(one.argument_column(i))}" for i in range(len(one.arguments))]
        columns.append(f"{name}.value AS {quoted(one.column)}")
        if one.function == "crosswalk":
            table = f"#crosswalk {one.fixed[0]}"
            batch.runner.keep(table, batch.crosswalks[one.fixed[0]])
            on = f"{name}.code = {arguments[0]}"
            if len(arguments) == 2:
                on += f" AND {arguments[1]} BETWEEN {name}.valid_from AND {name}.valid_to"
        else:
            table = _answer_name(label, one.number)
            on = " AND ".join(
                f"{name}.a{i} {'=' if i in one.needed else 'IS NOT DISTINCT FROM'} {column}"
                for i, column in enumerate(arguments)
            )
            if one.python is not None:
                columns.append(f"{name}.error AS {quoted(one.error_column)}")
            if one.function in ("convert", "rate_id"):
                columns.append(f"{name}.rate AS {quoted(f'#r{one.number}')}")
        joins.append(f"LEFT JOIN {quoted(table)} {name} ON {on}")
    return f"SELECT {', '.join(columns)} FROM ({sql}) s {' '.join(joins)}"


def wrong_arguments(runner: Runner, level: Level, chain: str) -> Iterator[tuple[Call, str, str]]:
    """(call, what is wrong, what to do) for arguments that do not have their parameter's type.

    `chain` is the level's rows with every call answered. Only Python functions are strict.
    """
    for call in level.calls:
        if call.python is None:
            continue
        columns = [quoted(call.argument_column(i)) for i in range(len(call.python.parameters))]
        if not columns:
            continue
        found = runner.column_types(f"SELECT {', '.join(columns)} FROM ({chain})")
        for compiled, (name, kind) in zip(found.values(), call.python.parameters, strict=True):
            if not kind.takes(compiled):
                what = f"{call.shown}: its parameter {name} is {kind}, and is given {compiled}"
                yield call, what, f"Cast it, or change the function: {call.python.usage}."


def missing(call: Call) -> str:
    """SQL: this call had its arguments and got no answer."""
    if call.python is not None:
        return f"({quoted(call.error_column)} IS NOT NULL)"
    counted = 1 if call.function == "crosswalk" else len(call.arguments)
    present = "".join(
        f" AND {quoted(call.argument_column(index))} IS NOT NULL" for index in range(counted)
    )
    return f"({quoted(call.column)} IS NULL{present})"


def may_fail(call: Call) -> bool:
    """Whether an argument of this call may be impossible to compute."""
    return not all(map(is_column, call.arguments))


def argument_failed(call: Call) -> str:
    """SQL: an argument of this call could not be computed."""
    tests = [
        f"({quoted(call.argument_column(index))} IS NULL AND TRY(({sql}) IS NULL) IS NULL)"
        for index, sql in enumerate(call.arguments)
        if not is_column(sql)
    ]
    return f"({' OR '.join(tests) or 'false'})"


def source_table(
    read: pa.Table, record_keys: Sequence[str | None], source_keys: Sequence[str | None]
) -> pa.Table:
    """The table `#source`: what was read, with the two keys of each row."""
    return read.append_column(RECORD_KEY_COLUMN, pa.array(record_keys, pa.string())).append_column(
        SOURCE_KEY_COLUMN, pa.array(source_keys, pa.string())
    )
