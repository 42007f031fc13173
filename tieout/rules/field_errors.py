"""What went wrong with one field of one row, in words a finance operator can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from tieout.rules.column_types import DECIMALS, plain_decimal, quoted, type_of_compiled
from tieout.rules.expression import short
from tieout.rules.level import Call
from tieout.rules.place import Place
from tieout.rules.plan import LevelPlan, PlannedField, PlannedList
from tieout.rules.reading import BadText
from tieout.rules.slow_reading import MOST_SHOWN
from tieout.rules.spec import Crosswalk, MappingSpec
from tieout.rules.stages import Batch

BAD = "#bad"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of one row that could not be mapped.

    `field` is the target's path with list indexes counted from 0 (lines[2].amount), or the source's
    path when the source text itself could not be read. `value` shows the inputs at fault.
    """

    row_id: int
    key: str
    field: str
    value: str
    why: str
    place: Place
    next_action: str
    control: str = "mapping"


class Keyed(Protocol):
    @property
    def row_id(self) -> int: ...
    @property
    def key(self) -> str: ...


def bad_text_error(row_id: int, key: str, text: BadText, spec: MappingSpec) -> FieldError:
    """A row whose source text could not be read."""
    what = f"in {spec.source}"
    if not text.field:
        what = f"the text {spec.source} sent"
    return FieldError(
        row_id,
        key,
        text.field,
        text.value,
        f"{text.why} ({what})",
        spec.place,
        "Correct the value in the source system, or the field's type in its interface; "
        "then replay.",
    )


def explain(
    batch: Batch,
    plan: LevelPlan,
    chain: str,
    failed: pa.Table,
    rows: Sequence[Keyed],
    spec: MappingSpec,
    crosswalks: Mapping[str, Crosswalk],
) -> Iterator[tuple[int, FieldError]]:
    """(row index, error) for every error code of a level's failed rows."""
    keys = plan.level.keys
    batch.show(f"{BAD}{plan.label}", failed.select(list(keys)))
    shown = _shown_values(batch, plan, chain)
    names: dict[int, PlannedField | PlannedList] = {one.number: one for one in plan.fields}
    names.update({one.number: one for one in plan.lists})
    calls = {one.number: one for one in plan.level.calls}
    for values in failed.select([*keys, "#errors"]).to_pylist():
        position = tuple(values[key] for key in keys)
        inputs = shown[position]
        row = rows[position[0]]
        for code in str(values["#errors"]).split(","):
            kind, number = code[0], int(code[1:])
            if kind in "LA":
                for one in _fields_using(plan, number):
                    made = _call_error(kind, calls[number], one, inputs, crosswalks)
                    field = _indexed(plan, one.path, position)
                    yield position[0], FieldError(row.row_id, row.key, field, *made)
            else:
                made = _field_error(kind, names[number], inputs)
                field = _indexed(plan, names[number].path, position)
                yield position[0], FieldError(row.row_id, row.key, field, *made)


def _fields_using(plan: LevelPlan, number: int) -> list[PlannedField]:
    return [one for one in plan.fields if number in one.bound.calls]


def _shown_values(
    batch: Batch, plan: LevelPlan, chain: str
) -> dict[tuple[int, ...], dict[str, str | None]]:
    """By row position: every input and lookup argument as text, for the failed rows only."""
    keys = ", ".join(quoted(key) for key in plan.level.keys)
    shows: dict[str, str] = {}
    for one in plan.fields:
        for path, sql in one.bound.inputs.items():
            shows[path] = _as_text(sql, _input_type(plan, path, sql))
        compiled = type_of_compiled(one.compiled)
        shows[f"#value{one.number}"] = _as_text(one.column, compiled)
    for item in plan.lists:
        for path, sql in item.over.inputs.items():
            shows[path] = _as_text(sql, "list")
    for call in plan.used_calls():
        if call.python is not None:
            shows[call.error_column] = quoted(call.error_column)
            continue
        for index in range(len(call.arguments)):
            kind = "number" if call.function == "convert" and index == 0 else "text"
            column = quoted(call.argument_column(index))
            shows[call.argument_column(index)] = _as_text(column, kind)
    columns = "".join(f", {sql} AS c{index}" for index, sql in enumerate(shows.values()))
    table = batch.runner.query(
        f"SELECT {keys}{columns} FROM ({plan.computed(chain)}) "
        f"SEMI JOIN {quoted(f'{BAD}{plan.label}')} USING ({keys})"
    )
    found: dict[tuple[int, ...], dict[str, str | None]] = {}
    for values in table.to_pylist():
        position = tuple(values[key] for key in plan.level.keys)
        found[position] = {path: values[f"c{index}"] for index, path in enumerate(shows)}
    return found


def _input_type(plan: LevelPlan, path: str, sql: str) -> str:
    name = sql.strip('"')
    one = plan.level.by_name.get(name)
    if one is None and sql.startswith('"parent.') and plan.parent:
        return _input_type(plan.parent, path, quoted(name.removeprefix("parent.")))
    return one.type if one else ""


