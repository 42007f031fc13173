"""P10: a closed period does not change."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet

from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.invariants.register import Target, alive, registered
from tieout.rehearsal.scene import Broken, Scene


def a_closed_period_does_not_change(scene: Scene) -> list[Broken]:
    """Nothing took effect in an accounting period that its target had closed by then. At rest,
    nothing was given another date on the way: what a target shows is dated as the proof of its
    document says, in every stream that posts. What is not proven is left to its case, and a target
    that was restored, which shows what it once held, to P2."""
    posting = {at for at in scene.compiled.targets if scene.compiled.streams[at].posts}
    if not posting:
        return []
    late = [
        f"{system} {one.reference}"
        for system, twin in sorted(scene.twins.items())
        for one in twin.applied()
        if one.closed and (system, one.stream) in posting
    ]
    found = broken("P10", "something was posted into a period that was closed", late)
    if scene.phase == "rest":
        moved = _moved(scene, posting)
        found += broken("P10", "a document was dated otherwise than it was meant", moved)
    return found


def _moved(scene: Scene, posting: AbstractSet[Target]) -> list[str]:
    if "restore" in scene.struck:
        return []
    moved = []
    for one in registered(scene):
        at = (one.system, one.stream)
        if at not in posting or one.state != "present" or not one.settled:
            continue
        kinds = scene.compiled.streams[at].facts
        days = {k: day for k, day in json.loads(one.meant).items() if kinds.get(k) == "date"}
        moved += [
            f"{one.system} {one.reference}"
            for each in alive(scene).get(one.document_id, [])
            if any(each.facts.get(name, day) != day for name, day in days.items())
        ]
    return moved
