"""References to secrets: where they are looked for, and that a missing one never shows a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieout.ports.secrets import SecretMissing, resolve


def test_a_relative_path_starts_at_the_landscape(tmp_path: Path) -> None:
    landscape = tmp_path / "landscape"
    landscape.mkdir()
    (tmp_path / "password").write_text("hunter2\n")
    assert resolve("password", "file:../password", landscape) == "hunter2"
    assert resolve("password", f"file:{tmp_path / 'password'}", landscape) == "hunter2"


def test_a_missing_file_names_the_reference(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="cannot read nowhere"):
        resolve("password", "file:nowhere", tmp_path)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", "hunter2")
    assert resolve("password", "env:LEDGER_PASSWORD") == "hunter2"
    monkeypatch.delenv("LEDGER_PASSWORD")
    with pytest.raises(SecretMissing, match="LEDGER_PASSWORD is not set"):
        resolve("password", "env:LEDGER_PASSWORD")
