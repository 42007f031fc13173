#!/usr/bin/env python3
"""Checks exported Tieout audit evidence, offline, trusting nothing but a public key.

    python3 audit_verifier.py FOLDER [--key audit.pub] [--against CHECKPOINTS] [--not-before TIME]
    python3 audit_verifier.py PROOF.json --key audit.pub

This file stands alone: Python 3.11 and its standard library, no database, no package. Take `--key`
and `--against` from copies you got earlier and kept yourself: the ones inside the folder prove
nothing against somebody who could also write the folder. `--not-before` is the time at which you
asked for the evidence; a newest checkpoint from before it means that you were given an old state.

The log is a Merkle tree as in RFC 6962 §2.1 (proofs: RFC 9162 §2.1.3, §2.1.4). Checkpoints are
signed notes (C2SP signed-note, tlog-checkpoint) with Ed25519 signatures (RFC 8032).
Exit code 0: everything holds. 1: something was changed; every finding says what, where, since when.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_FINDINGS = 200
NO_PREVIOUS = "-"
_PRIME = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _PRIME - 2, _PRIME) % _PRIME
_ROOT_OF_MINUS_ONE = pow(2, (_PRIME - 1) // 4, _PRIME)
Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Range:
    """The hashes of the full subtrees of a growing tree: all that an append or a root needs."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; returns the inner nodes it completes: (level, index, hash)."""
        done, level, index, top = [], 0, self.size, leaf
        while index & 1:
            top = node_hash(self.peaks.pop(), top)
            level, index = level + 1, index >> 1
            done.append((level, index, top))
        self.peaks.append(top)
        self.size += 1
        return done

    def root(self) -> bytes:
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        top = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            top = node_hash(peak, top)
        return top


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = Range()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def included(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` is number `index` of the tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, top = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            top = node_hash(step, top)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            top = node_hash(top, step)
        at, last = at >> 1, last >> 1
    return last == 0 and top == root


def consistent(
    old_size: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes
) -> bool:
    """Whether `path` proves the old tree to be the beginning of the new (RFC 9162 §2.1.4.2)."""
    if not 0 <= old_size <= size:
        return False
    if old_size in (0, size):
        empty = old_root == hashlib.sha256(b"").digest()
        return not path and (old_root == root if old_size == size else empty)
    steps = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    if not steps:
        return False
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_top = top = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_top, top = node_hash(step, old_top), node_hash(step, top)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            top = node_hash(top, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old_top == old_root and top == root


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % _PRIME
    c = 2 * one[3] * other[3] * _D % _PRIME
    d = 2 * one[2] * other[2] % _PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _PRIME, g * h % _PRIME, f * g % _PRIME, e * h % _PRIME


def _times(factor: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = _add(result, point)
        point, factor = _add(point, point), factor >> 1
    return result


def _point(encoded: bytes) -> Point | None:
    value = int.from_bytes(encoded, "little")
    sign, y = value >> 255, value & ((1 << 255) - 1)
    if y >= _PRIME:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _PRIME - 2, _PRIME) % _PRIME
    x = pow(square, (_PRIME + 3) // 8, _PRIME)
    if (x * x - square) % _PRIME:
        x = x * _ROOT_OF_MINUS_ONE % _PRIME
    if (x * x - square) % _PRIME or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _PRIME - x
    return x, y, 1, x * y % _PRIME


_BASE = _point((4 * pow(5, _PRIME - 2, _PRIME) % _PRIME).to_bytes(32, "little"))


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds (RFC 8032 §5.1.7); slow and plain on purpose."""
    if len(public) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, nonce = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left = _times(scalar, _BASE)
    right = _add(nonce, _times(int.from_bytes(digest, "little") % _ORDER, key))
    return (left[0] * right[2] - right[0] * left[2]) % _PRIME == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % _PRIME == 0


@dataclass(frozen=True)
class Key:
    """A public key that checkpoints may be signed with."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature names its key (C2SP signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.public).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(b"\x01" + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


def read_keys(text: str) -> list[Key]:
    """The keys of a file with one `name+id+base64` a line. Raises ValueError."""
    keys = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition("+")
        key_id, _, encoded = rest.partition("+")
        key = Key(name, base64.b64decode(encoded, validate=True)[1:])
        if str(key) != line or len(key.public) != 32 or key.key_id.hex() != key_id:
            raise ValueError(f"not a public key: {line[:80]}")
        keys.append(key)
    return keys


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement: at this time the log had this many batches and this root."""

    note: str
    origin: str
    size: int
    root: bytes
    at: str
    previous: str  # SHA-256 of the checkpoint before, whole
    waiting: int  # committed batches that could not be sealed yet (a transaction was open)
    key_id: bytes
    signature: bytes

    @property
    def signed(self) -> bytes:
        return self.note[: self.note.rindex("\n\n") + 1].encode()

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.note.encode()).hexdigest()


def read_note(note: str) -> Checkpoint:
    """One checkpoint from its text. Raises ValueError."""
    lines = note.split("\n")
    if len(lines) != 9 or lines[6] or lines[8] or not lines[7].startswith("— "):
        raise ValueError("a checkpoint has six lines, an empty one and a signature")
    named = [line.partition(" ")[::2] for line in lines[3:6]]
    if [name for name, _ in named] != ["at", "previous", "waiting"]:
        raise ValueError("a checkpoint says at, previous, waiting, in this order")
    (_, signer, encoded) = lines[7].split(" ")
    signature = base64.b64decode(encoded, validate=True)
    if signer != lines[0] or len(signature) != 68 or str(int(lines[1])) != lines[1]:
        raise ValueError("origin, size or signature are malformed")
    return Checkpoint(
        note,
        lines[0],
        int(lines[1]),
        base64.b64decode(lines[2], validate=True),
        named[0][1],
        named[1][1],
        int(named[2][1]),
        signature[:4],
        signature[4:],
    )


def read_notes(text: str) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints of a file, oldest first, and words about what is not one."""
    found: list[Checkpoint] = []
    wrong: list[str] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if not lines and not line:
            continue
        lines.append(line)
        if line.startswith("— "):
            note, lines = "\n".join(lines) + "\n", []
            try:
                found.append(read_note(note))
            except (ValueError, binascii.Error) as error:
                wrong.append(f"{error}: {note[:60]!r}")
    if lines:
        wrong.append(f"the last checkpoint is cut off: {lines[0][:60]!r}")
    return found, wrong


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was: what, where, since when."""

    what: str
    where: str
    since: str

    def __str__(self) -> str:
        return f"{self.what}\n    where: {self.where}\n    since: {self.since}"


def batch_content(entry: dict[str, Any]) -> bytes:
    """What a batch is hashed over: everything that its row says."""
    said = [entry[name] for name in ("batch_id", "at", "actor", "action", "count", "root")]
    return json.dumps(["tieout-batch/1", *said], ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Auditor:
    """Takes the batches of a log in their order and holds them against the checkpoints.

    `checkpoints` are the ones kept with the log, oldest first; `anchors` those that the auditor
    kept elsewhere. `all_signed`: nothing may follow the newest checkpoint (an export). `holds`
    checks one signature: (public key, message, signature).
    """

    keys: Sequence[Key]
    checkpoints: Sequence[Checkpoint]
    anchors: Sequence[Checkpoint] = ()
    not_before: str = ""
    all_signed: bool = False
    holds: Callable[[bytes, bytes, bytes], bool] = ed25519_holds
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    leaves: int = 0
    _tree: Range = field(default_factory=Range)
    _expected: int = 0
    _agreed: Checkpoint | None = None
    _root_broken: bool = False

    def __post_init__(self) -> None:
        self._due = sorted({*self.checkpoints, *self.anchors}, key=lambda one: (one.size, one.at))
        self._sizes = [one.size for one in self._due]
        self._next = 0
        self._judge_checkpoints()
        self._look_at_root()

    @property
    def size(self) -> int:
        return self._expected

    @property
    def covered(self) -> int:
        """How many batches the newest checkpoint that agrees covers."""
        return self._agreed.size if self._agreed else 0

    def find(self, what: str, where: str, since: str) -> None:
        """Note a finding; beyond MOST_FINDINGS they are only counted."""
        self.found += 1
        if self.found <= MOST_FINDINGS:
            self.findings.append(Finding(what, where, since))

    def sealed(self, index: int) -> str:
        """Since when batch `index` must not have changed."""
        at = bisect_right(self._sizes, index)
        if at == len(self._due):
            return "after it was sealed; no checkpoint covers it yet"
        return f"after {self._due[at].at}, when a checkpoint was signed over the original"

    def batch(self, entry: dict[str, Any]) -> None:
        """The next batch: index, batch_id, at, actor, action, count, root, leaf_hash, leaves.

        Each of `leaves` is [subject, hash] or [subject, hash, text] or [subject, hash, text, row].
        """
        index = int(entry["index"])
        where = f"log entry {index}, batch {entry['batch_id']} of {entry['at']} ({entry['action']})"
        if index != self._expected:
            what = f"log entries {self._expected} to {index - 1} are missing"
            if index < self._expected:
                what = f"log entry {index} is there twice or out of order"
            self.find(what, where, self.sealed(min(index, self._expected)))
        stored = bytes.fromhex(entry["leaf_hash"])
        if leaf_hash(batch_content(entry)) != stored:
            self.find(
                "the batch was changed (id, time, actor, action, count or root)",
                where,
                self.sealed(index),
            )
        self._leaves(entry, where, index)
        self._tree.append(stored)
        self._expected = index + 1
        self._look_at_root()

    def _leaves(self, entry: dict[str, Any], where: str, index: int) -> None:
        leaves = entry["leaves"]
        self.leaves += len(leaves)
        if len(leaves) != entry["count"]:
            self.find(
                f"the batch was made with {entry['count']} leaves, there are {len(leaves)}",
                where,
                self.sealed(index),
            )
        elif root_of(bytes.fromhex(leaf[1]) for leaf in leaves).hex() != entry["root"]:
            self.find(
                "a leaf of the batch was changed, replaced or swapped", where, self.sealed(index)
            )
        for subject, hashed, *more in leaves:
            if more and leaf_hash(f"{subject}\n{more[0]}".encode()).hex() != hashed:
                self.find(f"{subject} is not what was recorded", where, self.sealed(index))
            elif len(more) > 1 and hashlib.sha256(more[1].encode()).hexdigest() != more[0]:
                self.find(f"the row of {subject} was changed", where, self.sealed(index))

    def _look_at_root(self) -> None:
        while self._next < len(self._due) and self._due[self._next].size <= self._tree.size:
            due, self._next = self._due[self._next], self._next + 1
            if due.size == self._tree.size and due.root == self._tree.root():
                self._agreed = due
            elif not self._root_broken:
                self._root_broken = True
                self._root_finding(due)

    def _root_finding(self, due: Checkpoint) -> None:
        last = self._agreed
        self.find(
            "the log was rewritten: it does not give the root that was signed",
            f"log entries {last.size if last else 0} to {due.size - 1}",
            f"after {due.at}, when {due.size} batches were signed"
            + (f"; the checkpoint of {last.at} ({last.size} batches) still agrees" if last else ""),
        )

    def finish(self) -> list[Finding]:
        """What is left to say when all batches were given; returns every finding."""
        if self._next < len(self._due):
            due = self._due[-1]
            self.find(
                f"the end of the log is missing: {due.size} batches were signed, there are "
                f"{self._tree.size}",
                f"log entries {self._tree.size} to {due.size - 1}",
                f"after {due.at}; removed, or an old state was restored",
            )
            self._next = len(self._due)
        signed = self._sizes[-1] if self._sizes else 0
        if self.all_signed and signed < self._tree.size:
            self.find(
                f"{self._tree.size - signed} entries at the end are under no checkpoint: put in, "
                "or their checkpoint was taken away",
                f"log entries {signed} to {self._tree.size - 1}",
                "unknown: nothing signs them",
            )
        return self.findings

    def _judge_checkpoints(self) -> None:
        known = {(key.name, key.key_id): key for key in self.keys}
        kept = {one.note for one in self.checkpoints}
        following: Checkpoint | None = None
        for one in reversed(self.checkpoints):
            chained = following is None or following.previous == one.digest
            where = f"checkpoint of {one.at} ({one.size} batches)"
            if not chained:
                self.find(
                    "checkpoints were removed, changed, added or put in another order",
                    where,
                    f"after {following.at if following else one.at}",
                )
            if following is None or not chained:
                self._judge_signature(one, known, where)
            if following is not None and one.size > following.size:
                self.find("the log became shorter between two checkpoints", where, following.at)
            following = one
        if following is not None and following.previous != NO_PREVIOUS:
            self.find("the first checkpoints are missing", f"before {following.at}", following.at)
        if not self.checkpoints and self.anchors:
            self.find("no checkpoint was kept with the log", "the checkpoints", "unknown")
        for one in self.anchors:
            where = f"your checkpoint of {one.at} ({one.size} batches)"
            self._judge_signature(one, known, where)
            if one.note not in kept:
                self.find(
                    "a checkpoint that you hold is not among those of the log: an old or "
                    "another state was given to you",
                    where,
                    one.at,
                )
        newest = max((one.at for one in self.checkpoints), default="never")
        if self.not_before and (newest == "never" or newest[:-1] < self.not_before.rstrip("Z")):
            self.find(
                "the newest checkpoint is too old: an old state was given to you",
                f"checkpoint of {newest}",
                f"you asked for {self.not_before} or later",
            )

    def _judge_signature(
        self, one: Checkpoint, known: dict[tuple[str, bytes], Key], where: str
    ) -> None:
        key = known.get((one.origin, one.key_id))
        if key is None:
            self.find(f"signed with a key that is not yours ({one.key_id.hex()})", where, one.at)
        elif not self.holds(key.public, one.signed, one.signature):
            self.find(
                "the signature does not hold: the checkpoint was changed or forged", where, one.at
            )


def check_proof(proof: dict[str, Any], keys: Sequence[Key]) -> list[Finding]:
    """Check the proof of one leaf as `tieout audit prove` writes it; returns findings."""
    auditor = Auditor(keys, ())
    note = read_note(proof["checkpoint"])
    auditor._judge_signature(
        note, {(key.name, key.key_id): key for key in keys}, f"checkpoint of {note.at}"
    )
    subject, where = proof["subject"], f"{proof['subject']}, batch {proof['batch']['batch_id']}"
    leaf = bytes.fromhex(proof["leaf_hash"])
    if "text" in proof and leaf_hash(f"{subject}\n{proof['text']}".encode()) != leaf:
        auditor.find("the leaf is not what was recorded", where, note.at)
    path = [bytes.fromhex(step) for step in proof["batch_path"]]
    batch, root = proof["batch"], bytes.fromhex(proof["batch"]["root"])
    if "row" in proof and hashlib.sha256(proof["row"].encode()).hexdigest() != proof["text"]:
        auditor.find("the row is not the one that was recorded", where, note.at)
    if not included(proof["leaf_no"], batch["count"], leaf, path, root):
        auditor.find("the leaf is not part of its batch", where, note.at)
    path = [bytes.fromhex(step) for step in proof["log_path"]]
    content = leaf_hash(batch_content(batch))
    if not included(proof["index"], note.size, content, path, note.root):
        auditor.find("the batch is not part of the signed log", where, note.at)
    return auditor.finish()


def entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The batches of `log.jsonl`."""
    for line in lines:
        yield json.loads(line)


def check_folder(
    folder: Path, keys: Sequence[Key], against: Sequence[Path], not_before: str
) -> Auditor:
    """Check an exported folder. Raises OSError, ValueError when it cannot be read at all."""
    checkpoints, wrong = read_notes((folder / "checkpoints.txt").read_text(encoding="utf-8"))
    anchors: list[Checkpoint] = []
    for path in against:
        for file in sorted(path.glob("*.txt")) if path.is_dir() else [path]:
            held, also = read_notes(file.read_text(encoding="utf-8"))
            anchors, wrong = anchors + held, wrong + also
    auditor = Auditor(keys, checkpoints, anchors, not_before, all_signed=True)
    for words in wrong:
        auditor.find(words, "the checkpoints", "unknown")
    with (folder / "log.jsonl").open(encoding="utf-8") as lines:
        for entry in entries(lines):
            auditor.batch(entry)
    auditor.finish()
    return auditor


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Checks exported Tieout audit evidence.")
    parser.add_argument("evidence", type=Path, help="exported folder, or a proof's JSON file")
    parser.add_argument("--key", type=Path, help="public key you got earlier (else the folder's)")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        help="checkpoints you kept: a file or a folder",
    )
    parser.add_argument("--not-before", default="", help="UTC time like 2026-11-21T10:00:00Z")
    asked = parser.parse_args(arguments)
    try:
        folder = asked.evidence if asked.evidence.is_dir() else asked.evidence.parent
        keys = read_keys((asked.key or folder / "audit.pub").read_text(encoding="utf-8"))
        if asked.evidence.is_dir():
            auditor = check_folder(folder, keys, asked.against, asked.not_before)
            found, findings = auditor.found, auditor.findings
            counted = (
                f"{auditor.size} batches with {auditor.leaves} leaves, "
                f"{len(auditor.checkpoints)} checkpoints, {auditor.covered} batches covered"
            )
        else:
            findings = check_proof(json.loads(asked.evidence.read_text(encoding="utf-8")), keys)
            found, counted = len(findings), "one leaf"
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        print(f"CHANGED OR DAMAGED: the evidence cannot be read ({error!r})")
        return 1
    for finding in findings:
        print(finding)
    print(f"{counted}; key {', '.join(map(str, keys))}{'' if asked.key else ' (not your copy!)'}")
    print(f"CHANGED: {found} finding(s)" if found else "HOLDS: nothing was changed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
