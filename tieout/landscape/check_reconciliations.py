"""Judges reconciliations: every side names a stream that can be read afresh."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.form import did_you_mean
from tieout.landscape.interfaces import Systems
from tieout.landscape.schema import Landscape, ReconciliationSpec, SideSpec
from tieout.rules.place import Place, Problem
from tieout.rules.spec import FieldType


def check_reconciliations(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """Every problem of every reconciliation, its expressions excepted."""
    for reconciliation in landscape.reconciliations.values():
        for side in reconciliation.sides:
            yield from _side(reconciliation, side, systems)


def _side(
    reconciliation: ReconciliationSpec, side: SideSpec, systems: Systems
) -> Iterator[Problem]:
    named = f"side '{side.name}' of reconciliation '{reconciliation.name}'"
    yield from _readable(side.system, side.stream, named, side.place, systems)
    fields = systems.fields(side.system, side.stream)
    for also in side.also:
        yield from _readable(side.system, also.stream, named, also.place, systems)
        known = {one.name for one in systems.fields(side.system, also.stream)}
        for missing in [one.name for one in fields if known and one.name not in known]:
            used = (side.key, side.sum, *side.dimensions.values())
            if any(missing in sql for sql in used):
                yield Problem(
                    also.place,
                    f"{named} adds stream '{also.stream}', which has no field '{missing}'",
                    "Use only fields that both streams have in key, sum and dimensions",
                )
    if side.each and fields and items_of(fields, side.each) is None:
        yield Problem(
            side.place,
            f"{named} unfolds '{side.each}', which is not a list of {side.system}.{side.stream}",
            did_you_mean(side.each, [one.name for one in fields if one.type == "list"]),
        )


def _readable(
    system: str, stream: str, named: str, place: Place, systems: Systems
) -> Iterator[Problem]:
    missing = systems.missing(f"{system}.{stream}", named, place)
    if missing is not None:
        yield missing
        return
    found = systems.stream(system, stream)
    if found is not None and not found.reads:
        yield Problem(
            place,
            f"{named} is read from {system}.{stream}, which cannot be read",
            "Name a stream that can: every side is read afresh from its own system",
        )


def items_of(fields: tuple[FieldType, ...], path: str) -> tuple[FieldType, ...] | None:
    """The item fields of the list at `path` (a.b.c); None if there is no such list."""
    here = fields
    found: FieldType | None = None
    for name in path.split("."):
        found = next((one for one in here if one.name == name), None)
        if found is None:
            return None
        here = found.fields
    return here if found is not None and found.type == "list" else None
