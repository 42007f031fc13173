"""What a compiled mapping is made of: levels of rows, their fields, and the SQL that writes them.

Every level becomes one query. It yields, per row, the JSON text of the row, and codes of what went
wrong in it: `f3` field 3 could not be computed, `n3` gave no value from values, `r3` is required
and empty, `x3` holds more digits than its type, `L2` lookup 2 found nothing, `A2` the arguments of
lookup 2 could not be computed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tieout.rules.answering import RATE_CALLS
from tieout.rules.binding import Bound
from tieout.rules.column_types import (
    DECIMALS,
    canonical,
    canonical_text,
    decimal_size,
    is_column,
    literal,
    quoted,
    sql_type,
    type_of_compiled,
)
from tieout.rules.level import Call, Level
from tieout.rules.place import Place
from tieout.rules.stages import argument_failed, child_base, may_fail, missing, root_base

ID_CALLS = ("id_in", "number_in")
BETWEEN = "chr(30)"  # separates waits and rates in one column
WITHIN = "chr(31)"


@dataclass
class PlannedField:
    """One target field computed by one expression. `path` has no list index: lines.amount."""

    number: int
    name: str
    path: str
    bound: Bound
    type: str = ""
    required: bool = False
    optional_group: tuple[int, ...] = ()  # fields beside it in a group that may be absent
    compiled: str = ""

    @property
    def column(self) -> str:
        return quoted(f"#v{self.number}")

    @property
    def too_precise(self) -> bool:
        """Its compiled type can hold digits that the field cannot."""
        size = decimal_size(self.compiled)
        if size is None or self.type not in DECIMALS:
            return False
        width, scale = DECIMALS[self.type]
        return size[1] > scale or size[0] - size[1] > width - scale

    @property
    def fact_column(self) -> str:
        return f"#f{self.number}"

    @property
    def fact(self) -> str:
        """SQL: its value as canonical text, without the quotes of JSON; NULL for a list."""
        text = "NULL" if self.type == "list" else canonical_text(self.column, self.type)
        return f"CAST({text} AS VARCHAR)"

    def json_value(self) -> str:
        if self.type == "list":
            inner = canonical("x", type_of_compiled(self.compiled[:-2]))
            items = f"list_transform({self.column}, lambda x: coalesce({inner}, 'null'))"
            return f"'[' || array_to_string({items}, ',') || ']'"
        return canonical(self.column, self.type)


@dataclass
class PlannedGroup:
    """A nested object of the same row."""

    name: str
    members: list[Node] = field(default_factory=list)

    def json_value(self) -> str:
        return f"'{{' || nullif({joined_members(self.members)}, '') || '}}'"


@dataclass
class PlannedList:
    """A list whose items are the rows of a level of their own."""

    number: int
    name: str
    path: str
    over: Bound
    rows: LevelPlan
    place: Place
    required: bool = False

    def json_value(self) -> str:
        found = f"coalesce({quoted(f'#list{self.rows.label}')}.j, '[]')"
        return f"CASE WHEN ({self.over.sql}) IS NOT NULL THEN {found} END"


Node = PlannedField | PlannedGroup | PlannedList


@dataclass
class LevelPlan:
    """One level: its rows, fields and lists. `label` keeps the levels of a mapping apart."""

    level: Level
    label: str
    over: Bound | None = None
    parent: LevelPlan | None = None
    dated: Bound | None = None
    fields: list[PlannedField] = field(default_factory=list)
    lists: list[PlannedList] = field(default_factory=list)
    members: list[Node] = field(default_factory=list)
    conditions: dict[str, Bound] = field(default_factory=dict)
    values_sql: dict[str, str] = field(default_factory=dict)  # by the SQL of its rows: one or two
    facts: tuple[PlannedField, ...] = ()  # whose values are handed out as texts, `#f…`

    @property
    def result(self) -> str:
        return f"#result{self.label}"

    def walk(self) -> Iterator[LevelPlan]:
        """The levels below first, then this one: the order in which they run."""
        for one in self.lists:
            yield from one.rows.walk()
        yield self

    def base(self) -> str:
        if self.parent is None:
            return root_base(self.level, self.dated)
        assert self.over is not None
        return child_base(self.level, self.parent.base(), self.over)

    def reads(self, column: str) -> bool:
        """Some expression of this level, or a level below through it, reads a column."""
        bound = [*(one.bound for one in self.fields), *self.conditions.values()]
        sqls = [*(one.sql for one in bound), *(a for c in self.level.calls for a in c.arguments)]
        return any(quoted(column) in sql for sql in sqls) or any(
            column in one.rows.level.from_parent for one in self.lists
        )

    def used_calls(self) -> list[Call]:
        """The calls whose missing answer matters: those of fields, not only of conditions."""
        used = {number for one in self.fields for number in one.bound.calls}
        return [one for one in self.level.calls if one.number in used]

    def computed(self, chain: str) -> str:
        """The rows with every field's value `#v…` and every condition `#k…`, or NULL."""
        columns = [f"{_value(one)} AS {one.column}" for one in self.fields]
        columns += [
            f"TRY(CAST(({bound.sql}) AS BOOLEAN)) AS {quoted(f'#k{index}')}"
            for index, bound in enumerate(self.conditions.values())
        ]
        return f"SELECT {', '.join(['*', *columns])} FROM ({chain})"

    def written(self, chain: str) -> str:
        """The rows as JSON texts with their error codes; needs the results of its lists."""
        columns = [f"s.{quoted(key)}" for key in self.level.keys]
        columns.append(f"'{{' || {joined_members(self.members)} || '}}' AS \"#body\"")
        columns.append(f'{_errors(self)} AS "#errors"')
        columns.append(f'{waits_sql(self.used_calls())} AS "#waits"')
        columns.append(f'{rates_sql(self.used_calls())} AS "#rates"')
        columns += [quoted(f"#k{index}") for index in range(len(self.conditions))]
        columns += [f"{one.fact} AS {quoted(one.fact_column)}" for one in self.facts]
        joins = "".join(
            f" LEFT JOIN ({_collected(one.rows)}) {quoted(f'#list{one.rows.label}')}"
            f" USING ({', '.join(quoted(key) for key in self.level.keys)})"
            for one in self.lists
        )
        return f"SELECT {', '.join(columns)} FROM ({self.computed(chain)}) s{joins}"


