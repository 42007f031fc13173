"""Which crosswalks, record types and systems an expression asks for, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tieout.rules.place import Place
from tieout.rules.spec import Each, Group, Leaf, MappingSpec, Shape

_CALL = re.compile(
    r"\b(crosswalk|xref|id_in|number_in)\s*\(\s*'((?:[^']|'')*)'(?:\s*,\s*'((?:[^']|'')*)')?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One call such as id_in('netsuite.customer', 'customer', key): function, first two names."""

    function: str
    first: str
    second: str
    place: Place
    field: str


def lookups(sql: str, place: Place, field: str = "") -> Iterator[Lookup]:
    """Every lookup in one expression. Cheap on purpose: `check` reads thousands of them."""
    for found in _CALL.finditer(sql):
        yield Lookup(found[1].lower(), found[2], found[3] or "", place, field)


def leaves(mapping: MappingSpec) -> Iterator[tuple[str, Leaf]]:
    """Every expression of a mapping with the path of its field."""
    yield from _leaves("", mapping.fields)


def _leaves(path: str, shapes: object) -> Iterator[tuple[str, Leaf]]:
    assert isinstance(shapes, dict)
    for name, shape in shapes.items():
        yield from _leaves_of(f"{path}{name}", shape)


def _leaves_of(path: str, shape: Shape) -> Iterator[tuple[str, Leaf]]:
    if isinstance(shape, Leaf):
        yield path, shape
    elif isinstance(shape, Each | Group):
        yield from _leaves(f"{path}.", shape.fields)


def mapping_lookups(mapping: MappingSpec) -> Iterator[Lookup]:
    """Every lookup of a mapping."""
    for path, leaf in leaves(mapping):
        yield from lookups(leaf.sql, leaf.place, path)
