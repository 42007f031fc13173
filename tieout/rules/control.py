"""Controls: rules a record must satisfy. A control passes only when it is TRUE; NULL fails.

Flow conditions over a record (`require`, `when`) are answered the same way, three-valued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa
from sqlglot import exp

from tieout.rules.binding import Bound, Surroundings, bind
from tieout.rules.column_types import DECIMALS, plain_decimal, quoted
from tieout.rules.expression import BadExpression, Expression, function_name, parse, short
from tieout.rules.level import Call, Level
from tieout.rules.lookups import Answers, NoLookups
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.python_functions import Functions
from tieout.rules.reading import ROW, BadText, Reader
from tieout.rules.runner import Runner
from tieout.rules.slow_reading import MOST_SHOWN
from tieout.rules.spec import ControlSpec, FieldType, RecordTypeSpec
from tieout.rules.stages import (
    Batch,
    answered,
    root_base,
    source_table,
    typed,
    wrong_arguments,
)

_NEXT_ACTION = "Correct the record in its source system, then replay."
_OF_LISTS = ("list_sum", "list_min", "list_max", "list_count", "list_contains", "len")


@dataclass(frozen=True, slots=True)
class ControlFailure:
    """A control a record did not pass. `value` shows what the control read:
    `total = 440.00, list_sum(lines.amount) = 441.00`."""

    row_id: int
    control: str
    field: str
    value: str
    because: str
    place: Place
    next_action: str
    severity: Literal["stop", "warn"]


@dataclass(frozen=True, slots=True)
class _Shown:
    """One value a control reads: its label and the SQL of its text."""

    label: str
    sql: str


class CompiledConditions:
    """Named SQL conditions over records of one shape. Made by `compile_conditions`."""

    def __init__(
        self, fields: Sequence[FieldType], conditions: Mapping[str, Bound], level: Level
    ) -> None:
        self._conditions = dict(conditions)
        self._level = level
        self._reader = Reader(fields)

    def run(
        self, runner: Runner, rows: Sequence[tuple[int, str]]
    ) -> dict[int, dict[str, bool | None]]:
        """By row id, the answer of every condition. None: NULL, or the record cannot be read."""
        found: dict[int, dict[str, bool | None]] = {
            row_id: dict.fromkeys(self._conditions) for row_id, _ in rows
        }
        answers, _ = self.answers(runner, [body for _, body in rows])
        for values in answers.to_pylist():
            row_id = rows[values[ROW]][0]
            found[row_id] = {
                name: values[f"k{index}"] for index, name in enumerate(self._conditions)
            }
        return found

    def answers(
        self, runner: Runner, bodies: Sequence[str]
    ) -> tuple[pa.Table, tuple[BadText, ...]]:
        """Per readable body its index in `#row` and the conditions' answers k0, k1, …"""
        read = self._reader.read(bodies)
        columns = "".join(
            f", TRY(CAST(({one.sql}) AS BOOLEAN)) AS k{index}"
            for index, one in enumerate(self._conditions.values())
        )
        with ExitStack() as stack:
            chain = _chain(runner, stack, self._level, _keyless(read.table))
            sql = f"SELECT {quoted(ROW)}{columns} FROM ({chain}) ORDER BY 1"
            return runner.query(sql), read.bad

    def values(
        self, runner: Runner, bodies: Sequence[str], shown: Sequence[_Shown]
    ) -> list[dict[str, object]]:
        """Per readable body its index in `#row` and the texts v0, v1, … of what is shown."""
        read = self._reader.read(bodies)
        columns = "".join(f", {one.sql} AS v{index}" for index, one in enumerate(shown))
        with ExitStack() as stack:
            chain = _chain(runner, stack, self._level, _keyless(read.table))
            table = runner.query(f"SELECT {quoted(ROW)}{columns} FROM ({chain})")
        return list(table.to_pylist())


