"""Reads landscape files as text with places: YAML in which every scalar stays text, and CSV.

YAML 1.1 turns `NO` into false, `0123` into 83 and `on` into true; in finance those are a country,
a cost centre and a word. Here nothing is typed until the schema types it. Anchors, aliases and
tags are refused: what a reviewer reads is what runs. Duplicate keys are errors.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tieout.rules.place import BadLandscape, Place, Problem

if TYPE_CHECKING:
    from _csv import Reader

MOST_BYTES = 1_000_000  # a landscape file is read by people
MOST_DEPTH = 32
MOST_CSV_ROWS = 50_000
MOST_FIELD_CHARACTERS = 65_536

_EVENTS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the C parser where the wheel has it


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar, exactly as written."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping from keys to values; `key_places` says where each key stands."""

    entries: dict[str, Node]
    key_places: dict[str, Place]
    place: Place


Node = Text | Items | Table


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row of a CSV file by column name; `place` is its first line."""

    values: dict[str, str]
    place: Place


def read_bytes(folder: Path, file: str) -> bytes:
    """The bytes of `file` (relative to `folder`). Raises BadLandscape if it cannot be read, is
    larger than 1 MB, or is a link that leads out of the folder."""
    path = folder / file
    place = Place(file, 1)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _bad(place, "this file is a link that leads out of the landscape", "Copy the file in")
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError as error:
        raise _bad(
            place, f"cannot be read: {error.strerror}", "Check the file and its permissions"
        ) from error
    if size > MOST_BYTES:
        raise _bad(
            place,
            f"is {size:,} bytes long; a landscape file may have {MOST_BYTES:,}",
            "Split it into several files",
        )
    return content


def read_yaml(folder: Path, file: str) -> tuple[Node, ...]:
    """The documents of a YAML file, every scalar as text. Raises BadLandscape."""
    return parse_yaml(_decode(read_bytes(folder, file), file), file)


def parse_yaml(text: str, file: str) -> tuple[Node, ...]:
    """The documents of YAML `text`. Raises BadLandscape."""
    parser = _Parser(text, file)
    try:
        documents = tuple(parser.documents())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        words = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise _bad(
            Place(file, line),
            f"is not YAML: {words}",
            "Check indentation and quotes; quote a text that contains ': ', '#' or starts with "
            "a bracket, '*', '&' or '!'",
        ) from error
    if parser.problems:
        raise BadLandscape(parser.problems)
    return documents


def read_csv(
    folder: Path, file: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> tuple[CsvRow, ...]:
    """The rows of a CSV file with a header, each with its line. Raises BadLandscape with every
    problem: missing or unknown columns, rows of another length, quotes that never close."""
    text = _decode(read_bytes(folder, file), file)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    csv.field_size_limit(MOST_FIELD_CHARACTERS)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file, required, optional)
        return tuple(_csv_rows(reader, header, file))
    except csv.Error as error:
        raise _bad(
            Place(file, max(reader.line_num, 1)),
            f"is not CSV: {error}",
            "Close every quote; double a quote inside a quoted value",
        ) from error


def _check_header(
    header: list[str], file: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    known = (*required, *optional)
    wrong = [f"column '{name}' is missing" for name in required if name not in header]
    wrong += [f"column '{name}' is unknown" for name in header if name not in known]
    wrong += [f"column '{name}' is there twice" for name in known if header.count(name) > 1]
    if wrong:
        advice = f"The first line must be: {','.join(required)}"
        if optional:
            advice += f" (and may end with {','.join(optional)})"
        raise BadLandscape([Problem(Place(file, 1), one, advice) for one in wrong])


def _csv_rows(reader: Reader, header: list[str], file: str) -> Iterator[CsvRow]:
    problems: list[Problem] = []
    rows: list[CsvRow] = []
    line = reader.line_num + 1
    for cells in reader:
        place, line = Place(file, line), reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(
                Problem(
                    place,
                    f"this row has {len(cells)} values, the header has {len(header)}",
                    "Quote a value that contains a comma",
                )
            )
            continue
        rows.append(CsvRow(dict(zip(header, cells, strict=True)), place))
        if len(rows) > MOST_CSV_ROWS:
            problems.append(
                Problem(place, f"has more than {MOST_CSV_ROWS:,} rows", "Split the table")
            )
            break
    if problems:
        raise BadLandscape(problems)
    yield from rows


def _decode(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _bad(Place(file, line), "is not UTF-8 text", "Save the file as UTF-8") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise _bad(Place(file, line), "contains a NUL character", "Remove it")
    return text


def _bad(place: Place, what: str, next_action: str) -> BadLandscape:
    return BadLandscape([Problem(place, what, next_action)])


class _Parser:
    """Builds nodes from parse events, so that limits hold before anything is built."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._events = iter(yaml.parse(text, Loader=_EVENTS))

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                node = self._node(next(self._events), 0)
                empty = isinstance(node, Text) and not node.value
                if not empty:  # a file of comments only, or a trailing ---
                    yield node

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1 if mark is not None else 1)

    def _complain(self, place: Place, what: str, next_action: str) -> None:
        self.problems.append(Problem(place, what, next_action))

    def _node(self, event: yaml.Event, depth: int) -> Node:
        place = self._place(event)
        if depth > MOST_DEPTH:
            # Raised, not collected: reading on would be reading an attack.
            raise _bad(place, f"is nested more than {MOST_DEPTH} deep", "Flatten it")
        if isinstance(event, yaml.AliasEvent):
            self._complain(
                place,
                f"alias '*{event.anchor}': aliases are not allowed",
                "Write the value out, or quote a text that starts with '*'",
            )
            return Text("", place)
        for attribute, mark in (("anchor", "&"), ("tag", "!")):
            value = getattr(event, attribute, None)
            if value:
                self._complain(
                    place,
                    f"{attribute} '{mark}{value.lstrip('!')}': {attribute}s are not allowed",
                    f"Write the value out, or quote a text that starts with '{mark}'",
                )
        if isinstance(event, yaml.ScalarEvent):
            return Text(event.value, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(tuple(self._items(depth)), place)
        return self._table(place, depth)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _table(self, place: Place, depth: int) -> Table:
        table = Table({}, {}, place)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Text):
                self._complain(key.place, "a key must be a plain word", "Quote it or rename it")
            elif key.value in table.entries:
                first = table.key_places[key.value]
                self._complain(
                    key.place,
                    f"key '{key.value}' is there twice (first on line {first.line})",
                    "Keep one of them",
                )
            else:
                table.entries[key.value] = value
                table.key_places[key.value] = key.place
        return table
