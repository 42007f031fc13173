"""P3: per business key effects happen in the order of the source's versions, and a key that is
stuck holds back none but itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from tieout.engine.judging import compare
from tieout.ports.connector import Action, Document, Finds, Write
from tieout.rehearsal.invariants.base import broken, once
from tieout.rehearsal.invariants.register import Dispatched, dispatched, register
from tieout.rehearsal.scene import Broken, Scene
from tieout.rehearsal.twins.base import Applied
from tieout.store.arrivals import GONE

_BACKWARDS = """
SELECT system || '.' || stream || ' ' || source_key FROM (
    SELECT system, stream, source_key, source_version COLLATE "C" AS version,
        lag(source_version COLLATE "C") OVER (
            PARTITION BY record_type, record_key ORDER BY records.version) AS before
    FROM records) AS found
WHERE version < before AND NOT starts_with(version, %(gone)s) AND NOT starts_with(before, %(gone)s)
ORDER BY 1
"""
_IDLE = """
SELECT r.flow || ' ' || r.record_key FROM runs r WHERE r.state = 'ready' AND NOT EXISTS (
    SELECT FROM cases c WHERE c.state = 'open' AND c.run_id = r.run_id)
UNION ALL
SELECT i.system || ' ' || i.reference FROM dispatch_states s JOIN intents i USING (dispatch_id)
WHERE s.state = 'planned' AND NOT EXISTS (
    SELECT FROM cases c WHERE c.state = 'open' AND c.record_key = i.record_key)
ORDER BY 1
"""


TAKES_BACK = ("void", "delete")
MOST_REMEMBERED = 8_192


def effects_in_source_order(scene: Scene) -> list[Broken]:
    """The versions of a record follow those of its row, and in every target the effects of a
    document follow the versions of its record: nothing older comes after something newer, whatever
    name the document has by then. What took effect is told by its digest, or by its facts where the
    target's own form hides the digest. At rest, nothing stands still that nothing holds back."""
    backwards, unsaid = _effects(scene)
    old = [row[0] for row in scene.connection.execute(_BACKWARDS, {"gone": GONE}).fetchall()]
    found = [
        *broken("P3", "a record was made from an older version of its row after a newer one", old),
        *broken("P3", "an older version of a record took effect after a newer one", backwards),
        *broken("P3", "something took effect that no dispatch of ours says", unsaid),
    ]
    if scene.phase == "rest":
        idle = [row[0] for row in scene.connection.execute(_IDLE).fetchall()]
        found += broken("P3", "something is ready to go on, and stands still", idle)
    return found


def _effects(scene: Scene) -> tuple[list[str], list[str]]:
    """Documents whose effects went backwards, and effects that are not of any dispatch."""
    planned: dict[int, list[Dispatched]] = defaultdict(list)
    for each in dispatched(scene):
        planned[each.document_id].append(each)
    done: dict[int, list[Applied]] = defaultdict(list)
    backwards, unsaid = [], []
    for system, twin in sorted(scene.twins.items()):
        for one in twin.applied():
            document = register(scene).document(system, one)
            if document is not None:  # what nobody planned is a breach of P2
                done[document].append(one)
    for document, some in sorted(done.items()):
        last = 0
        for one in some:
            known = _versions(scene, planned[document], one)
            name = f"{planned[document][0].system} {one.reference}"
            if not known:
                unsaid.append(name)
                continue
            # Versions may say the same: it went backwards only if none of them is new enough.
            fitting = [version for version in known if version >= last]
            if not fitting:
                backwards.append(name)
            last = max(last, min(fitting, default=last))
    return backwards, unsaid


def _versions(scene: Scene, planned: Sequence[Dispatched], one: Applied) -> list[int]:
    """The record versions that this effect may be of."""
    sent = [each for each in planned if each.attempts > 0]
    if one.action in TAKES_BACK:  # a reversal says what it takes back
        return [each.record_version for each in sent if each.action in TAKES_BACK]
    if one.digest:
        return [
            each.record_version
            for each in sent
            if each.digest == one.digest and each.action not in TAKES_BACK
        ]
    # A row of the source itself is taken back by a change of it: what it says tells.
    return [each.record_version for each in sent if _says(scene, each, one.facts)]


def _says(scene: Scene, one: Dispatched, facts: Mapping[str, str]) -> bool:
    """Whether this dispatch, had it been carried out, would show these facts."""
    finder = once(scene, "finders", lambda: _finders(scene)).get(one.system)
    if finder is None:
        return False
    text = once(scene, "bodies", lambda: _bodies(scene))[one.dispatch_id]
    meant = _meant(
        finder.meant, one.stream, one.write_key, one.reference, one.action, one.target_id, text
    )
    shown = {name: value for name, value in meant.items() if name in facts}
    spec = scene.compiled.streams[one.system, one.stream]
    return bool(shown) and not compare(spec, shown, facts)


def _finders(scene: Scene) -> Mapping[str, Finds]:
    """The connectors that know what a write means, by system."""
    known = scene.compiled.connectors
    return {name: one for name, one in sorted(known.items()) if isinstance(one, Finds)}


@lru_cache(maxsize=MOST_REMEMBERED)  # asked at every moment of a seed, and always the same
def _meant(
    says: Callable[[str, Write], Mapping[str, str]],
    stream: str,
    write_key: str,
    reference: str,
    action: Action,
    target_id: str,
    text: str,
) -> Mapping[str, str]:
    return says(stream, Write(write_key, reference, action, Document(text), target_id))


def _bodies(scene: Scene) -> Mapping[int, str]:
    rows = scene.connection.execute("SELECT dispatch_id, body FROM intents ORDER BY dispatch_id")
    return {int(row[0]): str(row[1]) for row in rows}
