"""Confirm: read back by our reference and compare facts. Only a proof that agrees counts.

It also settles what is Unknown, by grade: after the fence it looks. Found and agreeing is a proof;
absent means the same bytes may leave again (A, B), or that a person must decide (C).
"""

from __future__ import annotations

import datetime as dt

from tieout import clock
from tieout.engine import judging, pacing, trouble
from tieout.engine.context import Context
from tieout.engine.dispatch import as_writes
from tieout.engine.judging import Verdicts
from tieout.engine.telemetry import TALLY
from tieout.finance.outcome import Written
from tieout.ports.connector import Finds
from tieout.store import dispatches, documents
from tieout.store.database import common_time
from tieout.store.dispatches import Change

MOST_PER_LOOK = 500  # or what one writing call may carry, if that is more


def confirm(context: Context) -> int:
    """Look at everything written or unknown that is due; returns how many were looked at."""
    looked = 0
    with context.looking() as connection:
        due = [
            (state, *one)
            for state in ("written", "unknown")
            for one in dispatches.due_streams(
                connection, context.compiled.targets, context.partitions(), state
            )
        ]
    for state, system, stream in due:
        looked += _look(context, system, stream, state)
    return looked


def _look(context: Context, system: str, stream: str, state: str) -> int:
    with context.looking() as connection:  # nothing changes hands: a look may be made twice
        if trouble.paused(connection, system) is not None:
            return 0
        batch = dispatches.due(
            connection,
            system,
            stream,
            state,
            context.partitions(),
            max(MOST_PER_LOOK, context.compiled.streams[system, stream].most_writes_per_call),
            # A fence that another worker began: its clock and ours may differ by all of it.
            at=common_time(connection) if state == "unknown" else None,
        )
        writes = as_writes(connection, batch)
    if not batch or not isinstance(context.connector(system), Finds):
        return 0
    try:
        with pacing.reading(context, system):
            keys = [one.record_key for one in batch]
            seen = judging.look(context, system, stream, writes, keys)
    except trouble.ORDINARY as error:
        with context.transaction() as connection:
            free_at = trouble.note_failure(context, connection, system, error, f"find {stream}")
            later = max(free_at, clock.now() + dt.timedelta(seconds=trouble.back_off_seconds(1)))
            dispatches.change(
                connection,
                [
                    Change(one.dispatch_id, state, later, one.handle, looks=one.looks)
                    for one in batch
                ],
            )
        return 0
    spec = context.compiled.streams[system, stream]
    verdicts = Verdicts()
    for one, write in zip(batch, writes, strict=True):
        judging.judge(context, verdicts, spec, one, write, seen)
    with context.transaction() as connection:
        steward = context.steward_of(system)
        trouble.note(connection, system, Written(""), steward, f"find {stream}")
        documents.lock(connection, [one.document_id for one in batch])
        judging.keep(context, connection, verdicts)
    TALLY.outcomes(system, "look", verdicts.came)
    return len(batch)
