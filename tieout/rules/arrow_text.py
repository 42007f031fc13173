"""Canonical JSON texts of whole columns, written by Arrow's vectorised kernels.

The same texts as `column_types.canonical` and `json_text` make in SQL, several times faster, for
values that hold no surprise. A surprise (a value that does not fit its field) raises
pyarrow.ArrowInvalid for the whole column: then SQL writes the texts and names the value.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tieout.rules.column_types import DECIMALS, decimal_size, is_integer, with_small_escapes

CENTS = 2
PLAIN_SCALE = 6  # Arrow writes decimals of more than six places in scientific notation
MOST_SCALARS = 1024
_ESCAPED = bytes(range(0x20)) + b'"\\'
_FIRST_DAY, _LAST_DAY = pa.scalar(-354285, pa.int32()), pa.scalar(2932896, pa.int32())
_WIDE = ("HUGEINT", "UHUGEINT", "UBIGINT")  # which Arrow would hold as binary numbers


def is_written_here(kind: str, compiled: str) -> bool:
    """Whether Arrow writes values of a field type that compile to a DuckDB type."""
    if kind in ("text", "ref"):
        return compiled == "VARCHAR"
    if kind in DECIMALS:
        return decimal_size(compiled) is not None
    if kind == "integer":
        return is_integer(compiled) and compiled not in _WIDE
    return {"date": "DATE", "boolean": "BOOLEAN"}.get(kind) == compiled


def plain_texts(column: pa.Array, kind: str) -> pa.Array:
    """The canonical text of every value; NULL stays NULL. Raises pyarrow.ArrowInvalid."""
    if kind in ("text", "ref"):
        return column
    if kind in ("integer", "boolean"):
        return column.cast(pa.string())
    if kind == "date":
        days = column.cast(pa.int32())
        inside = pc.and_(pc.greater_equal(days, _FIRST_DAY), pc.less_equal(days, _LAST_DAY))
        if pc.all(inside).as_py() is False:
            raise pa.ArrowInvalid("a year that does not have four digits")
        return column.cast(pa.string())
    return decimal_texts(column, kind)


def json_values(texts: pa.Array, kind: str) -> pa.Array:
    """The JSON of values whose canonical texts are given; NULL stays NULL."""
    if kind in ("text", "ref"):
        return _texts(texts)
    return texts if kind in ("integer", "boolean") else _joined('"', texts, '"')


def decimal_texts(column: pa.Array, kind: str) -> pa.Array:
    """Plain notation without trailing zeros; amounts keep two decimals."""
    width, scale = DECIMALS[kind]
    whole = width - scale
    places = CENTS if kind == "amount" else 0
    try:  # most amounts have cents, most quantities are whole
        return column.cast(pa.decimal128(whole + places, places)).cast(pa.string())
    except pa.ArrowInvalid:
        text = column.cast(pa.decimal128(whole + PLAIN_SCALE, PLAIN_SCALE)).cast(pa.string())
    if kind != "amount":
        return pc.ascii_rtrim(pc.ascii_rtrim(text, characters="0"), characters=".")
    start = pc.utf8_slice_codeunits(text, 0, CENTS - PLAIN_SCALE)
    rest = pc.utf8_slice_codeunits(text, CENTS - PLAIN_SCALE)
    return _joined(start, pc.ascii_rtrim(rest, characters="0"))


def _texts(column: pa.Array) -> pa.Array:
    data = column.buffers()[2]
    held = bytes(data) if data is not None else b""
    if len(held) == len(held.translate(None, _ESCAPED)):
        return _joined('"', column, '"')
    made = [
        None if one is None else json.dumps(one, ensure_ascii=False) for one in column.to_pylist()
    ]
    return pa.array(made, pa.string())


def small_escapes(column: pa.ChunkedArray) -> pa.Array:
    """Texts that DuckDB wrote, their escapes as RFC 8785 writes them."""
    made = [with_small_escapes(one) for one in column.to_pylist()]
    return pa.array(made, pa.string())


def json_object(members: Sequence[tuple[str, pa.Array]], *, empty_is_null: bool) -> pa.Array:
    """JSON objects of (name, JSON text) members in this order; absent ones are left out."""
    if all(text.null_count == 0 for _, text in members):  # one pass over the bytes, not three
        pieces: list[pa.Array | str] = []
        for name, text in members:
            pieces += [f"{',' if pieces else '{'}{json.dumps(name)}:", text]
        return _joined(*pieces, "}")
    parts = [_joined(json.dumps(name) + ":", text) for name, text in members]
    inside = pc.binary_join_element_wise(*parts, _scalar(","), null_handling="skip")
    made = _joined("{", inside, "}")
    if empty_is_null:
        return pc.if_else(pc.equal(inside, ""), pa.scalar(None, pa.string()), made)
    return made


def json_lists(lengths: pa.Array, items: pa.Array) -> pa.Array:
    """JSON lists of consecutive items, `lengths` of them each; no length, no list.

    Raises pyarrow.ArrowInvalid when the lengths do not add up to the items.
    """
    ends = pc.cumulative_sum(pc.fill_null(lengths, 0).cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    if offsets[-1].as_py() != len(items):
        raise pa.ArrowInvalid("the items are not those of the lists")
    joined = _joined("[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), ","), "]")
    return pc.if_else(pc.is_valid(lengths), joined, pa.scalar(None, pa.string()))


def _joined(*parts: pa.Array | str) -> pa.Array:
    """Texts put together; NULL in any of them makes NULL."""
    given = [_scalar(one) if isinstance(one, str) else one for one in parts]
    return pc.binary_join_element_wise(*given, _scalar(""))


@functools.lru_cache(maxsize=MOST_SCALARS)
def _scalar(text: str) -> pa.Scalar:
    # With its type: without one, pyarrow looks each time whether pandas is installed.
    return pa.scalar(text, pa.string())
