"""Waiting for rest: beside a worker that runs already, or by doing its work in this process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from tieout import clock
from tieout.cli.telling import NotAvailable
from tieout.engine import dispatch
from tieout.engine.context import Context
from tieout.engine.heartbeat import Heartbeat
from tieout.engine.pulse import SAY_SECONDS, tell_counts
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
        self._told_at = clock.monotonic()

    def work_until_rest(self, *, poll_first: bool) -> bool:
        """Take every free lease and tick; what another worker holds is left to it. True at rest.

        `poll_first`: it is not rest before every stream has been read anew, by whoever holds its
        lease; only a system that does not work now is not waited for.
        """
        context = self._context
        since = self._poll_now() if poll_first else None
        deadline = clock.monotonic() + self._most_seconds
        with context.database.listening("tieout_work") as life, Heartbeat(context):
            leases.live(life, context.holder)
            try:
                while clock.monotonic() < deadline:
                    self._lease()
                    did = tick(context)
                    self._tell_counts()
                    now = self._look()
                    if now.at_rest and not did.busy and not self._unread(since):
                        return True
                    if not did.busy:
                        clock.sleep(LOOK_SECONDS)
                return False
            finally:
                with context.database.transaction() as connection:
                    leases.give_back(connection, context.holder)
                context.leases = {}
                tell_counts(context.database)

    def _tell_counts(self) -> None:
        if clock.monotonic() - self._told_at >= SAY_SECONDS:
            self._told_at = clock.monotonic()
            tell_counts(self._context.database)

    def _poll_now(self) -> dt.datetime:
        """Make every stream due at once, for us or for the worker that polls it."""
        with self._context.database.transaction() as connection:
            connection.execute("UPDATE stream_cursors SET read_at = to_timestamp(0)")
        return clock.now()

    def _unread(self, since: dt.datetime | None) -> int:
        """How many polled streams of working systems were not read since then."""
        if since is None:
            return 0
        polled = [
            (name, stream)
            for name, system in self._context.landscape.systems.items()
            for stream in system.streams
        ]
        with self._context.database.transaction() as connection:
            row = connection.execute(
                "SELECT count(*) FROM unnest(%s::text[], %s::text[]) AS p (system, stream) "
                "WHERE NOT EXISTS (SELECT FROM stream_cursors c WHERE c.system = p.system "
                "  AND c.stream = p.stream AND c.read_at >= %s) "
                "AND NOT EXISTS (SELECT FROM system_states s WHERE s.system = p.system "
                "  AND s.state IN ('down', 'denied'))",
                ([name for name, _ in polled], [stream for _, stream in polled], since),
            ).fetchone()
        return int(row[0]) if row else 0

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
