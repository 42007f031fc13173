"""How each type of field is held while a rule looks at it, and how it is written down again.

Amounts are DECIMAL(22,6), quantities (18,6), rates (16,10); `number` is any JSON number kept
exactly, DECIMAL(38,18). Nothing here is ever a binary number (DESIGN §9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pyarrow as pa

from tieout.rules.spec import FieldType

DECIMALS: dict[str, tuple[int, int]] = {
    "amount": (22, 6),
    "quantity": (18, 6),
    "rate": (16, 10),
    "number": (38, 18),
}
NUMBER_TYPES = (*DECIMALS, "integer")
_SCALARS: dict[str, pa.DataType] = {
    "text": pa.string(),
    "ref": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    **{name: pa.decimal128(*size) for name, size in DECIMALS.items()},
}
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$")


def arrow_type(one: FieldType) -> pa.DataType:
    """The type of a field once read. A list without item fields is a list of texts."""
    if one.type == "object":
        return pa.struct(_members(one.fields, arrow_type))
    if one.type == "list":
        item = pa.struct(_members(one.fields, arrow_type)) if one.fields else pa.string()
        return pa.list_(item)
    return _SCALARS[one.type]


def wire_type(one: FieldType) -> pa.DataType:
    """The type a field is parsed as: dates arrive as text, integers as text or numbers."""
    if one.type == "object":
        return pa.struct(_members(one.fields, wire_type))
    if one.type == "list":
        item = pa.struct(_members(one.fields, wire_type)) if one.fields else pa.string()
        return pa.list_(item)
    if one.type == "date":
        return pa.string()
    if one.type == "integer":
        return pa.decimal128(19, 0)
    return _SCALARS[one.type]


def _members(fields: Sequence[FieldType], of: Callable[[FieldType], pa.DataType]) -> list[pa.Field]:
    return [pa.field(one.name, of(one)) for one in readable(fields)]


def readable(fields: Sequence[FieldType]) -> tuple[FieldType, ...]:
    """The fields a rule can see: an object whose members nobody stated has nothing to look at."""
    return tuple(one for one in fields if one.type != "object" or readable(one.fields))


def sql_type(one: str) -> str:
    """The DuckDB type of a scalar field type."""
    if one in DECIMALS:
        width, scale = DECIMALS[one]
        return f"DECIMAL({width},{scale})"
    names = {"integer": "BIGINT", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP"}
    return names.get(one, "VARCHAR")


def decimal_size(compiled: str) -> tuple[int, int] | None:
    """(width, scale) when a compiled DuckDB type is a decimal."""
    found = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", compiled)
    return (int(found[1]), int(found[2])) if found else None


def is_integer(compiled: str) -> bool:
    return _INTEGERS.match(compiled) is not None


def is_binary(compiled: str) -> bool:
    """A type that cannot hold cents exactly."""
    return compiled.rstrip("[]") in ("DOUBLE", "FLOAT", "REAL")


def type_of_compiled(compiled: str) -> str:
    """The field type that a compiled DuckDB type naturally is; "" when it is none."""
    size = decimal_size(compiled)
    if size:
        return "amount" if size == DECIMALS["amount"] else "number"
    if is_integer(compiled):
        return "integer"
    if compiled.startswith("TIMESTAMP"):
        return "timestamp"
    names = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date"}
    if compiled.endswith("[]") and type_of_compiled(compiled[:-2]) not in ("", "list"):
        return "list"
    return names.get(compiled, "")


def why_it_does_not_fit(compiled: str, wanted: str) -> str:
    """Why a value of a compiled DuckDB type cannot be put into a field; "" when it can."""
    if compiled in ('"NULL"', "NULL"):
        return ""
    if is_binary(compiled):
        return "it compiles to a binary number, which cannot hold cents exactly"
    found = type_of_compiled(compiled)
    fits = found == wanted or {
        "text": found in ("integer", "date"),
        "ref": found == "text",
        "timestamp": found == "date",
    }.get(wanted, wanted in DECIMALS and found in NUMBER_TYPES)
    return "" if fits else f"it compiles to {found or compiled}, which is not {a_name(wanted)}"


def a_name(one: str) -> str:
    """'an amount', 'a date': a field type as a person says it."""
    return f"{'an' if one[0] in 'aeiou' else 'a'} {one}"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_column(sql: str) -> bool:
    """Nothing but a column's name: it cannot fail."""
    return _COLUMN.fullmatch(sql) is not None


_COLUMN = re.compile(r'"(?:[^"]|"")+"')


def literal(text: str) -> str:
    """An SQL text literal."""
    return "'" + text.replace("'", "''") + "'"


def json_text(value: str) -> str:
    """SQL for a text as a JSON string: as RFC 8785 says, but for `with_small_escapes`."""
    return f"CAST(to_json({value}) AS VARCHAR)"


def with_small_escapes(text: str) -> str:
    """JSON text with \\u001f where DuckDB writes \\u001F, as RFC 8785 says. Rarely needed: nine
    control characters are written so."""
    if "\\u00" not in text:
        return text
    return _ESCAPE.sub(lambda found: found[0].lower() if found[1] else found[0], text)


_ESCAPE = re.compile(r"\\\\|\\u00([01][0-9A-F])")  # an escaped backslash starts no escape


def canonical(value: str, one: str) -> str:
    """SQL for the canonical JSON text of a scalar; NULL stays NULL.

    Decimals are texts in plain notation without trailing zeros; amounts keep two decimals.
    """
    if one in ("text", "ref"):
        return json_text(canonical_text(value, one))
    if one in ("integer", "boolean"):
        return canonical_text(value, one)
    return f"'\"' || {canonical_text(value, one)} || '\"'"


def canonical_text(value: str, one: str) -> str:
    """SQL for the canonical text of a scalar, without the quotes of JSON; NULL stays NULL."""
    if one == "date":
        return f"strftime({value}, '%Y-%m-%d')"
    if one == "timestamp":
        return (
            f"CASE WHEN date_part('microseconds', {value}) % 1000000 = 0 "
            f"THEN strftime({value}, '%Y-%m-%dT%H:%M:%SZ') "
            f"ELSE strftime({value}, '%Y-%m-%dT%H:%M:%S.%fZ') END"
        )
    return plain_decimal(value, one) if one in DECIMALS else f"CAST({value} AS VARCHAR)"


def plain_decimal(value: str, one: str) -> str:
    """SQL for the text of a decimal field type."""
    held = f"CAST(TRY_CAST({value} AS {sql_type(one)}) AS VARCHAR)"
    if one == "amount":
        return f"left({held}, length({held}) - 4) || rtrim(right({held}, 4), '0')"
    return f"rtrim(rtrim({held}, '0'), '.')"
