"""How long evidence is kept, and where: what policies/retention.yaml says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RETENTION_FILE = "retention.yaml"
STATE_FOLDER = ".tieout"


@dataclass(frozen=True, slots=True)
class RetentionSpec:
    """`hot_months` stay in the database, the current one included; files of older months are kept
    for `keep_years` in `folder` (relative to the landscape's folder; "" is `.tieout/archive`)."""

    hot_months: int = 18
    keep_years: int = 10
    folder: str = ""

    def folder_in(self, landscape: Path) -> Path:
        """The archive's folder."""
        if not self.folder:
            return landscape / STATE_FOLDER / "archive"
        return landscape / self.folder
