"""Turns a declared interface into a stream and the tables behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tieout.ports.connector import Idempotency, Stream
from tieout.ports.declared import fields_of
from tieout.rules.interface import InterfaceSpec
from tieout.rules.spec import FieldType

WRITES_PER_CALL = 5_000
MOST_WRITES_PER_CALL = 20_000
LONGEST_NAME = 63  # PostgreSQL's NAMEDATALEN - 1: a longer identifier would be cut in silence
NUMBERS = frozenset({"amount", "quantity", "rate", "number"})
SCALARS = NUMBERS | {"text", "integer", "boolean", "date", "timestamp"}
OPTIONS: Mapping[str, str] = {
    "table": "the table of the rows (the interface's name)",
    "line_table": "the table of the lines, for an interface with a list field (TABLE_line)",
    "line_number": "the line field that numbers the lines of a row (its first integer)",
    "changed": "a timestamp column that every change moves on; without it nothing is read",
    "void": "how a row is voided: COLUMN=VALUE; without it a void is refused",
    "facts": "the header fields that a proof compares, with commas (all but timestamps)",
    "writes_per_call": f"rows of one transaction ({WRITES_PER_CALL})",
    "posts": "yes: a write lands in an accounting period",
    "read_only": "yes: never written",
}

FactKind = Literal["amount", "date", "text"]


@dataclass(frozen=True, slots=True)
class Lines:
    """The list field of a row and its table: one row per line, keyed by the row's key and `number`.

    `summed` are the amounts that a proof adds up.
    """

    field: str
    table: str
    number: str
    columns: tuple[FieldType, ...]
    summed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A stream and its tables. Columns are named like the fields of the interface."""

    stream: Stream
    name: str
    key: str
    version: str
    columns: tuple[FieldType, ...]  # without the list
    lines: Lines | None
    changed: str
    void: tuple[str, str] | None  # column and value
    facts: tuple[str, ...]

    def __hash__(self) -> int:
        return hash((self.name, self.key, self.version))

    def column(self, name: str) -> FieldType | None:
        return next((one for one in self.columns if one.name == name), None)


def tables_of(interfaces: Mapping[str, InterfaceSpec]) -> Mapping[str, Table]:
    """The tables of every interface. Raises BadLandscape."""
    return {name: _table(spec) for name, spec in interfaces.items()}


def _table(spec: InterfaceSpec) -> Table:
    for name in spec.options:
        if name not in OPTIONS:
            raise spec.refused(f"has the unknown option '{name}'", f"There is: {_listed(OPTIONS)}")
    lists = [one for one in spec.fields if one.type == "list"]
    columns = tuple(one for one in spec.fields if one.type != "list")
    if len(lists) > 1:
        raise spec.refused("has more than one list", "One table of lines belongs to a row")
    _columns_are_sound(spec, columns)
    table = spec.options.get("table", spec.name)
    lines = _lines(spec, lists[0], table) if lists else None
    void = _void(spec, columns)
    facts = _facts(spec, columns)
    for name in (table, *([lines.table] if lines else [])):
        _fits(spec, name)
    read_only = _yes(spec, "read_only")
    changed = spec.options.get("changed", "")
    if read_only and not changed:
        raise spec.refused("is neither read nor written", "Name the option 'changed'")
    if changed:
        _fits(spec, changed)
    return Table(
        _stream(spec, columns, lines, facts, read_only),
        table,
        spec.key,
        spec.version,
        columns,
        lines,
        changed,
        void,
        facts,
    )


