"""Years later: what left for the archive is still shown, verified and replayed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.engine.house import House
from tests.engine.test_audit_trail import verdict
from tests.engine.test_flow import order
from tests.engine.test_reprocess import again, doubled
from tests.store.months import kept_by_month
from tieout.store import archive as archive_store
from tieout.store import archive_expiry
from tieout.store.audit_checkpoints import seal_all
from tieout.store.evidence import KINDS
from tieout.store.life import life_of
from tieout.store.life_seen import Life


def life(home: House, any_id: str) -> Life:
    with home.connection() as connection:
        return life_of(connection, any_id)[0]


def put_away(home: House, folder: Path) -> None:
    home.clock.at = dt.datetime(2028, 6, 1, tzinfo=dt.UTC)
    archive_store.archive(
        home.database, landscape="test", folder=folder, before=dt.date(2027, 1, 1), actor="omar"
    )
    for table in ("payloads", "proofs", "attempts"):
        assert home.one(f"SELECT count(*) FROM {table}") == 0


def test_an_archived_life_is_shown_and_verified_as_before(
    home: House, database_url: str, tmp_path: Path
) -> None:
    kept_by_month(database_url, "2026-03")
    deal = order(home, "10")
    home.run()
    before = life(home, deal)
    assert before.dispatches[0].proofs
    assert before.dispatches[0].attempts
    proof = before.dispatches[0].proofs[0].proof_id
    leaves = "SELECT DISTINCT subject FROM audit_leaves WHERE starts_with(subject, 'proof/')"
    subjects = sorted(str(row[0]) for row in home.rows(leaves))
    with home.connection() as connection:
        rows = sorted(KINDS["proof"].rows(connection, subjects), key=lambda row: row.subject)
    put_away(home, tmp_path)
    assert life(home, deal) == before
    assert life(home, f"proof:{proof}").record_key == before.record_key
    with home.connection() as connection:
        now = sorted(KINDS["proof"].rows(connection, subjects), key=lambda row: row.subject)
        assert KINDS["proof"].away(connection) == len(subjects)
    assert now == rows
    (tmp_path / "proofs-2026-03.parquet").unlink()
    assert any("proofs-2026-03.parquet" in words for words in life(home, deal).left_out)


def test_an_archived_text_is_resolved_again_and_a_missing_one_is_refused(
    home: House, database_url: str, tmp_path: Path
) -> None:
    kept_by_month(database_url, "2026-03")
    deal = order(home, "10")
    home.run()
    home.go_on(60)  # the echo of our own write-back arrives too
    home.run()
    put_away(home, tmp_path)
    done = again(home, ids=[deal])
    assert (done.put_back, done.from_archive, done.refused) == (1, 1, 0)
    home.run()
    assert home.run_states() == ["complete"]
    assert doubled(home) == []
    archive_store.archive(
        home.database, landscape="test", folder=tmp_path, before=dt.date(2027, 1, 1), actor="omar"
    )
    (tmp_path / "payloads-2026-03.parquet").unlink()
    done = again(home, ids=[deal])
    assert (done.put_back, done.refused) == (0, 1)
    assert "payloads-2026-03.parquet" in done.refusals[0].why


@pytest.fixture
def archived(home: House, database_url: str, tmp_path: Path) -> tuple[House, str]:
    """A sealed life whose evidence left for the archive, and its record's id at the source."""
    kept_by_month(database_url, "2026-03")
    deal = order(home, "10")
    home.run()
    put_away(home, tmp_path)
    seal_all(home.database, tmp_path, "test", "sealer")
    assert verdict(home, tmp_path).findings == []
    return home, deal


def flip(path: Path) -> None:
    """One bit of a proof that the file still reads without complaint, or any bit of it."""
    table = pq.read_table(path)
    said = [str(one).replace("agrees", "AGREES") for one in table["verdict"].to_pylist()]
    at = table.schema.get_field_index("verdict")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(said)), path)


def test_a_changed_file_of_the_archive_is_named_and_not_believed(
    archived: tuple[House, str], tmp_path: Path
) -> None:
    home, deal = archived
    shown = life(home, deal)
    flip(tmp_path / "proofs-2026-03.parquet")
    now = life(home, deal)
    assert any("proofs-2026-03.parquet was changed" in words for words in now.left_out)
    assert [one.proofs for one in now.dispatches] == [()] * len(now.dispatches)
    assert [one.attempts for one in now.dispatches] == [one.attempts for one in shown.dispatches]
    found = verdict(home, tmp_path)
    (finding,) = found.findings
    assert "proofs-2026-03.parquet was changed" in finding.what
    assert found.recomputed < found.leaves, "what is in it was not recomputed"


def test_a_changed_file_of_another_table_is_named_too(
    archived: tuple[House, str], tmp_path: Path
) -> None:
    home, _ = archived
    path = tmp_path / "payloads-2026-03.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    (finding,) = verdict(home, tmp_path).findings
    assert "payloads-2026-03.parquet was changed" in finding.what


def test_proofs_whose_years_are_over_are_counted_and_no_finding(
    archived: tuple[House, str], tmp_path: Path
) -> None:
    home, _ = archived
    expired = home.one("SELECT sum(rows) FROM archived_months WHERE table_name = 'proofs'")
    archive_expiry.expire(home.database, keep_years=1, actor="omar", today=dt.date(2028, 6, 1))
    seal_all(home.database, tmp_path, "test", "sealer")
    found = verdict(home, tmp_path)
    assert found.findings == []
    assert found.expired == expired > 0
    assert found.recomputed + found.expired == found.leaves


@pytest.mark.parametrize("how", ["quietly", "register", "one more", "another month"])
def test_what_was_taken_out_without_an_action_is_found(
    archived: tuple[House, str], tmp_path: Path, database_url: str, how: str
) -> None:
    home, _ = archived
    with psycopg.connect(database_url) as superuser:
        if how == "quietly":
            (tmp_path / "proofs-2026-03.parquet").unlink()
            superuser.execute("UPDATE archived_months SET expired_at = now(), expired_by = 'omar'")
        elif how == "register":
            superuser.execute("DELETE FROM archived_months WHERE table_name = 'proofs'")
    if how in {"one more", "another month"}:
        archive_expiry.expire(home.database, keep_years=1, actor="omar", today=dt.date(2028, 6, 1))
        with psycopg.connect(database_url) as superuser:
            superuser.execute(
                "UPDATE archived_months SET rows = rows - 1 WHERE table_name = 'proofs'"
                if how == "one more"
                else "UPDATE archived_months SET month = '2026-01-01' WHERE table_name = 'proofs'"
            )
    assert verdict(home, tmp_path).found > 0


def test_an_older_leaf_of_an_archived_proof_still_finds_its_row(
    archived: tuple[House, str],
) -> None:
    home, _ = archived
    key = str(home.one("SELECT write_key FROM intents ORDER BY dispatch_id LIMIT 1"))
    with home.connection() as connection:
        rows = KINDS["proof"].rows(connection, [f"proof/{key}"])
    assert [row.subject for row in rows] == [f"proof/{key}"]