class CompiledControls:
    """The controls of a record type. Made by `compile_controls`."""

    def __init__(
        self,
        controls: Sequence[ControlSpec],
        conditions: CompiledConditions,
        shown: Mapping[str, Sequence[_Shown]],
        fields: Mapping[str, str],
    ) -> None:
        self._controls = tuple(controls)
        self._conditions = conditions
        self._shown = shown
        self._fields = fields

    def run(self, runner: Runner, rows: Sequence[tuple[int, str]]) -> list[ControlFailure]:
        """The controls that (row id, record body) did not pass, in the order of the rows."""
        if not self._controls:
            return []
        answers, bad = self._conditions.answers(runner, [body for _, body in rows])
        failed: list[tuple[int, int, str]] = []  # row index, control, value
        for number, control in enumerate(self._controls):
            outcomes = zip(
                answers.column(ROW).to_pylist(),
                answers.column(f"k{number}").to_pylist(),
                strict=True,
            )
            at_fault = [index for index, passed in outcomes if passed is not True]
            failed += self._values(runner, rows, at_fault, number, control)
        failures = [self._failure(rows[i][0], number, value) for i, number, value in sorted(failed)]
        for text in bad:
            failures += [
                self._failure(rows[text.index][0], number, text.why)
                for number in range(len(self._controls))
            ]
        return failures

    def _values(
        self,
        runner: Runner,
        rows: Sequence[tuple[int, str]],
        at_fault: Sequence[int],
        number: int,
        control: ControlSpec,
    ) -> list[tuple[int, int, str]]:
        """What the control read in the rows that failed it: computed for those only."""
        if not at_fault:
            return []
        shown = self._shown[control.name]
        bodies = [rows[index][1] for index in at_fault]
        found = []
        for values in self._conditions.values(runner, bodies, shown):
            parts = []
            for index, one in enumerate(shown):
                value = values[f"v{index}"]
                parts.append(f"{one.label} = {'nothing' if value is None else value}")
            position = values[ROW]
            assert isinstance(position, int)
            found.append((at_fault[position], number, short(", ".join(parts), MOST_SHOWN)))
        return found

    def _failure(self, row_id: int, number: int, value: str) -> ControlFailure:
        control = self._controls[number]
        return ControlFailure(
            row_id,
            control.name,
            self._fields[control.name],
            value,
            control.because,
            control.place,
            control.next_action or _NEXT_ACTION,
            control.severity,
        )


def compile_controls(
    record: RecordTypeSpec, runner: Runner | None = None, functions: Functions | None = None
) -> CompiledControls:
    """Compile the controls of a record type; `functions` are the landscape's own, by name.

    Raises BadLandscape with every problem.
    """
    names = [one.name for one in record.controls]
    problems = [
        Problem(one.place, f"control {one.name} stands twice", "Give it another name.")
        for one in record.controls
        if names.count(one.name) > 1
    ]
    asked = {one.name: (one.must, one.place) for one in record.controls}
    level = Level(tuple(record.fields))
    around = Surroundings(lookups=False, functions=dict(functions or {}))
    bound = _bind_all(level, asked, problems, runner, around)
    shown = {name: _shown(one, level, around) for name, one in bound.items()}
    fields = {name: next(iter(one.inputs), "") for name, one in bound.items()}
    conditions = CompiledConditions(record.fields, bound, level)
    return CompiledControls(record.controls, conditions, shown, fields)


def compile_conditions(
    fields: Sequence[FieldType],
    conditions: Mapping[str, tuple[str, Place]],
    runner: Runner | None = None,
    functions: Functions | None = None,
) -> CompiledConditions:
    """Compile named conditions over a record's or an arrival's fields; `functions` are the
    landscape's own, by name. Raises BadLandscape."""
    level = Level(tuple(fields))
    around = Surroundings(lookups=False, functions=dict(functions or {}))
    return CompiledConditions(fields, _bind_all(level, conditions, [], runner, around), level)


def _bind_all(
    level: Level,
    conditions: Mapping[str, tuple[str, Place]],
    problems: list[Problem],
    runner: Runner | None,
    around: Surroundings,
) -> dict[str, Bound]:
    bound: dict[str, Bound] = {}
    for name, (sql, place) in conditions.items():
        try:
            bound[name] = bind(parse(sql, place, around.functions), level, around)
        except BadExpression as error:
            problems += error.problems
    if bound:
        with ExitStack() as stack:
            room = runner or stack.enter_context(Runner())
            problems += _type_problems(room, stack, level, bound)
    if problems:
        raise BadLandscape(problems)
    return bound


