"""The command line: the roof of the house. `tieout --help` is the map."""

from __future__ import annotations

from tieout.cli.app import main

__all__ = ["main"]
