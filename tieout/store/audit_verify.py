"""Verification: the log against its checkpoints, and every leaf against the row it stands for.

All in one snapshot of the database. The tree, the checkpoints and their signatures are judged by
the same code that an auditor gets as one file (`audit_verifier`); what only a look into the
database can tell is added here: rows changed, removed, or put in past the log.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tieout.store import audit_checkpoints, audit_log
from tieout.store.audit_archive import ONE_TRANSACTION, ArchiveSeen
from tieout.store.audit_search import leaves_of, without_leaf
from tieout.store.audit_verifier import (
    Auditor,
    Checkpoint,
    Finding,
    Key,
    Range,
    leaf_hash,
    read_notes,
)
from tieout.store.database import Connection
from tieout.store.evidence import KINDS, Stored, text_of

BATCHES_AT_ONCE = 200
LEAVES_AT_ONCE = 5_000  # with their rows: this bounds the memory, however large batches are
FETCHED_AT_ONCE = 20  # batches
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result: `findings` are the first of `found`; none means that everything holds."""

    findings: Sequence[Finding]
    found: int
    batches: int
    leaves: int
    recomputed: int  # leaves that were recomputed from their rows
    expired: int  # leaves of archived proofs whose years are over: removed on record
    checkpoints: int
    covered: int  # batches under the newest checkpoint that agrees
    waiting: int  # committed batches that are not sealed yet
    newest: str  # time of the newest checkpoint


def signature_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """The fast way to check one Ed25519 signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify(
    connection: Connection,
    folder: Path,
    keys: Sequence[Key],
    *,
    anchors: Sequence[Checkpoint] = (),
    not_before: str = "",
) -> Verdict:
    """Verify everything there is. The transaction should be REPEATABLE READ and see all rows."""
    notes, wrong = audit_checkpoints.read_folder(folder)
    auditor = Auditor(keys, notes, anchors, not_before, holds=signature_holds)
    for words in wrong:
        auditor.find(words, str(folder), "unknown")
    _compare_copies(auditor, connection, notes)
    rows = _Rows(auditor, connection, ArchiveSeen(auditor, connection))
    tree = _StoredTree(auditor, connection)
    for some in chunks(log_entries(connection)):
        for entry in some:
            auditor.batch(entry)
            tree.append(bytes.fromhex(entry["leaf_hash"]))
        rows.check(some)
    tree.finish()
    loose = 0
    horizon = notes[-1] if notes else None
    for some in chunks(loose_entries(connection)):
        loose += len(some)
        for entry in some:
            _judge_loose(auditor, entry, horizon)
        rows.check(some)
    rows.finish()
    auditor.finish()
    return Verdict(
        auditor.findings,
        auditor.found,
        auditor.size,
        auditor.leaves,
        rows.recomputed,
        rows.expired,
        len(notes),
        auditor.covered,
        loose,
        notes[-1].at if notes else "",
    )


def log_entries(connection: Connection) -> Iterator[dict[str, Any]]:
    """The sealed batches in log order, with their leaves. A removed batch has empty fields."""
    return _entries(
        connection,
        "SELECT l.log_index, l.leaf_hash, l.batch_id, b.at, b.actor, b.action, b.leaves, b.root, "
        "b.subjects, b.leaf_hashes "
        "FROM audit_log_leaves l LEFT JOIN audit_batches b USING (batch_id) ORDER BY l.log_index",
        "log",
    )


def loose_entries(connection: Connection) -> Iterator[dict[str, Any]]:
    """Committed batches that are not in the log."""
    return _entries(
        connection,
        "SELECT -1, ''::bytea, b.batch_id, b.at, b.actor, b.action, b.leaves, b.root, "
        "b.subjects, b.leaf_hashes FROM audit_batches b WHERE NOT EXISTS "
        "(SELECT FROM audit_log_leaves l WHERE l.batch_id = b.batch_id) ORDER BY b.batch_id",
        "loose",
    )


def chunks(entries: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The entries in handfuls: of BATCHES_AT_ONCE, or fewer with LEAVES_AT_ONCE."""
    some: list[dict[str, Any]] = []
    leaves = 0
    for entry in entries:
        some.append(entry)
        leaves += len(entry["leaves"])
        if len(some) == BATCHES_AT_ONCE or leaves >= LEAVES_AT_ONCE:
            yield some
            some, leaves = [], 0
    if some:
        yield some


