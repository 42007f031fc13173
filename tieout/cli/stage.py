"""The demo's stage: a landscape's processes on this machine, all stopped at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tieout.cli import processes as children
from tieout.cli.processes import Processes, fail_if_ended
from tieout.cli.running import bring_down, bring_up
from tieout.cli.shared import database_url
from tieout.cli.telling import undisturbed
from tieout.cli.watching import wait_for_landscape
from tieout.engine.context import Context
from tieout.engine.opening import renew

EMULATED_ERP = "netsuite"


class LocalStage:
    """See `tieout.rehearsal.northwind.staging.Stage`."""

    def __init__(
        self,
        folder: Path,
        environment: str,
        port: int,
        console_command: str,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._port = port
        self._say = say
        self.console_command = console_command

    def open(self) -> str:
        bring_up(self._folder, self._environment, self._port, with_worker=False, say=self._say)
        return database_url(self._folder)

    def start_worker(self) -> None:
        children.start_worker(
            Processes(self._folder), self._folder, self._environment, database_url(self._folder)
        )

    def look(self) -> None:
        fail_if_ended(Processes(self._folder), "worker")

    def erp_url(self, context: Context) -> str:
        spec = context.landscape.environments[self._environment].get(EMULATED_ERP)
        return spec.settings["base_url"] if spec is not None and spec.emulate else ""

    def quiet_seconds(self, context: Context) -> float:
        """Every stream is polled once more, and a webhook has time to be sent again."""
        environments = context.landscape.environments[self._environment]
        polled = [
            environments[name].poll_seconds
            for name, system in context.landscape.systems.items()
            if system.streams
        ]
        return max(polled, default=1.0) + 0.5

    def wait_for_landscape(self, context: Context) -> None:
        renew(context)
        wait_for_landscape(context)

    def close(self) -> None:
        with undisturbed():
            bring_down(self._folder)
