"""From JSON texts to typed columns, with exact decimals; one bad text never fails its batch.

Fast path: `pyarrow.json` with an explicit schema reads JSON numbers and numeric texts as exact
decimals. What it refuses is bisected, and the text at fault is read slowly, which names the field
and the value. DuckDB's own JSON functions never see a number: they would round it (DESIGN §9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.json as arrow_json

from tieout.rules.column_types import arrow_type, readable, wire_type
from tieout.rules.slow_reading import (
    MOST_NESTING,
    Unreadable,
    is_nested_too_deeply,
    read_slowly,
)
from tieout.rules.spec import FieldType

MOST_TEXT_BYTES = 8 * 1024 * 1024  # one record
MOST_BRACKETS = 100_000  # lists and objects of one record: each line costs time where it is judged
MOST_BATCH_BYTES = 256 * 1024 * 1024
MOST_SPLITS = 64  # refusals that are bisected in one batch; beyond it, the rest is read slowly
ROW = "#row"


@dataclass(frozen=True)
class BadText:
    """A text that could not be read: which one, which field, its value, and why."""

    index: int
    field: str
    value: str
    why: str


@dataclass(frozen=True)
class Read:
    """`table` has one row per readable text, its index in `#row`, and one column per field."""

    table: pa.Table
    bad: tuple[BadText, ...]


class Reader:
    """Reads JSON objects of one shape. Fields the shape does not name are ignored."""

    def __init__(self, fields: Sequence[FieldType]) -> None:
        self.fields = readable(fields)
        self._wire = pa.schema([pa.field(one.name, wire_type(one)) for one in self.fields])
        self._types = [pa.field(one.name, arrow_type(one)) for one in self.fields]
        self._options = arrow_json.ParseOptions(
            explicit_schema=self._wire, unexpected_field_behavior="ignore"
        )

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(ROW, pa.int64()), *self._types])

    def read(self, texts: Sequence[str]) -> Read:
        """Read every text; a bad one is reported, never raised."""
        work = _Work(self, texts)
        start, size = 0, 0
        for index, text in enumerate(texts):
            size += len(text)
            if size > MOST_BATCH_BYTES:
                work.range(start, index)
                start, size = index, len(text)
        work.range(start, len(texts))
        tables = [one for _, one in sorted(work.tables, key=lambda part: part[0])]
        table = pa.concat_tables(tables) if tables else self.schema.empty_table()
        return Read(table, tuple(sorted(work.bad, key=lambda one: one.index)))

    def fast(self, texts: Sequence[str], start: int) -> pa.Table | None:
        """The typed columns of all texts, or None when any of them is refused."""
        if not self.fields:
            return None
        for text in texts:
            # In line, because it runs for every text: an object of few brackets cannot be deep.
            plain = text[:1] == "{" and text[-1:] == "}" and len(text) <= MOST_TEXT_BYTES
            few = plain and text.count("[") + text.count("{") <= MOST_NESTING
            if not few and not _looks_like_an_object(text):
                return None
        try:
            data = "\n".join(texts).encode()
        except UnicodeEncodeError:
            return None
        if b"\\u0000" in data:  # a NUL in a text, which PostgreSQL cannot hold
            return None
        options = arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 2)
        try:
            table = arrow_json.read_json(pa.BufferReader(data), options, self._options)
            # Fewer or more rows than texts: some text was not exactly one object.
            if table.num_rows != len(texts):
                return None
            table.validate(full=True)  # pyarrow reads decimals of more digits than their type holds
            return self._typed(table, start)
        except pa.ArrowException:
            return None

    def _typed(self, table: pa.Table, start: int) -> pa.Table:
        columns = [pa.array(range(start, start + table.num_rows), pa.int64())]
        for one in self._types:
            column = table.column(one.name)
            columns.append(column if column.type == one.type else column.cast(one.type))
        return pa.table(columns, schema=self.schema)

    def of_values(self, rows: Sequence[tuple[int, dict[str, object]]]) -> pa.Table:
        """Typed columns of rows that were read slowly."""
        columns = [pa.array([index for index, _ in rows], pa.int64())]
        for one in self._types:
            columns.append(pa.array([row.get(one.name) for _, row in rows], one.type))
        return pa.table(columns, schema=self.schema)


def _looks_like_an_object(text: str) -> bool:
    if text[:1] != "{" or text[-1:] != "}":
        stripped = text.strip(" \t\r\n")
        if stripped[:1] != "{" or stripped[-1:] != "}":
            return False
    return not _beyond_measure(text) and not is_nested_too_deeply(text)


def _beyond_measure(text: str) -> str:
    """Why nobody should read this text at all. Brackets within texts count too: counting must cost
    less than reading."""
    if len(text) > MOST_TEXT_BYTES:
        return f"it is larger than {MOST_TEXT_BYTES // 2**20} MB"
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        return (
            f"it has more than {MOST_BRACKETS:,} lists and objects: too many lines, or nested too "
            "deeply, for one record"
        )
    return ""


class _Work:
    """One batch being read."""

    def __init__(self, reader: Reader, texts: Sequence[str]) -> None:
        self.reader = reader
        self.texts = texts
        self.tables: list[tuple[int, pa.Table]] = []
        self.bad: list[BadText] = []
        self.splits = 0

    def range(self, start: int, end: int) -> None:
        """Read texts[start:end]; halve what the fast path refuses (depth: log2 of the size)."""
        if start >= end:
            return
        table = self.reader.fast(self.texts[start:end], start)
        if table is not None:
            self.tables.append((start, table))
        elif end - start == 1 or self.splits >= MOST_SPLITS:
            self._slowly(start, end)
        else:
            self.splits += 1
            middle = (start + end) // 2
            self.range(start, middle)
            self.range(middle, end)

    def _slowly(self, start: int, end: int) -> None:
        good: list[tuple[int, dict[str, object]]] = []
        for index in range(start, end):
            try:
                if why := _beyond_measure(self.texts[index]):
                    raise Unreadable("", "", why)
                good.append((index, read_slowly(self.texts[index], self.reader.fields)))
            except Unreadable as error:
                self.bad.append(BadText(index, error.field, error.value, error.why))
        if good:
            self.tables.append((start, self.reader.of_values(good)))
