"""Systems whose streams the landscape declares: a table, a folder of files, a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from tieout.ports.connector import Connector, Field, FieldType
from tieout.rules import spec
from tieout.rules.interface import InterfaceSpec


@runtime_checkable
class DeclaresStreams(Protocol):
    """A connector that offers no stream of its own. It stays stateless: `declared` gives another
    connector, whose streams are the declared ones."""

    def declared(self, interfaces: Mapping[str, InterfaceSpec]) -> Connector:
        """The connector of a system with these interfaces. Raises BadLandscape with what is wrong
        and where, for instance an option that it does not know."""


def speaking(connector: Connector, interfaces: Mapping[str, InterfaceSpec]) -> Connector:
    """The connector as one system of a landscape uses it. Raises BadLandscape."""
    return connector.declared(interfaces) if isinstance(connector, DeclaresStreams) else connector


def fields_of(declared: Sequence[spec.FieldType]) -> tuple[Field, ...]:
    """Declared fields in the words of the ports."""
    return tuple(
        Field(
            one.name,
            cast(FieldType, one.type),
            one.title,
            one.required,
            fields_of(one.fields),
        )
        for one in declared
    )
