"""The vendor's value forms: ids of 15 and 18 characters, instants, checked field values, errors."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from tieout.emulators.salesforce.model import NUMERIC, FieldDefinition

BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECK_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

T = TypeVar("T", int, Decimal)


class ApiError(Exception):
    """A refusal in the vendor's form: HTTP status, code, message, fields at fault."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def as_answer(self) -> dict[str, object]:
        """The element of the error array of a REST answer."""
        answer: dict[str, object] = {"message": self.message, "errorCode": self.code}
        if self.fields:
            answer["fields"] = list(self.fields)
        return answer

    def as_row(self) -> dict[str, object]:
        """The element of `errors` of one row of a collections answer."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}


# --- ids ----------------------------------------------------------------------------------------


def new_record_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record of an object; ids sort by creation."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE_62[rest] + digits
    return with_check(prefix + digits.rjust(12, "0"))


def with_check(fifteen: str) -> str:
    """Add the three check letters: each tells which of five characters are upper case."""
    tail = ""
    for start in (0, 5, 10):
        bits = sum(1 << place for place in range(5) if fifteen[start + place].isupper())
        tail += CHECK_LETTERS[bits]
    return fifteen + tail


def full_id(text: str, prefix: str = "") -> str | None:
    """`text` as an 18-character id, or None when it is no id (of an object with `prefix`)."""
    if re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", text) is None:
        return None
    if prefix and not text.startswith(prefix):
        return None
    return with_check(text[:15])


# --- instants -----------------------------------------------------------------------------------


def instant_text(milliseconds: int) -> str:
    """Milliseconds since 1970 in the vendor's form, 2026-05-08T21:20:00.000+0000."""
    seconds, rest = divmod(milliseconds, 1000)
    when = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{rest:03d}+0000"


def instant_of(text: str) -> str | None:
    """An ISO 8601 instant with an offset, in the vendor's form and in UTC; None if it is none."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    since = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return instant_text(since // dt.timedelta(milliseconds=1))


# --- field values -------------------------------------------------------------------------------


def checked_value(one: FieldDefinition, value: object) -> object:
    """What is stored for a value sent for this field. Raises ApiError in the vendor's words.

    Numbers stay exactly as sent; numeric text is accepted, as the vendor does.
    """
    if value is None or value == "":
        return None if one.kind != "boolean" else False
    if one.kind in NUMERIC:
        return _number(one, value)
    if one.kind == "boolean":
        if isinstance(value, bool):
            return value
        raise _cannot_read(one, value)
    if not isinstance(value, str):
        if isinstance(value, (dict, list)):
            raise _cannot_read(one, value)
        value = str(value)
    if one.kind == "date":
        return _date(one, value)
    if one.kind == "datetime":
        return instant_of(value) or _refuse(one, value)
    if one.kind == "string" and len(value) > one.length:
        raise ApiError(
            400,
            "STRING_TOO_LONG",
            f"{one.name}: data value too large: {value[:80]} (max length={one.length})",
            (one.name,),
        )
    return value


def _number(one: FieldDefinition, value: object) -> int | Decimal:
    if isinstance(value, bool):
        raise _cannot_read(one, value)
    if isinstance(value, int):
        return _in_range(one, value)
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise _cannot_read(one, value) from None
    if not number.is_finite():
        raise _cannot_read(one, value)
    if one.kind == "int":
        _in_range(one, number)
        if number != number.to_integral_value():
            raise _cannot_read(one, value)
        return int(number)
    return _in_range(one, number)


def _in_range(one: FieldDefinition, number: T) -> T:
    """The vendor holds 18 digits before the point; more than 20 after it is no number it sends."""
    exact = Decimal(number)
    exponent = exact.as_tuple().exponent
    if exact.adjusted() >= 18 or not isinstance(exponent, int) or exponent < -20:
        raise ApiError(
            400,
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{one.name}: value outside of valid range on numeric field",
            (one.name,),
        )
    return number


def _date(one: FieldDefinition, value: str) -> str:
    try:
        return dt.date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        raise _cannot_read(one, value) from None


def _refuse(one: FieldDefinition, value: object) -> str:
    raise _cannot_read(one, value)


def _cannot_read(one: FieldDefinition, value: object) -> ApiError:
    token = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", Decimal: "VALUE_NUMBER_FLOAT"}.get(
        type(value), "VALUE_STRING" if isinstance(value, str) else "START_OBJECT"
    )
    return ApiError(
        400,
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {one.kind} from {token} value {value} "
        "or request may be missing a required field at [line:1, column:1]",
        (one.name,),
    )
