"""P11: whatever is done to the stored audit trail without the key, verification finds it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import psycopg
import pytest

from tests.promises.figures import Keeper
from tests.store.audit_tampering import TAMPERINGS, rewrite, shorten
from tests.store.audit_world import AuditWorld
from tieout.store.audit_checkpoints import read_folder, seal_all
from tieout.store.audit_keys import public_keys, public_path
from tieout.store.audit_verify import verify
from tieout.store.database import Database

QUICK, FULL = 110, 1_000
ROUNDS = [QUICK, pytest.param(FULL, marks=pytest.mark.promises)]


@pytest.fixture
def world(database: Database, tmp_path: Path) -> AuditWorld:
    made = AuditWorld(database, tmp_path / "state")
    for _ in range(4):
        made.grow(6)
        made.seal()
    return made


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.timeout(1200)
def test_every_tampering_in_the_database_is_found(
    world: AuditWorld, rounds: int, promise: Keeper
) -> None:
    unseen = []
    with psycopg.connect(world.database.url) as superuser:
        superuser.execute("SET TIME ZONE 'UTC'")
        superuser.commit()
        for seed in range(rounds):
            chance = random.Random(seed)
            tampering = chance.choice(TAMPERINGS)
            tampering(superuser, chance)
            found = verify(superuser, world.notes, world.keys)
            superuser.rollback()
            if not found.found:
                unseen.append(f"{tampering.__name__} {seed}")
        assert verify(superuser, world.notes, world.keys).found == 0, "all was taken back"
    what = f"{rounds:,} tamperings in the database: found"
    promise("P11", what, _of(rounds - len(unseen), rounds), "100 %", kept=not unseen)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.timeout(1200)
def test_no_clean_run_raises_an_alarm(world: AuditWorld, rounds: int, promise: Keeper) -> None:
    alarms = []
    for number in range(rounds):
        world.grow(1)
        if world.random.random() < 0.4:
            world.seal(sign=world.random.random() < 0.7)
        verdict = world.verdict()
        if verdict.found:
            alarms.append(f"round {number}: {verdict.findings[0]}")
        assert verdict.leaves + verdict.waiting > 0
    what, told = f"{rounds:,} clean runs: false alarms", " ".join([str(len(alarms)), *alarms[:1]])
    promise("P11", what, told, "0", kept=not alarms)


def _of(found: int, rounds: int) -> str:
    return f"{found:,} of {rounds:,}"


def test_an_old_state_with_its_old_checkpoints_is_found_by_who_kept_a_newer_one(
    world: AuditWorld,
) -> None:
    notes, _ = read_folder(world.notes)
    old = notes[1]
    file = next(world.notes.glob("*.txt"))
    file.write_text("\n".join(one.note for one in notes[:2]))
    with psycopg.connect(world.database.url) as superuser:
        shorten(superuser, old.size)
        superuser.execute("DELETE FROM audit_checkpoints WHERE checkpoint_no > 1")
        assert verify(superuser, world.notes, world.keys).found == 0, "it is a true old state"
        held = verify(superuser, world.notes, world.keys, anchors=[notes[-1]])
        assert "old or another state" in " ".join(map(str, held.findings))
        assert "the end of the log is missing" in " ".join(map(str, held.findings))
        late = verify(superuser, world.notes, world.keys, not_before=notes[-1].at)
        assert [one.what for one in late.findings] == [
            "the newest checkpoint is too old: an old state was given to you"
        ]
        superuser.rollback()


def test_a_rewrite_signed_with_another_key_is_found(world: AuditWorld, tmp_path: Path) -> None:
    ours = world.keys
    with psycopg.connect(world.database.url) as superuser:
        rewrite(superuser, random.Random(1))
        superuser.execute("DELETE FROM audit_checkpoints")
    forger = tmp_path / "forger"
    seal_all(world.database, forger, "test", "forger")
    shutil.rmtree(world.notes)
    shutil.copytree(forger / "checkpoints", world.notes)
    theirs = public_keys(public_path(forger))
    with psycopg.connect(world.database.url) as superuser:
        assert verify(superuser, world.notes, theirs).found == 0, "well made, but for the key"
        found = verify(superuser, world.notes, ours)
    assert any("a key that is not yours" in one.what for one in found.findings)


def test_what_is_found_says_what_where_and_since_when(world: AuditWorld) -> None:
    notes, _ = read_folder(world.notes)
    with psycopg.connect(world.database.url) as superuser:
        row = superuser.execute(
            "UPDATE records SET body = body || ' ' WHERE record_key = "
            "(SELECT record_key FROM records ORDER BY recorded_at LIMIT 1) RETURNING record_key"
        ).fetchone()
        found = verify(superuser, world.notes, world.keys)
        superuser.rollback()
    assert row is not None
    (finding,) = found.findings
    assert finding.what == "the row is not what was recorded"
    assert finding.where == f"records, record/sales_order/{row[0]}/1"
    assert "when it was recorded by worker" in finding.since
    assert f"after {notes[0].at}, when a checkpoint was signed over the original" in finding.since


@pytest.mark.parametrize("change", ["last", "first", "middle", "text", "all", "signature", "cut"])
def test_checkpoints_cannot_be_taken_away_or_changed(world: AuditWorld, change: str) -> None:
    file = next(world.notes.glob("*.txt"))
    notes = [one.note for one in read_folder(world.notes)[0]]
    if change == "text":
        notes[1] = notes[1].replace("waiting 0", "waiting 7")
    elif change == "signature":
        notes[2] = notes[2][:-12] + "AAAAAAAAAA=\n"
    elif change == "cut":
        notes[-1] = notes[-1][:40]
    elif change == "all":
        notes = []
    elif change == "last":
        notes = notes[:-2]
    else:
        del notes[0 if change == "first" else 1]
    file.write_text("\n".join(notes))
    assert world.verdict().found
