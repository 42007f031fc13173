"""P9: the end state is the newest, whatever the order in which events came and however often."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from tieout.finance.digest import canonical_json, digest_bytes
from tieout.landscape.schema import FlowSpec
from tieout.rehearsal.invariants.base import broken, once
from tieout.rehearsal.invariants.deeds import Arrived, Row, carried, last_deeds
from tieout.rehearsal.invariants.mapped import anew
from tieout.rehearsal.invariants.register import Registered, alive, registered
from tieout.rehearsal.scene import Broken, Scene


class _Head(NamedTuple):
    """The newest version of a record, and whether somebody owns trouble about its row."""

    record_type: str
    record_key: str
    version: int
    body: str
    in_scope: bool
    by_this: bool


class _Run(NamedTuple):
    """One run of a record."""

    record_version: int
    mode: str
    state: str


_HEADS = """
SELECT h.system, h.stream, h.source_key, h.record_type, h.record_key, h.version, r.body,
    h.in_scope, r.landscape_hash = %(landscape)s
FROM record_heads h JOIN records r USING (record_type, record_key, version)
ORDER BY h.system, h.stream, h.source_key, h.record_type
"""
_RUNS = "SELECT record_key, flow, record_version, mode, state FROM runs ORDER BY run_id"
_OWNED = """
SELECT system, stream, source_key, record_key FROM cases WHERE state = 'open' AND owner <> ''
ORDER BY case_id
"""


class _Ends:
    """How everything stands."""

    def __init__(self, scene: Scene) -> None:
        asked = {"landscape": scene.landscape.content_hash}
        read = scene.connection.execute
        self.heads: dict[Row, _Head] = {
            (row[0], row[1], row[2]): _Head(*row[3:]) for row in read(_HEADS, asked).fetchall()
        }
        self.runs = {(row[0], row[1]): _Run(*row[2:]) for row in read(_RUNS).fetchall()}
        owned = read(_OWNED).fetchall()
        self.rows_owned = {(row[0], row[1], row[2]) for row in owned}
        self.keys_owned = {row[3] for row in owned}
        self.documents: dict[tuple[str, str, str], Registered] = {
            (one.system, one.stream, one.record_key): one for one in registered(scene)
        }

    def owned(self, at: Row) -> bool:
        head = self.heads.get(at)
        return at in self.rows_owned or (head is not None and head.record_key in self.keys_owned)


def end_state_is_the_newest(scene: Scene) -> list[Broken]:
    """At rest the newest good deed about each row decides. In scope: the record's newest version is
    what mapping that row gives, its flows are complete with that version, and each document they
    write is present. Deleted or out of scope: no record of it is in scope, and what was written was
    taken back where the flow says `on_leave: undo`. What an open case owns is left to its owner."""
    ends = once(scene, "ends", lambda: _Ends(scene))
    stale, lingering, unfinished, absent, left = [], [], [], [], []
    arrivals = carried(scene)
    for at, deed in last_deeds(scene).items():
        if deed.broken or ends.owned(at):
            continue
        name = " ".join((f"{at[0]}.{at[1]}", at[2]))
        head = ends.heads.get(at)
        arrival = arrivals.get(at)
        wanted = _wanted(scene, arrival)
        if deed.row is not None and arrival is None:
            continue  # it never arrived: P1 says so
        if not wanted.in_scope:
            if head is not None and head.in_scope:
                lingering.append(name)
            left += _left(scene, ends, head)
            continue
        if head is None or not head.in_scope or (head.by_this and head.body != wanted.body):
            stale.append(name)
            continue
        for flow in wanted.flows:
            run = ends.runs.get((head.record_key, flow.name))
            if run is None or run.mode == "undo" or run.record_version != head.version:
                unfinished.append(f"{flow.name} {name}")
            elif run.state == "complete":
                absent += _absent(scene, ends, flow, head)
    return [
        *broken("P9", "a record is not what the newest word about its row says", stale),
        *broken("P9", "a row is gone or out of scope, and its record is in scope", lingering),
        *broken("P9", "a flow did not run with the newest version of its record", unfinished),
        *broken("P9", "a record is in scope, and its document is not present", absent),
        *broken("P9", "a record left its scope, and its document is still present", left),
    ]


class _Wanted(NamedTuple):
    """What the newest word about a row asks for; `body` of the record, the flows that run."""

    in_scope: bool
    body: str
    flows: list[FlowSpec]


NOTHING = _Wanted(False, "", [])


def _wanted(scene: Scene, arrival: Arrived | None) -> _Wanted:
    """What a row asks for; nothing when it is gone. A row that cannot be mapped is in scope as far
    as anybody knows, and no record is what it says."""
    if arrival is None:
        return NOTHING
    flows = scene.compiled.flows_by_stream.get((arrival.system, arrival.stream), ())
    made = anew(scene).whole.get(arrival.arrival_id)
    if made is None:
        partial = anew(scene).partial.get(arrival.arrival_id)
        out = partial is not None and all(partial.conditions.get(f.name) is False for f in flows)
        return NOTHING if flows and out else _Wanted(True, "", [])
    running = [one for one in flows if made.conditions.get(one.name)]
    return _Wanted(not flows or bool(running), made.body, running)


def _absent(scene: Scene, ends: _Ends, flow: FlowSpec, head: _Head) -> list[str]:
    """The documents of a complete run that are not present."""
    found = []
    for step in flow.steps:
        if step.verb == "write":
            system, stream = scene.compiled.target_of(step)
            document = ends.documents.get((system, stream, head.record_key))
            if document is None or document.state != "present":
                found.append(f"{system}.{stream} {head.record_key}")
    return found


def _left(scene: Scene, ends: _Ends, head: _Head | None) -> list[str]:
    """Documents of a record out of scope that should have been taken back. Where a mapping takes
    them back, or they are rows of the source itself, they stay, saying so."""
    if head is None:
        return []
    found = []
    for flow in scene.landscape.flows.values():
        for step in flow.steps:
            if step.verb != "write" or step.on_leave != "undo" or step.undo:
                continue
            at = (*scene.compiled.target_of(step), head.record_key)
            document = ends.documents.get(at)
            if document is not None and document.state == "present" and not document.own:
                found.append(f"{document.system} {document.reference}")
    return found


# --- one digest of it all ----------------------------------------------------------------------


def end_state_digest(scene: Scene) -> str:
    """One hash of how everything ended, the same for every order of the same events: the records in
    scope, and what the documents that they write say in their targets. No numbers of ours, no
    times, no ids of the target: an id in a fact is replaced by the record it stands for, a
    reference by the row it comes from. What a record needed only on its way (a customer of an
    earlier version) is left out, and so is what left its scope: not every order meets it."""
    ends = once(scene, "ends", lambda: _Ends(scene))
    kinds = {
        scene.compiled.target_of(step)
        for flow in scene.landscape.flows.values()
        for step in flow.steps
        if step.verb == "write"
    }
    names = _names(scene)
    said: list[object] = [
        [*at, head.record_type, json.loads(head.body)]
        for at, head in ends.heads.items()
        if head.in_scope
    ]
    rows = {head.record_key: at for at, head in ends.heads.items() if head.in_scope}
    for one in registered(scene):
        if (one.system, one.stream) in kinds and one.record_key in rows:
            shown = [
                {name: names.get((one.system, text), text) for name, text in each.facts.items()}
                for each in alive(scene).get(one.document_id, [])
            ]
            said.append([one.system, one.stream, *rows[one.record_key], one.state, shown])
    return digest_bytes(b"\n".join(sorted(canonical_json(one) for one in said)))


def _names(scene: Scene) -> Mapping[tuple[str, str], str]:
    """What the ids of targets stand for."""
    rows = scene.connection.execute(
        "SELECT system, external_id, record_type || '/' || record_key FROM links "
        "ORDER BY system, external_id, stream DESC"
    ).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}
