"""The rows of one level with every question answered: a chain of SQL stages.

base rows → arguments of the calls of depth 1 → answers joined → arguments of depth 2 → …
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa

from tieout.rules.answering import with_answers
from tieout.rules.binding import Bound
from tieout.rules.column_types import is_column, literal, quoted, sql_type
from tieout.rules.level import DATED, RECORD_KEY, SOURCE_KEY, Call, Level
from tieout.rules.lookups import Answers
from tieout.rules.runner import Runner

RECORD_KEY_COLUMN = f"#{RECORD_KEY}"
SOURCE_KEY_COLUMN = f"#{SOURCE_KEY}"
MOST_WRITTEN_OUT = 64  # rows of a crosswalk that are part of the query


@dataclass
class Batch:
    """What a level needs while one batch runs. Tables that are shown outlive the stages in `stack`;
    large crosswalks outlive the batch."""

    runner: Runner
    stack: ExitStack
    answers: Answers
    crosswalks: Mapping[str, pa.Table]

    def __post_init__(self) -> None:
        for name, rows in self.crosswalks.items():
            if rows.num_rows > MOST_WRITTEN_OUT:
                self.runner.keep(_crosswalk_name(name), rows)

    def show(self, name: str, table: pa.Table) -> None:
        self.stack.enter_context(self.runner.tables({name: table}))


def root_base(level: Level, dated: Bound | None) -> str:
    """The rows of the record itself, from the table `Level.source`."""
    date = f", TRY(CAST({dated.sql} AS DATE)) AS {quoted(DATED)}" if dated else ""
    return f"SELECT *{date} FROM {quoted(level.source)}"


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
            stage = f"#stage {label} {depth}"
            rows = batch.runner.query(sql)
            batch.show(stage, with_answers(rows, asked, batch.answers))
            sql = f"SELECT * FROM {quoted(stage)}"
        sql = _looked_up(batch, [one for one in calls if one.function == "crosswalk"], sql)
    return sql


def asks_the_engine(level: Level) -> bool:
    """Some answer is not in the query itself: `answered` runs stages, and may find other tables."""
    return any(one.function != "crosswalk" for one in level.calls)


def _crosswalk_name(name: str) -> str:
    return f"#crosswalk {name}"


def _looked_up(batch: Batch, calls: Sequence[Call], sql: str) -> str:
    """SQL of the rows with the values that crosswalks give."""
    if not calls:
        return sql
    columns, joins = ["s.*"], []
    for one in calls:
        rows = batch.crosswalks[one.fixed[0]]
        arguments = [f"s.{quoted(one.argument_column(i))}" for i in range(len(one.arguments))]
        if rows.num_rows <= MOST_WRITTEN_OUT:
            columns.append(f"{_written_out(rows, arguments)} AS {quoted(one.column)}")
            continue
        name = f"j{one.number}"
        on = f"{name}.code = {arguments[0]}"
        if len(arguments) == 2:
            on += f" AND {arguments[1]} BETWEEN {name}.valid_from AND {name}.valid_to"
        columns.append(f"{name}.value AS {quoted(one.column)}")
        joins.append(f"LEFT JOIN {quoted(_crosswalk_name(one.fixed[0]))} {name} ON {on}")
    return f"SELECT {', '.join(columns)} FROM ({sql}) s {' '.join(joins)}"


def _written_out(crosswalk: pa.Table, arguments: Sequence[str]) -> str:
    """SQL: the value of a small crosswalk. A join costs more than a millisecond, be it one row."""
    code, *day = arguments
    cases = []
    for row in crosswalk.to_pylist():
        on = f"{code} = {literal(row['code'])}"
        if day:
            on += f" AND {day[0]} BETWEEN DATE '{row['valid_from']}' AND DATE '{row['valid_to']}'"
        cases.append(f"WHEN {on} THEN {literal(row['value'])}")
    return f"CASE {' '.join(cases)} END"


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
    """The table `Level.source`: what was read, with the two keys of each row."""
    return read.append_column(RECORD_KEY_COLUMN, pa.array(record_keys, pa.string())).append_column(
        SOURCE_KEY_COLUMN, pa.array(source_keys, pa.string())
    )
