"""One level of a batch, computed: the JSON text of every row, and what went wrong in which.

DuckDB computes values, Arrow writes them down. Only the rows in which something may be wrong go
through the whole SQL of `plan.LevelPlan.written`, which names it; mostly there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tieout.rules import arrow_text
from tieout.rules.column_types import quoted
from tieout.rules.plan import (
    ID_CALLS,
    LevelPlan,
    Node,
    PlannedField,
    PlannedGroup,
    asks_for_ids,
    asks_for_rates,
    empty_cases,
    rates_sql,
    waits_sql,
)
from tieout.rules.stages import Batch, argument_failed, may_fail, missing

BODY = "#body"
SUSPECT = "#suspect"
REDO = "#redo"
FEW_ROWS = 64  # that Python compares sooner than a dozen kernels


@dataclass(frozen=True)
class LevelResult:
    """`rows` in order: the keys, `#body`, `#k…`, `#f…`, and `#waits`, `#rates` where the level asks
    for such. `failed` has the keys and `#errors` of rows with errors."""

    rows: pa.Table
    failed: pa.Table


def run_level(
    batch: Batch, plan: LevelPlan, chain: str, results: Mapping[str, LevelResult]
) -> LevelResult:
    """Compute a level whose rows are `chain`; `results` holds those of its lists, by label."""
    keys = list(plan.level.keys)
    kept = [*keys, BODY, *_also(plan)]
    if chain not in plan.values_sql:
        plan.values_sql[chain] = _values(plan, chain)
    found = in_order(batch.runner.query(plan.values_sql[chain]), keys)
    suspect = found.column(SUSPECT).combine_chunks()
    try:
        fast = _with_texts(plan, found, results)
    except pa.ArrowInvalid:
        fast, suspect = found.slice(0, 0), None
    if suspect is not None and not pc.any(suspect).as_py():
        return LevelResult(fast.select(kept), found.slice(0, 0).select(keys))
    redo = found if suspect is None else found.filter(suspect)
    written = _written(batch, plan, chain, redo.select(keys), results)
    failed = written.filter(pc.not_equal(written.column("#errors"), ""))
    rows = written.select(kept)
    if suspect is not None:
        good = fast.filter(pc.invert(suspect)).select(kept)
        rows = in_order(pa.concat_tables([good, rows.cast(good.schema)]), keys)
    return LevelResult(in_order(rows, keys), failed.select([*keys, "#errors"]))


def in_order(table: pa.Table, keys: list[str]) -> pa.Table:
    """The rows by their keys; nothing is moved when they already are in order, as mostly."""
    table = table.combine_chunks()
    if table.num_rows < 2 or _is_in_order(table, keys):
        return table
    return table.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _is_in_order(table: pa.Table, keys: list[str]) -> bool:
    if table.num_rows <= FEW_ROWS:
        places = list(zip(*(table.column(key).to_pylist() for key in keys), strict=True))
        return places == sorted(places)
    before, after = table.slice(0, table.num_rows - 1), table.slice(1)
    fine = pa.scalar(True, pa.bool_())
    for key in reversed(keys):
        one, next_one = before.column(key), after.column(key)
        fine = pc.or_(pc.less(one, next_one), pc.and_(pc.equal(one, next_one), fine))
    return pc.all(fine).as_py() is not False


def _also(plan: LevelPlan) -> list[str]:
    also = [f"#k{index}" for index in range(len(plan.conditions))]
    also += [one.fact_column for one in plan.facts]
    if asks_for_ids(plan):
        also.append("#waits")
    return [*also, "#rates"] if asks_for_rates(plan) else also


def _text_column(one: PlannedField) -> str:
    return f"#t{one.number}"


def _values(plan: LevelPlan, chain: str) -> str:
    """SQL of the level's values, the lengths of its lists, and which rows are suspect."""
    columns = [quoted(key) for key in plan.level.keys]
    for one in plan.fields:
        if arrow_text.is_written_here(one.type, one.compiled):
            columns.append(one.column)
        else:
            columns.append(f"{one.json_value()} AS {quoted(_text_column(one))}")
            if one in plan.facts:
                columns.append(f"{one.fact} AS {quoted(one.fact_column)}")
    columns += [f"len({one.over.sql}) AS {quoted(f'#n{one.number}')}" for one in plan.lists]
    columns += [quoted(f"#k{index}") for index in range(len(plan.conditions))]
    columns.append(f"{_suspect(plan)} AS {quoted(SUSPECT)}")
    if asks_for_ids(plan):
        columns.append(f'{waits_sql(plan.used_calls())} AS "#waits"')
    if asks_for_rates(plan):
        columns.append(f'{rates_sql(plan.used_calls())} AS "#rates"')
    return f"SELECT {', '.join(columns)} FROM ({plan.computed(chain)})"


