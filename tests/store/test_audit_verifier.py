"""The stand-alone verifier: RFC vectors, proofs by property, and 1,000 ways to be lied to."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.promises.figures import Keeper
from tests.store.audit_world import AuditWorld
from tieout.store import audit_export, audit_tree
from tieout.store.audit_checkpoints import read_folder
from tieout.store.audit_checkpoints import sign as sign_checkpoint
from tieout.store.audit_keys import Signer
from tieout.store.audit_log import Seal
from tieout.store.audit_verifier import (
    Auditor,
    Checkpoint,
    Key,
    Range,
    batch_content,
    check_proof,
    consistent,
    ed25519_holds,
    included,
    leaf_hash,
    read_keys,
    root_of,
)
from tieout.store.database import Database

# The eight leaves and roots of the Certificate Transparency reference tests (RFC 6962 trees).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# RFC 8032 §7.1: public key, message, signature.
ED25519 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
QUICK, FULL = 120, 1_000
ROUNDS = [QUICK, pytest.param(FULL, marks=pytest.mark.promises)]


def test_roots_are_those_of_the_reference_tests() -> None:
    hashed = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
    assert [root_of(hashed[: size + 1]).hex() for size in range(8)] == ROOTS
    assert root_of([]).hex().startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize(("public", "message", "signature"), ED25519)
def test_ed25519_as_in_rfc_8032(public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert ed25519_holds(key, text, signed)
    assert not ed25519_holds(key, text + b"x", signed)
    assert not ed25519_holds(key, text, bytes([signed[0] ^ 1]) + signed[1:])
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = (int.from_bytes(signed[32:], "little") + order).to_bytes(32, "little")
    assert not ed25519_holds(key, text, signed[:32] + shifted), "malleable: S must be below L"
    assert not ed25519_holds(b"\xff" * 32, text, signed)
    assert not ed25519_holds(key[:31], text, signed)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=80))
def test_ed25519_agrees_with_the_library(message: bytes) -> None:
    private = Ed25519PrivateKey.generate()
    signature = private.sign(message)
    assert ed25519_holds(private.public_key().public_bytes_raw(), message, signature)


def tree_of(size: int) -> tuple[list[bytes], dict[audit_tree.Node, bytes]]:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    stored = {(0, at): leaf for at, leaf in enumerate(leaves)}
    tree = Range()
    for leaf in leaves:
        stored |= {(level, at): hashed for level, at, hashed in tree.append(leaf)}
    return leaves, stored


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_inclusion_proofs_hold_for_their_leaf_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    leaves, stored = tree_of(size)
    root = root_of(leaves)
    path = [audit_tree.hash_of(one, stored) for one in audit_tree.inclusion(index, size)]
    assert included(index, size, leaves[index], path, root)
    assert audit_tree.proof_in(leaves, index) == path
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        assert not included(other, size, leaves[index], path, root)
        assert not included(index, size, leaves[other], path, root)
    assert not included(index, size, leaves[index], [*path, root], root)
    if path:
        assert not included(index, size, leaves[index], path[:-1], root)
        at = data.draw(st.integers(0, len(path) - 1))
        bent = [*path[:at], leaf_hash(path[at]), *path[at + 1 :]]
        assert not included(index, size, leaves[index], bent, root)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_consistency_proofs_hold_for_true_beginnings_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    old_size = data.draw(st.integers(0, size))
    leaves, stored = tree_of(size)
    old_root, root = root_of(leaves[:old_size]), root_of(leaves)
    path = [audit_tree.hash_of(one, stored) for one in audit_tree.consistency(old_size, size)]
    assert consistent(old_size, size, path, old_root, root)
    if 0 < old_size < size:
        at = data.draw(st.integers(0, old_size - 1))
        other = root_of([*leaves[:at], leaf_hash(b"other"), *leaves[at + 1 : old_size]])
        assert not consistent(old_size, size, path, other, root)
        assert not consistent(old_size, size, path, old_root, leaf_hash(root))
        assert not consistent(old_size, size, path[:-1], old_root, root)
        assert not consistent(old_size, size, [*path, root], old_root, root)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 60))
def test_a_tree_goes_on_from_its_stored_peaks(size: int, more: int) -> None:
    leaves, stored = tree_of(size + more)
    tree = Range(size, [stored[node] for node in audit_tree.peaks(0, size)])
    assert len(tree.peaks) <= 10
    for leaf in leaves[size:]:
        tree.append(leaf)
    assert tree.root() == root_of(leaves)


# --- the offline suite: an export in memory, changed in every way we can think of


Lines = list[dict[str, Any]]
Notes = list[Checkpoint]


def signer() -> Signer:
    private = Ed25519PrivateKey.generate()
    return Signer(private, Key("tieout/test", private.public_key().public_bytes_raw()))


def evidence_of(chance: random.Random, by: Signer) -> tuple[Lines, Notes]:
    """A true export: some batches, a checkpoint after every few."""
    lines: Lines = []
    notes: Notes = []
    for index in range(chance.randint(6, 24)):
        leaves = []
        for number in range(chance.randint(1, 4)):
            subject, text = f"note/{index}.{number}", str(chance.random())
            leaves.append([subject, leaf_hash(f"{subject}\n{text}".encode()).hex(), text])
        lines.append(sealed({
            "index": index, "batch_id": index + 10, "at": f"2026-11-21T10:00:{index:02}.000000Z",
            "actor": "worker", "action": "resolve", "leaves": leaves,
        }))  # fmt: skip
        if index > 3 and chance.random() < 0.4:
            notes.append(signed(lines, notes, by))
    notes.append(signed(lines, notes, by))
    return lines, notes


def sealed(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with every hash of it recomputed."""
    entry["count"] = len(entry["leaves"])
    for leaf in entry["leaves"]:
        leaf[1] = leaf_hash(f"{leaf[0]}\n{leaf[2]}".encode()).hex()
    entry["root"] = root_of(bytes.fromhex(leaf[1]) for leaf in entry["leaves"]).hex()
    entry["leaf_hash"] = leaf_hash(batch_content(entry)).hex()
    return entry


