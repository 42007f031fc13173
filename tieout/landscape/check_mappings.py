"""Judges mappings: what they name exists, every mapped field has its owner, and they are used."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.form import did_you_mean
from tieout.landscape.interfaces import Systems
from tieout.landscape.lookups import Lookup, mapping_lookups
from tieout.landscape.schema import Landscape
from tieout.rules.place import Problem
from tieout.rules.spec import MappingSpec


def check_mappings(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """Every problem of every mapping, its expressions excepted."""
    sources: dict[str, MappingSpec] = {}
    for mapping in landscape.mappings.values():
        named = f"mapping '{mapping.name}'"
        yield from _ends(mapping, landscape, systems)
        if mapping.inbound:
            other = sources.setdefault(mapping.source, mapping)
            if other is not mapping:
                yield Problem(
                    mapping.place,
                    f"{named} and '{other.name}' (at {other.place}) both map {mapping.source}",
                    "Keep one: an arrival becomes one record",
                )
            yield from _inbound(mapping, landscape, systems)
        for lookup in mapping_lookups(mapping):
            yield from check_lookup(lookup, landscape, systems)
    yield from _dead(landscape)


def _ends(mapping: MappingSpec, landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    stream, record = (
        (mapping.source, mapping.target) if mapping.inbound else (mapping.target, mapping.source)
    )
    missing = systems.missing(stream, f"mapping '{mapping.name}'", mapping.place)
    if missing is not None:
        yield missing
    if record not in landscape.records:
        yield Problem(
            mapping.place,
            f"mapping '{mapping.name}' names the unknown record type '{record}'",
            did_you_mean(record, landscape.records),
        )


def _inbound(mapping: MappingSpec, landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    system, _ = systems.named(mapping.source)
    record = landscape.records.get(mapping.target)
    if record is None:
        return
    if mapping.source.partition(".")[0] not in landscape.systems:
        return
    mine = record.owned.get(system, ())
    owners = {name: owner for owner, names in record.owned.items() for name in names}
    for name, shape in mapping.fields.items():
        if name in mine or record.field_named(name) is None:
            continue
        owner = owners.get(name, "")
        whose = f"owned by {owner}, not by {system}" if owner else "owned by no system"
        yield Problem(
            shape.place,
            f"field '{name}' of '{record.name}' is {whose}, yet mapping '{mapping.name}' sets it",
            "Remove the field here, or change its owner"
            if owner
            else f"Add it under owned: {system}: in records/ ('{record.name}')",
        )


def check_lookup(lookup: Lookup, landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """What xref(), id_in() and number_in() name must exist."""
    if lookup.function == "crosswalk":
        return  # the rules name it when they compile the expression
    record = lookup.first if lookup.function == "xref" else lookup.second
    if record and record not in landscape.records:
        yield Problem(
            lookup.place,
            f"{lookup.function}() names the unknown record type '{record}'",
            did_you_mean(record, landscape.records),
        )
    if lookup.function in ("id_in", "number_in"):
        what = f"{lookup.function}()"
        if "." not in lookup.first:
            yield Problem(
                lookup.place,
                f"{what} names '{lookup.first}', which does not say the stream",
                f"Write '{lookup.first}.stream': a record may have several documents there",
            )
            return
        missing = systems.missing(lookup.first, what, lookup.place)
        if missing is not None:
            yield missing


def _dead(landscape: Landscape) -> Iterator[Problem]:
    """A mapping that nothing uses is believed to work and never runs."""
    steps = [step for flow in landscape.flows.values() for step in flow.steps]
    used = {step.mapping for step in steps} | {step.undo for step in steps}
    collected = {
        f"{system.name}.{stream}"
        for system in landscape.systems.values()
        for stream in system.streams
    }
    for mapping in landscape.mappings.values():
        if mapping.inbound and mapping.source not in collected:
            yield Problem(
                mapping.place,
                f"mapping '{mapping.name}' is dead: {mapping.source} is not collected",
                "Add the stream under 'streams' of its system, or remove the mapping",
            )
        elif not mapping.inbound and mapping.name not in used:
            yield Problem(
                mapping.place,
                f"mapping '{mapping.name}' is dead: no flow step uses it",
                f"Name it in a flow step ('as: {mapping.name}'), or remove it",
            )
