"""The stamp of a landscape: changes with its files, and never looks into what lies beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tieout.landscape.stamp import stamp


def test_it_changes_with_the_files_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    flow = tmp_path / "flows" / "a.yaml"
    flow.write_text("flow: a")
    before = stamp(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert stamp(tmp_path) == before
    os.utime(flow, ns=(1, 1))
    changed = stamp(tmp_path)
    assert changed != before
    (tmp_path / "functions.py").write_text("")
    assert stamp(tmp_path) != changed
    flow.unlink()
    (tmp_path / "flows" / ".#a.yaml").symlink_to("somebody@host.1")  # as an editor leaves one
    assert [path for path, _ in stamp(tmp_path)] == [str(tmp_path / "functions.py")]


def test_the_state_folder_is_not_walked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".tieout/postgres/base", ".git/objects", "data", "flows"):
        (tmp_path / name).mkdir(parents=True)
    looked: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        looked.append(os.path.basename(path))  # noqa: PTH119  as os.walk gives it
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    stamp(tmp_path)
    assert sorted(looked) == sorted([tmp_path.name, "flows"])
