"""The period gate: nothing is posted into a period that the ERP says is closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tieout import clock
from tieout.engine import pacing, trouble
from tieout.engine.context import Context
from tieout.finance.outcome import Written
from tieout.ports.connector import HasPeriods, PeriodStatus
from tieout.store import runs
from tieout.store.database import Connection

REFRESH_SECONDS = 10.0


def refresh(context: Context) -> None:
    """Read the period states of every system that has them, when the last reading is old."""
    for system in context.landscape.systems:
        if f"poll:{system}" not in context.leases:
            continue
        if clock.monotonic() < context.pacer.periods_until.get(system, float("-inf")):
            continue  # whoever may poll it reads its periods, and that is us
        connector = context.connector(system)
        if not isinstance(connector, HasPeriods):
            context.pacer.periods_until[system] = float("inf")
            continue
        with context.looking() as connection:
            row = connection.execute(
                "SELECT max(read_at) FROM periods WHERE system = %s", (system,)
            ).fetchone()
            age_limit = clock.now() - dt.timedelta(seconds=REFRESH_SECONDS)
            if row is not None and row[0] is not None and row[0] > age_limit:
                context.pacer.periods_until[system] = (
                    clock.monotonic() + (row[0] - age_limit).total_seconds()
                )
                continue
            if trouble.paused(connection, system) is not None:
                continue
        try:
            with pacing.reading(context, system):
                statuses = trouble.guarded(partial(_read, context, system, connector))
        except trouble.ORDINARY as error:
            with context.transaction() as connection:
                trouble.note_failure(context, connection, system, error, "read periods")
            continue
        with context.transaction() as connection:
            trouble.note(
                connection, system, Written(""), context.steward_of(system), "read periods"
            )
            connection.execute(
                "INSERT INTO periods (system, period, starts_on, ends_on, state, read_at) "
                "SELECT %s, t.*, %s FROM unnest(%s::text[], %s::date[], %s::date[], %s::text[]) "
                "AS t ON CONFLICT (system, period) DO UPDATE SET state = excluded.state, "
                "starts_on = excluded.starts_on, ends_on = excluded.ends_on, "
                "read_at = excluded.read_at",
                (
                    system,
                    clock.now(),
                    [s.name for s in statuses],
                    [s.start for s in statuses],
                    [s.end for s in statuses],
                    [s.state for s in statuses],
                ),
            )
            runs.wake(connection, "event", [periods_of(system)])


def periods_of(system: str) -> str:
    """What runs wait for that may not post before the system's periods are known."""
    return f"periods/{system}"


def _read(context: Context, system: str, connector: HasPeriods) -> Sequence[PeriodStatus]:
    return connector.periods(context.session(system))


@dataclass(frozen=True, slots=True)
class Closed:
    """A day on which nothing may be posted, and why."""

    day: dt.date
    words: str


def closed_periods(
    context: Context,
    connection: Connection,
    system: str,
    stream: str,
    days: Sequence[tuple[str, dt.date]],
) -> dict[str, Closed | None]:
    """Record key -> why it cannot be posted on one of its days; None where the system's periods
    have not been read yet, so that nobody knows.

    Only streams that post are gated. A system that has no periods closes none.
    """
    if not context.compiled.streams[system, stream].posts or not days:
        return {}
    if not isinstance(context.connector(system), HasPeriods):
        return {}
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM periods WHERE system = %s)", (system,)
    ).fetchone()
    if row is None or not row[0]:
        return {key: None for key, _ in days}
    rows = connection.execute(
        "SELECT t.key, t.day, coalesce(p.period, '') FROM unnest(%s::text[], %s::date[]) "
        "AS t (key, day) LEFT JOIN periods p ON p.system = %s "
        "AND t.day BETWEEN p.starts_on AND p.ends_on "
        "WHERE p.state IS NULL OR p.state = 'closed' ORDER BY t.key, t.day",
        ([key for key, _ in days], [day for _, day in days], system),
    ).fetchall()
    return {
        str(key): Closed(
            day,
            f"the accounting period {period} is closed in {system}"
            if period
            else f"{system} has no accounting period for {day}",
        )
        for key, day, period in rows
    }


def overtaken(
    context: Context, connection: Connection, system: str, stream: str, planned: Sequence[int]
) -> set[int]:
    """Those of these plans whose day has been closed since they were made: their own, or that of
    what they take back. They must not leave any more."""
    if not context.compiled.streams[system, stream].posts:
        return set()
    rows = connection.execute(
        "SELECT DISTINCT i.dispatch_id::text, r.accounting_date FROM intents i "
        "LEFT JOIN intents last ON last.dispatch_id = i.previous "
        "JOIN records r ON r.record_type = i.record_type AND r.record_key = i.record_key "
        "AND r.version IN (i.record_version, last.record_version) "
        "WHERE i.dispatch_id = ANY(%s) AND r.accounting_date IS NOT NULL ORDER BY 1, 2",
        (list(planned),),
    ).fetchall()
    days = [(str(dispatch_id), day) for dispatch_id, day in rows]
    shut = closed_periods(context, connection, system, stream, days)
    return {int(dispatch_id) for dispatch_id, closed in shut.items() if closed is not None}
