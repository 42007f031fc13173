"""P2: no document is posted twice, and none is dropped, by what its target can do (DESIGN D7)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from tieout.engine.judging import compare
from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.invariants.register import (
    Registered,
    alive,
    dispatched,
    effects,
    grade,
    register,
    registered,
)
from tieout.rehearsal.scene import Broken, Scene

MAY_HAVE_LANDED = ("Written", "AlreadyThere", "Accepted", "Unknown")  # outcomes of a send
NOT_THERE = "a person looked: it is not there"  # why a case in doubt was closed
# A proof that differs is a look as well: the system itself showed the document, and that it does
# not say what was written. Its case is replayed by a person.

_SENT = """
WITH refused AS (
    SELECT dispatch_id, count(*) AS times FROM attempts
    WHERE kind = 'send' AND outcome <> ALL (%(landed)s) GROUP BY dispatch_id
), looked AS (
    SELECT dispatch_id, count(*) AS times FROM (
        SELECT dispatch_id FROM cases
        WHERE closed_because = %(words)s AND dispatch_id IS NOT NULL
        UNION ALL SELECT dispatch_id FROM proofs WHERE verdict = 'differs'
    ) AS looks GROUP BY dispatch_id
)
SELECT i.system, i.stream, i.reference,
    sum(s.attempts - coalesce(r.times, 0))::int, sum(coalesce(l.times, 0))::int
FROM intents i JOIN dispatch_states s USING (dispatch_id)
LEFT JOIN refused r USING (dispatch_id) LEFT JOIN looked l USING (dispatch_id)
WHERE i.system || '.' || i.stream = ANY (%(streams)s)
GROUP BY i.system, i.stream, i.reference, i.write_key ORDER BY i.system, i.stream, i.reference
"""


def no_document_is_posted_twice_or_dropped(scene: Scene) -> list[Broken]:
    """In a target of grade A or B no document of ours is ever in effect twice; into one of grade C
    no write leaves a second time before a person has looked; nothing of ours is anywhere that no
    dispatch sent. At rest, what our register says is present is there once and says what was
    proven, what it says is voided has no effect, and a run that is complete has its documents.

    What an open case owns is only held to the first part. After a target was restored, a document
    that it once had is not dropped by us: the desk sends it again; and one that had been taken back
    and is in effect again has not been posted twice by us.
    """
    found = [
        *broken("P2", "a document is in effect twice in its target", _twice(scene)),
        *broken("P2", "a document is in a target, and nothing of ours sent it", _foreign(scene)),
        *broken(
            "P2",
            "a write left again for a target that cannot recognise a repeat, "
            "and nobody had looked whether the first had arrived",
            _posted_again(scene),
        ),
    ]
    if scene.phase == "rest":
        found += _at_rest(scene)
    return found


def _twice(scene: Scene) -> list[str]:
    ended = {
        (system, one.stream, one.target_id)
        for system, twin in sorted(scene.twins.items())
        for one in (twin.applied() if "restore" in scene.struck else ())
        if one.action in ("void", "delete")
    }
    return [
        f"{one.system} {one.reference}"
        for one in {each.document_id: each for each in dispatched(scene)}.values()
        if sum(
            (one.system, there.stream, there.target_id) not in ended
            for there in alive(scene).get(one.document_id, ())
        )
        > 1
        and grade(scene, one.system, one.stream) in ("A", "B")
    ]


def _foreign(scene: Scene) -> list[str]:
    sent = {one.document_id for one in dispatched(scene) if one.attempts > 0}
    names = sorted({(one.system, one.reference) for one in dispatched(scene)})
    return [
        f"{system} {one.reference or one.target_id}"
        for system, shown in effects(scene).items()
        for one in shown
        if register(scene).document(system, one) not in sent
        and not _takes_back(system, one.reference, names)
    ]


def _takes_back(system: str, reference: str, names: list[tuple[str, str]]) -> bool:
    """What takes a document back carries its reference and something behind."""
    return any(
        of == system and reference.startswith(name) and reference != name for of, name in names
    )


def _posted_again(scene: Scene) -> list[str]:
    """Both by what we counted and by what took effect: the one may be blind to what the other
    sees."""
    streams = [
        f"{system}.{stream}"
        for system, stream in scene.compiled.targets
        if grade(scene, system, stream) == "C"
    ]
    if not streams:
        return []
    asked = {"landed": list(MAY_HAVE_LANDED), "words": NOT_THERE, "streams": streams}
    rows = scene.connection.execute(_SENT, asked).fetchall()
    again = [f"{row[0]} {row[2]}" for row in rows if row[3] - row[4] > 1]
    looked: Counter[tuple[str, str, str]] = Counter()
    for system, stream, reference, _, times in rows:
        looked[system, stream, reference] += times
    made = Counter(
        (system, one.stream, one.reference)
        for system, twin in sorted(scene.twins.items())
        for one in twin.applied()
        if one.action == "create" and f"{system}.{one.stream}" in streams
    )
    return again + [f"{at[0]} {at[2]}" for at, times in made.items() if times - looked[at] > 1]


# --- at rest -----------------------------------------------------------------------------------


def _at_rest(scene: Scene) -> list[Broken]:
    restored = "restore" in scene.struck
    once_there = {
        (system, one.stream, one.reference)
        for system, twin in sorted(scene.twins.items())
        for one in (twin.applied() if restored else ())
    }
    dropped, differs, haunting = [], [], []
    for one in registered(scene):
        if one.system not in scene.twins or one.case or not one.settled or one.gone:
            continue
        name = f"{one.system} {one.reference}"
        there = alive(scene).get(one.document_id, [])
        if one.state == "present" and one.in_scope:
            if not there:
                if (one.system, one.stream, one.reference) not in once_there:
                    dropped.append(name)
            elif not restored and not _says(scene, one, there[0].facts):
                differs.append(name)
        elif one.state != "present" and there and not one.own and not restored:
            haunting.append(name)
    return [
        *broken("P2", "a document that we have proven is not in its target", dropped),
        *broken("P2", "a document says something else than what we have proven", differs),
        *broken("P2", "a document has effect that we hold to be without", haunting),
        *broken("P2", "a run is complete, and its document is not present", _missing(scene)),
    ]


def _says(scene: Scene, one: Registered, facts: Mapping[str, str]) -> bool:
    meant = {name: text for name, text in json.loads(one.meant).items() if name in facts}
    return not compare(scene.compiled.streams[one.system, one.stream], meant, facts)


def _missing(scene: Scene) -> list[str]:
    present = {
        (one.system, one.stream, one.record_type, one.record_key)
        for one in registered(scene)
        if one.state == "present"
    }
    rows = scene.connection.execute(
        "SELECT flow, record_type, record_key FROM runs WHERE state = 'complete' ORDER BY run_id"
    ).fetchall()
    return [
        f"{system}.{stream} {key}"
        for flow, record_type, key in rows
        if flow in scene.landscape.flows
        for step in scene.landscape.flows[flow].steps
        if step.verb == "write"
        for system, stream in [scene.compiled.target_of(step)]
        if (system, stream, record_type, key) not in present
    ]
