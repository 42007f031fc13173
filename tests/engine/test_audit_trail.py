"""What the engine does leaves leaves that can be recomputed from its rows, of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.house import House
from tests.engine.test_flow import order
from tieout import clock
from tieout.engine import sealing
from tieout.engine.reconcile import reconcile
from tieout.engine.sealing import CHECKPOINT_SECONDS, SEAL_SECONDS, Sealer
from tieout.store import audit, audit_checkpoints
from tieout.store.audit_checkpoints import seal_all
from tieout.store.audit_keys import key_path, public_keys, public_path
from tieout.store.audit_verify import Verdict, verify

TABLES = {
    "record": "records",
    "proof": "proofs",
    "dispatch": "intents",
    "tie_out": "tie_outs",
    "action": "actions",
}


def verdict(home: House, state: Path) -> Verdict:
    keys = public_keys(public_path(state))
    with home.connection() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return verify(connection, audit_checkpoints.folder_of(state), keys)


def test_a_whole_story_is_recomputed_from_its_rows(home: House, tmp_path: Path) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "12")
    home.run()
    reconcile(home.engine, next(iter(home.landscape.reconciliations.values())))
    with home.connection() as connection:
        audit.action(connection, "omar", "sync", {"environment": "demo"})
    seal_all(home.engine.database, tmp_path, "test", "sealer")
    found = verdict(home, tmp_path)
    assert found.findings == []
    assert found.waiting == 0
    assert found.recomputed == found.leaves
    for kind, table in TABLES.items():
        count = home.one(f"SELECT count(*) FROM {table}")
        assert count > 0
        leaves = home.one("SELECT count(*) FROM audit_leaves WHERE subject LIKE %s", f"{kind}/%")
        assert leaves == count, kind


def test_the_worker_seals_by_the_clock_and_signs_when_it_is_time(
    home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_AUDIT_KEY", str(tmp_path / "keys" / "audit.key"))
    monkeypatch.setenv("TIEOUT_AUDIT_CHECKPOINTS", str(tmp_path / "checkpoints"))
    deal = order(home, "10")
    home.run()
    seal = Sealer(home.engine)
    seal()
    size = home.one("SELECT max(size) FROM audit_seals")
    assert size == home.one("SELECT count(*) FROM audit_batches")
    assert home.one("SELECT count(*) FROM audit_checkpoints") == 1
    home.seller.reprice(deal, "11")
    home.run()
    seal()
    clock.sleep(SEAL_SECONDS)
    seal()
    assert home.one("SELECT max(size) FROM audit_seals") > size
    assert home.one("SELECT count(*) FROM audit_checkpoints") == 1, "signed only now and then"
    clock.sleep(CHECKPOINT_SECONDS)
    seal()
    seal(at_once=True)
    assert home.one("SELECT count(*) FROM audit_checkpoints") == 3
    assert CHECKPOINT_SECONDS + SEAL_SECONDS < 15 * 60
    assert verdict(home, tmp_path).findings == []


def test_what_stands_in_the_way_is_said_once_and_stops_nothing(
    home: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIEOUT_AUDIT_KEY", str(tmp_path / "keys" / "audit.key"))
    monkeypatch.setenv("TIEOUT_AUDIT_CHECKPOINTS", str(tmp_path / "checkpoints"))
    seal = sealing.Sealer(home.engine)
    seal(at_once=True)
    key_path(tmp_path).unlink()
    seal(at_once=True)
    seal(at_once=True)
    said = capsys.readouterr().err
    assert said.count("the audit log is not sealed") == 1
    assert "the audit key is not at" in said
