"""What the story needs of the place it is told at: processes of a real landscape."""

from __future__ import annotations

from typing import Protocol

from tieout.engine.context import Context


class Stage(Protocol):
    """Starts and stops what the demo needs. The command line has the one on this machine."""

    console_command: str

    def open(self) -> str:
        """Start database, emulated systems and console; returns the database's URL."""

    def start_worker(self) -> None: ...
    def look(self) -> None:
        """Raise when a process that the story needs has ended by itself."""

    def erp_url(self, context: Context) -> str:
        """Where the emulated ERP listens; "" when the ERP is real."""

    def quiet_seconds(self, context: Context) -> float:
        """How long it must be quiet before nothing more can come."""

    def wait_for_landscape(self, context: Context) -> None:
        """Return when the worker has taken up the landscape's changed files."""

    def close(self) -> None: ...
