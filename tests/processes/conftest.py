"""A folder for whole landscapes that the database's service user can reach; emptied afterwards."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.commands import free_ports
from tieout.cli.running import bring_down


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh folder; whatever landscape was started in it is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tieout-process-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for marker in folder.rglob("landscape.yaml"):
            with contextlib.suppress(Exception):  # the next one must be stopped all the same
                bring_down(marker.parent)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def port() -> int:
    """The first of four free ports."""
    return free_ports()
