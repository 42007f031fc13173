"""P4: money is conserved, hop by hop.

    received = posted + superseded + duplicate + rejected + held + in flight
               + out of scope + deleted

by legal entity, period, currency and stream, in count, sum and keyed hash; what a target holds is
what our register says we posted; and the control totals are what the rows come to.
"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from tieout.rehearsal.invariants.base import broken
from tieout.rehearsal.invariants.mapped import Group, facts_anew, group_anew, group_of
from tieout.rehearsal.invariants.recount import recount
from tieout.rehearsal.invariants.register import Registered, alive, registered
from tieout.rehearsal.invariants.sums import Sum, Sums, apart, sums
from tieout.rehearsal.scene import Broken, Scene

BUCKETS = (
    "posted",
    "superseded",
    "duplicate",
    "rejected",
    "held",
    "in flight",
    "out of scope",
    "deleted",
)
MOST_GROUPS = 5  # named in one breach
ZERO = Decimal(0)
Money = tuple[Group, Decimal]
_PLAIN = {
    "new": "in flight",
    "superseded": "superseded",
    "unchanged": "duplicate",
    "held": "held",
    "out_of_scope": "out of scope",
}


class _Placed(NamedTuple):
    """One arrival, and what decides in which bucket it lies."""

    arrival_id: int
    system: str
    stream: str
    source_key: str
    source_version: str
    digest: str
    state: str
    deleted: bool
    recorded: bool
    by_this: bool  # its record was made by the landscape of the scene
    legal_entity: str
    period: str
    currency: str
    amount: Decimal | None
    in_scope: bool
    newest: bool
    runs: int
    held: int
    ended: int
    declined: int
    refused: bool
    unfinished: bool


_ARRIVED = """
WITH working AS (
    SELECT record_type, record_key, count(*) AS runs,
        count(*) FILTER (WHERE state = 'held') AS held,
        count(*) FILTER (WHERE ended_at IS NOT NULL) AS ended,
        count(*) FILTER (WHERE state = 'undone' AND mode = 'reject') AS declined
    FROM runs GROUP BY record_type, record_key
), written AS (
    SELECT record_type, record_key, bool_or(refused_intent <> '') AS refused,
        bool_or(open_dispatch IS NOT NULL OR landed_dispatch IS NOT NULL) AS unfinished
    FROM documents GROUP BY record_type, record_key
)
SELECT a.arrival_id, a.system, a.stream, a.source_key, a.source_version, a.digest, a.state,
    a.deleted, r.record_key IS NOT NULL, coalesce(r.landscape_hash = %(landscape)s, false),
    coalesce(r.legal_entity, ''), coalesce(r.period, ''),
    coalesce(r.currency, ''), r.amount, coalesce(r.in_scope, false),
    coalesce(r.version = h.version, false), coalesce(w.runs, 0), coalesce(w.held, 0),
    coalesce(w.ended, 0), coalesce(w.declined, 0), coalesce(d.refused, false),
    coalesce(d.unfinished, false)
FROM arrivals a
LEFT JOIN records r ON r.record_type = a.record_type AND r.record_key = a.record_key
    AND r.version = a.record_version
LEFT JOIN record_heads h ON h.record_type = r.record_type AND h.record_key = r.record_key
LEFT JOIN working w ON w.record_type = r.record_type AND w.record_key = r.record_key
LEFT JOIN written d ON d.record_type = r.record_type AND d.record_key = r.record_key
ORDER BY a.arrival_id
"""
_RECEIVED = """
SELECT arrival_id, system, stream, source_key, source_version, digest, times FROM arrival_keys
ORDER BY system, stream, source_key, source_version, digest
"""
_MADE_UP = """
SELECT i.system || ' ' || i.reference FROM intents i
LEFT JOIN records r ON r.record_type = i.record_type AND r.record_key = i.record_key
    AND r.version = i.record_version
LEFT JOIN intents e ON e.dispatch_id = i.previous
WHERE CASE WHEN r.record_key IS NULL THEN true
    WHEN i.action IN ('void', 'delete') AND e.dispatch_id IS NOT NULL THEN
        (i.amount, i.currency, i.period) IS DISTINCT FROM (e.amount, e.currency, e.period)
        AND (i.amount, i.currency, i.period) IS DISTINCT FROM (r.amount, r.currency, r.period)
    ELSE (i.amount, i.currency, i.period, i.legal_entity)
        IS DISTINCT FROM (r.amount, r.currency, r.period, r.legal_entity) END
