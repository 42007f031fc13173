"""Judges reconciliations: every side names a stream that can be read afresh."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.interfaces import Systems
from tieout.landscape.schema import Landscape, ReconciliationSpec, SideSpec
from tieout.rules.place import Place, Problem


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
    for also in side.also:
        yield from _readable(side.system, also.stream, named, also.place, systems)


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
