"""Expiry: files of the archive go when the years that policy keeps them are over, unless held."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field

from tieout import clock
from tieout.store import archive_reading as reading
from tieout.store import audit, holds
from tieout.store.archive_reading import Archived
from tieout.store.archive_tables import first_moment, months_before, next_month
from tieout.store.database import Connection, Database


@dataclass
class Expiring:
    """What went, and what a legal hold keeps (file -> hold)."""

    removed: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)


def expire(database: Database, *, keep_years: int, actor: str, today: dt.date) -> Expiring:
    """Remove files of months that are older than `keep_years`, each as an audited action.

    The register keeps its row, so that anybody can tell that the file was there, until when, and
    who removed it. A crash after the record and before the removal is made good by the next run.
    """
    limit = months_before(today.replace(day=1), keep_years * 12)
    done = Expiring()
    with database.transaction() as connection:
        old = [one for one in reading.months(connection) if one.month < limit]
    for one in old:
        if one.expired_at is None:
            with database.transaction() as connection:
                hold = _held(connection, one)
                if hold is not None:
                    done.held[one.path.name] = hold
                    continue
                _record(connection, one, actor)
        if one.path.exists():
            done.removed.append(one.path.name)
            with contextlib.suppress(FileNotFoundError):  # another run was quicker
                one.path.unlink()
    return done


def _held(connection: Connection, one: Archived) -> int | None:
    # A hold that is placed at this moment waits, or is seen: never between the two.
    holds.steady(connection)
    row = connection.execute(
        "SELECT first_key, last_key FROM archived_months WHERE manifest_no = %s",
        (one.manifest_no,),
    ).fetchone()
    if row is None:
        return None
    return holds.holding(
        connection,
        one.table,
        int(row[0]),
        int(row[1]),
        first_moment(one.month),
        first_moment(next_month(one.month)),
    )


def _record(connection: Connection, one: Archived, actor: str) -> None:
    connection.execute(
        "UPDATE archived_months SET expired_at = %s, expired_by = %s WHERE manifest_no = %s",
        (clock.now(), actor, one.manifest_no),
    )
    audit.action(
        connection,
        actor,
        "archive expire",
        {"manifest": one.manifest_no, "file": one.path.name, "sha256": one.sha256},
    )
