"""Ids differ by installation, so governed files name things: {"code": "EUR"}, {"name": "Europe"}.

Every name that the writes of one call use is looked up in Tryton in one search per kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.ports.session import Session


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing a document may refer to: its model, and the field that names it."""

    title: str
    model: str
    by: str  # the name of the field in a reference: {"code": ...}
    path: str  # the field searched in Tryton
    where: tuple[wire.Clause, ...] = ()


KINDS: Mapping[str, Kind] = {
    "currency": Kind("currency", "currency.currency", "code", "code"),
    "company": Kind("company", "company.company", "name", "party.name"),
    "account_category": Kind(
        "accounting category", "product.category", "name", "name", (["accounting", "=", True],)
    ),
    "unit": Kind("unit of measure", "product.uom", "symbol", "symbol"),
    "country": Kind("country", "country.country", "name", "name"),
    "party": Kind("party", "party.party", "code", "code"),
    "product": Kind("product", "product.product", "code", "code"),
}


class NotFound(Exception):
    """A document refers to something that Tryton does not hold, or not clearly."""

    def __init__(self, field: str, words: str, next_action: str) -> None:
        super().__init__(words)
        self.field = field
        self.words = words
        self.next_action = next_action


class References:
    """The ids behind the names that some documents use."""

    def __init__(self, found: Mapping[str, Mapping[str, list[int]]]) -> None:
        self._found = found

    def id_of(self, kind: str, reference: object) -> int:
        """The Tryton id of a reference. Raises NotFound."""
        spec = KINDS[kind]
        if isinstance(reference, Mapping):
            if reference.get("id"):
                return number_of(kind, reference["id"])
            name = str(reference.get(spec.by) or "")
            ids = self._found.get(kind, {}).get(name, [])
            if len(ids) == 1:
                return ids[0]
            if name:
                many = "has none" if not ids else f"has {len(ids)}"
                raise NotFound(
                    kind,
                    f"Tryton {many} {spec.title} with {spec.by} '{name}'",
                    f"Create exactly one in Tryton, or correct {kind} in the mapping or crosswalk.",
                )
        raise NotFound(
            kind,
            f"the document names no {spec.title}",
            f'Map {kind} to {{"id": ...}} or {{"{spec.by}": ...}}.',
        )


def number_of(field: str, value: object) -> int:
    """A Tryton id as a number. Raises NotFound."""
    text = str(value)
    if not text.isdecimal():
        raise NotFound(field, f"'{text}' is not a Tryton id", "Map the id that Tryton gave.")
    return int(text)


def look_up(at: Session, wanted: Iterable[tuple[str, object]]) -> References:
    """Look every named reference up, one search per kind. Raises VendorFault, NoAnswer."""
    names: dict[str, set[str]] = {}
    for kind, reference in wanted:
        if isinstance(reference, Mapping) and not reference.get("id"):
            name = str(reference.get(KINDS[kind].by) or "")
            if name:
                names.setdefault(kind, set()).add(name)
    found: dict[str, dict[str, list[int]]] = {}
    for kind in sorted(names):
        spec = KINDS[kind]
        domain: list[object] = [[spec.path, "in", sorted(names[kind])], *spec.where]
        for row in wire.rows(at, ERRORS, spec.model, domain, [spec.path]):
            name = str(value_at(row, spec.path))
            found.setdefault(kind, {}).setdefault(name, []).append(number_of("id", row["id"]))
    return References(found)


def value_at(row: Mapping[str, object], path: str) -> object:
    """A value of a row as `search_read` nests it: party.name is row["party."]["name"]."""
    head, dot, rest = path.partition(".")
    if not dot:
        return row.get(head)
    inside = row.get(head + ".")
    return value_at(inside, rest) if isinstance(inside, Mapping) else None
