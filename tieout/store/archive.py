"""Archiving: old months of evidence leave the database for files, and nothing is lost on the way.

One month of one table at a time: its rows are written to a file, read again and compared, described
by a manifest that is chained to the one before it; only then the month leaves the database, in the
one transaction that also registers the file and records who did it. A crash before that transaction
leaves the month where it was, and a second run writes the same file again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from tieout import clock
from tieout.store import archive_files as files
from tieout.store import archive_reading as reading
from tieout.store import audit
from tieout.store.archive_files import ArchiveBroken, Manifest, Written
from tieout.store.archive_tables import (
    TABLES,
    ByMonth,
    counted,
    first_moment,
    months_before,
    months_with_rows,
    next_month,
    partitions,
    rows_of,
)
from tieout.store.database import Connection, Database

ARCHIVE_LOCK = 7_408_311_910  # any fixed number: one archiver at a time
MOST_MONTHS = 1_200  # in one run: a hundred years of one table
MOST_RETURNED = 50_000  # payloads brought back for replays, taken out again in one run

Step = Callable[[str], None]


class CannotArchive(Exception):
    """The archive cannot be worked on now. Says why and what to do."""


@dataclass
class Archiving:
    """What an archiving did: months that left, months that had to stay and why, and how many
    texts that a replay had brought back were taken out again."""

    archived: list[Manifest] = field(default_factory=list)
    stayed: list[str] = field(default_factory=list)
    returned: int = 0


def cutoff(hot_months: int, today: dt.date) -> dt.date:
    """The first day of the oldest month that stays in the database."""
    return months_before(today.replace(day=1), max(hot_months, 1) - 1)


def archive(
    database: Database,
    *,
    landscape: str,
    folder: Path,
    before: dt.date,
    actor: str,
    step: Step = lambda _: None,
) -> Archiving:
    """Archive every whole month before the month of `before` into `folder`.

    `step` is told the name of each step before it is taken. Raises CannotArchive, ArchiveBroken.
    """
    limit = min(before.replace(day=1), clock.now().date().replace(day=1))
    done = Archiving()
    with _alone(database):
        folder.mkdir(parents=True, exist_ok=True)
        files.clear_unfinished(folder)
        for table in TABLES.values():
            with database.transaction() as connection, _owner(connection):
                months = months_with_rows(connection, table, limit)[:MOST_MONTHS]
            for month in months:
                _one(database, landscape, folder, table, month, actor, step, done)
    return done


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[None]:
    with database.listening("tieout_archive") as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (ARCHIVE_LOCK,)).fetchone()
        if row is None or not row[0]:
            raise CannotArchive("somebody else is archiving at this moment; wait for them")
        yield


@contextlib.contextmanager
def _owner(connection: Connection) -> Iterator[None]:
    """Partitions belong to the owner of the tables; the product itself may not remove evidence."""
    row = connection.execute("SELECT current_user").fetchone()
    connection.execute("SET LOCAL ROLE tieout_owner")
    yield
    connection.execute(
        sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(str(row[0]) if row else "tieout_app"))
    )


def _one(
    database: Database,
    landscape: str,
    folder: Path,
    table: ByMonth,
    month: dt.date,
    actor: str,
    step: Step,
    done: Archiving,
) -> None:
    if table.name == "payloads":
        done.returned += _take_out_again(database, month)
    with database.transaction() as connection:
        if why := _must_stay(connection, table, month):
            done.stayed.append(why)
            return
        if not counted(connection, table, month, exactly=False):
            return
        number, previous, part = _next(connection, table, month)
        step("write")
        name = files.file_name(table, f"{month:%Y-%m}", part)
        written = files.write_rows(folder, name, table, rows_of(connection, table, month))
    step("manifest")
    with database.transaction() as connection:
        manifest = _manifest(connection, number, previous, landscape, table, month, part, written)
    files.write_manifest(folder, manifest)
    step("detach")
    with database.transaction() as connection:
        _let_go(connection, table, month, manifest)
        _register(connection, folder, month, manifest, actor)
        step("commit")
    step("done")
    done.archived.append(manifest)


def _must_stay(connection: Connection, table: ByMonth, month: dt.date) -> str:
    """Why a month cannot leave yet: something of it is still in line to be resolved."""
    if table.name != "payloads":
        return ""
    row = connection.execute(
        "SELECT count(*) FROM arrivals WHERE state = 'new' AND received_at >= %s "
        "AND received_at < %s",
        (first_moment(month), first_moment(next_month(month))),
    ).fetchone()
    if row is None or not row[0]:
        return ""
    return (
        f"payloads of {month:%Y-%m} stay: {row[0]} arrival(s) of that month are still in line "
        "to be resolved; let a worker run, then archive again"
    )


def _next(connection: Connection, table: ByMonth, month: dt.date) -> tuple[int, str, int]:
    """The next manifest's number, the digest of the one before it, and the part of the month."""
    row = connection.execute(
        "SELECT coalesce(max(manifest_no), 0) + 1, coalesce((SELECT manifest_sha256 "
        "FROM archived_months ORDER BY manifest_no DESC LIMIT 1), ''), "
        "coalesce(max(part) FILTER (WHERE table_name = %s AND month = %s), 0) + 1 "
        "FROM archived_months",
        (table.name, month),
    ).fetchone()
    if row is None:
        raise RuntimeError("the register of archived months does not answer")
    return int(row[0]), str(row[1]), int(row[2])