def _entries(connection: Connection, query: str, name: str) -> Iterator[dict[str, Any]]:
    with connection.cursor(name=f"audit_{name}", binary=True) as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        for row in cursor.execute(query):
            yield _entry(row)


def _entry(row: Sequence[Any]) -> dict[str, Any]:
    here = row[3] is not None
    said = (
        audit_log.entry(row[2:8])
        if here
        else {
            "batch_id": int(row[2]),
            "at": "",
            "actor": "",
            "action": "removed",
            "count": 0,
            "root": "",
        }
    )
    leaves = [[subject, hashed.hex()] for subject, hashed in leaves_of(row[8], row[9])]
    return {"index": int(row[0]), "leaf_hash": bytes(row[1]).hex(), **said, "leaves": leaves}


def _compare_copies(auditor: Auditor, connection: Connection, notes: Sequence[Checkpoint]) -> None:
    """Folder and database keep the same checkpoints; the database may be one ahead (a crash)."""
    copies = audit_checkpoints.stored(connection)
    kept = [one.note for one in notes]
    at = next(
        (n for n, pair in enumerate(zip(copies, kept, strict=False)) if pair[0] != pair[1]),
        min(len(copies), len(kept)),
    )
    if at < len(kept):
        auditor.find(
            f"{len(kept) - at} checkpoint(s) are not in the database: it lost them, or an older "
            "state was restored",
            f"checkpoint {at} of {notes[at].at}",
            f"after {notes[at].at}",
        )
    elif at < len(copies) - 1 or (at < len(copies) and not kept and len(copies) > 1):
        found, _ = read_notes(copies[at])
        when = found[0].at if found else "unknown"
        auditor.find(
            f"{len(copies) - at} checkpoint(s) were removed from the folder",
            f"checkpoint {at} of {when}",
            f"after {when}",
        )


def _judge_loose(auditor: Auditor, entry: dict[str, Any], newest: Checkpoint | None) -> None:
    where = f"batch {entry['batch_id']} of {entry['at']} ({entry['action']}), not sealed yet"
    if len(entry["leaves"]) != entry["count"] or entry["root"] != _root(entry):
        auditor.find("the batch does not fit its leaves", where, "unknown: nothing signs it yet")
    if newest is None or newest.waiting:
        return
    late = dt.datetime.fromisoformat(entry["at"]) + ONE_TRANSACTION
    if late < dt.datetime.fromisoformat(newest.at):
        auditor.find(
            "the batch is older than a checkpoint that had sealed everything: put in "
            "later, or taken out of the log",
            where,
            f"after {newest.at}",
        )


def _root(entry: dict[str, Any]) -> str:
    tree = Range()
    for leaf in entry["leaves"]:
        tree.append(bytes.fromhex(leaf[1]))
    return tree.root().hex()


class _StoredTree:
    """Compares the stored inner nodes with what the leaves give: proofs are made of them."""

    def __init__(self, auditor: Auditor, connection: Connection) -> None:
        self._auditor = auditor
        self._connection = connection
        self._tree = Range()
        self._due: dict[tuple[int, int], bytes] = {}
        self._count = 0

    def append(self, leaf: bytes) -> None:
        done = self._tree.append(leaf)
        self._count += len(done)
        self._due |= {(level, index): hashed for level, index, hashed in done}
        if len(self._due) >= 10_000:
            self._compare()

    def _compare(self) -> None:
        stored = audit_log.hashes_of(self._connection, list(self._due))
        for (level, index), hashed in self._due.items():
            if stored.get((level, index)) != hashed:
                self._auditor.find(
                    "a stored hash of the tree was changed or removed",
                    f"audit_log_nodes, level {level}, index {index}",
                    self._auditor.sealed(index << level),
                )
        self._due = {}

    def finish(self) -> None:
        self._compare()
        row = self._connection.execute("SELECT count(*) FROM audit_log_nodes").fetchone()
        if row and row[0] > self._count:
            self._auditor.find(
                f"{row[0] - self._count} hashes of the tree have no leaves",
                "audit_log_nodes",
                "after they were sealed",
            )
        head = audit_log.newest(self._connection)
        if (head.size, head.root) != (self._tree.size, self._tree.root()):
            self._auditor.find(
                f"the last seal is over {head.size} batches, the log has {self._tree.size} or "
                "gives another root",
                "audit_seals",
                f"after {head.sealed_at}",
            )


