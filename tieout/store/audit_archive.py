"""Verification of what left for the archive: what a file must be, and what is rightly gone.

The archive's own register is a table like any other: it counts only as far as the actions say the
same, and those have leaves. A proof may be missing if its file expired by such an action; one that
is in a file which was changed is not believed, and the file is named once.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from tieout.store import archive_reading
from tieout.store.archive_files import ArchiveBroken
from tieout.store.archive_reading import Archived
from tieout.store.archive_tables import first_moment, next_month
from tieout.store.audit_verifier import Auditor
from tieout.store.database import Connection

ONE_TRANSACTION = dt.timedelta(hours=1)  # a row and its batch are written in one, far below this
PROOFS = "proofs"


@dataclass
class _Away:
    """A month of proofs that cannot be recomputed: how many rows it had, how many leaves miss."""

    why: str
    month: dt.date
    rows: int
    missing: int = 0


class ArchiveSeen:
    """The archive at the time of a verification; finds what is wrong with it as it is made."""

    def __init__(self, auditor: Auditor, connection: Connection) -> None:
        self._auditor = auditor
        self._away: dict[tuple[str, dt.date], _Away] = {}
        written = _actions(connection, "archive")
        expired = _actions(connection, "archive expire")
        there: set[int] = set()
        for one in archive_reading.months(connection):
            there.add(one.manifest_no)
            self._look(one, written.get(one.manifest_no), one.manifest_no in expired)
        for gone in sorted(written.keys() - there):
            auditor.find(
                f"the archive's register does not know manifest {gone} any more",
                "archived_months",
                "after it was archived on record",
            )

    def _look(self, one: Archived, written: str | None, expired: bool) -> None:
        where = f"archived_months, manifest {one.manifest_no}"
        since = f"after {one.month:%Y-%m} was archived"
        if written != one.sha256:
            what = "is another than was archived on record" if written else "is on no record"
            self._auditor.find(f"the file {one.path.name} {what}", where, since)
            return
        if one.expired_at is None:
            try:
                archive_reading.believe(one)
            except ArchiveBroken as broken:
                self._auditor.find(str(broken), where, since)
                self._missing(one, "unreadable")
        elif expired:
            self._missing(one, "expired")
        else:
            self._auditor.find(
                f"the file {one.path.name} is said to have expired, which nobody did on record",
                where,
                since,
            )

    def _missing(self, one: Archived, why: str) -> None:
        if one.table == PROOFS:
            away = self._away.setdefault((why, one.month), _Away(why, one.month, 0))
            away.rows += one.rows

    def explains(self, kind: str, at: str) -> str:
        """Why a leaf of this kind and time has no row: expired, unreadable, or nothing is known."""
        if kind != "proof" or not at:
            return ""
        moment = dt.datetime.fromisoformat(at)
        for away in self._away.values():
            low = first_moment(away.month) - ONE_TRANSACTION
            high = first_moment(next_month(away.month)) + ONE_TRANSACTION
            if away.missing < away.rows and low <= moment < high:
                away.missing += 1
                return away.why
        return ""

    def finish(self) -> None:
        """As many leaves must miss their rows as rows are away: no fewer, or the register lies."""
        for away in self._away.values():
            if away.missing != away.rows:
                self._auditor.find(
                    f"{away.rows} proof(s) of {away.month:%Y-%m} are said to be away ({away.why}), "
                    f"{away.missing} leaves speak of such",
                    "archived_months",
                    "unknown",
                )


def _actions(connection: Connection, verb: str) -> dict[int, str]:
    """The files that people archived, or let expire, on record: manifest -> SHA-256."""
    rows = connection.execute("SELECT detail FROM actions WHERE verb = %s", (verb,)).fetchall()
    found = [json.loads(row[0]) for row in rows]
    return {int(one["manifest"]): str(one["sha256"]) for one in found}