def _manifest(
    connection: Connection,
    number: int,
    previous: str,
    landscape: str,
    table: ByMonth,
    month: dt.date,
    part: int,
    written: Written,
) -> Manifest:
    row = connection.execute(
        "SELECT checkpoint_no, size, note FROM audit_checkpoints "
        "ORDER BY checkpoint_no DESC LIMIT 1"
    ).fetchone()
    return Manifest(
        number=number,
        previous=previous,
        landscape=landscape,
        table=table.name,
        month=f"{month:%Y-%m}",
        part=part,
        file=written.file,
        rows=written.rows,
        bytes=written.bytes,
        sha256=written.sha256,
        rows_sha256=written.rows_sha256,
        first_id=written.first_id,
        last_id=written.last_id,
        first_key=written.first_key,
        last_key=written.last_key,
        columns=tuple((name, str(kind)) for name, kind in table.columns),
        audit_checkpoint=int(row[0]) if row else -1,
        audit_size=int(row[1]) if row else 0,
        audit_note_sha256=hashlib.sha256(str(row[2]).encode()).hexdigest() if row else "",
    )


def _let_go(connection: Connection, table: ByMonth, month: dt.date, manifest: Manifest) -> None:
    """Remove a month from the database, if it is still what the file holds.

    Evidence is only ever added, so the same number of rows is the same rows. Raises CannotArchive.
    """
    own = partitions(connection, table).get(month)
    other = f"{table.name}_other"
    start, end = first_moment(month), first_moment(next_month(month))
    time = sql.Identifier(table.time)
    with _owner(connection):
        connection.execute("SET LOCAL lock_timeout = '10s'")
        for name in [one for one in (own, other) if one]:
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(name)))
        rows = counted(connection, table, month, exactly=True)
        if rows != manifest.rows:
            raise CannotArchive(
                f"{table.name} of {month:%Y-%m} got {rows - manifest.rows} more row(s) while it "
                "was written; nothing was removed. Archive again"
            )
        if own is not None:
            connection.execute(
                sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(
                    sql.Identifier(table.name), sql.Identifier(own)
                )
            )
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(own)))
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE {} >= %s AND {} < %s").format(
                sql.Identifier(other), time, time
            ),
            (start, end),
        )


