"""Trying what may be done to a good row: the landscape's own mapping and controls judge it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tieout.rehearsal.anatomy import Anatomy, tells_apart
from tieout.rehearsal.rowmaking import (
    MOST_AMOUNT,
    Path,
    Row,
    changed,
    day_of,
    largest,
    numbered,
    renamed,
    scaled,
    shifted,
    values,
    with_lines_repeated,
    with_value,
)
from tieout.rules.control import CompiledControls
from tieout.rules.lookups import Lookups
from tieout.rules.mapping import CompiledMapping
from tieout.rules.mapping import Row as Given
from tieout.rules.runner import Runner

FACTORS = (2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 19, 23, 29, 31, 40, 75, 100)
MOST_COPIES = 3  # of the lines of a row
MOST_CODES = 12  # of one field that are tried
MOST_PLACES = 6  # fields that one fault is tried on
A_NUMBER = 4711  # any
NOBODYS_CODE = "NOBODY-S CODE"
NEST = 40  # how deep a nested absurdity goes

Scopes = Mapping[str, bool]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Swap:
    """Another value of one field with which the row is as good; `scopes` says, by flow, whether it
    is wanted then."""

    path: Path
    value: object
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class Break:
    """How a row is broken: a value in a field, or, with `name`, the field under another name.
    `fault` is one of drift, unknown_code, poison."""

    fault: str
    path: Path
    value: object = None
    name: str = ""

    def apply(self, row: Row) -> dict[str, object]:
        if self.name:
            return renamed(row, self.path, self.name)
        return changed(row, self.path, lambda _: self.value)


@dataclass(frozen=True)
class Template:
    """A good row, and what may be done to it. `shifts` are the first and last number of days by
    which its dates may move; `copies` how often its lines may stand there, at `lines`."""

    name: str
    row: Row
    scopes: Scopes
    factors: tuple[int, ...]
    shifts: tuple[int, int]
    copies: tuple[int, ...]
    lines: Path
    names: tuple[Path, ...]
    codes: tuple[Swap, ...]
    moves: tuple[Swap, ...]
    breaks: tuple[Break, ...]


class Trial:
    """A mapping with its controls, and what the test of the row says that the world knows."""

    def __init__(
        self,
        mapping: CompiledMapping,
        controls: CompiledControls | None,
        runner: Runner,
        lookups: Lookups,
    ) -> None:
        self.mapping = mapping
        self._controls = controls
        self._runner = runner
        self._lookups = lookups

    def judge(self, rows: Sequence[Row]) -> list[Scopes | None]:
        """Per row, in order: which flows want it; None for a row that something is wrong with."""
        key = self.mapping.spec.key
        given = [
            Given(number, str(row.get(key) or "a key"), json.dumps(row, default=str))
            for number, row in enumerate(rows)
        ]
        result = self.mapping.run(self._runner, given, self._lookups)
        bodies = [(one.row_id, one.body) for one in result.mapped]
        failed = (
            {one.row_id for one in self._controls.run(self._runner, bodies)}
            if self._controls is not None
            else set()
        )
        found: list[Scopes | None] = [None] * len(rows)
        for one in result.mapped:
            scopes = {name: value for name, value in one.conditions.items() if value is not None}
            if one.row_id not in failed and len(scopes) == len(one.conditions):
                found[one.row_id] = scopes
        return found


def template_of(
    name: str,
    row: Row,
    anatomy: Anatomy,
    trial: Trial,
    window: tuple[dt.date, dt.date] | None,
    others: Sequence[Row],
) -> Template | None:
    """The template that a row of the landscape's tests makes, None if the row is not good after
    all. `others`: rows of the other tests, whose values may decide its scope."""
    scopes = trial.judge([row])[0]
    if scopes is None:
        return None
    names = _good(trial, [(path, _renumbered(row, path)) for path in _named(row, anatomy, trial)])
    lines = next((path for path in anatomy.lists if list(values(row, path))), ())
    factors = [
        one
        for one in FACTORS
        if _money(row, anatomy) and largest(row, anatomy.amounts) * one <= MOST_AMOUNT
    ]
    return Template(
        name=name,
        row=row,
        scopes=scopes,
        factors=(1, *_good(trial, [(one, scaled(row, anatomy.amounts, one)) for one in factors])),
        shifts=_shifts(row, anatomy, trial, window),
        copies=(1, *_good(trial, list(_more_lines(row, anatomy, lines)))),
        lines=lines,
        names=tuple(names),
        codes=tuple(_swaps(trial, row, _other_codes(row, anatomy))),
        moves=tuple(_swaps(trial, row, _deciding(row, anatomy, others))),
        breaks=tuple(_bad(trial, row, _ways_to_break(row, anatomy))),
    )


def _good(trial: Trial, candidates: Sequence[tuple[T, Row]]) -> list[T]:
    """Those whose row is as good as the first."""
    judged = trial.judge([row for _, row in candidates]) if candidates else []
    return [
        one for (one, _), verdict in zip(candidates, judged, strict=True) if verdict is not None
    ]


def _bad(trial: Trial, row: Row, ways: Sequence[Break]) -> list[Break]:
    judged = trial.judge([one.apply(row) for one in ways]) if ways else []
    return [one for one, verdict in zip(ways, judged, strict=True) if verdict is None]


def _swaps(trial: Trial, row: Row, candidates: Sequence[tuple[Path, object]]) -> Iterator[Swap]:
    judged = trial.judge([with_value(row, *one) for one in candidates]) if candidates else []
    for (path, value), scopes in zip(candidates, judged, strict=True):
        if scopes is not None:
            yield Swap(path, value, scopes)


def _money(row: Row, anatomy: Anatomy) -> bool:
    return any(True for path in anatomy.amounts for _ in values(row, path))


def _named(row: Row, anatomy: Anatomy, trial: Trial) -> list[Path]:
    """The names that every row must have for itself: with digits in them, or told apart by."""
    return [
        path
        for path in anatomy.names
        for value in values(row, path)
        if isinstance(value, str)
        and day_of(value) is None
        and (any(c.isdigit() for c in value) or tells_apart(trial.mapping, path))
    ]


def _renumbered(row: Row, path: Path) -> Row:
    return changed(row, path, lambda value: numbered(str(value), A_NUMBER))


def _shifts(
    row: Row, anatomy: Anatomy, trial: Trial, window: tuple[dt.date, dt.date] | None
) -> tuple[int, int]:
    """How far all dates may move so that the first of `days` stays in the window."""
    main = next((day_of(one) for path in anatomy.days for one in values(row, path)), None)
    if main is None:
        return 0, 0
    first, last = window or _month_of(main)
    least, most = (first - main).days, (last - main).days
    ends = [shifted(row, anatomy.days, days) for days in (least, most)]
    return (least, most) if all(one is not None for one in trial.judge(ends)) else (0, 0)


def _month_of(day: dt.date) -> tuple[dt.date, dt.date]:
    first = day.replace(day=1)
    return first, (first + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)


def _more_lines(row: Row, anatomy: Anatomy, lines: Path) -> Iterator[tuple[int, Row]]:
    """The row with all its lines so many times, and the amounts beside them so many times more."""
    if not lines:
        return
    beside = [path for path in anatomy.amounts if path[: len(lines)] != lines]
    for times in range(2, MOST_COPIES + 1):
        yield times, with_lines_repeated(scaled(row, beside, times), lines, times)


def _other_codes(row: Row, anatomy: Anatomy) -> list[tuple[Path, object]]:
    """Other codes of the row itself, save of fields that decide its scope."""
    return [
        (coded.path, code)
        for coded in anatomy.coded
        if len(coded.path) == 1 and coded.path not in anatomy.deciding
        for code in coded.codes[:MOST_CODES]
        if code not in list(values(row, coded.path))
    ]


def _deciding(row: Row, anatomy: Anatomy, others: Sequence[Row]) -> list[tuple[Path, object]]:
    """The values that other good rows have in the fields that decide the scope."""
    found: list[tuple[Path, object]] = []
    for path in anatomy.deciding:
        if len(path) > 1 or path in anatomy.amounts or path in anatomy.days:
            continue
        for one in (value for other in others for value in values(other, path)):
            if (path, one) not in found and one not in list(values(row, path)):
                found.append((path, one))
    return found


def _ways_to_break(row: Row, anatomy: Anatomy) -> list[Break]:
    """Every way to try, of each fault in a few fields that the mapping reads."""
    kept = ((anatomy.key,), (anatomy.version,))
    there = [path for path in anatomy.mapped if path not in kept and list(values(row, path))]
    money = [path for path in anatomy.amounts if path in there]
    nest: object = "?"
    for _ in range(NEST):
        nest = [nest]
    return [
        *(Break("unknown_code", one.path, NOBODYS_CODE) for one in anatomy.coded[:MOST_PLACES]),
        *(Break("drift", path, name=f"{path[-1]}_v2") for path in there[:MOST_PLACES]),
        *(Break("drift", path, {"value": "?"}) for path in there[:MOST_PLACES]),
        *(Break("poison", path, "a hundred") for path in money[:MOST_PLACES]),
        *(Break("poison", path, "\x00") for path in there[:MOST_PLACES]),
        *(Break("poison", path, nest) for path in there[:MOST_PLACES]),
    ]
