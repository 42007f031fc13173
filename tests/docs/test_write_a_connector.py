"""The tutorial is true: its blocks, cut out of the page, keep the connector contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.tutorial import PAGE, unfold


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return unfold(tmp_path)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tutorials_connector_keeps_the_contract(package: Path) -> None:
    result = run(package, "pytest", "tests", "-q", "-p", "no:cacheprovider", "-c", os.devnull)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert re.search(r"\b(4\d|5\d) passed", result.stdout), result.stdout[-500:]
    assert "skipped" not in result.stdout


def test_the_tutorials_connector_is_found_by_entry_point(package: Path) -> None:
    script = (
        "from importlib.metadata import entry_points;"
        "from tieout.emulators.host import factory;"
        "(point,) = entry_points(group='tieout.connectors', name='abacus');"
        "print(point.load().title, factory('abacus').name)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == "Abacus ledger abacus\n", result.stderr


def test_the_page_passes_the_houses_checks(package: Path) -> None:
    house = PAGE.parents[1] / "pyproject.toml"
    for arguments in (
        ("ruff", "check", "--config", str(house), "--ignore", "I,RUF012", "."),
        ("ruff", "format", "--check", "--config", str(house), "."),
        ("mypy", "--strict", "tieout_abacus", "tieout_abacus_emulator.py"),
    ):
        result = run(package, *arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
