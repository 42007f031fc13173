"""Waiting for rest: beside a worker that runs already, or by doing its work in this process."""

from __future__ import annotations

from collections.abc import Callable

from tieout import clock
from tieout.cli.telling import NotAvailable
from tieout.engine import dispatch
from tieout.engine.context import Context
from tieout.engine.rest import Progress, progress
from tieout.engine.worker import lease_names, tick
from tieout.store import leases

LOOK_SECONDS = 0.25
TAKE_UP_SECONDS = 15.0


class RestAwaiter:
    """Works, or watches, until nothing moves any more or `most_seconds` are over."""

    def __init__(
        self,
        context: Context,
        most_seconds: float,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._context = context
        self._most_seconds = most_seconds
        self._on_progress = on_progress

    def work_until_rest(self, *, poll_first: bool) -> bool:
        """Take every free lease and tick; what another worker holds is left to it. True at rest."""
        context = self._context
        deadline = clock.monotonic() + self._most_seconds
        with context.database.listening("tieout_work") as life:
            leases.live(life, context.holder)
            try:
                poll = poll_first
                while clock.monotonic() < deadline:
                    self._lease()
                    did = tick(context, poll_at_once=poll)
                    now = self._look()
                    if now.at_rest and not did.busy and not poll:
                        return True
                    poll = False
                    if not did.busy:
                        clock.sleep(LOOK_SECONDS)
                return False
            finally:
                with context.database.transaction() as connection:
                    leases.give_back(connection, context.holder)
                context.leases = {}

    def _lease(self) -> None:
        context = self._context
        before = set(context.leases)
        with context.database.transaction() as connection:
            context.leases = leases.take(
                connection, lease_names(context), context.holder, context.landscape.content_hash
            )
        if set(context.leases) - before:
            dispatch.recover(context)

    def _look(self) -> Progress:
        with self._context.database.transaction() as connection:
            now = progress(connection)
        if self._on_progress is not None:
            self._on_progress(now)
        return now


def wait_for_landscape(context: Context) -> None:
    """Wait until every worker works by the landscape as it is on disk now.

    Raises NotAvailable when one still does not: it may have refused the changed files.
    """
    deadline = clock.monotonic() + TAKE_UP_SECONDS
    while True:
        with context.database.transaction() as connection:
            if not leases.behind(connection, context.landscape.content_hash):
                return
        if clock.monotonic() > deadline:
            raise NotAvailable(
                f"a worker still works by an older landscape after {TAKE_UP_SECONDS:.0f} s; "
                "its log, .tieout/log/worker.log, says why. Nothing was replayed"
            )
        clock.sleep(LOOK_SECONDS)