def _stream(
    spec: InterfaceSpec,
    columns: tuple[FieldType, ...],
    lines: Lines | None,
    facts: tuple[str, ...],
    read_only: bool,
) -> Stream:
    kinds = {one.name: fact_kind(one) for one in columns if one.name in facts}
    if lines is not None:
        kinds[lines.field] = "text"
        kinds |= {sum_name(lines, name): "amount" for name in lines.summed}
    return Stream(
        name=spec.name,
        title=spec.title,
        fields=fields_of(spec.fields),
        key=spec.key,
        version=spec.version or spec.options.get("changed", ""),
        reads="changed" in spec.options,
        writes=not read_only,
        posts=_yes(spec, "posts"),
        idempotency=None if read_only else Idempotency("A"),
        facts={} if read_only else {**kinds, "row": "text"},
        most_writes_per_call=_whole(spec, "writes_per_call", WRITES_PER_CALL),
    )


def sum_name(lines: Lines, column: str) -> str:
    """The name of the fact that adds up a column of the lines: lines_amount."""
    return f"{lines.field}_{column}"


def fact_kind(column: FieldType) -> FactKind:
    """How a proof compares a column."""
    if column.type in NUMBERS:
        return "amount"
    return "date" if column.type == "date" else "text"


def _columns_are_sound(spec: InterfaceSpec, columns: tuple[FieldType, ...]) -> None:
    for one in columns:
        if one.type not in SCALARS:
            raise spec.refused(
                f"has the field '{one.name}' of type {one.type}", "A column holds one value"
            )
        _fits(spec, one.name)


def _lines(spec: InterfaceSpec, field: FieldType, table: str) -> Lines:
    _columns_are_sound(spec, field.fields)
    integers = [one.name for one in field.fields if one.type == "integer"]
    number = spec.options.get("line_number", integers[0] if integers else "")
    if number not in [one.name for one in field.fields]:
        raise spec.refused(
            f"does not say which field numbers its '{field.name}'",
            "Name it in the option 'line_number'",
        )
    if spec.key in [one.name for one in field.fields]:
        raise spec.refused(
            f"repeats the key '{spec.key}' in its '{field.name}'", "Remove it: it is added"
        )
    summed = tuple(one.name for one in field.fields if one.type == "amount")
    return Lines(
        field.name, spec.options.get("line_table", f"{table}_line"), number, field.fields, summed
    )


def _void(spec: InterfaceSpec, columns: tuple[FieldType, ...]) -> tuple[str, str] | None:
    told = spec.options.get("void", "")
    if not told:
        return None
    column, equals, value = (part.strip() for part in told.partition("="))
    if not equals or not value or column not in [one.name for one in columns]:
        raise spec.refused(f"is voided by '{told}'", "Write COLUMN=VALUE, a column of its fields")
    return column, value


def _facts(spec: InterfaceSpec, columns: tuple[FieldType, ...]) -> tuple[str, ...]:
    told = [one.strip() for one in spec.options.get("facts", "").split(",") if one.strip()]
    known = [one.name for one in columns if one.type != "timestamp"]
    for name in told:
        if name not in known:
            raise spec.refused(
                f"compares '{name}', which is not one of its plain fields",
                f"There is: {_listed(known)}",
            )
    return tuple(told or known)


def _yes(spec: InterfaceSpec, option: str) -> bool:
    told = spec.options.get(option, "no")
    if told not in ("yes", "no"):
        raise spec.refused(f"has the option {option}: {told}", "Write yes or no")
    return told == "yes"


def _whole(spec: InterfaceSpec, option: str, default: int) -> int:
    told = spec.options.get(option, str(default))
    if not (told.isascii() and told.isdigit() and 1 <= int(told) <= MOST_WRITES_PER_CALL):
        raise spec.refused(
            f"has the option {option}: {told}",
            f"Write a whole number from 1 to {MOST_WRITES_PER_CALL}",
        )
    return int(told)


def _fits(spec: InterfaceSpec, name: str) -> None:
    if not 0 < len(name.encode()) <= LONGEST_NAME or "\x00" in name:
        raise spec.refused(
            f"has the name '{name}'", f"PostgreSQL's names have 1 to {LONGEST_NAME} bytes"
        )


def _listed(names: Mapping[str, str] | list[str]) -> str:
    return ", ".join(names) or "none"
