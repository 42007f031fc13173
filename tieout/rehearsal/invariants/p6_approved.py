"""P6: no unapproved change reaches production. Here: nothing leaves that somebody had to agree to,
and nobody did."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import NamedTuple

from tieout.landscape.schema import FlowSpec
from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.scene import Broken, Scene


class _Sent(NamedTuple):
    """A write that has left, and the content of the record that it says."""

    dispatch_id: int
    flow: str
    mapping: str
    reference: str
    digest: str
    body: str
    by_this: bool


_SENT = """
SELECT i.dispatch_id, i.flow, i.mapping, i.system || ' ' || i.reference, r.digest, r.body,
    i.landscape_hash = %(landscape)s
FROM intents i JOIN dispatch_states s USING (dispatch_id)
JOIN records r ON r.record_type = i.record_type AND r.record_key = i.record_key
    AND r.version = i.record_version
WHERE s.attempts > 0 AND i.action IN ('create', 'change') ORDER BY i.dispatch_id
"""
_AGREED = "SELECT detail FROM actions WHERE verb = 'approve' ORDER BY action_id"


def nothing_leaves_unapproved(scene: Scene) -> list[Broken]:
    """Whatever a flow wrote after an approve step whose condition is not false for that content was
    agreed to with that very content: by the audited action, which keeps the digest that was shown.
    What another landscape planned is none of this one's steps."""
    guarded = {
        flow.name: flow
        for flow in scene.landscape.flows.values()
        if any(step.verb == "approve" for step in flow.steps)
    }
    if not guarded:
        return []
    asked = {"landscape": scene.landscape.content_hash}
    by_flow: dict[str, list[_Sent]] = defaultdict(list)
    for row in scene.connection.execute(_SENT, asked).fetchall():
        one = _Sent(*row)
        if one.by_this and one.flow in guarded:
            by_flow[one.flow].append(one)
    agreed = {
        (said["flow"], said["step"], said["digest"])
        for (text,) in scene.connection.execute(_AGREED).fetchall()
        for said in [json.loads(text)]
    }
    bare = [
        name for flow, some in by_flow.items() for name in _bare(scene, guarded[flow], some, agreed)
    ]
    return broken("P6", "a document left, and nobody had agreed to what it says", bare)


def _bare(
    scene: Scene, flow: FlowSpec, some: list[_Sent], agreed: set[tuple[str, str, str]]
) -> list[str]:
    """Those that had to be agreed to, and were not."""
    found = []
    for number, step in enumerate(flow.steps):
        if step.verb != "approve":
            continue
        behind = {one.mapping for one in flow.steps[number + 1 :] if one.verb == "write"}
        open_to_doubt = [
            one
            for one in some
            if one.mapping in behind and (flow.name, step.name, one.digest) not in agreed
        ]
        if not open_to_doubt:
            continue
        answers = scene.compiled.requires[flow.name, number].run(
            scene.runner, [(one.dispatch_id, one.body) for one in open_to_doubt]
        )
        found += [
            one.reference
            for one in open_to_doubt
            if answers[one.dispatch_id].get(step.name) is not False
        ]
    return found
