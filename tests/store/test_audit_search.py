"""Leaves are found by their subject near the time of their row, and wherever else they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from tests.store.audit_world import AuditWorld
from tieout.store import audit_export, audit_search
from tieout.store.audit_checkpoints import read_folder
from tieout.store.audit_verifier import check_proof
from tieout.store.audit_verify import verify
from tieout.store.database import Connection, Database
from tieout.store.evidence import KINDS


@pytest.fixture
def world(database: Database, tmp_path: Path) -> AuditWorld:
    made = AuditWorld(database, tmp_path / "state")
    made.grow(12)
    made.seal()
    return made


def subjects(world: AuditWorld) -> list[str]:
    with world.database.transaction() as connection:
        rows = connection.execute(
            "SELECT subject FROM audit_leaves ORDER BY batch_id, leaf_no"
        ).fetchall()
    return [str(row[0]) for row in rows]


def test_every_leaf_is_found_and_proved(world: AuditWorld) -> None:
    checkpoint = read_folder(world.notes)[0][-1]
    for subject in subjects(world):
        with world.database.transaction() as connection:
            (proof,) = audit_export.prove(connection, subject, checkpoint)
        assert proof["subject"] == subject
        assert check_proof(proof, world.keys) == []


def test_a_leaf_is_looked_for_near_its_row_and_then_further_away(
    world: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[list[audit_search.Stretch] | None] = []
    look = audit_search._look

    def seen(
        connection: Connection, of: Sequence[str], stretches: list[audit_search.Stretch] | None
    ) -> list[audit_search.FoundLeaf]:
        looked.append(stretches)
        return look(connection, of, stretches)

    monkeypatch.setattr(audit_search, "_look", seen)
    (subject,) = [one for one in subjects(world) if one.startswith("tie_out/")][:1]
    for moved, steps in ((0, 1), (1_800, 2), (7_200, 3)):
        looked.clear()
        with psycopg.connect(world.database.url) as superuser:
            superuser.execute("UPDATE tie_outs SET made_at = made_at - %s", (
                dt.timedelta(seconds=moved),
            ))  # fmt: skip
            found = audit_search.leaves_about(superuser, [subject], 10_000, 10)
            superuser.rollback()
        assert [one.subject for one in found] == [subject]
        assert len(looked) == steps
        assert (looked[-1] is None) == (steps == 3), "the whole log comes last"


def test_the_leaf_of_a_row_that_was_removed_is_found(world: AuditWorld) -> None:
    subject = next(one for one in subjects(world) if one.startswith("record/"))
    with psycopg.connect(world.database.url) as superuser:
        superuser.execute("DELETE FROM records")
        (found,) = audit_search.leaves_about(superuser, [subject], 10_000, 10)
        superuser.rollback()
    assert found.subject == subject


def test_what_is_not_sealed_yet_is_no_reason_to_read_everything(
    world: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.database.transaction() as connection:
        size = connection.execute("SELECT max(size) FROM audit_seals").fetchone()
        world.add_action(connection)
        subject = str(connection.execute(
            "SELECT 'action/' || verb || '/' || action_id FROM actions ORDER BY action_id DESC"
        ).fetchone()[0])  # type: ignore[index]  # fmt: skip
        monkeypatch.setattr(audit_search, "REACHES", audit_search.REACHES[:1])
        assert audit_search.leaves_about(connection, [subject], size[0], 10) == []  # type: ignore[index]


def test_rows_that_no_leaf_names_are_named(world: AuditWorld) -> None:
    with psycopg.connect(world.database.url) as superuser:
        superuser.execute(
            "INSERT INTO actions (at, actor, verb, detail) SELECT now(), 'x', 'y', '{}' "
            "FROM generate_series(1, 3)"
        )
        last = superuser.execute("SELECT max(action_id) FROM actions").fetchone()
        assert last is not None
        named = audit_search.without_leaf(superuser, KINDS["action"], 0, 2)
        assert named == [f"action/y/{last[0] - 2}", f"action/y/{last[0] - 1}"]
        (finding,) = verify(superuser, world.notes, world.keys).findings
        assert finding.what == "3 row(s) have no leaf of their own in the audit log"
        superuser.rollback()


def test_leaves_from_before_the_arrays_are_the_same_after_the_migration(
    world: AuditWorld, tmp_path: Path
) -> None:
    def exported(name: str) -> str:
        with world.database.transaction() as connection:
            audit_export.export(
                connection, tmp_path / name, world.notes, world.keys, with_rows=True
            )
        return (tmp_path / name / "log.jsonl").read_text()

    before = exported("before")
    migration = files("tieout.store") / "migrations" / "0013_audit_arrays.sql"
    with psycopg.connect(world.database.url) as superuser:
        superuser.execute("CREATE TABLE leaves_then AS SELECT * FROM audit_leaves")
        superuser.execute("DROP VIEW audit_leaves")
        superuser.execute("DROP INDEX audit_batches_by_time")
        superuser.execute("ALTER TABLE audit_batches DROP COLUMN subjects, DROP COLUMN leaf_hashes")
        superuser.execute("ALTER TABLE leaves_then RENAME TO audit_leaves")
        superuser.execute(migration.read_text(encoding="utf-8").encode())
    assert exported("after") == before
    assert world.verdict().found == 0
    assert len(subjects(world)) == world.verdict().leaves
