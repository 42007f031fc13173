"""Reading archived rows: by arrival or dispatch, as if they were still in the database.

The register of archived months says which file can have a number; within a file only the groups of
rows that can have it are read. A payload is believed only if it has the digest that the register of
arrivals kept, a proof or an attempt only if its file has the digest that was registered.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tieout.store.archive_files import ArchiveBroken, digest_of, read_rows
from tieout.store.archive_tables import TABLES
from tieout.store.database import Connection

MOST_FILES = 400  # far more than years kept times months: a number is rarely in more than two


@dataclass(frozen=True, slots=True)
class Archived:
    """One file of the archive, as the database remembers it."""

    manifest_no: int
    table: str
    month: dt.date
    part: int
    path: Path
    rows: int
    sha256: str
    manifest_sha256: str
    expired_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ArchivedPayload:
    """What a system said, read from the archive and true to its digest."""

    received_at: dt.datetime
    payload: str
    key_id: str | None


@dataclass(frozen=True, slots=True)
class Gone:
    """A payload that is not to be had. `why` says where it should be."""

    why: str


_COLUMNS = (
    "manifest_no, table_name, month, part, folder, file, rows, sha256, manifest_sha256, expired_at"
)


def _archived(row: Sequence[Any]) -> Archived:
    values: tuple[Any, ...] = (*row[:4], Path(str(row[4])) / str(row[5]), *row[6:])
    return Archived(*values)


def months(connection: Connection, table: str = "") -> list[Archived]:
    """Every archived file, oldest month first; of one table, or of all."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM archived_months WHERE table_name = %s OR %s = '' "
        "ORDER BY month, table_name, part LIMIT 10000",
        (table, table),
    ).fetchall()
    return [_archived(row) for row in rows]


def files_with(connection: Connection, table: str, keys: Sequence[int]) -> list[Archived]:
    """The files that can have rows of these arrivals or dispatches."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM archived_months m WHERE m.table_name = %s AND EXISTS "
        "(SELECT FROM unnest(%s::bigint[]) AS k WHERE k BETWEEN m.first_key AND m.last_key) "
        "ORDER BY m.month, m.part LIMIT %s",
        (table, list(keys), MOST_FILES),
    ).fetchall()
    return [_archived(row) for row in rows]


def rows(
    connection: Connection,
    table: str,
    keys: Sequence[int],
    broken: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Archived rows of these arrivals (payloads) or dispatches (proofs, attempts), in the order of
    their own numbers. Files whose years are over are passed.

    A file that is not what was written is not believed: `broken` is told which, and the others are
    read all the same; without it ArchiveBroken is raised.
    """
    if not keys:
        return []
    spec = TABLES[table]
    found: dict[int, dict[str, Any]] = {}
    for one in files_with(connection, table, keys):
        if one.expired_at is not None:
            continue
        try:
            believe(one)
            read = read_rows(one.path, spec, spec.key, keys)
        except ArchiveBroken as trouble:
            if broken is None:
                raise
            broken(str(trouble))
            continue
        for row in read:
            found[int(row[spec.id])] = row
    return [found[number] for number in sorted(found)]


def believe(one: Archived) -> None:
    """Raise ArchiveBroken unless the file is there and is what was written, to the byte.

    A file is read for that once, and again when anything about it changes.
    """
    try:
        now = one.path.stat()
    except OSError as error:
        raise ArchiveBroken(
            f"{one.path} is not there ({error.strerror}); bring it back from where the archive "
            "folder is backed up, or say where it is with `tieout archive --moved-to FOLDER`"
        ) from error
    digest = _digest(one.path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    if digest != one.sha256:
        raise ArchiveBroken(
            f"{one.path} was changed: its SHA-256 is {digest[:16]}…, manifest {one.manifest_no} "
            f"and the database say {one.sha256[:16]}…. Bring it back from where the archive "
            "folder is backed up"
        )


@functools.lru_cache(maxsize=MOST_FILES)
def _digest(path: Path, *_identity: int) -> str:
    return digest_of(path)


def dispatch_of_proof(connection: Connection, proof_id: int) -> int | None:
    """The dispatch of an archived proof. Raises ArchiveBroken."""
    for row in connection.execute(
        f"SELECT {_COLUMNS} FROM archived_months WHERE table_name = 'proofs' "
        "AND %s BETWEEN first_id AND last_id AND expired_at IS NULL ORDER BY month LIMIT %s",
        (proof_id, MOST_FILES),
    ).fetchall():
        one = _archived(row)
        believe(one)
        found = read_rows(one.path, TABLES["proofs"], "proof_id", [proof_id], ["dispatch_id"])
        if found:
            return int(found[0]["dispatch_id"])
    return None


def payloads(
    connection: Connection, wanted: Mapping[int, tuple[dt.datetime, bool, str]]
) -> dict[int, ArchivedPayload | Gone]:
    """Archived texts by arrival, for {arrival: (received at, deleted, digest)}; Gone where there is
    none that has the digest."""
    files = files_with(connection, "payloads", sorted(wanted))
    found: dict[int, ArchivedPayload | Gone] = {}
    troubles: dict[str, str] = {}
    spec = TABLES["payloads"]
    for one in files:
        if one.expired_at is not None:
            troubles[f"{one.month:%Y-%m}"] = (
                f"its month was kept in {one.path} until {one.expired_at:%Y-%m-%d}, when the years "
                "it had to be kept were over"
            )
            continue
        try:
            read = read_rows(one.path, spec, spec.key, sorted(wanted))
        except ArchiveBroken as broken:
            troubles[f"{one.month:%Y-%m}"] = str(broken)
            continue
        for row in read:
            number = int(row["arrival_id"])
            _, deleted, digest = wanted[number]
            text = str(row["payload"])
            mark = "-" if deleted else "+"
            if hashlib.sha256(f"{mark}{text}".encode()).hexdigest() == digest:
                found[number] = ArchivedPayload(row["received_at"], text, row["key_id"])
            else:
                found[number] = Gone(
                    f"the text in {one.path} is not what arrived: its digest differs. The file was "
                    "changed; bring it back from where the archive folder is backed up"
                )
    for number, (received_at, _, _) in wanted.items():
        if number not in found:
            month = f"{received_at:%Y-%m}"
            found[number] = Gone(
                f"its text of {received_at:%Y-%m-%d} is not in the database; "
                + troubles.get(month, f"no file of the archive has it either (month {month})")
            )
    return found


def changed(archived: Iterable[Archived]) -> list[str]:
    """Which files are missing or not what was written, in words. Reads every file."""
    found = []
    for one in archived:
        if one.expired_at is not None:
            continue
        try:
            believe(one)
        except ArchiveBroken as broken:
            found.append(str(broken))
    return found