def _as_text(sql: str, kind: str) -> str:
    text = plain_decimal(sql, kind) if kind in DECIMALS else f"CAST({sql} AS VARCHAR)"
    return f"left({text}, {MOST_SHOWN})"


def _field_error(
    kind: str, one: PlannedField | PlannedList, inputs: Mapping[str, str | None]
) -> tuple[str, str, Place, str]:
    """(value, why, place, next action)."""
    if isinstance(one, PlannedList):
        path = one.rows.level.path
        why = f"{path} has no list, and {one.path} is required"
        return "", why, one.place, f"Fill {path} in the source system, then replay."
    read = {path: inputs.get(path) for path in one.bound.inputs}
    value = shown_inputs(read)
    written = short(one.bound.written)
    place = one.bound.place
    fix = f"Correct {_names(read)} in the source system, or the expression; then replay."
    if kind == "f":
        return value, f"'{written}' cannot be computed from {value or 'it'}", place, fix
    if kind == "n":
        why = f"'{written}' gives no value although its inputs have values ({value})"
        return value, why, place, fix
    if kind == "d":  # the years that ISO 8601 writes in four digits, and every calendar knows
        held = inputs.get(f"#value{one.number}") or value
        return held, f"{held} is not in the years 0001 to 9999", place, fix
    if kind == "x":
        held = inputs.get(f"#value{one.number}") or value
        scale = DECIMALS[one.type][1]
        why = f"{held} does not fit {one.type}: more than {scale} decimals, or too many digits"
        rule = f"round_to({written}, 2)"
        return held, why, place, f"State how it is rounded, for example {rule}; then replay."
    empty = _names({path: text for path, text in read.items() if text is None})
    why = f"it is required, and {empty} is empty" if empty else "it is required and has no value"
    fix = f"Fill {empty or _names(read) or 'it'} in the source system, then replay."
    return value, why, place, fix


def _call_error(
    kind: str,
    call: Call,
    one: PlannedField,
    inputs: Mapping[str, str | None],
    crosswalks: Mapping[str, Crosswalk],
) -> tuple[str, str, Place, str]:
    """(value, why, place, next action) of a lookup that found nothing."""
    place = one.bound.place
    asked = [inputs.get(call.argument_column(i)) for i in range(len(call.arguments))]
    read = {path: inputs.get(path) for path in one.bound.inputs}
    if kind == "A":
        value = shown_inputs(read)
        why = f"what {call.shown} asks for cannot be computed from {value}"
        fix = f"Correct {_names(read)} in the source system, or the expression; then replay."
        return value, why, place, fix
    if call.python is not None:
        fix = f"Correct {_names(read) or 'the expression'}, or {call.python.name}(); then replay."
        return shown_inputs(read), str(inputs.get(call.error_column)), place, fix
    if call.function == "crosswalk":
        name, code = call.fixed[0], asked[0]
        day = f" on {asked[1]}" if len(asked) > 1 and asked[1] else ""
        file = crosswalks[name].place.file
        if len(asked) > 1 and asked[1] is None:
            why = f"crosswalk {name} needs a date to look up code '{code}', and there is none"
            return str(code), why, place, f"Fill {_names(read)} in the source system, then replay."
        why = f"code '{code}' is not in crosswalk {name}{day} ({file})"
        fix = f"Add '{code}' to {file}, or correct {_names(read)} in the source; then replay."
        return str(code), why, place, fix
    if call.function == "period":
        why = f"no accounting period of {asked[0]} holds {asked[1]}"
        fix = "Check the legal entity and its calendar, or the date; then replay."
        return f"{asked[0]}, {asked[1]}", why, place, fix
    amount, source, target, date, rate_type = asked
    why = f"there is no {rate_type} rate from {source} to {target} on {date}"
    value = f"{source}, {target}, {date}" + (f", {amount}" if call.function == "convert" else "")
    return value, why, place, f"Load the rate, or correct {_names(read)}; then replay."


def shown_inputs(read: Mapping[str, str | None]) -> str:
    """`abc` for one input, `Amount = 12, Rate = nothing` for several; at most 200 characters."""
    if len(read) == 1:
        text = next(iter(read.values())) or ""
    else:
        text = ", ".join(f"{path} = {_or_nothing(value)}" for path, value in read.items())
    return short(text, MOST_SHOWN)


def _or_nothing(value: str | None) -> str:
    return "nothing" if value is None else value


def _names(read: Mapping[str, str | None]) -> str:
    return " and ".join(read)


def _indexed(plan: LevelPlan, path: str, position: Sequence[int]) -> str:
    """A field's path with the indexes of its list items: lines[2].amount."""
    lists: list[str] = []
    one: LevelPlan | None = plan
    while one is not None and one.parent is not None:
        lists.append(next(item.path for item in one.parent.lists if item.rows is one))
        one = one.parent
    for index, list_path in zip(reversed(position[1:]), lists, strict=True):
        path = f"{list_path}[{index}]{path[len(list_path) :]}"
    return path
