"""Group commit: webhooks that arrive while a commit runs are committed together by the next one.

One thread with its own connection stores; a single webhook leaves at once, since nothing waits for
a timer. What waits is bounded in number and bytes: whoever comes when it is full is refused.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass

import psycopg

from tieout import clock
from tieout.engine import pacing
from tieout.engine.collect import Taken, keep
from tieout.engine.context import Context
from tieout.store.database import Connection, Database, DatabaseUnfit

MOST_WAITING = 1_000
MOST_WAITING_BYTES = 16 * 1024 * 1024
MOST_PER_COMMIT = 500
OVERFULL_SECONDS = 1.0  # how often it is asked whether the workers keep up
DATABASE_SECONDS = 2.0  # a vendor waits a few seconds for an answer: tell it before it gives up


class Full(Exception):
    """More waits than may, here or for the workers: this one is not taken."""


class NotKept(Exception):
    """The database took nothing; what was offered is not stored."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One webhook on its way into the database."""

    taken: Taken
    kept: Future[None]


class GroupCommit:
    """The way from verified webhooks into the database. `offer` is safe from any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database: Database | None = None
        self._thread = clock.executor(1)
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._at_work = False
        self._closed = False
        self._asked_at = float("-inf")  # whether the workers keep up, and when that was asked
        self._overfull = False

    def offer(self, taken: Taken) -> Future[None]:
        """Put a webhook in line; the future is done when it is committed.

        Raises Full. The future raises NotKept when the database does not answer, and whatever the
        database said about this one webhook when it cannot be stored.
        """
        one = _Waiting(taken, Future())
        with self._lock:
            too_many = len(self._waiting) >= MOST_WAITING
            behind = self._overfull and clock.monotonic() - self._asked_at < OVERFULL_SECONDS
            if self._closed or behind or too_many or self._bytes + taken.size > MOST_WAITING_BYTES:
                raise Full
            self._waiting.append(one)
            self._bytes += taken.size
            idle, self._at_work = not self._at_work, True
        if idle:
            self._thread.submit(self._work)
        return one.kept

    def close(self) -> None:
        """Commit what waits, take nothing more, and let go of the connection."""
        with self._lock:
            self._closed = True
        self._thread.shutdown(wait=True)
        self._let_go()

    def _work(self) -> None:
        """Commit until nothing waits; what waits is bounded, and so is one commit."""
        while batch := self._next():
            self._commit(batch)

    def _next(self) -> list[_Waiting]:
        """What the next commit takes; empty when the thread may rest."""
        batch: list[_Waiting] = []
        with self._lock:
            while self._waiting and len(batch) < MOST_PER_COMMIT:
                one = self._waiting.popleft()
                self._bytes -= one.taken.size
                if one.kept.set_running_or_notify_cancel():
                    batch.append(one)
            self._at_work = bool(batch)
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        """One transaction for all; when the database refuses its content, halves, so that the one
        it cannot take is the only one that is not kept."""
        try:
            self._keep(batch)
        except Full as full:
            self._refuse(batch, full)
        except Exception as error:  # noqa: BLE001  whoever waits for an answer is told, never left
            if _is_away(error):
                self._let_go()
                self._refuse(batch, NotKept(str(error)))
                return
            if len(batch) == 1:
                self._refuse(batch, error)
                return
            middle = len(batch) // 2
            self._commit(batch[:middle])
            self._commit(batch[middle:])
        else:
            for one in batch:
                one.kept.set_result(None)

    def _keep(self, batch: list[_Waiting]) -> None:
        """One transaction; after a deadlock with somebody else's, which undid it, once more."""
        taken = [one.taken for one in batch]
        try:
            with self._opened().transaction() as connection:
                self._refuse_when_behind(connection)
                keep(self._context, connection, taken)
        except psycopg.errors.TransactionRollback:
            with self._opened().transaction() as connection:
                keep(self._context, connection, taken)

    def _refuse_when_behind(self, connection: Connection) -> None:
        """Raises Full while more waits for the workers than may; asked about once a second."""
        if clock.monotonic() - self._asked_at >= OVERFULL_SECONDS:
            self._overfull = pacing.overfull(connection) is not None
            self._asked_at = clock.monotonic()
        if self._overfull:
            raise Full

    @staticmethod
    def _refuse(batch: list[_Waiting], error: Exception) -> None:
        for one in batch:
            one.kept.set_exception(error)

    def _let_go(self) -> None:
        """Connect anew for the next commit: a pool that lost its server asks for it ever more
        rarely, and would refuse webhooks long after it is back."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _opened(self) -> Database:
        """The database over a connection that nobody else uses. Raises DatabaseUnfit."""
        if self._database is None:
            made = Database(
                self._context.database.url, most_connections=1, wait_seconds=DATABASE_SECONDS
            )
            self._database = made.open()
        return self._database


def _is_away(error: Exception) -> bool:
    """Whether the database as a whole takes nothing now: no connection (08), out of disk or memory
    (53), shutting down (57), its system failing (58). Otherwise it refused this content."""
    if isinstance(error, DatabaseUnfit | psycopg.InterfaceError):
        return True
    state = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.OperationalError) and state is None:
        return True
    return state is not None and state[:2] in {"08", "53", "57", "58"}