@dataclass
class _Rows:
    """Recomputes leaves from the rows they stand for."""

    auditor: Auditor
    connection: Connection
    archive: ArchiveSeen
    recomputed: int = 0
    expired: int = 0
    _with_leaf: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _first: dict[str, int] = field(default_factory=dict)

    def check(self, entries: Sequence[dict[str, Any]]) -> None:
        """Every leaf of these batches against its row."""
        by_kind: dict[str, set[str]] = defaultdict(set)
        for entry in entries:
            for subject, _ in entry["leaves"]:
                by_kind[subject.partition("/")[0]].add(subject)
        rows: dict[str, list[Stored]] = defaultdict(list)
        for name in by_kind.keys() & KINDS.keys():
            for row in KINDS[name].rows(self.connection, sorted(by_kind[name])):
                rows[row.subject].append(row)
        for entry in entries:
            for subject, hashed in entry["leaves"]:
                if subject.partition("/")[0] in KINDS:
                    self._leaf(entry, subject, bytes.fromhex(hashed), rows[subject])

    def _leaf(
        self, entry: dict[str, Any], subject: str, hashed: bytes, rows: Sequence[Stored]
    ) -> None:
        kind = KINDS[subject.partition("/")[0]]
        where = f"{kind.table}, {subject}"
        index = entry["index"]
        since = f"after {entry['at']}, when it was recorded by {entry['actor']}"
        if index >= 0:
            since += f"; {self.auditor.sealed(index)}"
        if not rows and (away := self.archive.explains(kind.name, entry["at"])):
            self.expired += away == "expired"
            self._with_leaf[kind.name] += away != "expired"
            return
        self.recomputed += 1
        if not rows:
            self.auditor.find("the row was removed", where, since)
            return
        self._with_leaf[kind.name] += 1
        matching = [row for row in rows if hashed in hashes_of(subject, row)]
        if not matching:
            self.auditor.find("the row is not what was recorded", where, since)
            return
        if kind.id_column:
            number = int(subject.rpartition("/")[2])
            self._first[kind.name] = min(self._first.get(kind.name, number), number)
        if entry["at"] and not any(_together(row, entry) for row in matching):
            self.auditor.find(
                f"the row says {matching[0].at}, it was recorded at {entry['at']}", where, since
            )

    def finish(self) -> None:
        """Rows that no leaf speaks of: put in past the log."""
        self.archive.finish()
        for kind in KINDS.values():
            before = ""
            if kind.id_column:
                if kind.name not in self._first:
                    continue
                before = f" WHERE {kind.id_column} >= {self._first[kind.name]}"
            row = self.connection.execute(f"SELECT count(*) FROM {kind.table}{before}").fetchone()
            there = (int(row[0]) if row else 0) + kind.away(self.connection)
            over = there - self._with_leaf[kind.name]
            if over > 0:
                first = self._first.get(kind.name, 0)
                found = without_leaf(self.connection, kind, first, MOST_NAMED)
                named = ", ".join(found) or "a copy of one that has"
                self.auditor.find(
                    f"{over} row(s) have no leaf of their own in the audit log",
                    f"{kind.table}: {named}",
                    "unknown: put in past it",
                )


def hashes_of(subject: str, row: Stored) -> set[bytes]:
    """The leaf hashes that this row may have: of the whole row, and the older, narrower one."""
    texts = [text_of(row.text)] if row.text else []
    if row.older:
        texts.append(row.older)
    return {leaf_hash(f"{subject}\n{text}".encode()) for text in texts}


def _together(row: Stored, entry: dict[str, Any]) -> bool:
    return abs(row.at - dt.datetime.fromisoformat(entry["at"])) <= ONE_TRANSACTION
