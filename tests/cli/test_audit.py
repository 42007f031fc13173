"""audit seal, verify, prove, export: on a landscape that has really sold something."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg

from tests.cli.test_daily import good_deal
from tests.processes.shop import Shop
from tieout.cli.telling import FORBIDDEN, NO


def test_seal_then_verify(shop: Shop) -> None:
    done = shop.inside("audit", "seal", "--as", "omar", "--json")
    assert done.code == 0, done.err
    assert done.json["size"] == shop.ask("SELECT count(*) FROM audit_batches")[0][0]
    assert done.json["waiting"] == 0
    assert done.json["checkpoint"].startswith("tieout/")
    assert list((shop.folder / ".tieout" / "checkpoints").glob("*.txt"))
    verified = shop.inside("audit", "verify", "--as", "yuki", "--json")
    assert verified.code == 0, verified.out + verified.err
    assert verified.json["holds"] is True
    assert verified.json["covered"] == verified.json["batches"]
    assert verified.json["recomputed"] == verified.json["leaves"] > 0
    assert "Nothing was changed." in shop.inside("audit", "verify", "--as", "yuki").out


def test_sealing_is_for_those_who_may(shop: Shop) -> None:
    assert shop.inside("audit", "seal", "--as", "nobody-of-that-name").code == FORBIDDEN


def test_a_changed_row_is_told_in_plain_words(shop: Shop) -> None:
    assert shop.inside("audit", "seal", "--as", "omar").code == 0
    change = "UPDATE records SET amount = amount {} 0.01 WHERE source_key = %s"
    deal = shop.deals[good_deal(shop)]
    with psycopg.connect(shop.url, autocommit=True) as superuser:
        superuser.execute(change.format("+"), (deal,))
        try:
            done = shop.inside("audit", "verify", "--as", "yuki")
        finally:
            superuser.execute(change.format("-"), (deal,))
    assert done.code == NO
    assert "the row is not what was recorded" in done.out
    assert "where: records, record/sales_order/" in done.out
    assert "when a checkpoint was signed over the original" in done.out
    assert "the audit trail was changed" in done.err
    assert shop.inside("audit", "verify", "--as", "yuki").code == 0


def test_an_auditors_own_checkpoints_are_held_against_it(shop: Shop, tmp_path: Path) -> None:
    assert shop.inside("audit", "seal", "--as", "omar").code == 0
    mine = tmp_path / "mine"
    shutil.copytree(shop.folder / ".tieout" / "checkpoints", mine)
    key = shutil.copy(shop.folder / ".tieout" / "keys" / "audit.pub", tmp_path / "mine.pub")
    assert shop.inside("audit", "verify", "--as", "yuki", "--against", mine, "--key", key).code == 0
    late = shop.inside("audit", "verify", "--as", "yuki", "--not-before", "2999-01-01T00:00:00Z")
    assert late.code == NO
    assert "too old" in late.out


def test_a_proof_and_an_export_hold_without_us(shop: Shop, tmp_path: Path) -> None:
    assert shop.inside("audit", "seal", "--as", "omar").code == 0
    number = good_deal(shop)
    proofs = tmp_path / "proofs"
    done = shop.inside("audit", "prove", number, "--as", "yuki", "--to", proofs, "--json")
    assert done.code == 0, done.err
    kinds = {one["subject"].partition("/")[0] for one in done.json["proofs"]}
    assert kinds == {"record", "dispatch", "proof"}
    target = tmp_path / "evidence"
    done = shop.inside("audit", "export", target, "--as", "yuki", "--with-rows")
    assert done.code == 0, done.err
    for file in (target, *sorted(proofs.glob("*.json"))):
        checked = subprocess.run(
            [sys.executable, "-I", "-S", target / "audit_verifier.py", file,
             "--key", target / "audit.pub"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert number in (target / "log.jsonl").read_text(), "the rows are in it"
    again = shop.inside("audit", "export", target, "--as", "yuki")
    assert again.code != 0
    assert "not empty" in again.err


def test_prove_says_when_there_is_nothing(shop: Shop) -> None:
    assert shop.inside("audit", "seal", "--as", "omar").code == 0
    done = shop.inside("audit", "prove", "no-such-id", "--as", "yuki")
    assert done.code == NO
    assert "tieout show" in done.err
    assert shop.inside("audit", "prove", "no-such-id", "--as", "omar").code == FORBIDDEN