def _register(
    connection: Connection, folder: Path, month: dt.date, manifest: Manifest, actor: str
) -> None:
    connection.execute(
        "INSERT INTO archived_months (manifest_no, table_name, month, part, folder, file, rows, "
        "sha256, manifest_sha256, first_id, last_id, first_key, last_key, archived_at, "
        "archived_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            manifest.number,
            manifest.table,
            month,
            manifest.part,
            str(folder.resolve()),
            manifest.file,
            manifest.rows,
            manifest.sha256,
            manifest.digest,
            manifest.first_id,
            manifest.last_id,
            manifest.first_key,
            manifest.last_key,
            clock.now(),
            actor,
        ),
    )
    audit.action(
        connection,
        actor,
        "archive",
        {
            "manifest": manifest.number,
            "table": manifest.table,
            "month": manifest.month,
            "rows": manifest.rows,
            "file": manifest.file,
            "sha256": manifest.sha256,
            "manifest_sha256": manifest.digest,
        },
    )


def _take_out_again(database: Database, month: dt.date) -> int:
    """Texts that a replay brought back from the archive leave again once they are resolved, if the
    archive still has them word for word; returns how many."""
    table = TABLES["payloads"]
    with database.transaction() as connection:
        kept = [
            one
            for one in reading.months(connection, "payloads")
            if one.month == month and one.expired_at is None
        ]
        if not kept:
            return 0
        rows = connection.execute(
            "SELECT p.arrival_id, p.payload FROM payloads p JOIN arrivals a USING (arrival_id) "
            "WHERE p.received_at >= %s AND p.received_at < %s AND a.state <> 'new' "
            "ORDER BY p.arrival_id LIMIT %s",
            (first_moment(month), first_moment(next_month(month)), MOST_RETURNED),
        ).fetchall()
        here = {int(number): str(text) for number, text in rows}
        away: dict[int, str] = {}
        for one in kept if here else []:
            found = files.read_rows(one.path, table, "arrival_id", sorted(here))
            away |= {int(row["arrival_id"]): str(row["payload"]) for row in found}
        same = [number for number, text in here.items() if away.get(number) == text]
        with _owner(connection):
            connection.execute(
                "DELETE FROM payloads WHERE arrival_id = ANY(%s) AND received_at >= %s "
                "AND received_at < %s",
                (same, first_moment(month), first_moment(next_month(month))),
            )
    return len(same)


def verify(connection: Connection) -> list[str]:
    """What is wrong with the archive, in words; empty when every file and every manifest is what
    was written. Reads every file."""
    archived = sorted(reading.months(connection), key=lambda one: one.manifest_no)
    found = reading.changed(archived)
    previous = ""
    for expected, one in enumerate(archived, start=1):
        path = one.path.parent / files.manifest_name(one.manifest_no)
        if one.manifest_no != expected:
            found.append(f"the register of archived months has no manifest {expected}")
            break
        try:
            digest = files.digest_of(path)
        except ArchiveBroken as broken:
            found.append(str(broken))
        else:
            if digest != one.manifest_sha256:
                found.append(
                    f"{path} was changed: it is not the manifest that the database registered. "
                    "Bring it back from where the archive folder is backed up"
                )
            elif f'"previous": "{previous}"' not in path.read_text(encoding="utf-8"):
                found.append(f"{path} does not follow manifest {expected - 1}")
        previous = one.manifest_sha256
    return found


def moved_to(database: Database, folder: Path, actor: str) -> int:
    """The files are in another folder from now on; returns how many months moved.

    Raises ArchiveBroken when one is not there, or is not what was written.
    """
    with database.transaction() as connection:
        archived = [one for one in reading.months(connection) if one.expired_at is None]
        there = [_in(one, folder) for one in archived]
        if broken := reading.changed(there):
            raise ArchiveBroken("; ".join(broken[:3]))
        connection.execute("UPDATE archived_months SET folder = %s", (str(folder.resolve()),))
        audit.action(connection, actor, "archive moved", {"to": str(folder), "files": len(there)})
    return len(there)


def _in(one: reading.Archived, folder: Path) -> reading.Archived:
    return reading.Archived(
        one.manifest_no,
        one.table,
        one.month,
        one.part,
        folder / one.path.name,
        one.rows,
        one.sha256,
        one.manifest_sha256,
        one.expired_at,
    )
