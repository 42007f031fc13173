"""Checkpoints: what the log looked like at a time, signed and kept outside the database.

The folder holds text files that are only ever appended to: signed notes as of C2SP signed-note and
tlog-checkpoint, with three lines of ours: when, the SHA-256 of the checkpoint before, and how many
committed batches were still waiting. Copy the folder elsewhere, or put it on storage that does not
allow changes: against somebody who owns database, folder and key, only a copy helps.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tieout import clock
from tieout.store import audit_log
from tieout.store.audit_keys import Signer, signer
from tieout.store.audit_log import AuditBroken, Seal
from tieout.store.audit_verifier import NO_PREVIOUS, Checkpoint, read_notes
from tieout.store.database import Connection, Database

FOLDER_VARIABLE = "TIEOUT_AUDIT_CHECKPOINTS"
CHECKPOINTS_PER_FILE = 1_000
MOST_ROUNDS = 1_000  # of MOST_PER_SEAL batches each


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one sealing did; `checkpoint` is the newest one there is now."""

    size: int
    added: int
    waiting: int
    checkpoint: Checkpoint | None


def folder_of(state: Path) -> Path:
    """Where checkpoints are kept: TIEOUT_AUDIT_CHECKPOINTS, else in the state folder."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else state / "checkpoints"


def read_folder(folder: Path) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints of a folder, oldest first, and words about what is not one."""
    found: list[Checkpoint] = []
    wrong: list[str] = []
    for path in sorted(folder.glob("*.txt")):
        notes, words = read_notes(path.read_text(encoding="utf-8"))
        found += notes
        wrong += [f"{path}: {one}" for one in words]
    return found, wrong


def stored(connection: Connection, *, after: int = -1) -> list[str]:
    """The database's copies of the checkpoints with a number above `after`, oldest first."""
    rows = connection.execute(
        "SELECT note FROM audit_checkpoints WHERE checkpoint_no > %s ORDER BY checkpoint_no",
        (after,),
    ).fetchall()
    return [str(note) for (note,) in rows]


def seal_all(
    database: Database, state: Path, landscape: str, actor: str, *, sign: bool = True
) -> Sealed:
    """Seal everything that is settled, then sign a checkpoint over it and keep it in the folder.

    Raises AuditBroken when log and checkpoints contradict each other (nothing is signed then),
    KeyUnfit when there is no key to sign with.
    """
    added = 0
    for turn in range(MOST_ROUNDS):
        with database.transaction() as connection:
            audit_log.lock(connection)
            now = audit_log.seal(connection, actor, sweep=turn == 0)
        added += now.added
        if now.added < audit_log.MOST_PER_SEAL:
            break
    with database.transaction() as connection:
        left = audit_log.waiting(connection)
    made = checkpoint(database, state, landscape) if sign else None
    return Sealed(now.size, added, left, made)


def checkpoint(database: Database, state: Path, landscape: str) -> Checkpoint:
    """Sign the log as it is, keep the note in the database, then in the folder.

    In this order: after a crash in between, the next call brings the folder up to date, while a
    folder that is ahead of its database always means that the database lost something.
    """
    folder = folder_of(state)
    with database.transaction() as connection:
        audit_log.lock(connection)
        count, last = _last(connection)
        made_by = signer(state, landscape, may_make=count == 0 and not read_folder(folder)[0])
        _keep(connection, folder, count)
        head = audit_log.newest(connection)
        if last is not None:
            _refuse_contradiction(connection, head, last)
        note = sign(made_by, head, last, audit_log.waiting(connection))
        connection.execute(
            "INSERT INTO audit_checkpoints (checkpoint_no, size, signed_at, note) "
            "VALUES (%s, %s, %s, %s)",
            (count, head.size, note.at, note.note),
        )
    with database.transaction() as connection:
        audit_log.lock(connection)
        _keep(connection, folder, _last(connection)[0])
    return note


def sign(by: Signer, head: Seal, last: Checkpoint | None, waiting: int) -> Checkpoint:
    """The next checkpoint: signed, and chained to the one before."""
    lines = [
        by.key.name,
        str(head.size),
        base64.b64encode(head.root).decode(),
        f"at {audit_log.instant(clock.now())}",
        f"previous {last.digest if last else NO_PREVIOUS}",
        f"waiting {waiting}",
    ]
    text = "\n".join(lines) + "\n"
    found, wrong = read_notes(text + "\n" + by.line(text.encode()))
    if wrong:
        raise ValueError(wrong[0])
    return found[0]


def _last(connection: Connection) -> tuple[int, Checkpoint | None]:
    row = connection.execute(
        "SELECT checkpoint_no, note FROM audit_checkpoints ORDER BY checkpoint_no DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return 0, None
    found, wrong = read_notes(str(row[1]))
    if wrong or len(found) != 1:
        raise AuditBroken(f"checkpoint {row[0]} in the database is damaged: {' '.join(wrong)}")
    return int(row[0]) + 1, found[0]


def _refuse_contradiction(connection: Connection, head: Seal, last: Checkpoint) -> None:
    """Never sign a log that does not continue what was signed before."""
    if last.size > head.size:
        raise AuditBroken(
            f"{last.size} batches were signed at {last.at}, the log has {head.size}: its end was "
            "removed, or a backup was restored. Nothing is signed; `tieout audit verify` says more"
        )
    if audit_log.tree_at(connection, last.size).root() != last.root:
        raise AuditBroken(
            f"the first {last.size} batches do not give the root that was signed at {last.at}: "
            "they were changed. Nothing is signed; `tieout audit verify` says where"
        )


def _keep(connection: Connection, folder: Path, count: int) -> None:
    """Append to the folder what it lacks of the database's checkpoints; change nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(folder)
    if kept > count:
        raise AuditBroken(
            f"{folder} holds {kept} checkpoints, the database only {count}: it lost some, or a "
            "backup was restored. Nothing is signed; `tieout audit verify` says more"
        )
    if kept == 0 and count > 1:
        raise AuditBroken(
            f"{folder} is empty, {count} checkpoints were kept: bring it back from its copy (on "
            "another machine: share the folder, or let one machine seal)"
        )
    for number, note in enumerate(stored(connection, after=kept - 1), kept):
        _append(folder / f"{number // CHECKPOINTS_PER_FILE:06}.txt", note)


def _kept(folder: Path) -> int:
    """How many checkpoints the folder holds. Files before the last are full, hence not read."""
    files: Sequence[Path] = sorted(folder.glob("*.txt"))
    if not files:
        return 0
    found, wrong = read_notes(files[-1].read_text(encoding="utf-8"))
    if wrong:
        raise AuditBroken(f"{files[-1]} is damaged: {wrong[0]}. Bring it back from its copy")
    return (len(files) - 1) * CHECKPOINTS_PER_FILE + len(found)


def _append(path: Path, note: str) -> None:
    with path.open("ab") as file:
        file.write((note + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
