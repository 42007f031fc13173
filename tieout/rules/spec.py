"""What an engineer wrote down, typed: mappings, record types, controls, crosswalks.

Pure values. `landscape/loader` builds them from YAML, `rules` compiles and runs them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tieout.finance import record_types
from tieout.rules.place import Place

ValueType = record_types.ValueType
FieldType = record_types.RecordField

BUILT_IN = Place("<built in>", 1)  # of what ships with the product, not with a landscape


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
class RecordTypeSpec(record_types.RecordType):
    """A canonical record type as a landscape governs it: who owns which field, what must hold.

    Name, title, fields and the well-known fields come from the record type itself.
    """

    steward: str = ""
    owned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # system -> field names
    controls: tuple[ControlSpec, ...] = ()
    place: Place = BUILT_IN


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
