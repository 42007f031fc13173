"""Documents as rows: read once, strictly, and written as COPY wants them.

A document is JSON whose amounts are decimal strings. It is taken apart by a decoder that is made
from the interface: a field that no column can hold refuses the document, nothing is dropped in
silence, and no number ever becomes a float.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from tieout.connectors.postgresql.streams import NUMBERS, Table, sum_name
from tieout.finance.digest import NotCanonical
from tieout.finance.outcome import Detail, Rejected
from tieout.ports.connector import Document, Write, document_text
from tieout.rules.spec import FieldType

NULL = "\\N"
_ABSENT = (None, "")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class BadDocument(Exception):
    """A document that no row can be made of."""

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.outcome = Rejected(
            Detail(words, "Correct the mapping, or the interface in systems/.", field=field)
        )


@dataclass(frozen=True)
class Reader:
    """Takes the documents of one table apart."""

    table: Table
    decode: Callable[[str], Any]
    decode_key: Callable[[str], Any]
    header: Callable[[Any], Sequence[object]]  # the columns' values, in order
    line: Callable[[Any], Sequence[object]]

    def read(self, write: Write) -> Any:
        """The document, its key filled in. Raises BadDocument."""
        try:
            row = self.decode(document_text(write.document))
        except msgspec.ValidationError as error:
            path = str(error).partition(" - at `")[2]
            field = path.rstrip("`").removeprefix("$").removeprefix(".")
            raise BadDocument(f"the document does not fit the table: {error}", field) from None
        except (msgspec.DecodeError, NotCanonical) as error:
            raise BadDocument(f"the document cannot be read: {error}") from None
        if getattr(row, self.table.key) in _ABSENT:
            # What the mapping leaves out is identified by our reference.
            setattr(row, self.table.key, write.reference)
        return row

    def key(self, row: Any) -> str:
        return str(getattr(row, self.table.key))

    def key_of(self, write: Write) -> str:
        """The key alone, without taking the document apart. Raises BadDocument."""
        if not isinstance(write.document, Document):
            return _key(write.document.get(self.table.key), write)
        try:
            return _key(self.decode_key(write.document.text).key, write)
        except msgspec.MsgspecError as error:
            raise BadDocument(f"the document names no row: {error}", self.table.key) from None

    def lines(self, row: Any) -> Sequence[Any]:
        return getattr(row, self.table.lines.field) or () if self.table.lines else ()

    def copied(self, number: int, row: Any) -> tuple[str, list[str]]:
        """The row of the header and those of its lines as COPY's text format; each begins with
        `number`, its place in the call."""
        place = str(number)
        return (
            "\t".join([place, *map(_copied, self.header(row))]),
            ["\t".join([place, *map(_copied, self.line(one))]) for one in self.lines(row)],
        )

    def facts(self, row: Any) -> dict[str, str]:
        """What a proof of the row must show. Raises BadDocument."""
        table = self.table
        shown = {name: _shown(getattr(row, name)) for name in table.facts}
        # An amount that is not there is left to the database to fill.
        found = {n: text for n, text in shown.items() if text or table.stream.facts[n] == "text"}
        if table.lines is not None:
            lines = self.lines(row)
            found[table.lines.field] = str(len(lines))
            for name in table.lines.summed:
                found[sum_name(table.lines, name)] = _sum(name, lines)
        return found


@lru_cache(maxsize=256)
def reader(table: Table) -> Reader:
    """The reader of a table's documents; made once."""
    inner: list[tuple[str, Any, Any]] = [_member(one) for one in table.columns]
    line: Callable[[Any], Sequence[object]] = tuple
    if table.lines is not None:
        item = msgspec.defstruct(
            "Line", [_member(one) for one in table.lines.columns], forbid_unknown_fields=True
        )
        inner.append((table.lines.field, list[item] | None, None))  # type: ignore[valid-type]
        line = _getter([one.name for one in table.lines.columns])
    row = msgspec.defstruct("Row", inner, forbid_unknown_fields=True)
    key = msgspec.defstruct("Key", [("key", str | int | None, None)], rename={"key": table.key})
    return Reader(
        table,
        msgspec.json.Decoder(row).decode,
        msgspec.json.Decoder(key).decode,
        _getter([one.name for one in table.columns]),
        line,
    )


def _key(value: object, write: Write) -> str:
    return write.reference if value in _ABSENT else str(value)


def _member(column: FieldType) -> tuple[str, Any, Any]:
    if column.type == "boolean":
        return column.name, bool | str | None, None
    if column.type == "integer":
        return column.name, int | str | None, None
    if column.type in NUMBERS:
        return column.name, str | int | None, None  # a float literal is refused
    return column.name, str | None, None


def _getter(names: Sequence[str]) -> Callable[[Any], Sequence[object]]:
    if len(names) == 1:
        only = operator.attrgetter(names[0])
        return lambda row: (only(row),)
    return operator.attrgetter(*names)


def _copied(value: object) -> str:
    if value is None:
        return NULL
    text = str(value)
    return text.translate(_ESCAPES) if "\\" in text or not text.isprintable() else text


def _shown(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sum(name: str, lines: Sequence[Any]) -> str:
    try:
        parts = [Decimal(getattr(one, name) or 0) for one in lines]
        total = sum(parts, Decimal(0))
    except InvalidOperation:
        raise BadDocument(f"a line's {name} is not a number", name) from None
    if not total.is_finite():
        raise BadDocument(f"a line's {name} is not a number", name)
    return format(total, "f")
