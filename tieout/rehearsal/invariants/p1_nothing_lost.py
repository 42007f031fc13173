"""P1: no acknowledged event is lost."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.invariants.deeds import carried, last_deeds
from tieout.rehearsal.scene import Broken, Scene, Told
from tieout.store.arrivals import Incoming

_KEPT = """
SELECT k.system, k.stream, k.source_key, k.digest,
    coalesce(a.arrival_id IN (SELECT arrival_id FROM payloads), false)
    OR a.arrival_id IS NOT NULL AND EXISTS (
        SELECT FROM archived_months m
        WHERE m.table_name = 'payloads' AND k.arrival_id BETWEEN m.first_key AND m.last_key)
FROM arrival_keys k LEFT JOIN arrivals a ON a.arrival_id = k.arrival_id
ORDER BY k.system, k.stream, k.source_key, k.source_version, k.digest
"""
_HINTED = "SELECT system, stream, source_key FROM hints ORDER BY system, stream, source_key"


def no_acknowledged_event_is_lost(scene: Scene) -> list[Broken]:
    """What we acknowledged is kept: each row of a webhook in the register with its text, each hint
    until its row was read. At rest, the newest good word about every row that is still there has
    arrived, in every stream that a mapping reads."""
    rows = scene.connection.execute(_KEPT).fetchall()
    kept = {(row[0], row[1], row[2], row[3]) for row in rows}
    seen = {row[:3] for row in kept}
    hinted = set(scene.connection.execute(_HINTED).fetchall())
    lost = [
        f"{system}.{stream} {key}"
        for one in scene.told
        for system, stream, key, digest in _rows(one)
        if (system, stream, key, digest) not in kept
    ]
    forgotten = [
        f"{one.system}.{stream} {key}"
        for one in scene.told
        for stream, key in one.received.hints
        if stream in scene.landscape.systems[one.system].streams
        and not {(one.system, stream, key)} & (seen | hinted)
    ]
    bare = [f"{row[0]}.{row[1]} {row[2]}" for row in rows if not row[4]]
    found = [
        *broken("P1", "an event that we acknowledged is not in the register", lost),
        *broken("P1", "a row that we promised to read was neither read nor noted", forgotten),
        *broken("P1", "an event stands in the register, and its text is nowhere", bare),
    ]
    if scene.phase == "rest":
        found += broken(
            "P1", "the newest word about a row in its source never arrived", _missed(scene)
        )
    return found


def _rows(one: Told) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a webhook as the register names them. A row's version is a part of its text, or
    the moment of its deletion, which the text does not know: text and key are enough."""
    for item in one.received.items:
        row = Incoming.storable(item.key, item.version, item.payload, item.deleted)
        yield one.system, one.stream, row.source_key, row.digest


def _missed(scene: Scene) -> list[str]:
    arrived = carried(scene)
    return [
        f"{system}.{stream} {key}"
        for (system, stream, key), deed in last_deeds(scene).items()
        if deed.row is not None and not deed.broken and arrived[system, stream, key] is None
    ]
