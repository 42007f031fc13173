"""Whether the files of a landscape have changed, without reading them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SUFFIXES = frozenset((".yaml", ".csv", ".py"))
NOT_OURS = frozenset((".tieout", ".git", "data"))  # state, history, rows: large, and no landscape

Stamp = frozenset[tuple[str, int]]


def stamp(folder: Path) -> Stamp:
    """The landscape's files and when each was written last: another stamp, another look. What lies
    beside them, a database above all, is not walked through. Raises OSError."""
    found: list[tuple[str, int]] = []
    for where, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in NOT_OURS]
        for name in files:
            path = Path(where, name)
            if path.suffix in SUFFIXES:
                with contextlib.suppress(FileNotFoundError):  # an editor's lock, or gone just now
                    found.append((str(path), path.stat().st_mtime_ns))
    return frozenset(found)
