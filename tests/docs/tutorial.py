"""Cuts the connector tutorial out of its page, into a folder that offers it as a package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "write_a_connector.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """File name to content, as the page shows them."""
    return dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def unfold(folder: Path) -> Path:
    """Write the page's files, and the entry points that installing them would register."""
    for name, content in blocks().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    project = tomllib.loads(blocks()["pyproject.toml"])["project"]
    offered = folder / "tieout_abacus-1.0.0.dist-info"
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
    return folder
