"""An interface that a landscape declares: for systems whose streams no vendor decides.

A vendor's connector knows what the vendor offers. A database table or a folder of files holds
whatever its owner put there, so the landscape says what that is, under version control and
approval like everything else in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.spec import FieldType


@dataclass(frozen=True, slots=True)
class InterfaceSpec:
    """One declared stream: its fields, the field that identifies a row and the one that orders
    versions of it ("" = none). `options` are the connector's own, as text."""

    name: str
    title: str
    key: str
    fields: tuple[FieldType, ...]
    place: Place
    version: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def field_named(self, name: str) -> FieldType | None:
        """The field of this name, or None."""
        return next((one for one in self.fields if one.name == name), None)

    def refused(self, what: str, next_action: str) -> BadLandscape:
        """Why a connector cannot speak this interface, with its place."""
        return BadLandscape([Problem(self.place, f"interface '{self.name}' {what}", next_action)])
