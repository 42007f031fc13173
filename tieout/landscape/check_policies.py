"""Judges systems, environments, record types, people, legal entities and crosswalk values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tieout.landscape.form import did_you_mean
from tieout.landscape.interfaces import ConnectorLike, Systems
from tieout.landscape.lookups import lookups
from tieout.landscape.schema import Landscape
from tieout.rules.place import Place, Problem
from tieout.rules.spec import Leaf

ENTITIES_PLACE = Place("policies/legal_entities.yaml", 1)
PEOPLE_PLACE = Place("policies/people.yaml", 1)


def check_systems(
    landscape: Landscape, systems: Systems, connectors: Mapping[str, ConnectorLike]
) -> Iterator[Problem]:
    """Connectors and collected streams exist; every collected stream becomes a record."""
    yield from systems.problems
    mapped = {one.source for one in landscape.mappings.values() if one.inbound}
    for system in systems:
        connector = systems.connector(system.name)
        if connector is None:
            yield Problem(
                system.place,
                f"system '{system.name}' uses the unknown connector '{system.connector}'",
                did_you_mean(system.connector, connectors),
            )
            continue
        for stream in system.streams:
            found = connector.streams.get(stream)
            if found is None:
                yield Problem(
                    system.place,
                    f"'{stream}' is not a stream of system '{system.name}'",
                    did_you_mean(stream, connector.streams),
                )
            elif not (found.reads or found.receives):
                yield Problem(
                    system.place,
                    f"stream '{stream}' of system '{system.name}' can be neither read nor received",
                    "Remove it from 'streams'",
                )
            elif f"{system.name}.{stream}" not in mapped:
                yield Problem(
                    system.place,
                    f"stream '{stream}' of system '{system.name}' is collected, and no mapping "
                    "turns it into a record",
                    f"Write a mapping with 'from: {system.name}.{stream}', or remove the stream",
                )
    yield from _environments(landscape, systems)


def _environments(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    for name, specs in landscape.environments.items():
        for system, spec in specs.items():
            if system not in landscape.systems:
                yield Problem(
                    spec.place,
                    f"environment '{name}' configures the unknown system '{system}'",
                    did_you_mean(system, landscape.systems),
                )
                continue
            connector = systems.connector(system)
            if connector is None:
                continue
            asked = (
                ("setting", connector.settings, spec.settings),
                ("secret", connector.secrets, spec.secrets),
            )
            for kind, wanted, given in asked:
                # Further settings of an emulated system are meant for its emulator.
                strict = kind == "secret" or not spec.emulate
                what = f"system '{system}' in '{name}'"
                yield from _asked(what, kind, wanted, given, spec.place, strict)
        place = next(iter(specs.values())).place if specs else Place("environments", 1)
        for system in landscape.systems:
            if system not in specs:
                yield Problem(
                    place,
                    f"environment '{name}' does not say where system '{system}' is",
                    f"Add '{system}:' under systems",
                )


def _asked(
    what: str,
    kind: str,
    wanted: Mapping[str, str],
    given: Mapping[str, str],
    place: Place,
    strict: bool,
) -> Iterator[Problem]:
    for name, says in wanted.items():
        # Connectors mark what may be left out in its description.
        if name not in given and not says.lower().startswith("optional"):
            yield Problem(place, f"{what} has no {kind} '{name}'", f"Add it: {says}")
    for name in given:
        if strict and name not in wanted:
            yield Problem(
                place, f"{what} has the unknown {kind} '{name}'", did_you_mean(name, wanted)
            )


def check_records(landscape: Landscape) -> Iterator[Problem]:
    """Owners are systems, references lead to record types."""
    for record in landscape.records.values():
        for system in record.owned:
            if system not in landscape.systems:
                yield Problem(
                    record.place,
                    f"record type '{record.name}' is owned by the unknown system '{system}'",
                    did_you_mean(system, landscape.systems),
                )
        for path, to in record.references():
            if to not in landscape.records:
                yield Problem(
                    record.place,
                    f"'{path}' of record type '{record.name}' refers to the unknown '{to}'",
                    did_you_mean(to, landscape.records),
                )


def check_policies(landscape: Landscape) -> Iterator[Problem]:
    """People, legal entities and calendars name each other correctly."""
    for person in landscape.people.values():
        for entity in person.legal_entities:
            if entity not in landscape.legal_entities:
                yield Problem(
                    PEOPLE_PLACE,
                    f"person '{person.name}' acts for the unknown legal entity '{entity}'",
                    did_you_mean(entity, landscape.legal_entities),
                )
    for entity_spec in landscape.legal_entities.values():
        if entity_spec.calendar not in landscape.calendars:
            yield Problem(
                ENTITIES_PLACE,
                f"legal entity '{entity_spec.code}' has the unknown calendar "
                f"'{entity_spec.calendar}'",
                did_you_mean(entity_spec.calendar, landscape.calendars),
            )
    yield from _entity_codes(landscape)


def _entity_codes(landscape: Landscape) -> Iterator[Problem]:
    """A crosswalk that gives a record its legal entity must give one that exists."""
    judged: set[str] = set()
    for mapping in landscape.mappings.values():
        record = landscape.records.get(mapping.target)
        shape = mapping.fields.get(record.legal_entity) if record is not None else None
        if not isinstance(shape, Leaf):
            continue
        for lookup in lookups(shape.sql, shape.place):
            crosswalk = landscape.crosswalks.get(lookup.first)
            if lookup.function != "crosswalk" or crosswalk is None or crosswalk.name in judged:
                continue
            judged.add(crosswalk.name)
            for row in crosswalk.rows:
                if row.value not in landscape.legal_entities:
                    yield Problem(
                        row.place,
                        f"crosswalk '{crosswalk.name}' gives the unknown legal entity "
                        f"'{row.value}'",
                        f"{did_you_mean(row.value, landscape.legal_entities)}, or add it to "
                        f"{ENTITIES_PLACE.file}",
                    )
