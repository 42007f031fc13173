"""Lines of a file as rows: bounded, verbatim, and never lost, however wrong they are.

Of a JSON line only key and version are looked at; it travels on as it stands. A line that is no
such row becomes an item all the same, named after its file and line, with a text that no mapping
takes: the case that follows tells where to look.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import msgspec

from tieout.connectors.files.errors import fault
from tieout.connectors.files.streams import Source
from tieout.ports.connector import Item

MOST_LINE_BYTES = 4 * 1024 * 1024
MOST_SKIPPED_BYTES = 64 * 1024 * 1024  # of one line; no end after that, and it is no line
SHOWN_BYTES = 400
BOM = b"\xef\xbb\xbf"

MakeRow = Callable[[bytes, "Lines"], Item | None]


class Lines:
    """Takes lines off a file and counts. `line` and `offset` stand after what was taken; `cut`
    says that the last one lacked its line break, `over` that it was longer than allowed."""

    def __init__(self, file: BinaryIO, name: str, offset: int, line: int) -> None:
        self._file = file
        self._name = name
        self.offset = offset
        self.line = line
        self.cut = False
        self.over = False
        self._taken = 0  # lines of the last row
        self._size = 0  # and its bytes, also those that were left out

    def next(self, *, quoted: bool = False) -> bytes:
        """The next row with its line break; empty at the end. With `quoted`, a row goes on while a
        double quote is open. Of a row that is too long only the beginning is kept. Raises
        VendorFault for one without an end in sight."""
        self.over = False
        row = self._file.readline(MOST_LINE_BYTES)
        self._taken = 1
        self.cut = not row.endswith(b"\n")
        size = len(row)
        if self.cut and size >= MOST_LINE_BYTES:
            size += self._skip()
        elif quoted and row.count(b'"') % 2:
            row, size = self._quoted(row)
        if not row:
            self._taken = 0
        self._size = size
        self.offset += size
        self.line += self._taken
        return row

    def put_back(self) -> None:
        """The last row was not whole: it is taken again when it is."""
        self.offset -= self._size
        self.line -= self._taken

    def at_end(self) -> bool:
        """Whether nothing stands after what was taken."""
        self._file.seek(self.offset)
        return not self._file.read(1)

    def _skip(self) -> int:
        """Leave out the rest of a line that is too long; its size in bytes."""
        self.over = True
        skipped = 0
        while rest := self._file.readline(MOST_LINE_BYTES):
            skipped += len(rest)
            if rest.endswith(b"\n"):
                self.cut = False
                break
            if skipped > MOST_SKIPPED_BYTES:
                raise fault(
                    "ENDLESS",
                    f"{self._name}, line {self.line + 1} goes on for more than "
                    f"{MOST_SKIPPED_BYTES // 1024**2} MB",
                )
        return skipped

    def _quoted(self, row: bytes) -> tuple[bytes, int]:
        parts, size, quotes = [row], len(row), row.count(b'"')
        while quotes % 2:
            part = self._file.readline(MOST_LINE_BYTES)
            if not part:
                self.cut = True
                break
            parts.append(part)
            size += len(part)
            quotes += part.count(b'"')
            self._taken += 1
            self.cut = not part.endswith(b"\n")
            if size > MOST_LINE_BYTES:  # a quote that nobody closes would swallow the file
                self.over = True
                break
        return b"".join(parts), size


def row_reader(source: Source, name: str, file: BinaryIO) -> MakeRow:
    """What makes an item of a row of the file. Raises VendorFault when a CSV file's columns are not
    the declared ones."""
    return _csv_rows(source, name, file) if source.csv else _json_rows(source, name)


def _json_rows(source: Source, name: str) -> MakeRow:
    key, version = source.stream.key, source.stream.version
    part: Any = msgspec.defstruct(
        "Row",
        [("key", str | int), ("version", str | int)],
        rename={"key": key, "version": version},
    )
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(part).decode

    def make(row: bytes, lines: Lines) -> Item | None:
        if lines.over:
            return _too_long(name, row, lines)
        text = row.strip().removeprefix(BOM) if lines.line == 1 else row.strip()
        if not text:
            return None
        try:
            known = decode(text)
            return Item(str(known.key), str(known.version), text.decode("utf-8"))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _refused(name, lines.line, text, error)

    return make


def _csv_rows(source: Source, name: str, file: BinaryIO) -> MakeRow:
    declared = [one.name for one in source.stream.fields]
    columns: Sequence[str] = declared
    if source.header:
        columns = _header(source, name, file)
        missing = [one for one in declared if one not in columns]
        if missing:
            raise fault("COLUMNS", f"{name} has no column {', '.join(missing)}")
    key, version = columns.index(source.stream.key), columns.index(source.stream.version)
    encode = msgspec.json.Encoder().encode

    def make(row: bytes, lines: Lines) -> Item | None:
        if source.header and lines.offset == len(row):
            return None  # the header itself
        if lines.over:
            return _too_long(name, row, lines)
        if not row.strip():
            return None
        try:
            values = _cells(row.removeprefix(BOM).decode("utf-8"), source.delimiter)
            if len(values) != len(columns):
                raise ValueError(f"{len(values)} values for {len(columns)} columns")
            cells = {one: cell or None for one, cell in zip(columns, values, strict=True)}
            if not values[key] or not values[version]:
                raise ValueError("it has no key or no version")
        except (csv.Error, ValueError) as error:
            return _refused(name, lines.line, row.rstrip(), error)
        return Item(values[key], values[version], encode(cells).decode())

    return make


def _header(source: Source, name: str, file: BinaryIO) -> Sequence[str]:
    """The columns that the first line names; the file is then where it was."""
    place = file.tell()
    file.seek(0)
    first = file.readline(MOST_LINE_BYTES)
    file.seek(place)
    try:
        columns = _cells(first.removeprefix(BOM).decode("utf-8"), source.delimiter)
    except (csv.Error, ValueError) as error:
        raise fault("COLUMNS", f"{name}: its first line cannot be read: {error}") from None
    if len(set(columns)) != len(columns):
        raise fault("COLUMNS", f"{name} names a column twice: {', '.join(columns)}")
    return columns


def _cells(text: str, delimiter: str) -> list[str]:
    found = list(csv.reader([text.rstrip("\r\n")], delimiter=delimiter, strict=True))
    return found[0] if found else []


def _refused(name: str, line: int, row: bytes, error: Exception) -> Item:
    """An item that no mapping takes: the line as it stands, after words that are no JSON."""
    text = row[:MOST_LINE_BYTES].decode("utf-8", "backslashreplace")
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Item(f"{name}:{line}", str(line), f"{name}, line {line}: {words}: {text}")


def _too_long(name: str, row: bytes, lines: Lines) -> Item:
    beginning = row[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    words = f"longer than {MOST_LINE_BYTES} bytes; it begins: {beginning}"
    return Item(f"{name}:{lines.line}", str(lines.line), f"{name}, line {lines.line}: {words}")