def _suspect(plan: LevelPlan) -> str:
    """SQL: this row may have an error (but for values that do not fit, which Arrow refuses)."""
    calls = {one.number: one for one in plan.used_calls()}
    tests = []
    for one in plan.fields:
        waits = any(calls[number].function in ID_CALLS for number in one.bound.calls)
        if one.required and not waits and not one.optional_group:
            tests.append(f"{one.column} IS NULL")
            continue
        cases = empty_cases(one, [calls[number] for number in one.bound.calls])
        if cases:
            code = f"CASE {' '.join(cases)} END IS NOT NULL"
            tests.append(f"CASE WHEN {one.column} IS NULL THEN {code} ELSE false END")
    tests += [f"({one.over.sql}) IS NULL" for one in plan.lists if one.required]
    for call in calls.values():
        if call.function not in ID_CALLS:
            tests.append(missing(call))
        if may_fail(call):
            none = " OR ".join(
                f"{quoted(call.argument_column(i))} IS NULL" for i in range(len(call.arguments))
            )
            tests.append(f"CASE WHEN {none} THEN {argument_failed(call)} ELSE false END")
    return " OR ".join(tests) or "false"


def _with_texts(plan: LevelPlan, found: pa.Table, results: Mapping[str, LevelResult]) -> pa.Table:
    """The rows with `#body` and the texts `#f…` of their facts. Raises pyarrow.ArrowInvalid."""
    texts = _plain_texts(plan, found)
    made = found.append_column(BODY, _bodies(plan, found, results, texts))
    for one in plan.facts:
        if one.number in texts:
            made = made.append_column(one.fact_column, texts[one.number])
    return made


def _plain_texts(plan: LevelPlan, found: pa.Table) -> dict[int, pa.Array]:
    """The canonical texts of every field that Arrow writes."""
    return {
        one.number: arrow_text.plain_texts(_whole(found, f"#v{one.number}"), one.type)
        for one in plan.fields
        if arrow_text.is_written_here(one.type, one.compiled)
    }


def _bodies(
    plan: LevelPlan,
    found: pa.Table,
    results: Mapping[str, LevelResult],
    texts: Mapping[int, pa.Array],
) -> pa.Array:
    """The JSON text of every row. Raises pyarrow.ArrowInvalid."""
    if found.num_rows == 0:
        return pa.array([], pa.string())
    members = _members(plan.members, found, results, texts)
    return arrow_text.json_object(members, empty_is_null=False)


def _members(
    nodes: list[Node],
    found: pa.Table,
    results: Mapping[str, LevelResult],
    texts: Mapping[int, pa.Array],
) -> list[tuple[str, pa.Array]]:
    return [
        (one.name, _member(one, found, results, texts))
        for one in sorted(nodes, key=lambda one: one.name)
    ]


def _member(
    one: Node,
    found: pa.Table,
    results: Mapping[str, LevelResult],
    texts: Mapping[int, pa.Array],
) -> pa.Array:
    if isinstance(one, PlannedGroup):
        inside = _members(one.members, found, results, texts)
        return arrow_text.json_object(inside, empty_is_null=True)
    if isinstance(one, PlannedField):
        if one.number in texts:
            return arrow_text.json_values(texts[one.number], one.type)
        return _whole(found, _text_column(one))
    items = _whole(results[one.rows.label].rows, BODY)
    return arrow_text.json_lists(_whole(found, f"#n{one.number}"), items)


def _whole(table: pa.Table, column: str) -> pa.Array:
    chunks = table.column(column)
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def _written(
    batch: Batch,
    plan: LevelPlan,
    chain: str,
    redo: pa.Table,
    results: Mapping[str, LevelResult],
) -> pa.Table:
    """The rows `redo` with all that is wrong with them."""
    for one in plan.lists:
        rows = results[one.rows.label].rows
        batch.show(one.rows.result, rows.select([*one.rows.level.keys, BODY]))
    batch.show(f"{REDO}{plan.label}", redo)
    keys = ", ".join(quoted(key) for key in plan.level.keys)
    some = f"SELECT * FROM ({chain}) SEMI JOIN {quoted(f'{REDO}{plan.label}')} USING ({keys})"
    found = batch.runner.query(plan.written(some))
    return found.set_column(
        found.column_names.index(BODY), BODY, arrow_text.small_escapes(found.column(BODY))
    )
