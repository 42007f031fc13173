"""The tutorial is true: its blocks, cut out of the page, keep the connector contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write_a_connector.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """File name to content, as the page shows them."""
    return dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's files in a folder that offers its entry points as an installed package would."""
    for name, content in blocks().items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    project = tomllib.loads(blocks()["pyproject.toml"])["project"]
    offered = tmp_path / "tieout_abacus-1.0.0.dist-info"
    offered.mkdir()
    (offered / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    ]
    (offered / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


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


def contract(folder: Path, case: str = "") -> subprocess.CompletedProcess[str]:
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull, "-k", case)
    return run(folder, "pytest", "tests", *options)


def test_the_tutorials_connector_keeps_the_contract(package: Path) -> None:
    result = contract(package)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert re.search(r"\b(4\d|5\d|6\d) passed", result.stdout), result.stdout[-500:]
    assert "skipped" not in result.stdout


@pytest.mark.parametrize("mistake", ["silence is no", "html is yes", "float", "a row forgotten"])
def test_the_contract_catches_what_goes_wrong_most_often(package: Path, mistake: str) -> None:
    file, right, wrong, at, caught_by = {
        "silence is no": (
            "wire.py",
            "else Unknown(detail)",
            "else Rejected(detail)",
            "write_",
            "a_lost_reply_is_unknown_and_found",
        ),
        "html is yes": (
            "wire.py",
            "else _unreadable(response)",
            'else {"id": "1"}',
            "write_",
            "a_web_page_is_unknown",
        ),
        "float": (
            "connector.py",
            'Decimal(str(write.document["amount"]))',
            'float(str(write.document["amount"]))',
            "write_",
            "amounts_are_exact",
        ),
        "a row forgotten": (
            "connector.py",
            "return Page(items, json.dumps(after), more=True)",
            "return Page(items[:-1], json.dumps(after), more=True)",
            "read_",
            "pages_lose_nothing",
        ),
    }[mistake]
    path = package / "tieout_abacus" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    result = contract(package, caught_by)
    assert result.returncode == 1, f"the suite let the mistake pass: {result.stdout[-3000:]}"
    assert f"FAILED tests/test_abacus.py::TestAbacus::test_{at}{caught_by}" in result.stdout


def test_the_page_passes_the_houses_checks(package: Path) -> None:
    house = PAGE.parents[1] / "pyproject.toml"
    for arguments in (
        ("ruff", "check", "--config", str(house), "--ignore", "I,RUF012", "."),
        ("ruff", "format", "--check", "--config", str(house), "."),
        ("mypy", "--strict", "tieout_abacus", "tieout_abacus_emulator.py"),
    ):
        result = run(package, *arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
