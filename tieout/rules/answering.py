"""The questions that a level's rows ask the engine: each distinct one once, the answer to each row.

Arrow finds the distinct questions and hands the answers back by their place among them. The same as
SELECT DISTINCT and a join, without two more queries per question.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tieout.rules.level import Call
from tieout.rules.lookups import Answers

RATE_CALLS = ("convert", "rate_id")


def with_answers(rows: pa.Table, calls: Sequence[Call], answers: Answers) -> pa.Table:
    """The rows, which have the calls' argument columns `#a…`, with an answer column `#c…` per call
    (its rate `#r…`, the error of a Python function `#e…`). NULL where nothing is asked, or where
    nobody knows. Raises what the lookups raise."""
    asked: dict[int, pa.Table] = {}
    places: dict[int, pa.Array] = {}
    for one in calls:
        asked[one.number], places[one.number] = _distinct(rows, one)
    for number, table in sorted(answers.table(calls, asked).items()):
        call = next(one for one in calls if one.number == number)
        columns = {call.column: "value"}
        if call.python is not None:
            columns[call.error_column] = "error"
        if call.function in RATE_CALLS:
            columns[call.rate_column] = "rate"
        for name, column in columns.items():
            answer = table.column(column).combine_chunks()
            rows = rows.append_column(name, answer.take(places[number]))
    return rows


def _distinct(rows: pa.Table, call: Call) -> tuple[pa.Table, pa.Array]:
    """The distinct arguments a0, a1, … of a call, and the place of each row's among them; NULL for
    a row that lacks an argument without which nothing is asked."""
    values: list[pa.Array] = []
    places: pa.Array | None = None
    for index in range(len(call.arguments)):
        null_encoding = "mask" if index in call.needed else "encode"
        column = rows.column(call.argument_column(index)).combine_chunks()
        encoded = column.dictionary_encode(null_encoding=null_encoding)
        known, place = encoded.dictionary, encoded.indices.cast(pa.int64())
        if places is None:
            values, places = [known], place
            continue
        # Both places as one number, at most the square of the rows; then its place in turn.
        size = pa.scalar(max(len(known), 1), pa.int64())
        both = pc.add(pc.multiply(places, size), place).dictionary_encode()
        before = pc.divide(both.dictionary, size)
        here = pc.subtract(both.dictionary, pc.multiply(before, size))
        values = [*(one.take(before) for one in values), known.take(here)]
        places = both.indices.cast(pa.int64())
    assert places is not None, "a call without arguments asks nothing"
    return pa.table({f"a{index}": one for index, one in enumerate(values)}), places
