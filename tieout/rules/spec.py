"""What an engineer wrote down, typed: mappings, record types, controls, crosswalks.

Pure values. `landscape/loader` builds them from YAML, `rules` compiles and runs them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tieout.rules.place import Place

ValueType = Literal[
    "text",
    "amount",
    "quantity",
    "rate",
    "number",
    "integer",
    "boolean",
    "date",
    "timestamp",
    "ref",
    "list",
    "object",
]


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a canonical record type, or of a connector's interface.

    `ref` holds a record key of type `to`. `fields` describes the items of a list or an object.
    `money_in` names the sibling field that holds the currency of an amount.
    """

    name: str
    type: ValueType
    required: bool = True
    to: str = ""
    money_in: str = ""
    title: str = ""
    fields: tuple[FieldType, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A target field computed by one SQL expression."""

    sql: str
    place: Place


@dataclass(frozen=True, slots=True)
class Each:
    """A list made from a list: inside, bare names are the item, `parent.x` the enclosing row."""

    over: str  # path of the source list: OpportunityLineItems.records
    fields: Mapping[str, Shape]
    place: Place


@dataclass(frozen=True, slots=True)
class Group:
    """A nested object."""

    fields: Mapping[str, Shape]
    place: Place


Shape = Leaf | Each | Group


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """From one shape to another. Inbound: `source` is `system.stream`, `target` a record type.
    Outbound: `source` is a record type, `target` is `system.stream`.

    `dated` is the SQL expression of the date that crosswalks and rates use by default.
    """

    name: str
    source: str
    target: str
    version: int
    key: str  # inbound: the source field that is the row's id
    fields: Mapping[str, Shape]
    place: Place
    dated: str = ""

    @property
    def inbound(self) -> bool:
        return "." in self.source


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """A rule a record must satisfy. Passes only if `must` is TRUE."""

    name: str
    must: str
    because: str
    place: Place
    severity: Literal["stop", "warn"] = "stop"
    next_action: str = ""


@dataclass(frozen=True, slots=True)
class RecordTypeSpec:
    """A canonical record type: fields, who owns which, what must hold.

    The well-known fields that the record plane reads are named once here: `legal_entity`,
    `currency`, `amount` (the field that hop totals sum), `date` (the accounting date), `status`.
    An empty name means the type has no such thing.
    """

    name: str
    title: str
    fields: tuple[FieldType, ...]
    legal_entity: str = ""
    currency: str = ""
    amount: str = ""
    date: str = ""
    status: str = ""
    steward: str = ""
    owned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # system -> field names
    controls: tuple[ControlSpec, ...] = ()
    place: Place = Place("<built in>", 1)

    def field_named(self, name: str) -> FieldType | None:
        return next((f for f in self.fields if f.name == name), None)

    def references(self) -> tuple[tuple[str, str], ...]:
        """(path, record type) of every ref field; a path into a list is `lines.product`."""
        found: list[tuple[str, str]] = []
        for one in self.fields:
            if one.type == "ref":
                found.append((one.name, one.to))
            found += [(f"{one.name}.{sub.name}", sub.to) for sub in one.fields if sub.type == "ref"]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class CrosswalkRow:
    """One code of a crosswalk, valid from `valid_from` up to and including `valid_to`."""

    code: str
    value: str
    valid_from: dt.date
    valid_to: dt.date
    place: Place


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """A governed, effective-dated table from code to code."""

    name: str
    rows: tuple[CrosswalkRow, ...]
    place: Place
