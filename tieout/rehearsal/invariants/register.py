"""Our register beside what targets hold: which document an effect is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from tieout.ports.connector import Action
from tieout.rehearsal.invariants.base import once
from tieout.rehearsal.scene import Scene
from tieout.rehearsal.twins.base import Applied, Effect

Target = tuple[str, str]
"""System and stream."""


class Dispatched(NamedTuple):
    """One intent and how far it came."""

    dispatch_id: int
    document_id: int
    system: str
    stream: str
    reference: str
    action: Action
    digest: str
    record_version: int
    write_key: str
    state: str
    attempts: int
    target_id: str


class Registered(NamedTuple):
    """One document as our register has it. `meant`: the facts of its proof, as JSON. `settled`:
    nothing is under way for it and nothing of it is in doubt. `case`: somebody owns trouble about
    its record. `gone`: it is the very row of a source, which was deleted there."""

    document_id: int
    system: str
    stream: str
    record_type: str
    record_key: str
    reference: str
    state: str
    target_id: str
    settled: bool
    case: bool
    in_scope: bool
    own: bool
    gone: bool
    meant: str
    legal_entity: str
    period: str
    currency: str


_DISPATCHED = """
SELECT i.dispatch_id, i.document_id, i.system, i.stream, i.reference, i.action, i.digest,
    i.record_version, i.write_key, s.state, s.attempts, s.target_id
FROM intents i JOIN dispatch_states s USING (dispatch_id) ORDER BY i.dispatch_id
"""

_REGISTERED = """
WITH proven AS (
    SELECT DISTINCT ON (dispatch_id) dispatch_id, meant FROM proofs WHERE verdict = 'agrees'
    ORDER BY dispatch_id, proof_id DESC
), troubled AS (SELECT DISTINCT record_key FROM cases WHERE state = 'open')
SELECT c.document_id, c.system, c.stream, c.record_type, c.record_key, c.reference, c.state,
    c.target_id, c.open_dispatch IS NULL AND c.landed_dispatch IS NULL, t.record_key IS NOT NULL,
    coalesce(h.in_scope, false), coalesce((h.system, h.stream) = (c.system, c.stream), false),
    coalesce(a.deleted AND h.system = c.system, false), coalesce(p.meant, '{}'),
    c.legal_entity, coalesce(i.period, ''), coalesce(i.currency, '')
FROM documents c
LEFT JOIN record_heads h USING (record_type, record_key)
LEFT JOIN arrivals a ON a.arrival_id = h.arrival_id
LEFT JOIN intents i ON i.dispatch_id = c.proven_dispatch
LEFT JOIN proven p ON p.dispatch_id = c.proven_dispatch
LEFT JOIN troubled t ON t.record_key = c.record_key
ORDER BY c.document_id
"""


def dispatched(scene: Scene) -> list[Dispatched]:
    """Every intent there ever was, in its order."""

    def read() -> list[Dispatched]:
        return [Dispatched(*row) for row in scene.connection.execute(_DISPATCHED).fetchall()]

    return once(scene, "dispatched", read)


def registered(scene: Scene) -> list[Registered]:
    """Every document of our register."""

    def read() -> list[Registered]:
        return [Registered(*row) for row in scene.connection.execute(_REGISTERED).fetchall()]

    return once(scene, "registered", read)


class Register:
    """Finds the document that something in a target is."""

    def __init__(self, scene: Scene) -> None:
        self._by_reference: dict[tuple[str, str, str], int] = {}
        self._by_id: dict[tuple[str, str, str], int] = {}
        for one in dispatched(scene):
            self._by_reference[one.system, one.stream, one.reference] = one.document_id
            if one.target_id:
                self._by_id.setdefault((one.system, one.stream, one.target_id), one.document_id)

    def document(self, system: str, one: Effect | Applied) -> int | None:
        """The document's id; None for what no intent of ours names."""
        found = self._by_reference.get((system, one.stream, one.reference))
        if found is None and one.target_id:
            found = self._by_id.get((system, one.stream, one.target_id))
        return found


def register(scene: Scene) -> Register:
    """The register of this scene, read once."""
    return once(scene, "register", lambda: Register(scene))


def effects(scene: Scene) -> Mapping[str, list[Effect]]:
    """Everything that was ever written, by system."""
    return once(
        scene,
        "effects",
        lambda: {name: list(twin.effects()) for name, twin in sorted(scene.twins.items())},
    )


def alive(scene: Scene) -> Mapping[int, list[Effect]]:
    """What is in effect in the targets, by our document."""

    def find() -> Mapping[int, list[Effect]]:
        found: dict[int, list[Effect]] = defaultdict(list)
        for system, shown in effects(scene).items():
            for one in shown:
                document = register(scene).document(system, one)
                if one.alive and document is not None:
                    found[document].append(one)
        return found

    return once(scene, "alive", find)


def grade(scene: Scene, system: str, stream: str) -> str:
    """How a repeat behaves in this target (DESIGN D7); "" for a stream nobody may write."""
    spec = scene.compiled.streams.get((system, stream))
    return spec.idempotency.grade if spec is not None and spec.idempotency is not None else ""
