"""The period gate: nothing is posted into a period that the ERP says is closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from tieout import clock
from tieout.engine import trouble
from tieout.engine.context import Context
from tieout.ports.connector import HasPeriods
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.signin import SignInFailed
from tieout.store.database import Connection
from tieout.store.records import Record

REFRESH_SECONDS = 10.0


def refresh(context: Context) -> None:
    """Read the period states of every system that has them, when the last reading is old."""
    for system in context.landscape.systems:
        connector = context.connector(system)
        if f"poll:{system}" not in context.leases or not isinstance(connector, HasPeriods):
            continue
        with context.transaction() as connection:
            if trouble.paused(connection, system) is not None:
                continue
            row = connection.execute(
                "SELECT max(read_at) FROM periods WHERE system = %s", (system,)
            ).fetchone()
        age_limit = clock.now() - dt.timedelta(seconds=REFRESH_SECONDS)
        if row is not None and row[0] is not None and row[0] > age_limit:
            continue
        try:
            statuses = connector.periods(context.session(system))
        except (VendorFault, NoAnswer, SignInFailed) as error:
            with context.transaction() as connection:
                trouble.note(
                    connection, system, trouble.outcome_of(error), context.steward_of(system)
                )
            continue
        with context.transaction() as connection:
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


def closed_periods(
    context: Context, connection: Connection, system: str, stream: str, subjects: Iterable[Record]
) -> dict[str, str]:
    """Record key -> name of the closed period, for records that would post into one.

    Only streams that post are gated. A system that has no periods closes none.
    """
    if not context.compiled.streams[system, stream].posts:
        return {}
    dated = [one for one in subjects if one.accounting_date is not None]
    rows = connection.execute(
        "SELECT t.key, p.period FROM unnest(%s::text[], %s::date[]) AS t (key, day) "
        "JOIN periods p ON p.system = %s AND t.day BETWEEN p.starts_on AND p.ends_on "
        "WHERE p.state = 'closed'",
        ([one.record_key for one in dated], [one.accounting_date for one in dated], system),
    ).fetchall()
    return {str(key): str(period) for key, period in rows}
