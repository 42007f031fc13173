"""One row as those who made it know it: the good row it is like, and what was done to it since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tieout.rehearsal.corpus import Kind
from tieout.rehearsal.rowmaking import (
    MOST_AMOUNT,
    Path,
    changed,
    largest,
    numbered,
    scaled,
    shifted,
    values,
    with_lines_repeated,
    with_value,
)
from tieout.rehearsal.trying import Break, Swap, Template


@dataclass(eq=False)
class Made:
    """A row that people made. `key` is what its system calls it; `parents` are by record type and
    by the key that the template has there. `left`: it is broken, and somebody must decide."""

    kind: Kind
    template: Template
    number: int
    key: str = ""
    factor: int = 1
    copies: int = 1
    days: int = 0
    title: int = 0
    codes: dict[Path, object] = field(default_factory=dict)
    move: Swap | None = None
    parents: dict[tuple[str, str], Made] = field(default_factory=dict)
    broken: Break | None = None
    left: bool = False

    def __post_init__(self) -> None:
        anatomy = self.kind.anatomy
        self.key = self.key or numbered(
            str(self.template.row.get(anatomy.key) or f"{anatomy.stream}-1"), self.number
        )

    def row(self) -> dict[str, object]:
        """The row as it should stand in its system, broken as it is, without its version."""
        anatomy, template = self.kind.anatomy, self.template
        row = {one: value for one, value in template.row.items() if one != anatomy.version}
        if self.copies > 1:
            beside = [
                one for one in anatomy.amounts if one[: len(template.lines)] != template.lines
            ]
            row = scaled(row, beside, self.copies)
            row = with_lines_repeated(row, template.lines, self.copies)
        row = shifted(scaled(row, anatomy.amounts, self.factor), anatomy.days, self.days)
        for path in template.names:
            row = changed(row, path, lambda value: numbered(str(value), self.number))
        for path in anatomy.titles if self.title else ():
            row = changed(row, path, lambda value: f"{value} ({self.title})")
        for path, value in self.codes.items():
            row = with_value(row, path, value)
        if self.move is not None:
            row = with_value(row, self.move.path, self.move.value)
        for reference in anatomy.references:
            row = self._referring(row, reference.path, reference.record_type)
        row[anatomy.key] = _as(anatomy.types.get((anatomy.key,), ""), self.key)
        return row if self.broken is None else self.broken.apply(row)

    def _referring(
        self, row: Mapping[str, object], path: Path, record_type: str
    ) -> dict[str, object]:
        if record_type not in self.kind.parents:  # of another system: it stays what it is
            return dict(row)
        kind = self.kind.anatomy.types[path]

        def key(value: object) -> object:
            parent = self.parents.get((record_type, str(value)))
            return _as(kind, parent.key) if parent is not None else None

        return changed(row, path, key)

    @property
    def most_factor(self) -> int:
        """The largest factor with which its amounts stay modest."""
        size = largest(self.template.row, self.kind.anatomy.amounts) * self.copies
        return int(MOST_AMOUNT // size) if size else 1

    def code_of(self, crosswalk: str) -> object:
        """The code that the row itself carries for a crosswalk; None where it carries none."""
        for coded in self.kind.anatomy.coded:
            if coded.crosswalk == crosswalk and len(coded.path) == 1:
                found = self.codes.get(coded.path)
                return found or next(values(self.template.row, coded.path), None)
        return None


def _as(kind: str, key: str) -> object:
    """A key in the type of the field that holds it."""
    return int(key) if kind == "integer" and key.isdigit() else key