def signed(lines: Lines, notes: Notes, by: Signer) -> Checkpoint:
    root = root_of(bytes.fromhex(line["leaf_hash"]) for line in lines)
    seal = Seal(len(lines), root, "0", None)
    return sign_checkpoint(by, seal, notes[-1] if notes else None, 0)


def findings(lines: Lines, notes: Notes, keys: list[Key], held: Notes) -> int:
    auditor = Auditor(keys, notes, held, all_signed=True)
    for line in lines:
        auditor.batch(line)
    auditor.finish()
    return auditor.found


def edit_text(lines: Lines, notes: Notes, chance: random.Random) -> None:
    chance.choice(chance.choice(lines)["leaves"])[2] += "0"


def edit_batch(lines: Lines, notes: Notes, chance: random.Random) -> None:
    chance.choice(lines)[chance.choice(["actor", "action", "at"])] += "0"


def edit_and_recompute_batch(lines: Lines, notes: Notes, chance: random.Random) -> None:
    entry = chance.choice(lines)
    chance.choice(entry["leaves"])[2] += "0"
    sealed(entry)


def delete_leaf(lines: Lines, notes: Notes, chance: random.Random) -> None:
    chance.choice(lines)["leaves"].pop()


def delete_batch(lines: Lines, notes: Notes, chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]


def delete_and_renumber(lines: Lines, notes: Notes, chance: random.Random) -> None:
    del lines[chance.randrange(len(lines))]
    for index, line in enumerate(lines):
        line["index"] = index


