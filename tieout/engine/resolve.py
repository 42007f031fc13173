"""Resolve: from what a system said to what we hold to be true, in set-based batches.

mapping + crosswalks -> canonical record -> controls -> record version. What fails opens a case
that names control, field, value and file:line; the rest of the batch goes on.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from tieout.engine import flow
from tieout.engine.context import Context
from tieout.engine.isolating import in_parts, said_of
from tieout.engine.lookups import Lookups, keep_rates
from tieout.engine.record_making import Batch, Maker, wanted
from tieout.engine.waiting import records_came
from tieout.finance.digest import record_key
from tieout.rules.mapping import Row
from tieout.rules.spec import RecordTypeSpec
from tieout.store import arrivals, audit, cases, dispatches, evidence, records, runs
from tieout.store.arrivals import GONE, Arrival
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.records import Head, Record
from tieout.store.totals import keep

MOST_PER_BATCH = 1_500
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def resolve(context: Context) -> int:
    """Resolve the oldest new arrivals; returns how many were settled."""
    with context.looking() as connection:
        new = arrivals.new_arrivals(connection, context.partitions(), MOST_PER_BATCH)
    groups: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for one in new:
        groups[one.system, one.stream].append(one)
    for (system, stream), group in groups.items():

        def work(some: Sequence[Arrival], system: str = system, stream: str = stream) -> None:
            with context.transaction() as connection:
                _resolve_stream(context, connection, system, stream, some)

        in_parts(group, work, partial(_give_up, context))
    return len(new)


def _give_up(context: Context, one: Arrival, error: Exception) -> None:
    """A row that nobody can work on, for a reason that nobody foresaw, is somebody's case."""
    mapping = context.compiled.inbound.get((one.system, one.stream))
    if mapping is None:
        raise error
    spec = context.landscape.records[mapping.spec.target]
    batch = Batch(f"{one.system}.{one.stream}")
    _unreadable(batch, one, spec, f"this row cannot be worked on: {said_of(error)}")
    with context.transaction() as connection:
        cases.open_cases(connection, batch.cases)
        arrivals.settle(connection, batch.settled)
        keep(connection, batch.tally)


def _resolve_stream(
    context: Context, connection: Connection, system: str, stream: str, group: Sequence[Arrival]
) -> None:
    mapping = context.compiled.inbound.get((system, stream))
    if mapping is None:
        nobody = Batch(f"{system}.{stream}")
        for one in group:
            nobody.settle(one, "out_of_scope")
        arrivals.settle(connection, nobody.settled)
        keep(connection, nobody.tally)
        return
    spec = context.landscape.records[mapping.spec.target]
    batch = Batch(f"{system}.{stream}")
    newest = _newest_of_batch(group, batch)
    keys = {one.source_key: record_key(spec.name, system, one.source_key) for one in newest}
    heads = records.heads(connection, spec.name, sorted(keys.values()))
    seen = arrivals.newest_seen(connection, system, stream, sorted(keys))
    fresh: list[Arrival] = []
    for one in newest:
        head = heads.get(keys[one.source_key])
        if _older(one.source_version, seen.get(one.source_key, "")):
            batch.settle(one, "superseded")
        elif one.deleted:
            _delete(connection, context, batch, one, spec, keys[one.source_key], head)
        elif (why := _unfit(one)) is not None:
            _unreadable(batch, one, spec, why)
        else:
            fresh.append(one)
    lookups = Lookups(connection, context.compiled.calendars)
    result = mapping.run(
        context.runner,
        [Row(one.arrival_id, one.source_key, one.payload) for one in fresh],
        lookups,
    )
    maker = Maker(context, batch, spec, system, stream)
    maker.make(fresh, result, keys, heads)
    _write(context, connection, batch, lookups, system, stream)


