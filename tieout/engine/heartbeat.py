"""The heartbeat: leases are kept while a tick takes long, and not when it hangs.

A tick that reads a big page or calls a slow system may take longer than a lease lasts. So leases
are renewed beside it, for as long as it gets on: begins a transaction or ends a call. A worker that
does neither for a while is hung; its leases run out and a successor takes over. A process that is
frozen as a whole does not beat either. The worker's row says the same, so that the watchdog tells
who hangs from who waits for a slow answer.
"""

from __future__ import annotations

import datetime as dt
from types import TracebackType

import psycopg
from psycopg_pool import PoolTimeout

from tieout import clock
from tieout.engine.context import Context
from tieout.store import leases, workers
from tieout.store.leases import LEASE_SECONDS

BEAT_SECONDS = LEASE_SECONDS / 5
HANG_SECONDS = 60.0  # without any step: hung
MARGIN_SECONDS = 15.0  # what a call may take beyond its own time limit


class Heartbeat:
    """Renews a process's leases beside its work, between entering and leaving."""

    def __init__(self, context: Context) -> None:
        self._context = context
        slowest = max(
            (
                one.timeout_seconds
                for one in context.landscape.environments[context.environment].values()
            ),
            default=0.0,
        )
        self._hang_seconds = max(HANG_SECONDS, slowest + MARGIN_SECONDS)
        self.missed = 0  # beats that failed: the database did not answer

    def __enter__(self) -> Heartbeat:
        self._stop = clock.every(BEAT_SECONDS, self.beat)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def beat(self) -> bool:
        """Renew once; False when the work beside it hangs, or the database does not answer, which
        the work will meet by itself."""
        began = clock.monotonic()
        still = began - self._context.moved_at()
        hangs = still > self._hang_seconds
        moved_at = clock.now() - dt.timedelta(seconds=still if hangs else 0.0)
        try:
            with self._context.database.transaction() as connection:
                workers.moved(connection, self._context.holder, moved_at)
                if hangs:
                    return False
                kept = leases.renew(connection, self._context.holder)
        except (psycopg.Error, PoolTimeout):
            self.missed += 1
            return False
        if kept >= len(self._context.leases):  # else somebody has taken over
            self._context.leases_until = began + leases.LEASE_SECONDS
        return True
