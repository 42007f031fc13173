"""What a replay is about: source rows or dispatches chosen by id, flow, period, outcome, mapping.

All conditions count together. A page is read in the order of our own numbers, after the last one
of the page before, so that rows which a replay has just moved are never chosen twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout.store.database import Connection
from tieout.store.life_search import own_number, subjects

ARRIVAL_OUTCOMES = ("recorded", "unchanged", "superseded", "out_of_scope", "held")
DISPATCH_OUTCOMES = (
    "planned", "sending", "accepted", "unknown", "written", "proved", "differs", "rejected",
    "in_doubt",
)  # fmt: skip
OUTCOMES = (*ARRIVAL_OUTCOMES, *DISPATCH_OUTCOMES)


@dataclass(frozen=True, slots=True)
class Target:
    """A document that a record of one source stream should have: which stream, where."""

    source_system: str
    source_stream: str
    system: str
    stream: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What to replay; an empty field asks for nothing.

    `sources` are the streams of the asked flow; `targets` are set when only records are wanted that
    lack an agreeing proof in one of them. `mapping_version` None means every version of `mapping`.
    """

    ids: tuple[str, ...] = ()
    flow: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    period: str = ""
    outcome: str = ""
    mapping: str = ""
    mapping_version: int | None = None
    targets: tuple[Target, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What ids led to: `unknown` are those that nobody here knows."""

    arrival_ids: tuple[int, ...]
    dispatch_ids: tuple[int, ...]
    rows: tuple[tuple[str, str, str], ...]  # system, stream, source key
    record_keys: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChosenArrival:
    """A source row to resolve again. `overtaken_by` is the arrival that speaks for the row now, if
    this is not it; `payload_at` is when its verbatim text was received."""

    arrival_id: int
    system: str
    stream: str
    source_key: str
    source_version: str
    state: str
    received_at: dt.datetime
    deleted: bool
    digest: str
    record_type: str
    record_key: str
    partition_no: int
    overtaken_by: int | None


@dataclass(frozen=True, slots=True)
class ChosenDispatch:
    """A dispatch to send again as it is. `overtaken_by` is a later one of the same document."""

    dispatch_id: int
    write_key: str
    document_id: int
    generation: int
    action: str
    system: str
    stream: str
    record_type: str
    record_key: str
    record_version: int
    flow: str
    reference: str
    body: str
    digest: str
    state: str
    lane: str
    partition_no: int
    legal_entity: str
    currency: str
    amount: Decimal | None
    period: str
    mapping: str
    mapping_version: int
    landscape_hash: str
    rate_ids: tuple[str, ...]
    overtaken_by: int | None


def find(connection: Connection, ids: Sequence[str]) -> Found:
    """What these ids mean: any id of any system, a record key, arrival:7, dispatch:9, case:12."""
    arrivals: list[int] = []
    dispatches: list[int] = []
    rows: dict[tuple[str, str, str], None] = {}
    keys: dict[str, None] = {}
    unknown: list[str] = []
    for one in ids:
        own = own_number(one)
        found = subjects(connection, one)
        if not found:
            unknown.append(one)
        if own is not None and own[0] == "arrival":
            arrivals += [subject.arrival_id for subject in found]
            continue
        if own is not None and own[0] == "dispatch" and found:
            dispatches.append(own[1])
        for subject in found:
            if subject.record_key:
                keys[subject.record_key] = None
            if subject.source_key:
                rows[subject.system, subject.stream, subject.source_key] = None
    if keys:
        for row in connection.execute(
            "SELECT r.system, r.stream, r.source_key FROM record_heads h "
            "JOIN records r USING (record_type, record_key, version) WHERE h.record_key = ANY(%s)",
            (list(keys),),
        ).fetchall():
            rows[str(row[0]), str(row[1]), str(row[2])] = None
    return Found(tuple(arrivals), tuple(dispatches), tuple(rows), tuple(keys), tuple(unknown))


_LATER = (
    "(SELECT max(l.arrival_id) FROM arrivals l WHERE l.source_key = a.source_key "
    "AND l.system = a.system AND l.stream = a.stream AND l.state <> 'superseded' "
    "AND l.arrival_id <> a.arrival_id AND (l.arrival_id > a.arrival_id OR a.state = 'superseded'))"
)
_NEWEST_OF_DOCUMENT = (
    "NOT EXISTS (SELECT FROM dispatches x WHERE x.document_id = d.document_id "
    "AND x.dispatch_id > d.dispatch_id)"
)


def arrivals_page(
    connection: Connection, selection: Selection, found: Found | None, after: int, most: int
) -> list[ChosenArrival]:
    """The next source rows of a selection, by arrival id. `found` is what its ids led to.

    Only the arrival that speaks for its row is chosen, unless superseded ones are asked for, or an
    arrival is named by its own number.
    """
    where = ["a.arrival_id > %(after)s", "a.state <> 'new' OR %(named)s"]
    values: dict[str, object] = {"after": after, "most": most, "named": found is not None}
    if found is not None:
        where.append(
            "a.arrival_id = ANY(%(arrivals)s::bigint[]) OR (a.source_key, a.system, a.stream) IN "
            "(SELECT * FROM unnest(%(keys)s::text[], %(systems)s::text[], %(streams)s::text[]))"
        )
        values |= {"arrivals": list(found.arrival_ids), **_columns(found.rows)}
    if selection.outcome != "superseded":
        named = "a.arrival_id = ANY(%(arrivals)s::bigint[]) OR " if found is not None else ""
        where.append(f"{named}(a.state <> 'superseded' AND {_LATER} IS NULL)")
    if selection.flow:
        where.append(
            "(a.system, a.stream) IN (SELECT * FROM unnest(%(from)s::text[], %(of)s::text[])) "
            "AND (a.state IN ('held', 'new', 'superseded') OR EXISTS (SELECT FROM runs u "
            "WHERE u.flow = %(flow)s AND u.record_key = a.record_key))"
        )
        values |= {
            "flow": selection.flow,
            "from": [system for system, _ in selection.sources],
            "of": [stream for _, stream in selection.sources],
        }
    if selection.period:
        where.append(
            "r.period = %(period)s OR EXISTS (SELECT FROM cases e WHERE e.state = 'open' "
            "AND e.source_key = a.source_key AND e.system = a.system AND e.stream = a.stream "
            "AND e.period = %(period)s)"
        )
        values["period"] = selection.period
    _by_outcome(selection, where, values)
    _by_mapping(selection, where, values)
    _only_missing(selection, where, values)
    rows = connection.execute(
        "SELECT a.arrival_id, a.system, a.stream, a.source_key, a.source_version, a.state, "
        "a.received_at, a.deleted, a.digest, a.record_type, a.record_key, a.partition_no, "
        f"{_LATER} FROM arrivals a "
        "LEFT JOIN record_heads h ON h.record_type = a.record_type AND h.record_key = a.record_key "
        "LEFT JOIN records r ON r.record_type = h.record_type AND r.record_key = h.record_key "
        f"AND r.version = h.version WHERE {_all(where)} ORDER BY a.arrival_id LIMIT %(most)s",
        values,
    ).fetchall()
    return [ChosenArrival(*row) for row in rows]


def _by_outcome(selection: Selection, where: list[str], values: dict[str, object]) -> None:
    if selection.outcome in ARRIVAL_OUTCOMES:
        where.append("a.state = %(outcome)s")
    elif selection.outcome:
        where.append(
            "EXISTS (SELECT FROM documents c JOIN dispatches d ON d.document_id = c.document_id "
            "WHERE c.record_key = a.record_key AND c.record_type = a.record_type "
            f"AND a.record_key <> '' AND d.state = %(outcome)s AND {_NEWEST_OF_DOCUMENT})"
        )
    values["outcome"] = selection.outcome


def _by_mapping(selection: Selection, where: list[str], values: dict[str, object]) -> None:
    """Made by a mapping: the newest record version by an inbound one, the newest dispatch of one of
    its documents by an outbound one."""
    if not selection.mapping:
        return
    where.append(
        "(r.mapping = %(mapping)s AND r.mapping_version = coalesce(%(of_version)s, "
        "r.mapping_version)) OR EXISTS (SELECT FROM documents c JOIN dispatches d "
        "ON d.document_id = c.document_id WHERE c.record_key = a.record_key "
        "AND c.record_type = a.record_type AND a.record_key <> '' AND d.mapping = %(mapping)s "
        "AND d.mapping_version = coalesce(%(of_version)s, d.mapping_version) "
        f"AND {_NEWEST_OF_DOCUMENT})"
    )
    values |= {"mapping": selection.mapping, "of_version": selection.mapping_version}


def _only_missing(selection: Selection, where: list[str], values: dict[str, object]) -> None:
    if selection.targets is None:
        return
    where.append(
        "coalesce(r.in_scope, true) AND EXISTS (SELECT FROM unnest(%(t_source)s::text[], "
        "%(t_of)s::text[], %(t_system)s::text[], %(t_stream)s::text[]) "
        "AS t (source, of, system, stream) WHERE t.source = a.system AND t.of = a.stream "
        "AND NOT EXISTS (SELECT FROM documents c WHERE c.record_key = a.record_key "
        "AND c.record_type = a.record_type AND a.record_key <> '' AND c.system = t.system "
        "AND c.stream = t.stream AND c.state = 'present' AND c.proven_dispatch IS NOT NULL))"
    )
    values |= {
        "t_source": [one.source_system for one in selection.targets],
        "t_of": [one.source_stream for one in selection.targets],
        "t_system": [one.system for one in selection.targets],
        "t_stream": [one.stream for one in selection.targets],
    }


def dispatches_page(
    connection: Connection, selection: Selection, found: Found | None, after: int, most: int
) -> list[ChosenDispatch]:
    """The next dispatches of a selection, by dispatch id: the newest of each document, or the very
    ones that were named by their own number."""
    named = list(found.dispatch_ids) if found is not None else []
    where = [
        "d.dispatch_id > %(after)s",
        f"d.dispatch_id = ANY(%(named)s) OR {_NEWEST_OF_DOCUMENT}",
    ]
    values: dict[str, object] = {"after": after, "most": most, "named": named}
    if found is not None:
        where.append(
            "d.dispatch_id = ANY(%(named)s) OR (cardinality(%(named)s::bigint[]) = 0 AND "
            "d.document_id IN (SELECT document_id FROM documents "
            "WHERE record_key = ANY(%(keys)s::text[])))"
        )
        values["keys"] = list(found.record_keys)
    for column, asked in (
        ("d.flow", selection.flow),
        ("d.period", selection.period),
        ("d.state", selection.outcome),
        ("d.mapping", selection.mapping),
        ("d.mapping_version", selection.mapping_version),
    ):
        if asked not in ("", None):
            name = column.removeprefix("d.")
            where.append(f"{column} = %({name})s")
            values[name] = asked
    if selection.targets is not None:
        where.append(
            "NOT EXISTS (SELECT FROM documents c WHERE c.document_id = d.document_id "
            "AND c.state = 'present' AND c.proven_dispatch IS NOT NULL)"
        )
    rows = connection.execute(
        "SELECT d.dispatch_id, d.write_key, d.document_id, d.generation, d.action, d.system, "
        "d.stream, d.record_type, d.record_key, d.record_version, d.flow, d.reference, d.body, "
        "d.digest, d.state, d.lane, d.partition_no, d.legal_entity, d.currency, d.amount, "
        "d.period, d.mapping, d.mapping_version, d.landscape_hash, d.rate_ids, "
        "(SELECT max(x.dispatch_id) FROM dispatches x WHERE x.document_id = d.document_id "
        "AND x.dispatch_id > d.dispatch_id) "
        f"FROM dispatches d WHERE {_all(where)} ORDER BY d.dispatch_id LIMIT %(most)s",
        values,
    ).fetchall()
    return [ChosenDispatch(*[*row[:24], tuple(row[24]), row[25]]) for row in rows]


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(f"({one})" for one in conditions)


def _columns(rows: Sequence[tuple[str, str, str]]) -> Mapping[str, object]:
    return {
        "keys": [key for _, _, key in rows],
        "systems": [system for system, _, _ in rows],
        "streams": [stream for _, stream, _ in rows],
    }
