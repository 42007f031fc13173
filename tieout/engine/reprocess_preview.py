"""The dry run of a replay: what would be written, found out by doing it and taking it back.

Each page resolves its arrivals by today's mapping and lets the same planning decide as in earnest,
in a transaction that is rolled back. Every document of every step is looked at, also those that a
real run would only reach after the proof of an earlier one: what a later step would say is as of
the ids that are proven now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from psycopg import errors

from tieout.engine import reprocess_planned as planned
from tieout.engine.context import Context
from tieout.engine.lookups import Lookups
from tieout.engine.record_making import Batch, Maker
from tieout.engine.reprocess import Done, arrival_of, judged, pages, texts_of
from tieout.engine.reprocess_planned import DocumentSeen
from tieout.engine.reprocess_resend import judge
from tieout.finance.digest import record_key
from tieout.rules.mapping import Row
from tieout.store import records, replays
from tieout.store.arrivals import Arrival
from tieout.store.database import Connection
from tieout.store.records import Record
from tieout.store.replay_selection import ChosenArrival, ChosenDispatch

MOST_PER_LOOK = 100
MOST_TRIES = 5


class TooBusy(Exception):
    """Workers held what the dry run must look at. Says to try again."""


@dataclass
class Preview:
    """What a replay would do; nothing was changed. `documents` are in the order of the selection.

    `versions`: how many records would get a new version; `held`: arrivals that a case would stop.
    """

    mode: str
    chosen: int = 0
    versions: int = 0
    unchanged: int = 0
    held: int = 0
    done: Done = field(default_factory=lambda: Done("preview"))
    documents: list[DocumentSeen] = field(default_factory=list)

    @property
    def money(self) -> list[dict[str, object]]:
        """What documents that would be written hold now, and would hold then, by legal entity,
        currency and target."""
        counts: dict[tuple[str, str, str], int] = defaultdict(int)
        before: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        after: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for one in self.documents:
            if one.move in planned.WRITES:
                key = (one.legal_entity, one.currency, f"{one.system}.{one.stream}")
                counts[key] += 1
                before[key] += one.before or Decimal(0)
                after[key] += one.after or Decimal(0)
        return [
            {
                "legal_entity": key[0],
                "currency": key[1],
                "target": key[2],
                "documents": counts[key],
                "before": before[key],
                "after": after[key],
                "difference": after[key] - before[key],
            }
            for key in sorted(counts)
        ]


def preview_reprocess(context: Context, chosen: Sequence[ChosenArrival]) -> Preview:
    """What reprocessing these arrivals would write. Raises TooBusy."""
    seen = Preview("reprocess", chosen=len(chosen))
    for page in pages(chosen, MOST_PER_LOOK):
        _add(seen, _looked(context, partial(_reprocessed, context, page)))
    return seen


def preview_resend(context: Context, chosen: Sequence[ChosenDispatch]) -> Preview:
    """What resending these dispatches would write. Raises TooBusy."""
    seen = Preview("resend", chosen=len(chosen))
    for page in pages(chosen, MOST_PER_LOOK):
        _add(seen, _looked(context, partial(_resent, context, page)))
    return seen


def _add(seen: Preview, page: Preview) -> None:
    seen.versions += page.versions
    seen.unchanged += page.unchanged
    seen.held += page.held
    seen.documents += page.documents
    seen.done.add(page.done)


def _looked(context: Context, look: Callable[[Connection], Preview]) -> Preview:
    """One page in a transaction that is always rolled back; workers come first."""
    for _ in range(MOST_TRIES):
        try:
            with (
                context.database.transaction() as connection,
                connection.transaction(force_rollback=True),
            ):
                replays.wait_briefly(connection)
                return look(connection)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            continue
    raise TooBusy(
        "workers are at work on these very records; nothing was changed. Try again in a moment"
    )


def _reprocessed(
    context: Context, page: Sequence[ChosenArrival], connection: Connection
) -> Preview:
    seen = Preview("reprocess")
    fit = [one for one in page if judged(one, seen.done)]
    here = replays.payloads(connection, [one.arrival_id for one in fit])
    texts = texts_of(connection, fit, seen.done)
    groups: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for one in fit:
        if one.arrival_id in texts:
            text = texts[one.arrival_id] or here[one.arrival_id]
            groups[one.system, one.stream].append(arrival_of(one, text.payload))
    seen.done.put_back = sum(len(group) for group in groups.values())
    for (system, stream), group in sorted(groups.items()):
        _resolved(context, connection, system, stream, group, seen)
    return seen


def _resolved(
    context: Context,
    connection: Connection,
    system: str,
    stream: str,
    group: Sequence[Arrival],
    seen: Preview,
) -> None:
    """The records these arrivals would become today, and what their documents would need."""
    mapping = context.compiled.inbound.get((system, stream))
    if mapping is None:
        return
    spec = context.landscape.records[mapping.spec.target]
    keys = {one.source_key: record_key(spec.name, system, one.source_key) for one in group}
    heads = records.heads(connection, spec.name, sorted(keys.values()))
    fresh = [one for one in group if not one.deleted]
    batch = Batch(f"{system}.{stream}")
    result = mapping.run(
        context.runner,
        [Row(one.arrival_id, one.source_key, one.payload) for one in fresh],
        Lookups(connection, context.compiled.calendars),
    )
    Maker(context, batch, spec, system, stream).make(fresh, result, keys, heads)
    by_state: dict[str, set[int]] = defaultdict(set)
    for settled in batch.settled:
        by_state[settled.state].add(settled.arrival_id)
    seen.versions += len(batch.records)
    seen.unchanged += len(by_state["unchanged"])
    seen.held += len(by_state["held"])
    source_of = {one.arrival_id: one.source_key for one in group}
    for case in batch.cases:
        subject = f"arrival:{case.arrival_id}"
        seen.documents.append(planned.stopped(subject, case, source_of.get(case.arrival_id or 0)))
    subjects: dict[str, Record] = {one.record_key: one for one in batch.records}
    same = [keys[source_of[one]] for one in by_state["unchanged"]]
    subjects |= dict(records.newest(connection, spec.name, sorted(same)))
    gone = [keys[one.source_key] for one in group if one.deleted]
    for key, last in records.newest(connection, spec.name, sorted(gone)).items():
        subjects[key] = replace(last, in_scope=False)
    for flow in context.compiled.flows_by_stream.get((system, stream), ()):
        seen.documents += planned.documents_of(context, connection, flow, list(subjects.values()))


def _resent(context: Context, page: Sequence[ChosenDispatch], connection: Connection) -> Preview:
    seen = Preview("resend")
    leaving = {one.reference: one for one in judge(context, connection, page, seen.done)}
    for one in page:
        new = leaving.get(one.reference)
        if new is not None and new.digest == one.digest:
            seen.documents.append(planned.resent(connection, one, new.document))
    return seen
