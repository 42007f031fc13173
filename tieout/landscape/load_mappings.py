"""Loads mappings/*.yaml and crosswalks/*.csv."""

from __future__ import annotations

import datetime as dt
import re

from tieout.landscape.form import NAME, Form
from tieout.landscape.reader import CsvRow, Items, Node, Table, Text
from tieout.rules.place import Place, Problem
from tieout.rules.spec import Crosswalk, CrosswalkRow, Each, Group, Leaf, MappingSpec, Shape

CROSSWALK_COLUMNS = ("code", "value", "valid_from", "valid_to")
FIRST_DAY = dt.date.min  # an open end: the rules then ask for no date
LAST_DAY = dt.date.max

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KEYS = ("mapping", "from", "to", "version", "key", "dated", "fields", "title", "steward")


def load_mapping(table: Table, problems: list[Problem]) -> MappingSpec:
    """One mapping: `from: system.Stream, to: record_type` inbound, the reverse outbound."""
    form = Form(table, "a mapping", _KEYS, problems)
    name = form.name("mapping")
    form.what = f"mapping '{name}'"
    source, target = form.text("from"), form.text("to")
    if source and target and ("." in source) == ("." in target):
        form.complain(
            form.place_of("to"),
            f"{form.what} goes from '{source}' to '{target}'",
            "One side must be system.stream, the other a record type",
        )
    inbound = "." in source
    fields = form.table_at("fields", required=True)
    return MappingSpec(
        name=name,
        source=source,
        target=target,
        version=form.whole("version", None, 1, 999_999),
        key=form.text("key", None if inbound else ""),
        fields=_shapes(fields, problems) if fields is not None else {},
        place=form.place,
        dated=form.text("dated", ""),
    )


def _shapes(table: Table, problems: list[Problem]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, node in table.entries.items():
        shape = _shape(name, node, table.key_places[name], problems)
        if shape is not None:
            shapes[name] = shape
    return shapes


def _shape(name: str, node: Node, place: Place, problems: list[Problem]) -> Shape | None:
    if not NAME.fullmatch(name):
        problems.append(
            Problem(place, f"'{name}' is not a field name", "Use letters, digits and underscores")
        )
        return None
    if isinstance(node, Text):
        if not node.value.strip():
            problems.append(
                Problem(node.place, f"field '{name}' has no expression", "Write one, or NULL")
            )
            return None
        return Leaf(node.value.strip(), node.place)
    if isinstance(node, Items):
        problems.append(
            Problem(
                node.place,
                f"field '{name}' is a list",
                "Write {each: path, fields: {…}} for a list",
            )
        )
        return None
    if "each" in node.entries:
        form = Form(node, f"list '{name}'", ("each", "fields"), problems)
        below = form.table_at("fields", required=True)
        if below is None:
            return None
        return Each(form.text("each"), _shapes(below, problems), node.place)
    return Group(_shapes(node, problems), node.place)


def load_crosswalk(name: str, rows: tuple[CsvRow, ...], problems: list[Problem]) -> Crosswalk:
    """A crosswalk from its CSV rows (columns code, value, valid_from, valid_to, note). Two rows of
    the same code must not be valid on the same day."""
    loaded: list[CrosswalkRow] = []
    by_code: dict[str, list[CrosswalkRow]] = {}
    for row in rows:
        one = _crosswalk_row(name, row, problems)
        if one is None:
            continue
        loaded.append(one)
        for other in by_code.setdefault(one.code, []):
            if one.valid_from <= other.valid_to and other.valid_from <= one.valid_to:
                problems.append(
                    Problem(
                        one.place,
                        f"code '{one.code}' of crosswalk '{name}' is also valid then on line "
                        f"{other.place.line}",
                        "End one row on the day before the other begins",
                    )
                )
                break
        by_code[one.code].append(one)
    place = Place(rows[0].place.file if rows else f"crosswalks/{name}.csv", 1)
    return Crosswalk(name, tuple(loaded), place)


def _crosswalk_row(name: str, row: CsvRow, problems: list[Problem]) -> CrosswalkRow | None:
    code, value = row.values["code"].strip(), row.values["value"].strip()
    for column, content in (("code", code), ("value", value)):
        if not content:
            problems.append(
                Problem(
                    row.place, f"'{column}' of crosswalk '{name}' is empty", "Fill it or remove it"
                )
            )
    days = []
    for column, open_end in (("valid_from", FIRST_DAY), ("valid_to", LAST_DAY)):
        written = row.values[column].strip()
        try:
            if written and not _DAY.fullmatch(written):
                raise ValueError(written)  # 20240102 and 2024-W01-2 are dates to Python alone
            days.append(dt.date.fromisoformat(written) if written else open_end)
        except ValueError:
            problems.append(
                Problem(
                    row.place,
                    f"'{column}' of crosswalk '{name}' is '{written}', not a date",
                    "Write YYYY-MM-DD, or nothing for an open end",
                )
            )
    if len(days) != 2 or not code or not value:
        return None
    if days[0] > days[1]:
        problems.append(
            Problem(
                row.place,
                f"code '{code}' of crosswalk '{name}' ends before it begins",
                "Swap valid_from and valid_to",
            )
        )
        return None
    return CrosswalkRow(code, value, days[0], days[1], row.place)