def _newest_of_batch(group: Sequence[Arrival], batch: Batch) -> list[Arrival]:
    """One arrival per source key: the newest version, the last one read where versions tie."""
    newest: dict[str, Arrival] = {}
    for one in group:
        before = newest.get(one.source_key)
        if before is not None and _older(one.source_version, before.source_version):
            batch.settle(one, "superseded")
            continue
        if before is not None:
            batch.settle(before, "superseded")
        newest[one.source_key] = one
    return list(newest.values())


def _older(version: str, than: str) -> bool:
    """Whether a source version came before another. A row seen to be gone has no version of its
    own: the order in which it was seen decides."""
    return not version.startswith(GONE) and not than.startswith(GONE) and version < than


def _unfit(one: Arrival) -> str | None:
    """Why a payload cannot be worked on at all: half a character, or a NUL, which no database
    stores. Both can only come escaped."""
    if "\\u" not in one.payload:
        return None
    try:
        text = json.dumps(json.loads(one.payload), ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        return "a text in this row has half of a surrogate pair in it, which is no character"
    except ValueError:
        return None  # not JSON at all: the mapping says so, and where
    return "a text in this row has a NUL character in it" if _NUL.search(text) else None


def _unreadable(batch: Batch, one: Arrival, spec: RecordTypeSpec, why: str) -> None:
    batch.cases.append(
        NewCase(
            reason="mapping",
            control="mapping text",
            words=why,
            next_action="Correct the row at its source; it is read again by itself.",
            owner=spec.steward,
            system=one.system,
            stream=one.stream,
            source_key=one.source_key,
            arrival_id=one.arrival_id,
            record_type=spec.name,
            record_key=record_key(spec.name, one.system, one.source_key),
        )
    )
    batch.settle(one, "held")


def _delete(
    connection: Connection,
    context: Context,
    batch: Batch,
    one: Arrival,
    spec: RecordTypeSpec,
    key: str,
    head: Head | None,
) -> None:
    """A row that is gone at its source: the record leaves scope, its last content stays."""
    last = records.newest(connection, spec.name, [key]).get(key)
    batch.healed.append(one.source_key)
    if last is None or head is None or not head.in_scope:
        batch.settle(one, "out_of_scope" if head is None else "unchanged")
        return
    gone = Record(
        **{
            **{name: getattr(last, name) for name in Record.__slots__},
            "version": head.version + 1,
            "in_scope": False,
            "arrival_id": one.arrival_id,
            "source_version": head.source_version
            if one.source_version.startswith(GONE)
            else one.source_version,
            "landscape_hash": context.landscape.content_hash,
        }
    )
    batch.records.append(gone)
    batch.settle(one, "recorded", gone)
    for flow_spec in context.compiled.flows_by_stream.get((one.system, one.stream), ()):
        batch.wanted.append(wanted(gone, flow_spec, "undo"))


def _write(
    context: Context,
    connection: Connection,
    batch: Batch,
    lookups: Lookups,
    system: str,
    stream: str,
) -> None:
    if batch.healed:
        cases.close_for_sources(
            connection, system, stream, batch.healed, "a later reading of the row went through"
        )
        over = arrivals.supersede_held(connection, system, stream, batch.healed)
        if over:
            batch.tally.add(batch.flow, "resolved", "held", count=-over)
            batch.tally.add(batch.flow, "resolved", "superseded", count=over)
    if batch.cases:
        cases.open_cases(connection, batch.cases)
    if batch.records:
        records.add(connection, batch.records)
        records_came(context, connection, batch.records)
    if batch.heads:
        records.move_heads(connection, batch.heads)
    keep_rates(connection, lookups.used.values())
    arrivals.settle(connection, batch.settled)
    keep(connection, batch.tally)
    audit.record(connection, context.actor, "resolve", evidence.of_records(batch.records))
    amended = [one.record_key for one in batch.records if one.version > 1]
    if amended:
        freed = dispatches.drop_unsent(connection, amended)
        runs.wake(connection, "document", [str(one) for one in freed])
    started = runs.start(connection, batch.wanted)
    flow.advance_fresh(context, connection, started, batch.records)
