"""What the checker needs to know of a connector, said structurally.

`landscape` and `ports` are rooms on the same floor that do not know each other: whoever calls
`check` hands the connectors in, and any object of this shape will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

from tieout.landscape.form import did_you_mean
from tieout.landscape.schema import Landscape, SystemSpec
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.spec import FieldType, ValueType


class FieldLike(Protocol):
    """A field of a stream's interface."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def fields(self) -> Sequence[FieldLike]: ...


class StreamLike(Protocol):
    """A stream: what it is made of and what can be done with it.

    A stream may also have `document`, the fields a written document takes; without it the shape
    of what is written is checked by the connector alone.
    """

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> Sequence[FieldLike]: ...
    @property
    def key(self) -> str: ...
    @property
    def reads(self) -> bool: ...
    @property
    def receives(self) -> bool: ...
    @property
    def writes(self) -> bool: ...
    @property
    def idempotency(self) -> object: ...


class ConnectorLike(Protocol):
    """A connector: its streams, and the settings and secrets it asks for."""

    @property
    def name(self) -> str: ...
    @property
    def streams(self) -> Mapping[str, StreamLike]: ...
    @property
    def settings(self) -> Mapping[str, str]: ...
    @property
    def secrets(self) -> Mapping[str, str]: ...


def field_types(fields: Sequence[FieldLike]) -> tuple[FieldType, ...]:
    """An interface as the rules see it."""
    return tuple(
        FieldType(
            name=one.name,
            type=cast(ValueType, one.type),
            required=one.required,
            title=one.title,
            fields=field_types(one.fields),
        )
        for one in fields
    )


def can_find(connector: ConnectorLike) -> bool:
    """Can it read back what was written? Without that, nothing can be proved."""
    return callable(getattr(connector, "find", None)) and callable(
        getattr(connector, "meant", None)
    )


def can_write(connector: ConnectorLike) -> bool:
    return callable(getattr(connector, "write", None))


class Systems:
    """The systems of a landscape with the connectors that speak for them. `problems` are those
    with interfaces that the landscape itself declares."""

    def __init__(self, landscape: Landscape, connectors: Mapping[str, ConnectorLike]) -> None:
        self._landscape = landscape
        self.problems: list[Problem] = []
        self._speaking: dict[str, ConnectorLike] = {}
        for name, spec in landscape.systems.items():
            found = connectors.get(spec.connector)
            if found is not None:
                self._speaking[name] = self._declared(found, spec)
        self._types: dict[tuple[str, str], tuple[FieldType, ...]] = {}

    def _declared(self, connector: ConnectorLike, spec: SystemSpec) -> ConnectorLike:
        """The connector with the streams that the landscape declares, where it lets it."""
        declare = getattr(connector, "declared", None)
        named = f"system '{spec.name}'"
        if callable(declare):
            if not spec.interfaces:
                what = f"{named} declares no interface, and connector '{connector.name}' has none"
                self.problems.append(Problem(spec.place, what, "Add it under 'interfaces'"))
            try:
                return cast(ConnectorLike, declare(spec.interfaces))
            except BadLandscape as bad:
                self.problems += bad.problems
        elif spec.interfaces:
            what = f"{named} declares interfaces, but connector '{connector.name}' has its own"
            self.problems.append(Problem(spec.place, what, "Remove 'interfaces'"))
        return connector

    def __iter__(self) -> Iterator[SystemSpec]:
        return iter(self._landscape.systems.values())

    def connector(self, system: str) -> ConnectorLike | None:
        return self._speaking.get(system)

    def stream(self, system: str, stream: str) -> StreamLike | None:
        connector = self.connector(system)
        return connector.streams.get(stream) if connector is not None else None

    def fields(self, system: str, stream: str) -> tuple[FieldType, ...]:
        """The stream's interface; empty if there is no such stream."""
        known = self._types.get((system, stream))
        if known is None:
            found = self.stream(system, stream)
            known = field_types(found.fields) if found is not None else ()
            self._types[system, stream] = known
        return known

    def named(self, target: str) -> tuple[str, str]:
        """`netsuite.salesOrder` as system and stream."""
        system, _, stream = target.partition(".")
        return system, stream

    def missing(self, target: str, what: str, place: Place) -> Problem | None:
        """The problem with `target` (system.stream) as `what` names it, if there is one."""
        system, stream = self.named(target)
        if system not in self._landscape.systems:
            return Problem(
                place,
                f"{what} names the unknown system '{system}'",
                did_you_mean(system, self._landscape.systems),
            )
        connector = self.connector(system)
        if connector is None:
            return None  # named once, where the system is declared
        if stream not in connector.streams:
            return Problem(
                place,
                f"{what} names '{stream}', which is not a stream of {system}",
                did_you_mean(stream, connector.streams),
            )
        return None