def insert_batch(lines: Lines, notes: Notes, chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    lines.insert(at, copy.deepcopy(lines[at]))
    for index, line in enumerate(lines):
        line["index"] = index


def insert_leaf(lines: Lines, notes: Notes, chance: random.Random) -> None:
    chance.choice(lines)["leaves"].append(["note/x", leaf_hash(b"note/x\nx").hex(), "x"])


def swap(lines: Lines, notes: Notes, chance: random.Random) -> None:
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    if chance.random() < 0.5:
        lines[one]["index"], lines[other]["index"] = one, other


def truncate(lines: Lines, notes: Notes, chance: random.Random) -> None:
    del lines[-chance.randint(1, len(lines) - 1) :]


def rewrite(lines: Lines, notes: Notes, chance: random.Random) -> None:
    """Everything is recomputed and signed, by somebody who has not got the key."""
    for line in lines[chance.randrange(len(lines)) :]:
        line["leaves"][0][2] += "0"
        sealed(line)
    forger, old = signer(), list(notes)
    notes.clear()
    for one in old:
        notes.append(signed(lines[: one.size], notes, forger))


def replay_old(lines: Lines, notes: Notes, chance: random.Random) -> None:
    """An old state with its own checkpoints; or the newest checkpoint put back by an old one."""
    if len(notes) > 1 and chance.random() < 0.5:
        notes[-1] = notes[0]
        return
    notes[:] = notes[: len(notes) // 2]
    del lines[notes[-1].size if notes else 1 :]


SUITE: list[Callable[[Lines, Notes, random.Random], None]] = [
    edit_text, edit_batch, edit_and_recompute_batch, delete_leaf, delete_batch,
    delete_and_renumber, insert_batch, insert_leaf, swap, truncate, rewrite, replay_old,
]  # fmt: skip


@pytest.mark.parametrize("rounds", ROUNDS)
def test_every_tampering_with_an_export_is_found(rounds: int, promise: Keeper) -> None:
    by, unseen = signer(), []
    for seed in range(rounds):
        chance = random.Random(seed)
        lines, notes = evidence_of(chance, by)
        held = [notes[-1]]
        tampering = SUITE[seed % len(SUITE)]
        tampering(lines, notes, chance)
        if not findings(lines, notes, [by.key], held):
            unseen.append(f"{tampering.__name__} {seed}")
    what, told = f"{rounds:,} tamperings with an export: not found", ", ".join(unseen[:3])
    promise("P11", what, told or "0", "0", kept=not unseen)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_no_clean_export_raises_an_alarm(rounds: int, promise: Keeper) -> None:
    by, alarms = signer(), []
    for seed in range(rounds):
        chance = random.Random(seed)
        lines, notes = evidence_of(chance, by)
        held = chance.sample(notes, chance.randint(0, len(notes)))
        if findings(lines, notes, [by.key], held):
            alarms.append(seed)
    what = f"{rounds:,} clean exports: seeds with a false alarm"
    promise("P11", what, alarms[:5] or "0", "0", kept=not alarms)


# --- the exported file itself, alone in a folder, run by a bare interpreter


@pytest.fixture
def exported(database: Database, tmp_path: Path) -> Path:
    world = AuditWorld(database, tmp_path / "state")
    world.grow(8)
    world.seal()
    world.grow(4)
    world.seal()
    target = tmp_path / "evidence"
    with database.transaction() as connection:
        audit_export.export(connection, target, world.notes, world.keys, with_rows=True)
        proofs = audit_export.prove(connection, subject_of(target), read_folder(world.notes)[0][-1])
    (tmp_path / "proof.json").write_text(json.dumps(proofs[0]))
    (tmp_path / "mine.pub").write_text(f"{world.keys[0]}\n")
    return target


def subject_of(folder: Path) -> str:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    subjects = [leaf[0] for line in lines for leaf in line["leaves"]]
    return str(next(one for one in subjects if one.startswith("record/")))


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """-I -S: nothing but the standard library can be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-S", folder / "audit_verifier.py", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_an_export_is_verified_by_its_own_file_alone(exported: Path) -> None:
    done = run(exported, exported, "--key", exported.parent / "mine.pub")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HOLDS: nothing was changed" in done.stdout
    log = exported / "log.jsonl"
    log.write_text(log.read_text().replace("SO-", "SO_", 1))
    done = run(exported, exported)
    assert done.returncode == 1
    assert "the row of record/sales_order/" in done.stdout
    assert "when a checkpoint was signed over the original" in done.stdout


def test_a_damaged_export_is_not_taken_for_a_good_one(exported: Path) -> None:
    (exported / "log.jsonl").write_text('{"index": 0}\n')
    done = run(exported, exported)
    assert done.returncode == 1
    assert "DAMAGED" in done.stdout


def test_a_proof_holds_alone_and_only_as_it_is(exported: Path) -> None:
    file = exported.parent / "proof.json"
    done = run(exported, file, "--key", exported.parent / "mine.pub")
    assert done.returncode == 0, done.stdout + done.stderr
    proof = json.loads(file.read_text())
    keys = read_keys((exported.parent / "mine.pub").read_text())
    assert check_proof(proof, keys) == []
    for name, value in (
        ("row", proof["row"].replace("SO-", "SO_")),
        ("text", "0" * 64),
        ("index", proof["index"] + 1),
        ("log_path", proof["log_path"][1:]),
        ("batch", proof["batch"] | {"actor": "nobody"}),
        ("checkpoint", proof["checkpoint"].replace("waiting 0", "waiting 1")),
    ):
        assert check_proof(proof | {name: value}, keys), name
    assert check_proof(proof, [signer().key]), "another key"
