"""Lists on their way to PostgreSQL, written in its binary form.

Every state change sends whole columns as arrays. psycopg writes a list as text, escaping it with a
pattern element by element in Python, which cost more than all other work on a batch; the binary
form of texts, whole numbers and truth values needs no escaping. Decimals, dates and instants go as
texts: the statement casts them (`%s::numeric[]`), which it must do anyway.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer, DumperKey, PyFormat
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.array import ListDumper

TEXT, INT8, BOOL = 25, 20, 16  # the element's type, as PostgreSQL numbers it
TEXTS, INT8S, BOOLS = 1009, 1016, 1000  # and the array's
_HEAD = struct.Struct("!iiiii")  # dimensions, has NULLs, element type, length, lower bound
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)
_EMPTY = struct.Struct("!iii")


def text_array(values: Sequence[str | None]) -> bytes:
    """The binary form of a text[]."""
    out = bytearray()
    nulls = 0
    length = _LENGTH.pack
    for one in values:
        if one is None:
            out += _NULL
            nulls = 1
        else:
            data = one.encode()
            out += length(len(data))
            out += data
    return _with_head(out, len(values), TEXT, nulls)


def integer_array(values: Sequence[int | None]) -> bytes:
    """The binary form of a bigint[]. Raises struct.error beyond 64 bits."""
    return _fixed(values, INT8, struct.Struct("!iq"))


def boolean_array(values: Sequence[bool | None]) -> bytes:
    """The binary form of a boolean[]."""
    return _fixed(values, BOOL, struct.Struct("!i?"))


def _fixed(values: Sequence[Any], kind: int, form: struct.Struct) -> bytes:
    size = form.size - _LENGTH.size
    out = bytearray()
    nulls = 0
    for one in values:
        if one is None:
            out += _NULL
            nulls = 1
        else:
            out += form.pack(size, one)
    return _with_head(out, len(values), kind, nulls)


def _with_head(out: bytearray, count: int, kind: int, nulls: int) -> bytes:
    if not count:
        return _EMPTY.pack(0, 0, kind)
    return _HEAD.pack(1, nulls, kind, count, 1) + bytes(out)


def _said(value: Decimal | dt.date) -> str:
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def _texts_of(values: Sequence[Any]) -> bytes:
    return text_array([None if one is None else _said(one) for one in values])


Writer = Callable[[Sequence[Any]], bytes]
_WRITERS: dict[type, tuple[int, Writer]] = {
    str: (TEXTS, text_array),
    int: (INT8S, integer_array),
    bool: (BOOLS, boolean_array),
    Decimal: (TEXTS, _texts_of),
    dt.date: (TEXTS, _texts_of),
    dt.datetime: (TEXTS, _texts_of),
}


class ArrayDumper(Dumper):
    """Lists by the type of their first element; of what is not known here psycopg's own way."""

    format = Format.BINARY

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self._context = context
        self._write: Writer = text_array
        self.oid = 0

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002
        kind = _kind(obj)
        if kind is None:
            own = ListDumper(self.cls, self._context).get_key(obj, format)
            return (ListDumper, (own,))
        return (self.cls, (kind,))

    def upgrade(self, obj: list[Any], format: PyFormat) -> Dumper:  # noqa: A002
        kind = _kind(obj)
        if kind is None:
            return ListDumper(self.cls, self._context).upgrade(obj, format)
        made = ArrayDumper(self.cls, self._context)
        made.oid, made._write = _WRITERS[kind]
        return made

    def dump(self, obj: list[Any]) -> Buffer:
        return self._write(obj)


def _kind(values: list[Any]) -> type | None:
    first = next((one for one in values if one is not None), None)
    kind = type(first)
    return kind if kind in _WRITERS else None


def use_binary_arrays(connection: psycopg.Connection[Any]) -> None:
    """From now on this connection writes lists in the binary form."""
    connection.adapters.register_dumper(list, ArrayDumper)
