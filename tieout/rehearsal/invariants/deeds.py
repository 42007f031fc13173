"""What people did last to each row, and the arrival that carries it to us."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from tieout.rehearsal.invariants.base import once
from tieout.rehearsal.scene import Deed, Scene

Row = tuple[str, str, str]
"""System, stream, key."""


class Arrived(NamedTuple):
    """One arrival with its text."""

    arrival_id: int
    system: str
    stream: str
    source_key: str
    source_version: str
    deleted: bool
    state: str
    record_type: str
    record_key: str
    record_version: int | None
    payload: str


_ARRIVED = """
SELECT a.arrival_id, a.system, a.stream, a.source_key, a.source_version, a.deleted, a.state,
    a.record_type, a.record_key, a.record_version, p.payload
FROM arrivals a JOIN payloads p USING (arrival_id, received_at)
ORDER BY a.system, a.stream, a.source_key, a.source_version COLLATE "C", a.arrival_id
"""


def arrived(scene: Scene) -> list[Arrived]:
    """Every arrival whose text is in the database, by row and in the order of its versions."""

    def read() -> list[Arrived]:
        return [Arrived(*row) for row in scene.connection.execute(_ARRIVED).fetchall()]

    return once(scene, "arrived", read)


def last_deeds(scene: Scene) -> Mapping[Row, Deed]:
    """The last thing done to each row of the streams that a mapping reads, where the row still
    stands as it was left; what a fault did to the source itself is no deed. Fields that we write
    there ourselves are not people's."""

    def find() -> Mapping[Row, Deed]:
        mapped = scene.compiled.inbound
        last: dict[Row, Deed] = {}
        for deed in scene.deeds:
            if (deed.system, deed.stream) in mapped and deed.system in scene.twins:
                last[deed.system, deed.stream, deed.key] = deed
        shown = {
            (system, stream): scene.twins[system].rows(stream)
            for system, stream in sorted({(one.system, one.stream) for one in last.values()})
        }
        return {
            at: deed
            for at, deed in sorted(last.items())
            if _stands(scene, deed, shown[deed.system, deed.stream].get(deed.key))
        }

    return once(scene, "last_deeds", find)


def _stands(scene: Scene, deed: Deed, row: Mapping[str, object] | None) -> bool:
    if deed.row is None or row is None:
        return deed.row is None and row is None
    return agrees(_said(scene, deed), row)


def _said(scene: Scene, deed: Deed) -> Mapping[str, object]:
    """What people said of the row, without the fields that our own mappings write to it, and
    without its version, which a write of ours moves on."""
    ours = once(scene, "written_back", lambda: _written_back(scene)).get(
        (deed.system, deed.stream), frozenset()
    )
    ours |= {scene.compiled.streams[deed.system, deed.stream].version}
    return {name: value for name, value in (deed.row or {}).items() if name not in ours}


def _written_back(scene: Scene) -> Mapping[tuple[str, str], frozenset[str]]:
    """By stream that is read and written, the fields that we write."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for mapping in scene.compiled.outbound.values():
        system, _, stream = mapping.spec.target.partition(".")
        if (system, stream) in scene.compiled.inbound:
            names = frozenset(path.partition(".")[0] for path in mapping.lineage)
            found[system, stream] = found.get((system, stream), frozenset()) | names
    return found


def carried(scene: Scene) -> Mapping[Row, Arrived | None]:
    """By row, the newest arrival that says what the last good deed left there; None: none does."""

    def find() -> Mapping[Row, Arrived | None]:
        by_row: dict[Row, list[Arrived]] = defaultdict(list)
        for one in arrived(scene):
            by_row[one.system, one.stream, one.source_key].append(one)
        found: dict[Row, Arrived | None] = {}
        for at, deed in last_deeds(scene).items():
            if deed.row is None or deed.broken:
                continue
            said = _said(scene, deed)
            found[at] = next(
                (
                    one
                    for one in reversed(by_row.get(at, []))
                    if not one.deleted and agrees(said, _read(one.payload))
                ),
                None,
            )
        return found

    return once(scene, "carried", find)


def _read(text: str) -> object:
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        return None  # no row that anybody made: it agrees with none


def agrees(made: object, shown: object) -> bool:
    """Whether `shown` says everything that `made` does. A system may fill in more fields, and may
    wrap what was given as a list; numbers and their texts are the same."""
    if isinstance(made, Mapping):
        return isinstance(shown, Mapping) and all(
            agrees(value, shown.get(name)) for name, value in made.items()
        )
    if isinstance(made, (list, tuple)):
        if isinstance(shown, Mapping):
            return True
        return (
            isinstance(shown, (list, tuple))
            and len(made) == len(shown)
            and all(agrees(*pair) for pair in zip(made, shown, strict=True))
        )
    return _plain(made) == _plain(shown)


def _plain(value: Any) -> object:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    return number if number.is_finite() else str(value)