def _type_problems(
    runner: Runner, stack: ExitStack, level: Level, bound: Mapping[str, Bound]
) -> list[Problem]:
    first = next(iter(bound.values()))
    try:
        empty = _keyless(Reader(level.fields).schema.empty_table())
        stack.enter_context(runner.tables({level.source: empty}))
        chain = typed(level, root_base(level, None))
        wrong = list(wrong_arguments(runner, level, chain))
    except duckdb.Error as error:
        what = str(error).splitlines()[0]
        return [Problem(first.place, what, "Cast one side so that the types agree.")]
    problems = []
    for call, what, next_action in wrong:
        places = [one.place for one in bound.values() if call.number in one.calls]
        problems.append(Problem(places[0] if places else first.place, what, next_action))
    found = (_not_a_condition(runner, one, chain) for one in bound.values())
    return problems + [one for one in found if one]


def _chain(runner: Runner, stack: ExitStack, level: Level, table: pa.Table) -> str:
    """SQL of the rows with every function of `functions.py` answered."""
    batch = Batch(runner, stack, Answers(NoLookups()), {})
    batch.show(level.source, table)
    return answered(batch, level, root_base(level, None), level.mark)


def _not_a_condition(runner: Runner, one: Bound, chain: str) -> Problem | None:
    try:
        kind = runner.column_types(f"SELECT {one.sql} AS v FROM ({chain})")["v"]
    except duckdb.Error as error:
        what = f"{str(error).splitlines()[0]} (in '{short(one.written)}')"
        return Problem(one.place, what, "Cast one side so that the types agree.")
    if kind in ("BOOLEAN", '"NULL"'):
        return None
    what = f"'{short(one.written)}' is not a condition: it gives {kind}"
    return Problem(one.place, what, "Write a comparison.")


def _keyless(table: pa.Table) -> pa.Table:
    """Records judged by controls are seen without their keys."""
    nothing: list[str | None] = [None] * table.num_rows
    return source_table(table, nothing, nothing)


def _shown(bound: Bound, level: Level, around: Surroundings) -> list[_Shown]:
    """The plain fields a control reads, its totals of lists, and what functions answered."""
    found: list[_Shown] = []
    for path, sql in bound.inputs.items():
        kind = next((one.type for one in level.fields if one.name == path), "text")
        if kind not in ("list", "object"):
            found.append(_Shown(path, _text(sql, kind)))
    called = {one.number: one for one in level.calls}
    found += [_Shown(called[n].shown, _answer_text(called[n])) for n in bound.calls]
    tree = parse(bound.written, bound.place, around.functions).tree
    for node in tree.walk(prune=lambda one: function_name(one) in _OF_LISTS):
        if function_name(node) in _OF_LISTS:
            sub = Expression(node.sql("duckdb"), bound.place, node.copy())
            part = bind(sub, level, around)
            paths = [path for path in part.lineage if path not in part.inputs]
            label = f"{function_name(node)}({', '.join(paths or part.inputs)})"
            found.append(_Shown(label, _text(part.sql, _kind(part, node))))
    return list(dict.fromkeys(found))


def _answer_text(call: Call) -> str:
    """What a function answered, or why it did not."""
    kind = call.python.returns.kind if call.python else "text"
    return (
        f"coalesce({_text(quoted(call.error_column), 'text')}, {_text(quoted(call.column), kind)})"
    )


def _kind(part: Bound, node: exp.Expr) -> str:
    if part.value.amount:
        return "amount"
    return "number" if part.value.scale else "text"


def _text(sql: str, kind: str) -> str:
    text = plain_decimal(sql, kind) if kind in DECIMALS else f"CAST({sql} AS VARCHAR)"
    return f"TRY(left({text}, {MOST_SHOWN}))"
