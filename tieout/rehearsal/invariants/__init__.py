"""The promises as code: one function each, over what stands in the database and in the twins.

    found = check(scene)

runs those that hold in the scene's phase. Each is pure: it reads, and says what is broken.
"""

from __future__ import annotations

from collections.abc import Mapping

from tieout.rehearsal.invariants.base import BOTH, Invariant
from tieout.rehearsal.invariants.p1_nothing_lost import no_acknowledged_event_is_lost
from tieout.rehearsal.invariants.p2_once import no_document_is_posted_twice_or_dropped
from tieout.rehearsal.invariants.p3_in_order import effects_in_source_order
from tieout.rehearsal.invariants.p4_conserved import money_is_conserved
from tieout.rehearsal.invariants.p5_recomputed import every_state_can_be_recomputed
from tieout.rehearsal.invariants.p6_approved import nothing_leaves_unapproved
from tieout.rehearsal.invariants.p7_nothing_silent import nothing_fails_silently
from tieout.rehearsal.invariants.p9_newest import end_state_digest, end_state_is_the_newest
from tieout.rehearsal.invariants.p10_closed import a_closed_period_does_not_change
from tieout.rehearsal.scene import Broken, Scene

ALL: Mapping[str, Invariant] = {
    one.promise: one
    for one in (
        Invariant("P1", no_acknowledged_event_is_lost, BOTH),
        Invariant("P2", no_document_is_posted_twice_or_dropped, BOTH),
        Invariant("P3", effects_in_source_order, BOTH),
        Invariant("P4", money_is_conserved, BOTH),
        Invariant("P5", every_state_can_be_recomputed, ("rest",)),
        Invariant("P6", nothing_leaves_unapproved, ("rest",)),
        Invariant("P7", nothing_fails_silently, BOTH),
        Invariant("P9", end_state_is_the_newest, ("rest",)),
        Invariant("P10", a_closed_period_does_not_change, BOTH),
    )
}


def check(scene: Scene) -> list[Broken]:
    """Every promise that holds in this phase, in the order of the promises; empty: all are kept."""
    return [
        found for one in ALL.values() if scene.phase in one.phases for found in one.check(scene)
    ]


__all__ = [
    "ALL",
    "Invariant",
    "a_closed_period_does_not_change",
    "check",
    "effects_in_source_order",
    "end_state_digest",
    "end_state_is_the_newest",
    "every_state_can_be_recomputed",
    "money_is_conserved",
    "no_acknowledged_event_is_lost",
    "no_document_is_posted_twice_or_dropped",
    "nothing_fails_silently",
    "nothing_leaves_unapproved",
]
