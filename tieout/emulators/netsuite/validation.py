"""Reads a request body into a row: known properties, right values, references that exist."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from tieout.emulators.kit import read_json
from tieout.emulators.netsuite.answers import Refused
from tieout.emulators.netsuite.books import Books
from tieout.emulators.netsuite.record_types import (
    LINE_FIELDS,
    LINE_READ_ONLY,
    TYPES,
    RecordType,
    Row,
)
from tieout.ports.http import Request

MOST_EXTERNAL_ID = 255
MOST_DIGITS = 20  # before the decimal point


def body_of(request: Request) -> Row:
    """The JSON object of a request; an empty body is an empty object. Raises Refused."""
    if not request.body.strip():
        return {}
    try:
        value = read_json(request.body)
    except ValueError as error:
        raise Refused("INVALID_CONTENT", f"Error while parsing JSON. {error}") from error
    if not isinstance(value, dict):
        raise Refused("INVALID_CONTENT", "Error while parsing JSON. An object is expected.")
    return value


class Validator:
    """The rules for one request. `strict` refuses unknown names; else they are dropped."""

    def __init__(self, books: Books, strict: bool) -> None:
        self._books = books
        self._strict = strict

    @classmethod
    def of(cls, books: Books, request: Request) -> Validator:
        wish = request.header("X-NetSuite-PropertyNameValidation", "Warning").strip().lower()
        if wish not in {"error", "warning", "ignore"}:
            raise Refused(
                "INVALID_HEADER",
                "Invalid value. Accepted values are: Error, Warning, Ignore.",
                place={"o:errorHeader": "X-NetSuite-PropertyNameValidation"},
            )
        return cls(books, wish == "error")

    def clean(self, spec: RecordType, body: Mapping[str, object]) -> Row:
        """The writable properties of `body`, each of its right kind."""
        return self._object(spec.fields, spec.read_only, body, "")

    def _object(
        self,
        fields: Mapping[str, str],
        read_only: frozenset[str],
        body: Mapping[str, object],
        path: str,
    ) -> Row:
        found: Row = {}
        for name, value in body.items():
            kind = fields.get(name)
            if kind is not None:
                found[name] = self._value(kind, value, f"{path}{name}")
            elif name not in read_only and self._strict:
                raise Refused(
                    "INVALID_CONTENT",
                    f"Unknown reference or field '{name}'.",
                    path=f"{path}{name}",
                )
        return found

    def _value(self, kind: str, value: object, path: str) -> object:
        if kind == "lines":
            return self._lines(value, path)
        if value is None:
            return None
        if kind in TYPES:
            return self._reference(kind, value, path)
        right = {
            "text": isinstance(value, str) and _is_text(value),
            "date": isinstance(value, str) and _is_date(value),
            "boolean": isinstance(value, bool),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | Decimal) and _is_number(value),
        }[kind]
        if not right or (path == "externalId" and len(str(value)) > MOST_EXTERNAL_ID):
            raise invalid_value(value, path)
        return Decimal(str(value)) if kind == "number" else value

    def _reference(self, kind: str, value: object, path: str) -> Row:
        if not isinstance(value, dict):
            raise invalid_value(value, path)
        if value.get("id") is not None:
            record_id = str(value["id"])
            if self._books.get(kind, record_id) is not None:
                return {"id": record_id}
            raise invalid_value(record_id, path)
        if value.get("externalId") is not None:
            holder = self._books.by_external(TYPES[kind].family, str(value["externalId"]))
            if holder is not None and holder[0] == kind:
                return {"id": holder[1]}
            raise invalid_value(value["externalId"], path)
        raise invalid_value(value, path)

    def _lines(self, value: object, path: str) -> list[Row]:
        items = value.get("items") if isinstance(value, dict) else None
        if not isinstance(items, list):
            raise invalid_value(value, path)
        lines: list[Row] = []
        for index, one in enumerate(items):
            spot = f"{path}.items[{index}]"
            if not isinstance(one, dict):
                raise invalid_value(one, spot)
            lines.append(self._object(LINE_FIELDS, LINE_READ_ONLY, one, f"{spot}."))
        return lines


def invalid_value(value: object, path: str) -> Refused:
    """The answer for a value that the field cannot hold, or a reference to nothing."""
    name = path.rsplit(".", 1)[-1]
    return Refused(
        "INVALID_CONTENT", f"Invalid Field Value {value} for the following field: {name}", path=path
    )


def missing(name: str, path: str) -> Refused:
    return Refused("USER_ERROR", f"Please enter value(s) for: {name}", path=path)


def _is_number(value: int | Decimal) -> bool:
    return not isinstance(value, bool) and Decimal(value).adjusted() < MOST_DIGITS


def _is_text(text: str) -> bool:
    """JSON may spell half of a character; no column holds that."""
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
