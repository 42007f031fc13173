"""Archiving: nothing is lost at any moment, files are what they say, old rows are still read."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.store.months import kept_by_month
from tieout.store import archive_expiry, archive_files, archive_reading, archive_tables, holds
from tieout.store.archive import (
    Archiving,
    CannotArchive,
    archive,
    cutoff,
    moved_to,
    verify,
)
from tieout.store.archive_files import ArchiveBroken
from tieout.store.database import Database

BEFORE = dt.date(2021, 1, 1)
STEPS = ("write", "manifest", "detach", "commit", "done")


class Killed(Exception):
    """The process died here."""


def at(month: int, day: int = 3) -> dt.datetime:
    return dt.datetime(2020, month, day, 12, 30, 1, 5, tzinfo=dt.UTC)


def fill(database: Database, url: str, *, rows: int = 40, own_partition: bool = True) -> None:
    """Payloads, proofs and attempts of March and April 2020, and a proof of today."""
    kept_by_month(url, *(("2020-03", "2020-04") if own_partition else ()))
    with database.transaction() as connection:
        for number in range(1, rows + 1):
            moment = at(3 + number % 2)
            text = json.dumps({"nth": number, "name": "Ünïcode"})
            connection.execute(
                "INSERT INTO payloads (arrival_id, received_at, payload) VALUES (%s, %s, %s)",
                (number, moment, text),
            )
            connection.execute(
                "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, target_id, "
                "digest, read_at, legal_entity) VALUES (%s, 1, 'agrees', '{}', '{}', 'T', 'd', %s, "
                "'NWEU')",
                (number, moment),
            )
            connection.execute(
                "INSERT INTO attempts (dispatch_id, attempt_no, kind, outcome, started_at, "
                "ended_at, worker, legal_entity) VALUES (%s, 1, 'send', 'Written', %s, %s, 'w', "
                "'NWEU')",
                (number, moment, moment),
            )
        connection.execute(
            "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, target_id, "
            "digest, read_at, legal_entity) VALUES (999, 1, 'agrees', '{}', '{}', 'T', 'd', "
            "'2026-01-01', 'NWEU')"
        )


def counts(database: Database) -> list[int]:
    with database.transaction() as connection:
        return [
            int(connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()[0])  # type: ignore[index]
            for name in ("payloads", "proofs", "attempts", "archived_months")
        ]


def act(database: Database, folder: Path, **more: Any) -> Archiving:
    return archive(database, landscape="test", folder=folder, before=BEFORE, actor="omar", **more)


def test_old_months_leave_and_are_still_read(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    done = act(database, tmp_path)
    assert [(one.table, one.month, one.rows) for one in done.archived] == [
        (table, month, 20)
        for table in ("payloads", "proofs", "attempts")
        for month in ("2020-03", "2020-04")
    ]
    assert counts(database) == [0, 1, 0, 6]
    with database.transaction() as connection:
        assert verify(connection) == []
        for number in (1, 2, 40):
            proofs = archive_reading.rows(connection, "proofs", [number])
            assert [row["dispatch_id"] for row in proofs] == [number]
            assert proofs[0]["read_at"] == at(3 + number % 2)
            assert len(archive_reading.rows(connection, "attempts", [number])) == 1
        assert archive_reading.rows(connection, "proofs", [999]) == []
        first = archive_reading.rows(connection, "proofs", [7])[0]
        assert archive_reading.dispatch_of_proof(connection, first["proof_id"]) == 7
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname ~ '_2020_0[34]$'")
        assert left.fetchone() == (0,)
        actions = connection.execute("SELECT detail FROM actions WHERE verb = 'archive'").fetchall()
    assert len(actions) == 6
    assert act(database, tmp_path).archived == [], "a second time there is nothing to do"


def test_rows_of_no_partition_of_their_own_leave_too(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url, own_partition=False)
    act(database, tmp_path)
    assert counts(database) == [0, 1, 0, 6]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [1, 4])
def test_a_crash_at_any_step_loses_nothing(
    database: Database, database_url: str, tmp_path: Path, step: str, nth: int
) -> None:
    fill(database, database_url)
    met = 0

    def die(name: str) -> None:
        nonlocal met
        met += name == step
        if met == nth and name == step:
            raise Killed(step)

    with pytest.raises(Killed):
        act(database, tmp_path, step=die)
    with database.transaction() as connection:
        for number in range(1, 41):
            hot = connection.execute(
                "SELECT count(*) FROM proofs WHERE dispatch_id = %s", (number,)
            ).fetchone()
            away = archive_reading.rows(connection, "proofs", [number])
            assert (hot[0] if hot else 0) + len(away) == 1, "exactly once, at any moment"
        assert verify(connection) == []
    act(database, tmp_path)
    assert counts(database) == [0, 1, 0, 6]
    with database.transaction() as connection:
        assert verify(connection) == []
    assert list(tmp_path.glob("*.unfinished")) == []
    numbers = [number for number, _ in archive_files.manifests(tmp_path)]
    assert numbers == list(range(1, 7))


def test_the_same_rows_give_the_same_bytes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    made = []
    for name in ("one", "two"):
        with database.transaction() as connection:
            table = archive_tables.TABLES["payloads"]
            rows = archive_tables.rows_of(connection, table, dt.date(2020, 3, 1))
            made.append(archive_files.write_rows(tmp_path / name, "p.parquet", table, rows))
    assert made[0] == made[1]
    one, two = ((tmp_path / name / "p.parquet").read_bytes() for name in ("one", "two"))
    assert one == two


def test_manifests_are_a_chain_and_say_what_a_file_is(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    previous = ""
    for number, text in archive_files.manifests(tmp_path):
        said = json.loads(text)
        assert said["number"] == number
        assert said["previous"] == previous
        file = tmp_path / said["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == said["sha256"]
        assert said["landscape"] == "test"
        previous = hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("harm", ["byte", "gone", "manifest", "swap"])
def test_a_changed_archive_is_found_and_named(
    database: Database, database_url: str, tmp_path: Path, harm: str
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    file, other = tmp_path / "proofs-2020-03.parquet", tmp_path / "proofs-2020-04.parquet"
    named = file.name
    if harm == "byte":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "gone":
        file.unlink()
    elif harm == "swap":
        shutil.copy(other, file)
    else:
        named = "manifest-000003.json"
        path = tmp_path / named
        path.write_text(path.read_text().replace('"rows": 20', '"rows": 19'))
    with database.transaction() as connection:
        found = verify(connection)
    assert len(found) == 1
    assert named in found[0]


def test_a_payload_that_is_not_what_arrived_is_not_believed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    text = json.dumps({"nth": 2, "name": "Ünïcode"})
    digest = hashlib.sha256(f"+{text}".encode()).hexdigest()
    with database.transaction() as connection:
        good = archive_reading.payloads(connection, {2: (at(3), False, digest)})[2]
        assert isinstance(good, archive_reading.ArchivedPayload)
        assert good.payload == text
        bad = archive_reading.payloads(connection, {2: (at(3), False, "0" * 64)})[2]
        assert isinstance(bad, archive_reading.Gone)
        assert "payloads-2020-03.parquet" in bad.why
        nowhere = archive_reading.payloads(connection, {77: (at(3), False, digest)})[77]
        assert isinstance(nowhere, archive_reading.Gone)
        assert "2020-03" in nowhere.why
        (tmp_path / "payloads-2020-03.parquet").unlink()
        gone = archive_reading.payloads(connection, {2: (at(3), False, digest)})[2]
        assert isinstance(gone, archive_reading.Gone)
        assert str(tmp_path / "payloads-2020-03.parquet") in gone.why


def test_rows_that_come_later_are_a_further_part(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, target_id, "
            "digest, read_at, legal_entity) VALUES (500, 1, 'agrees', '{}', '{}', 'T', 'd', %s, "
            "'NWEU')",
            (at(3),),
        )
    done = act(database, tmp_path)
    assert [one.file for one in done.archived] == ["proofs-2020-03.2.parquet"]
    with database.transaction() as connection:
        assert len(archive_reading.rows(connection, "proofs", [500])) == 1
        assert verify(connection) == []


def test_texts_brought_back_for_a_replay_leave_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO arrivals (arrival_id, system, stream, source_key, source_version, digest, "
            "deleted, received_at, received_by, state, partition_no) OVERRIDING SYSTEM VALUE "
            "VALUES (2, 's', 't', 'k', '1', 'd', false, %s, 'poll', 'recorded', 0)",
            (at(3),),
        )
        connection.execute(
            "INSERT INTO payloads VALUES (2, %s, %s, NULL) ON CONFLICT DO NOTHING",
            (at(3), json.dumps({"nth": 2, "name": "Ünïcode"})),
        )
    done = act(database, tmp_path)
    assert (done.returned, done.archived) == (1, [])
    assert counts(database)[0] == 0


def test_only_whole_months_that_are_old_enough_leave() -> None:
    assert cutoff(18, dt.date(2026, 3, 15)) == dt.date(2024, 10, 1)
    assert cutoff(1, dt.date(2026, 3, 15)) == dt.date(2026, 3, 1), "the current month never leaves"


def test_rows_that_appear_meanwhile_stop_the_month(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)

    def add(name: str) -> None:
        if name == "detach":
            with database.transaction() as connection:
                connection.execute(
                    "INSERT INTO payloads VALUES (901, %s, '{}', NULL) ON CONFLICT DO NOTHING",
                    (at(3),),
                )

    with pytest.raises(CannotArchive, match="got 1 more row"):
        act(database, tmp_path, step=add)
    assert counts(database)[0] == 41


def test_two_archivers_at_once_are_refused(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)

    def second(name: str) -> None:
        if name == "write":
            act(database, tmp_path)

    with pytest.raises(CannotArchive, match="somebody else"):
        act(database, tmp_path, step=second)


def test_files_may_move(database: Database, database_url: str, tmp_path: Path) -> None:
    fill(database, database_url)
    act(database, tmp_path / "here")
    with pytest.raises(ArchiveBroken, match=r"not there|cannot be read"):
        moved_to(database, tmp_path / "there", "omar")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert moved_to(database, tmp_path / "there", "omar") == 6
    with database.transaction() as connection:
        assert len(archive_reading.rows(connection, "proofs", [1])) == 1


def test_files_go_when_their_years_are_over_unless_held(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, database_url)
    act(database, tmp_path)
    late = dt.date(2031, 5, 1)
    assert archive_expiry.expire(database, keep_years=20, actor="omar", today=late).removed == [], (
        "not old enough"
    )
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO arrivals (arrival_id, system, stream, source_key, source_version, digest, "
            "deleted, received_at, received_by, state, partition_no, legal_entity) "
            "OVERRIDING SYSTEM VALUE VALUES (2, 's', 't', 'k', '1', 'd', false, %s, 'poll', "
            "'recorded', 0, 'NWEU')",
            (at(3),),
        )
        number = holds.add(connection, "vera", because="a lawsuit", legal_entity="NWEU")
    done = archive_expiry.expire(database, keep_years=10, actor="omar", today=late)
    assert done.held == {"payloads-2020-03.parquet": number}
    assert len(done.removed) == 5
    with database.transaction() as connection:
        with pytest.raises(holds.HoldRefused, match="somebody else"):
            holds.release(connection, "vera", number, "over")
        holds.release(connection, "omar", number, "the lawsuit is over")
        assert holds.read(connection) == []
        assert len(holds.read(connection, released=True)) == 1
    again = archive_expiry.expire(database, keep_years=10, actor="omar", today=late)
    assert again.removed == ["payloads-2020-03.parquet"]
    assert list(tmp_path.glob("*.parquet")) == []
    with database.transaction() as connection:
        gone = archive_reading.payloads(connection, {2: (at(3), False, "d")})[2]
        assert isinstance(gone, archive_reading.Gone)
        assert "years" in gone.why
        assert verify(connection) == []


def test_a_hold_needs_a_subject_a_reason_and_two_people(
    database: Database, database_url: str
) -> None:
    with database.transaction() as connection:
        with pytest.raises(holds.HoldRefused, match="--legal-entity"):
            holds.add(connection, "vera", because="x")
        with pytest.raises(holds.HoldRefused, match="--because"):
            holds.add(connection, "vera", because=" ", period="2020-03")
        number = holds.add(connection, "vera", because="an audit", period="2020-03")
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        psycopg.connect(database_url) as owner,
    ):
        owner.execute(
            "UPDATE legal_holds SET released_at = '2026-01-01', released_by = 'vera', "
            "released_because = 'x' WHERE hold_id = %s",
            (number,),
        )
