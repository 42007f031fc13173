"""Years later: what left for the archive is still shown, verified and replayed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.engine.house import House
from tests.engine.test_flow import order
from tests.engine.test_reprocess import again, doubled
from tests.store.months import kept_by_month
from tieout.store import archive as archive_store
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
