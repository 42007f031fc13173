"""The audit log: sealed in an order commits cannot disturb, signed outside, never over lies."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import psycopg
import pytest

from tests.store.audit_world import AuditWorld
from tieout import clock
from tieout.store import audit, audit_checkpoints, audit_log
from tieout.store.audit_checkpoints import read_folder
from tieout.store.audit_keys import KeyUnfit, key_path
from tieout.store.audit_log import AuditBroken
from tieout.store.audit_verifier import consistent, included
from tieout.store.database import Database

WRITERS = 4
TRANSACTIONS = 40


@pytest.fixture
def world(database: Database, tmp_path: Path) -> AuditWorld:
    return AuditWorld(database, tmp_path)


def sealed_batches(world: AuditWorld) -> list[int]:
    with world.database.transaction() as connection:
        rows = connection.execute(
            "SELECT batch_id FROM audit_log_leaves ORDER BY log_index"
        ).fetchall()
    return [int(row[0]) for row in rows]


def write(connection: psycopg.Connection[tuple[object, ...]], words: str) -> None:
    audit.record(connection, "worker", "test", [(f"note/{words}", words)])


def test_an_early_number_that_commits_late_is_not_lost(world: AuditWorld) -> None:
    with world.database.transaction() as early:
        write(early, "drew its number first")
        with world.database.transaction() as late:
            write(late, "committed first")
        assert world.seal(sign=False).size == 0, "the late one waits for the early one"
        with world.database.transaction() as connection:
            assert audit_log.waiting(connection) == 1
    assert world.seal(sign=False).size == 2
    assert sealed_batches(world) == [1, 2]


def test_a_rolled_back_number_is_no_gap(world: AuditWorld) -> None:
    for words in ("one", "gone", "three"):
        with world.database.transaction() as connection:
            write(connection, words)
            if words == "gone":
                raise_rollback(connection)
    assert world.seal(sign=False).size == 2
    assert sealed_batches(world) == [1, 3]


def raise_rollback(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    raise psycopg.Rollback


def test_sealing_beside_many_writers_takes_everything_once(world: AuditWorld) -> None:
    done = threading.Event()
    committed: list[int] = []
    failures: list[BaseException] = []

    def writer(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with Database(world.database.url, most_connections=1) as own:
                for number in range(TRANSACTIONS):
                    with own.transaction() as connection:
                        write(connection, f"{seed}.{number}")
                        clock.sleep(chance.random() * 0.01)
                        if chance.random() < 0.2:
                            raise_rollback(connection)
                        committed.append(number)
        except BaseException as error:
            failures.append(error)
            raise

    def sealer() -> None:
        try:
            while not done.is_set():
                sizes.append(world.seal(sign=False).size)
        except BaseException as error:
            failures.append(error)
            raise

    sizes: list[int] = []
    threads = [threading.Thread(target=writer, args=(seed,)) for seed in range(WRITERS)]
    sealing = [threading.Thread(target=sealer) for _ in range(2)]
    for thread in threads + sealing:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in sealing:
        thread.join()
    assert failures == []
    assert len(set(sizes)) > 5, "sealed while it was written"
    assert world.seal().size == len(committed)
    found = sealed_batches(world)
    assert len(found) == len(set(found)) == len(committed)
    with world.database.transaction() as connection:
        rows = connection.execute("SELECT batch_id FROM audit_batches").fetchall()
    assert {int(row[0]) for row in rows} == set(found)
    assert not world.verdict().found


def test_a_database_restored_into_a_younger_server_is_sealed_on(world: AuditWorld) -> None:
    world.grow(3)
    world.seal()
    with psycopg.connect(world.database.url, autocommit=True) as superuser:
        superuser.execute("UPDATE audit_seals SET horizon = '900000000'")
        superuser.execute("UPDATE audit_batches SET written_by = '899999999'")
    before = world.seal().size
    world.grow(2)
    assert world.seal().size > before
    with world.database.transaction() as connection:
        assert audit_log.waiting(connection) == 0


def test_stored_proofs_hold_for_every_size(world: AuditWorld) -> None:
    roots = {0: audit_log.Range().root()}
    for _ in range(9):
        world.grow(2)
        sealed = world.seal(sign=False)
        with world.database.transaction() as connection:
            roots[sealed.size] = audit_log.newest(connection).root
    newest = max(roots)
    with world.database.transaction() as connection:
        leaves = audit_log.hashes_of(connection, [(0, index) for index in range(newest)])
        for size, root in roots.items():
            path = audit_log.consistency_path(connection, size, newest)
            assert consistent(size, newest, path, root, roots[newest])
            for index in range(size):
                path = audit_log.inclusion_path(connection, index, size)
                assert included(index, size, leaves[0, index], path, root)


def test_checkpoints_are_kept_outside_and_chained(world: AuditWorld) -> None:
    for _ in range(3):
        world.grow(2)
        world.seal()
    notes, wrong = read_folder(world.notes)
    assert wrong == []
    assert len(notes) == 3
    assert [one.previous for one in notes[1:]] == [one.digest for one in notes[:-1]]
    assert notes[0].previous == "-"
    assert key_path(world.state).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_a_crash_left_behind_is_brought_up_to_date(world: AuditWorld) -> None:
    world.grow(2)
    world.seal()
    file = next(world.notes.glob("*.txt"))
    kept = file.read_text()
    world.seal()
    file.write_text(kept)
    assert not world.verdict().found, "one behind is what a crash leaves, no tampering"
    world.seal()
    assert len(read_folder(world.notes)[0]) == 3


def test_files_of_checkpoints_continue_in_the_next(
    world: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_checkpoints, "CHECKPOINTS_PER_FILE", 2)
    world.grow(1)
    for _ in range(5):
        world.seal()
    assert [path.name for path in sorted(world.notes.glob("*.txt"))] == [
        "000000.txt", "000001.txt", "000002.txt",
    ]  # fmt: skip
    assert not world.verdict().found


def test_nothing_is_signed_on_top_of_a_changed_log(world: AuditWorld) -> None:
    world.grow(6)
    world.seal()
    with psycopg.connect(world.database.url, autocommit=True) as superuser:
        superuser.execute("UPDATE audit_log_leaves SET leaf_hash = sha256('x')")
        superuser.execute("UPDATE audit_log_nodes SET hash = sha256('y')")
    with pytest.raises(AuditBroken, match="does not give the root"):
        world.seal()


def test_nothing_is_signed_when_the_end_was_cut_off(world: AuditWorld) -> None:
    world.grow(3)
    world.seal()
    world.grow(3)
    world.seal()
    with psycopg.connect(world.database.url, autocommit=True) as superuser:
        superuser.execute("DELETE FROM audit_checkpoints WHERE checkpoint_no = 1")
    with pytest.raises(AuditBroken, match="holds 2 checkpoints, the database only 1"):
        world.seal()


def test_a_lost_key_is_not_replaced_unseen(world: AuditWorld) -> None:
    world.grow(1)
    world.seal()
    key_path(world.state).unlink()
    with pytest.raises(KeyUnfit, match="Bring it back"):
        world.seal()


def test_a_key_that_others_can_read_is_refused(world: AuditWorld) -> None:
    world.grow(1)
    world.seal()
    key_path(world.state).chmod(0o644)
    with pytest.raises(KeyUnfit, match="chmod 600"):
        world.seal()


@pytest.mark.parametrize(
    "table", ["audit_log_leaves", "audit_log_nodes", "audit_seals", "audit_checkpoints", "breaks"]
)
def test_the_application_can_only_add(world: AuditWorld, table: str) -> None:
    world.grow(2)
    world.seal()
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column(table)} = NULL"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            world.database.transaction() as connection,
        ):
            connection.execute(statement)


def column(table: str) -> str:
    return {"audit_seals": "root", "audit_checkpoints": "note", "breaks": "key"}.get(
        table, "leaf_hash" if table == "audit_log_leaves" else "hash"
    )