def joined_members(members: Sequence[Node]) -> str:
    """The members of an object, sorted by name, absent ones left out."""
    parts = [
        f"{literal(json.dumps(one.name) + ':')} || {one.json_value()}"
        for one in sorted(members, key=lambda one: one.name)
    ]
    return f"concat_ws(',', {', '.join(parts)})"


def _value(one: PlannedField) -> str:
    sql = one.bound.sql
    if one.type == "timestamp" and one.compiled == "DATE":
        sql = f"CAST({sql} AS TIMESTAMP)"
    return sql if is_column(sql) else f"TRY({sql})"


def _collected(rows: LevelPlan) -> str:
    """The JSON texts of a level's rows, in order, per row of the level above."""
    *above, position = rows.level.keys
    keys = ", ".join(quoted(key) for key in above)
    return (
        f"SELECT {keys}, '[' || string_agg(\"#body\", ',' ORDER BY {quoted(position)}) || ']' AS j "
        f"FROM {quoted(rows.result)} GROUP BY {keys}"
    )


def _errors(plan: LevelPlan) -> str:
    calls = {one.number: one for one in plan.used_calls()}
    parts = [_field_code(one, [calls[n] for n in one.bound.calls]) for one in plan.fields]
    parts += [
        f"CASE WHEN ({one.over.sql}) IS NULL THEN 'r{one.number}' END"
        for one in plan.lists
        if one.required
    ]
    for number, call in calls.items():
        if call.function not in ID_CALLS:
            parts.append(f"CASE WHEN {missing(call)} THEN 'L{number}' END")
        if may_fail(call):
            parts.append(f"CASE WHEN {argument_failed(call)} THEN 'A{number}' END")
    parts = [one for one in parts if one]
    return f"concat_ws(',', {', '.join(parts)})" if parts else "''"


def _field_code(one: PlannedField, calls: Sequence[Call]) -> str:
    """SQL of the field's error code; "" when nothing can go wrong with it."""
    empty = empty_cases(one, calls)
    cases = [f"WHEN {one.column} IS NULL THEN CASE {' '.join(empty)} END"] if empty else []
    if one.too_precise:
        held = f"TRY_CAST({one.column} AS {sql_type(one.type)})"
        back = f"TRY_CAST({held} AS {one.compiled})"
        cases.append(f"WHEN {back} IS DISTINCT FROM {one.column} THEN 'x{one.number}'")
    if one.type in ("date", "timestamp") and one.compiled in ("DATE", "TIMESTAMP"):
        year = f"date_part('year', {one.column})"
        cases.append(f"WHEN {year} NOT BETWEEN 1 AND 9999 THEN 'd{one.number}'")
    return f"CASE {' '.join(cases)} END" if cases else ""


def empty_cases(one: PlannedField, calls: Sequence[Call]) -> list[str]:
    """WHEN branches that give the error code of a field that is NULL."""
    empty = []
    if calls:
        tests = [test for call in calls for test in (missing(call), argument_failed(call))]
        empty.append(f"WHEN {' OR '.join(tests)} THEN NULL")
    if not one.bound.plain:
        if not is_column(one.bound.sql):
            empty.append(f"WHEN TRY(({one.bound.sql}) IS NULL) IS NULL THEN 'f{one.number}'")
        if one.bound.inputs and not one.bound.may_be_null:
            present = " AND ".join(f"({sql}) IS NOT NULL" for sql in one.bound.inputs.values())
            empty.append(f"WHEN {present} THEN 'n{one.number}'")
    if one.required:
        beside = " OR ".join(f"{quoted(f'#v{n}')} IS NOT NULL" for n in one.optional_group)
        empty.append(f"WHEN {beside or 'true'} THEN 'r{one.number}'")
    return empty


def asks_for_ids(plan: LevelPlan) -> bool:
    return any(one.function in ID_CALLS for one in plan.used_calls())


def asks_for_rates(plan: LevelPlan) -> bool:
    return any(one.function in RATE_CALLS for one in plan.used_calls())


def waits_sql(calls: Sequence[Call]) -> str:
    parts = [
        f"CASE WHEN {missing(one)} THEN '{one.number}' || {WITHIN} || "
        f"{quoted(one.argument_column(0))} END"
        for one in calls
        if one.function in ID_CALLS
    ]
    return f"concat_ws({BETWEEN}, {', '.join(parts)})" if parts else "''"


def rates_sql(calls: Sequence[Call]) -> str:
    parts = [quoted(one.rate_column) for one in calls if one.function in RATE_CALLS]
    return f"concat_ws({BETWEEN}, {', '.join(parts)})" if parts else "''"
