"""P5: every state can be recomputed from what was received, the mappings and the rates."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tieout.engine.lookups import Lookups
from tieout.rehearsal.invariants.base import broken, once
from tieout.rehearsal.invariants.mapped import anew
from tieout.rehearsal.scene import Broken, Scene
from tieout.rules.mapping import Mapped, Row


class _Version(NamedTuple):
    """A record version; `before` is the body of the one before it."""

    source: str
    arrival_id: int
    body: str
    before: str | None
    deleted: bool
    by_this: bool
    has_text: bool


class _Intent(NamedTuple):
    """A dispatch; `taken_back` is the body of the one that a reversal takes back."""

    dispatch_id: int
    name: str
    mapping: str
    body: str
    rate_ids: list[str]
    record_key: str
    source_key: str
    record_body: str
    own_row: bool
    back: bool
    taken_back: str | None
    by_this: bool
    planned_at: dt.datetime


Asked = tuple[str, str, str, str]
"""System, stream ("" for any), record type and key of an id that a mapping asked for."""


@dataclass
class _Asking(Lookups):
    """Lookups that remember which ids they were asked for."""

    asked: set[Asked] = field(default_factory=set)

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        name, _, stream = system.partition(".")
        self.asked.update((name, stream, record_type, key) for key in keys)
        return super().ids(system, record_type, keys)


@dataclass(frozen=True)
class Recomputed:
    """What was made once more. `another_landscape`, `links_moved`: what could not be, and is not
    held to be wrong: the mapping of then is not loaded, or an id that it was told has changed."""

    records: int
    dispatches: int
    another_landscape: int
    links_moved: int
    wrong_records: list[str]
    wrong_dispatches: list[str]


_VERSIONS = """
SELECT r.system || '.' || r.stream || ' ' || r.source_key, r.arrival_id, r.body,
    lag(r.body) OVER (PARTITION BY r.record_type, r.record_key ORDER BY r.version),
    coalesce(a.deleted, false), r.landscape_hash = %(landscape)s,
    r.arrival_id IN (SELECT arrival_id FROM payloads)
FROM records r LEFT JOIN arrivals a ON a.arrival_id = r.arrival_id
ORDER BY r.record_type, r.record_key, r.version
"""
_INTENTS = """
SELECT i.dispatch_id, i.system || ' ' || i.reference, i.mapping, i.body, i.rate_ids,
    i.record_key, r.source_key, r.body, (r.system, r.stream) = (i.system, i.stream),
    i.action IN ('void', 'delete'), e.body, i.landscape_hash = %(landscape)s,
    i.planned_at
FROM intents i
JOIN records r ON r.record_type = i.record_type AND r.record_key = i.record_key
    AND r.version = i.record_version
LEFT JOIN intents e ON e.dispatch_id = i.previous
ORDER BY i.dispatch_id
"""
_LINKED = """
SELECT system, stream, record_type, record_key, max(linked_at) FROM links
GROUP BY system, stream, record_type, record_key ORDER BY system, stream, record_type, record_key
"""


def every_state_can_be_recomputed(scene: Scene) -> list[Broken]:
    """Every record version comes out of its arrival, and every dispatch out of its record version,
    byte for byte.

    A version that says that its row is gone repeats the one before it; a reversal repeats what it
    takes back. The rest is mapped once more by the landscape of the scene, with the rates of the
    day they were asked for; a dispatch must have used the very same rates. Left out, and counted in
    `recomputed`: what another landscape made, and dispatches that were planned before an id that
    their mapping asks for was linked: those were told another one.
    """
    found = recomputed(scene)
    return [
        *broken("P5", "a record does not come out of what was received again", found.wrong_records),
        *broken("P5", "a dispatch does not come out of its record again", found.wrong_dispatches),
    ]


def recomputed(scene: Scene) -> Recomputed:
    """Make everything once more, and compare."""

    def make() -> Recomputed:
        asked = {"landscape": scene.landscape.content_hash}
        read = scene.connection.execute
        versions = [_Version(*row) for row in read(_VERSIONS, asked).fetchall()]
        intents = [_Intent(*row) for row in read(_INTENTS, asked).fetchall()]
        repeats = [one for one in intents if _repeats(one)]
        rendered, moved = _rendered(scene, [e for e in intents if e.by_this and not _repeats(e)])
        checked = [one for one in versions if one.deleted or (one.by_this and one.has_text)]
        return Recomputed(
            records=len(checked),
            dispatches=len(repeats) + len(rendered),
            another_landscape=sum(not one.by_this for one in intents)
            + sum(not one.by_this for one in versions),
            links_moved=moved,
            wrong_records=[one.source for one in checked if not _comes_out(scene, one)],
            wrong_dispatches=[one.name for one in repeats if one.body != one.taken_back]
            + [one.name for one, made in rendered if not _as_rendered(one, made)],
        )

    return once(scene, "recomputed", make)


def _comes_out(scene: Scene, one: _Version) -> bool:
    if one.deleted:
        return one.body == one.before
    made = anew(scene).whole.get(one.arrival_id)
    return made is not None and made.body == one.body


def _repeats(one: _Intent) -> bool:
    """A reversal of a document of ours says what it takes back; a row of the source itself is told
    its new state."""
    return one.back and not one.own_row and one.taken_back is not None


def _as_rendered(one: _Intent, made: Mapped | None) -> bool:
    return made is not None and made.body == one.body and set(made.rate_ids) == set(one.rate_ids)


def _rendered(scene: Scene, some: list[_Intent]) -> tuple[list[tuple[_Intent, Mapped | None]], int]:
    """These dispatches' records through their outbound mappings, and of how many dispatches an id
    has changed since."""
    linked = {
        (row[0], row[1], row[2], row[3]): row[4]
        for row in scene.connection.execute(_LINKED).fetchall()
    }
    by_mapping: dict[str, list[_Intent]] = defaultdict(list)
    for one in some:
        by_mapping[one.mapping].append(one)
    found: list[tuple[_Intent, Mapped | None]] = []
    for name, group in sorted(by_mapping.items()):
        lookups = _Asking(scene.connection, scene.compiled.calendars)
        made: dict[int, Mapped] = {}
        mapping = scene.compiled.outbound.get(name)
        if mapping is not None:  # else it is in force and not loaded: nothing of it comes out
            rows = [Row(e.dispatch_id, e.record_key, e.record_body, e.source_key) for e in group]
            result = mapping.run(scene.runner, rows, lookups)
            made = {one.row_id: one for one in result.mapped}
        told = _told_at(lookups.asked, linked)
        found += [
            (one, made.get(one.dispatch_id)) for one in group if not _told_otherwise(one, told)
        ]
    return found, len(some) - len(found)


def _told_at(asked: set[Asked], linked: Mapping[Asked, dt.datetime]) -> Mapping[str, dt.datetime]:
    """By record key, when the newest of its ids that were asked for was linked."""
    found: dict[str, dt.datetime] = {}
    for (system, stream, record_type, key), at in linked.items():
        if {(system, stream, record_type, key), (system, "", record_type, key)} & asked:
            found[key] = max(at, found.get(key, at))
    return found


def _told_otherwise(one: _Intent, told: Mapping[str, dt.datetime]) -> bool:
    return any(
        at >= one.planned_at and (key == one.record_key or key in one.record_body)
        for key, at in told.items()
    )
