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
MOST_KEPT = 4_096


class _Lengths(dict[int, bytes]):
    """The four bytes in front of an element, by its length; short ones are kept."""

    def __missing__(self, length: int) -> bytes:
        packed = _LENGTH.pack(length)
        if length < MOST_KEPT:
            self[length] = packed
        return packed


_LENGTHS = _Lengths()


def text_array(values: Sequence[str | None]) -> bytes:
    """The binary form of a text[]."""
    same = _alike(values, lambda one: _chunk(one.encode()))
    if same is not None:
        return _with_head(same, len(values), TEXT, int(values[0] is None))
    if None in values:
        some = b"".join([_NULL if one is None else _chunk(one.encode()) for one in values])
        return _with_head(some, len(values), TEXT, 1)
    lengths = _LENGTHS
    encoded = [one.encode() for one in values if one is not None]
    out = b"".join([part for one in encoded for part in (lengths[len(one)], one)])
    return _with_head(out, len(values), TEXT, 0)


def integer_array(values: Sequence[int | None]) -> bytes:
    """The binary form of a bigint[]. Raises struct.error beyond 64 bits."""
    return _fixed(values, INT8, "q")


def boolean_array(values: Sequence[bool | None]) -> bytes:
    """The binary form of a boolean[]."""
    return _fixed(values, BOOL, "?")


def _chunk(data: bytes) -> bytes:
    return _LENGTHS[len(data)] + data


def _alike(values: Sequence[Any], chunk: Callable[[Any], bytes]) -> bytes | None:
    """All elements of a list that says the same throughout, as many columns of a batch do."""
    if not values:
        return b""
    first = values[0]
    if values[-1] != first or list(values).count(first) != len(values):
        return None
    return (_NULL if first is None else chunk(first)) * len(values)


def _fixed(values: Sequence[Any], kind: int, code: str) -> bytes:
    size = struct.calcsize(f"!{code}")
    one_form = struct.Struct(f"!i{code}")
    same = _alike(values, lambda one: one_form.pack(size, one))
    if same is not None:
        return _with_head(same, len(values), kind, int(bool(values) and values[0] is None))
    if None in values:
        some = b"".join([_NULL if one is None else one_form.pack(size, one) for one in values])
        return _with_head(some, len(values), kind, 1)
    numbers = [part for one in values for part in (size, one)]
    out = struct.pack(f"!{f'i{code}' * len(values)}", *numbers)
    return _with_head(out, len(values), kind, 0)


def _with_head(out: bytes, count: int, kind: int, nulls: int) -> bytes:
    if not count:
        return _EMPTY.pack(0, 0, kind)
    return _HEAD.pack(1, nulls, kind, count, 1) + out


def _said(value: Decimal | dt.date) -> str:
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def _texts_of(values: Sequence[Any]) -> bytes:
    if values and all(one is values[0] for one in values):  # equal is not enough: 1.0 and 1.00
        return text_array([None if values[0] is None else _said(values[0])] * len(values))
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