ORDER BY i.dispatch_id
"""


def money_is_conserved(scene: Scene) -> list[Broken]:
    """The identity above, for every stream that a mapping reads: what the register of arrivals
    counted, with each row's money as its text says it, against the buckets in which the rows lie,
    with the money of our records. Then every dispatch carries the money of its record (a reversal:
    that of what it takes back), every target holds what we have proven to be there, and the control
    totals are what their rows come to. Money that cannot be read whose it is, is in a group of its
    own, all of whose names are empty.

    While work is under way dispatches and control totals are counted; the buckets and the targets,
    for which every text must be mapped anew and every proof read, at rest.
    """
    read = scene.connection.execute
    made_up = [row[0] for row in read(_MADE_UP).fetchall()]
    off = recount(lambda query: read(query.encode()).fetchall())
    found = [
        *broken("P4", "a dispatch carries other money than its record", made_up),
        *_told(
            "the control totals are not what the rows come to",
            [" ".join(map(str, one)) for one in off],
        ),
    ]
    return found if scene.phase == "during" else [*found, *_identity(scene), *_target(scene)]


def _told(words: str, where: list[str]) -> list[Broken]:
    """A breach that is about groups and not about keys: its words say which."""
    return [Broken("P4", f"{words}: {'; '.join(where[:MOST_GROUPS])}")] if where else []


# --- what came in ------------------------------------------------------------------------------


def balance(scene: Scene) -> tuple[Sums, dict[str, Sums]]:
    """Both sides of the identity by stream and group: what was received, and where it is now."""
    received, buckets = sums(), {name: sums() for name in BUCKETS}
    rows = {row[0]: _Placed(*row) for row in _arrivals(scene)}
    there: dict[tuple[str, ...], list[_Placed]] = defaultdict(list)
    for one in rows.values():
        there[one.system, one.stream, one.source_key, one.source_version, one.digest].append(one)
    for arrival_id, *identity, times in scene.connection.execute(_RECEIVED).fetchall():
        at = (identity[0], identity[1])
        if at not in scene.compiled.inbound:
            continue
        known = rows.get(arrival_id)
        group, amount = _by_text(scene, arrival_id, known)
        name = "/".join(identity[2:])
        received[*at, *group].add(name, amount, times)
        for one in there[tuple(identity)]:
            group, amount = _by_record(scene, one)
            buckets[_bucket(scene, one)][*at, *group].add(name, amount)
        repeats = times - max(1, len(there[tuple(identity)]))
        if repeats:
            buckets["duplicate"][*at, *group].add(name, amount, repeats)
    return received, buckets


def _arrivals(scene: Scene) -> list[tuple[Any, ...]]:
    asked = {"landscape": scene.landscape.content_hash}
    return scene.connection.execute(_ARRIVED, asked).fetchall()


def _identity(scene: Scene) -> list[Broken]:
    received, buckets = balance(scene)
    came = sums()
    for found in buckets.values():
        for group, one in found.items():
            came[group].take_in(one)
    return _told(
        "what was received is not what lies in the buckets",
        [
            f"{' '.join(filter(None, group)) or 'unattributed'}: {_said(received.get(group))}, "
            f"and {_said(came.get(group))}"
            for group in apart(received, came)
        ],
    )


def _said(one: Sum | None) -> str:
    return f"{one.count} rows worth {one.amount}" if one is not None else "nothing"


def _by_text(scene: Scene, arrival_id: int, known: _Placed | None) -> Money:
    """The money of an arrival as its text says it; of a row that is gone, or that was mapped by
    another landscape, as our record says it."""
    if known is not None and known.recorded and (known.deleted or not known.by_this):
        return _of_record(known)
    facts = facts_anew(scene, arrival_id)
    return group_anew(scene, facts), facts.amount or ZERO


def _by_record(scene: Scene, one: _Placed) -> Money:
    """The money of an arrival as our record of it says; of one without a record, as its text
    does."""
    return _of_record(one) if one.recorded else _by_text(scene, one.arrival_id, one)


def _of_record(one: _Placed) -> Money:
    return group_of(one.legal_entity, one.period, one.currency), one.amount or ZERO


def _bucket(scene: Scene, one: _Placed) -> str:
    plain = _PLAIN.get(one.state)
    if plain is not None:
        return plain
    if not one.newest:
        return "superseded"
    if one.held:
        return "rejected" if one.refused else "held"
    if one.declined:
        return "rejected"
    if one.ended < one.runs:
        return "in flight"
    if one.deleted or not one.in_scope:
        return "deleted" if one.deleted else "out of scope"
    starts = bool(scene.compiled.flows_by_stream.get((one.system, one.stream)))
    if one.unfinished or (starts and not one.runs):
        return "in flight"
    return "posted"


# --- what is in the targets --------------------------------------------------------------------


def _target(scene: Scene) -> list[Broken]:
    """Per target: what we have proven to be there, and what it holds. A target that was restored is
    behind, and P2 looks after what it lost."""
    if "restore" in scene.struck:
        return []
    posted, there = sums(), sums()
    for one in registered(scene):
        if one.system in scene.twins and one.state == "present" and one.settled and one.in_scope:
            _weigh(scene, one, posted, there)
    return _told(
        "a target holds other money than we have proven",
        [
            f"{' '.join(group)}: {_said(posted.get(group))}, and {_said(there.get(group))}"
            for group in apart(posted, there)
        ],
    )


def _weigh(scene: Scene, one: Registered, posted: Sums, there: Sums) -> None:
    kinds = scene.compiled.streams[one.system, one.stream].facts
    group = (one.system, one.stream, one.legal_entity, one.period, one.currency)
    shown = alive(scene).get(one.document_id, [])
    for name, text in json.loads(one.meant).items():
        if kinds.get(name) != "amount" or any(name not in each.facts for each in shown):
            continue
        posted[group].add(f"{one.reference}/{name}", _amount(text))
        for each in shown:
            there[group].add(f"{one.reference}/{name}", _amount(each.facts[name]))


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return ZERO
