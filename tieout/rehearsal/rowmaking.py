"""Rows as people make them: paths into them, whole factors, other days, numbers of their own.

A path names the fields down to a value; on its way through a list it means every item of it.
Nothing here changes a row in place.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

Path = tuple[str, ...]
Row = Mapping[str, object]

_DIGITS = re.compile(r"\d{1,9}(?=\D*$)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_AMOUNT = Decimal(10_000_000)


def path_of(dotted: str) -> Path:
    """`lines.amount` as a path."""
    return tuple(dotted.split("."))


def values(row: object, path: Path) -> Iterator[object]:
    """Every value at a path that is there and is not None."""
    if isinstance(row, list):
        for one in row:
            yield from values(one, path)
    elif not path:
        if row is not None:
            yield row
    elif isinstance(row, Mapping):
        yield from values(row.get(path[0]), path[1:])


def changed(row: Row, path: Path, change: Callable[[object], object]) -> dict[str, object]:
    """The row with every value at a path that is not None changed."""
    made = _changed(row, path, change)
    assert isinstance(made, dict)
    return made


def _changed(value: object, path: Path, change: Callable[[object], object]) -> object:
    if value is None:
        return None
    if isinstance(value, list):
        return [_changed(one, path, change) for one in value]
    if not path:
        return change(value)
    if not isinstance(value, Mapping):
        return value
    head, rest = path[0], path[1:]
    return {
        name: _changed(one, rest, change) if name == head else one for name, one in value.items()
    }


def with_value(row: Row, path: Path, value: object) -> dict[str, object]:
    """The row with this value at the path, also where nothing is there yet at its last name."""

    def put(holder: object) -> object:
        return {**holder, path[-1]: value} if isinstance(holder, Mapping) else holder

    return changed(row, path[:-1], put) if len(path) > 1 else {**row, path[0]: value}


def renamed(row: Row, path: Path, name: str) -> dict[str, object]:
    """The row whose field at the path has another name; the old one is empty, as it is where a
    system only merges what it is given."""

    def rename(holder: object) -> object:
        if not isinstance(holder, Mapping) or path[-1] not in holder:
            return holder
        return {**holder, path[-1]: None, name: holder[path[-1]]}

    made = _changed(row, path[:-1], rename)
    assert isinstance(made, dict)
    return made


# --- amounts -----------------------------------------------------------------------------------


def number_of(value: object) -> Decimal | None:
    """A value as an exact number, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def scaled(row: Row, paths: Sequence[Path], factor: int) -> dict[str, object]:
    """The row with all these amounts times a whole factor, each in the form that it had."""

    def scale(value: object) -> object:
        number = number_of(value)
        if number is None:
            return value
        made = number * factor
        return str(made) if isinstance(value, str) else made

    made = dict(row)
    for path in paths:
        made = changed(made, path, scale)
    return made


def largest(row: Row, paths: Sequence[Path]) -> Decimal:
    """The largest of these amounts, without its sign."""
    found = [number_of(one) for path in paths for one in values(row, path)]
    return max((abs(one) for one in found if one is not None), default=Decimal(0))


def with_lines_repeated(row: Row, path: Path, times: int) -> dict[str, object]:
    """The row with the items of a list so many times over. Whole numbers that tell the items apart
    go on counting."""

    def repeat(holder: object) -> object:
        items = holder.get(path[-1]) if isinstance(holder, Mapping) else None
        if not isinstance(holder, Mapping) or not isinstance(items, list):
            return holder
        step = _counting(items)
        made = [
            {name: _counted(one, step.get(name, 0) * turn) for name, one in item.items()}
            if isinstance(item, Mapping)
            else item
            for turn in range(times)
            for item in items
        ]
        return {**holder, path[-1]: made}

    made = repeat(row) if len(path) == 1 else _changed(row, path[:-1], repeat)
    assert isinstance(made, dict)
    return made


def _counting(items: Sequence[object]) -> dict[str, int]:
    """The fields whose whole numbers count the items from 1, and how many there are."""
    names = list(items[0]) if items and isinstance(items[0], Mapping) else []
    count = list(range(1, len(items) + 1))
    rows = [one for one in items if isinstance(one, Mapping)]
    return {name: len(items) for name in names if [one.get(name) for one in rows] == count}


def _counted(value: object, step: int) -> object:
    return value + step if step and isinstance(value, int) else value


# --- days --------------------------------------------------------------------------------------


def day_of(value: object) -> dt.date | None:
    """The day that a date or an instant in text begins with, if it does."""
    if isinstance(value, str) and _DAY.match(value):
        try:
            return dt.date.fromisoformat(value[:10])
        except ValueError:
            return None
    return None


def shifted(row: Row, paths: Sequence[Path], days: int) -> dict[str, object]:
    """The row with all these dates so many days later; instants keep their time of day."""

    def shift(value: object) -> object:
        day = day_of(value)
        if day is None or not isinstance(value, str):
            return value
        return (day + dt.timedelta(days=days)).isoformat() + value[10:]

    made = dict(row)
    for path in paths:
        made = changed(made, path, shift)
    return made


# --- texts -------------------------------------------------------------------------------------


def numbered(text: str, number: int) -> str:
    """A text of the same form with a number of its own: P011 and 7 make P007."""
    found = _DIGITS.search(text)
    if found is None:
        return f"{text} {number}"
    return f"{text[: found.start()]}{number:0{len(found[0])}d}{text[found.end() :]}"
