"""Reading one JSON text by hand, to say exactly which field and value cannot be read.

Also reads what the fast path is too strict for: a number where a text is expected, `5.0` for a
whole number, "true" for a boolean. What both can read, both read alike.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tieout.rules.column_types import DECIMALS, a_name
from tieout.rules.spec import FieldType

MOST_NESTING = 64
MOST_SHOWN = 200  # characters of a value in an error
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_LARGEST_INTEGER = 2**63
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Unreadable(Exception):
    """A text that cannot be read: `field` is the path, "" when it is the whole text."""

    def __init__(self, field: str, value: str, why: str) -> None:
        super().__init__(f"{field}: {why}" if field else why)
        self.field = field
        self.value = value
        self.why = why


def read_slowly(text: str, fields: Sequence[FieldType]) -> dict[str, object]:
    """The typed values of one text. Raises Unreadable."""
    if is_nested_too_deeply(text):
        why = f"it is nested deeper than {MOST_NESTING} levels, or its brackets do not match"
        raise Unreadable("", shown(text), why)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise Unreadable("", shown(text), "it is not valid UTF-8") from None
    try:
        _DECODER.decode(data)  # stricter than `json` about UTF-8, surrogates and control characters
        found = json.loads(
            data, parse_float=_exact, parse_int=_exact, parse_constant=str, object_pairs_hook=_pairs
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        why = str(error).removeprefix("JSON is malformed: ")
        raise Unreadable("", shown(text), f"it is not JSON ({why})") from None
    if not isinstance(found, dict):
        raise Unreadable("", shown(text), "it is not a JSON object")
    return _object(found, fields, "")


class _Number(str):
    """The exact literal of a JSON number."""

    __slots__ = ()


def _exact(literal: str) -> _Number:
    return _Number(literal)


class _Object(dict[str, object]):
    """A JSON object that remembers which of its names stand twice."""

    twice: frozenset[str] = frozenset()


def _pairs(pairs: list[tuple[str, object]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        made.twice = frozenset(name for name in made if names.count(name) > 1)
    return made


def is_nested_too_deeply(text: str) -> bool:
    """More than MOST_NESTING brackets inside each other; checked before any recursive parser.

    Takes time linear in the text: its skeleton of brackets is emptied from the inside, one level
    a pass, at most MOST_NESTING passes.
    """
    if text.count("[") + text.count("{") <= MOST_NESTING:
        return False
    skeleton = _NOT_A_BRACKET.sub("", text)
    for _ in range(MOST_NESTING):
        emptied = skeleton.replace("[]", "").replace("{}", "")
        if emptied == skeleton:
            break
        skeleton = emptied
    return skeleton.count("[") + skeleton.count("{") > 0


_NOT_A_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[^\[\]{}]', re.DOTALL)


def _object(found: dict[str, object], fields: Sequence[FieldType], at: str) -> dict[str, object]:
    for one in fields:
        if isinstance(found, _Object) and one.name in found.twice:
            path = f"{at}{one.name}"
            raise Unreadable(path, "", f"{path} stands twice in one object")
    return {one.name: _value(found.get(one.name), one, f"{at}{one.name}") for one in fields}


def _value(found: object, one: FieldType, path: str) -> object:
    if found is None:
        return None
    if one.type == "object":
        if not isinstance(found, dict):
            raise _wrong(path, found, "is not an object")
        return _object(found, one.fields, f"{path}.")
    if one.type == "list":
        if not isinstance(found, list):
            raise _wrong(path, found, "is not a list")
        return [_item(item, one, f"{path}[{index}]") for index, item in enumerate(found)]
    if isinstance(found, dict | list):
        raise _wrong(path, found, f"is not {a_name(one.type)}")
    return _scalar(found, one.type, path)


def _item(found: object, one: FieldType, path: str) -> object:
    if not one.fields:
        return None if found is None else _scalar(found, "text", path)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise _wrong(path, found, "is not an object")
    return _object(found, one.fields, f"{path}.")


def _scalar(found: object, kind: str, path: str) -> object:
    if kind in DECIMALS or kind == "integer":
        return _decimal(found, kind, path)
    if kind == "boolean":
        made = {True: True, False: False, "true": True, "false": False}.get(found)
        if made is None:
            raise _wrong(path, found, "is not true or false")
        return made
    if isinstance(found, bool):
        raise _wrong(path, found, f"is not {a_name(kind)}")
    text = str(found)
    if kind in ("date", "timestamp"):
        return _moment(text, kind, path, found)
    if "\x00" in text:
        raise _wrong(path, found, "holds a NUL character")
    return text


def _decimal(found: object, kind: str, path: str) -> Decimal | int:
    text = found if isinstance(found, str) else ""
    if not _NUMBER.fullmatch(text):
        raise _wrong(path, found, "is not a number")
    number = Decimal(text)
    width, scale = DECIMALS.get(kind, (19, 0))
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    assert isinstance(exponent, int)
    if not any(digits):
        return 0 if kind == "integer" else Decimal(0)
    if number.adjusted() >= width - scale or (
        kind == "integer" and not -_LARGEST_INTEGER <= number < _LARGEST_INTEGER
    ):
        raise _wrong(path, found, f"has more digits than {a_name(kind)} can hold")
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if -(exponent + trailing) > scale:
        what = "is not a whole number" if not scale else f"has more than {scale} decimals"
        raise _wrong(path, found, what)
    return int(number) if kind == "integer" else number


def _moment(text: str, kind: str, path: str, found: object) -> object:
    try:
        if kind == "date":
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                raise ValueError(text)
            return dt.date.fromisoformat(text)
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(path, found, f"is not {a_name(kind)} (ISO 8601)") from None
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def shown(value: object) -> str:
    """A value as an error shows it: one line, bounded, without control characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(c if c.isprintable() else "�" for c in text[: MOST_SHOWN + 1])
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _wrong(path: str, found: object, what: str) -> Unreadable:
    value = shown(found)
    written = f"'{value}'" if isinstance(found, str) and not isinstance(found, _Number) else value
    return Unreadable(path, value, f"{path}: {written} {what}")
