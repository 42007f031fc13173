"""The published form of the record types: JSON Schema 2020-12, one document each.

`python -m tieout.finance.schema docs/reference/schemas` writes them; a test keeps the committed
files equal to the code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tieout.finance.currency import ALL_CODES
from tieout.finance.record_types import RECORD_TYPES, RecordField, RecordType, ValueType

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER: Final = "urn:tieout:record:{name}"

Schema = dict[str, object]

# Digits before and after the point as the record plane stores them (amount DECIMAL(22,6),
# quantity (18,6), rate (16,10)); the text is the canonical one: no exponent, no plus sign, no
# negative zero. An amount has at least two places unless its currency has none (JPY).
_WHOLE: Final = "(?:0|[1-9][0-9]{{0,{more}}})"
_END: Final = r"(?!\n)$"  # in some languages a bare $ also matches before a final line feed

_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"


def _decimal(whole_digits: int, places: int, words: str) -> Schema:
    whole = _WHOLE.format(more=whole_digits - 1)
    pattern = rf"^(?!-0(?:\.0+)?$)-?{whole}(?:\.[0-9]{{1,{places}}})?{_END}"
    return {"type": "string", "pattern": pattern, "description": words}


_VALUES: Final[dict[ValueType, Schema]] = {
    "text": {"type": "string"},
    "amount": _decimal(16, 6, "Exact amount of money as decimal text"),
    "quantity": _decimal(12, 6, "Exact quantity as decimal text"),
    "rate": _decimal(6, 10, "Exact rate as decimal text"),
    "number": _decimal(22, 16, "Exact number as decimal text"),
    "integer": {"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date", "pattern": rf"^{_DAY}{_END}"},
    "timestamp": {
        "type": "string",
        "format": "date-time",
        "pattern": rf"^{_DAY}T{_CLOCK}(?:\.[0-9]{{1,6}})?Z{_END}",
    },
    "ref": {"type": "string", "pattern": "^[0-9a-f]{32}" + _END},
}


def json_schema(record_type: RecordType) -> Schema:
    """The JSON Schema (2020-12) of one record type, with the fields a landscape added to it.

    Money, quantities and rates are strings in canonical decimal text, dates ISO dates, references
    the 32-character record keys. A field that is not required may be absent or null.
    """
    schema: Schema = {
        "$schema": DIALECT,
        "$id": IDENTIFIER.format(name=record_type.name),
        "title": record_type.title,
    }
    schema.update(_object(record_type.fields, record_type.currency))
    return schema


def value_schema(kind: ValueType) -> Schema:
    """The JSON Schema of one plain value: `amount`, `date`, … (neither an object nor a list)."""
    return dict(_VALUES[kind])


def _object(fields: Iterable[RecordField], currency: str) -> Schema:
    listed = tuple(fields)
    return {
        "type": "object",
        "properties": {one.name: _field(one, one.name == currency) for one in listed},
        "required": [one.name for one in listed if one.required],
        "additionalProperties": False,
    }


def _field(one: RecordField, is_currency: bool) -> Schema:
    schema: Schema = {"title": one.title} if one.title else {}
    if one.type == "list":
        schema |= {"type": "array", "items": _object(one.fields, "")}
    elif one.type == "object":
        schema |= _object(one.fields, "")
    elif is_currency:
        schema |= {"type": "string", "enum": list(ALL_CODES)}
    else:
        schema |= _VALUES[one.type]
    if one.to:
        schema["description"] = f"Record key of a {one.to}"
    if one.money_in:
        schema["description"] = f"Exact amount of money as decimal text, in {one.money_in}"
    if not one.required:
        schema["type"] = [schema["type"], "null"]
    return schema


def rendered(record_type: RecordType) -> str:
    """The text of a published schema file."""
    return json.dumps(json_schema(record_type), indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every record type's schema as `<name>.schema.json`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, record_type in RECORD_TYPES.items():
        path = folder / f"{name}.schema.json"
        path.write_text(rendered(record_type), encoding="utf-8")
        written.append(path)
    return written


def main(arguments: Sequence[str]) -> int:
    """`python -m tieout.finance.schema FOLDER`; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m tieout.finance.schema FOLDER", file=sys.stderr)
        return 2
    for path in write_schemas(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
