"""A worker's pulse: what it does and counts, written to its row about once a second. Other
processes tell what they counted."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psycopg
from psycopg_pool import PoolTimeout

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.telemetry import TALLY
from tieout.store import workers
from tieout.store.database import Database
from tieout.store.workers import Pulse

SAY_SECONDS = 1.0


class PulseTeller:
    """Called by the worker's own thread between stages: a hung worker has no pulse."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._started_at = clock.now()
        self._said_at = float("-inf")
        self._tick_began = clock.monotonic()
        self.ticks = 0
        self.tick_seconds = 0.0

    def stage(self, name: str) -> None:
        """The worker goes on to this stage; said if SAY_SECONDS have gone by."""
        if clock.monotonic() - self._said_at >= SAY_SECONDS:
            self._say(name)

    def begin(self) -> None:
        self._tick_began = clock.monotonic()

    def ticked(self) -> None:
        """One more tick is done."""
        self.ticks += 1
        self.tick_seconds = clock.monotonic() - self._tick_began

    def now(self, stage: str) -> None:
        """Say it at once: others decide by it."""
        self._say(stage)

    def stop(self) -> None:
        """The worker ends in good order."""
        self._say("stopped")
        with self._context.database.transaction() as connection:
            workers.stop(connection, self._context.holder)

    def _say(self, stage: str) -> None:
        self._said_at = clock.monotonic()
        context = self._context
        calls, outcomes = TALLY.take()
        try:
            with context.database.looking() as connection:
                pulse = Pulse(
                    context.holder,
                    socket.gethostname()[:100],
                    os.getpid(),
                    context.landscape.content_hash,
                    self._started_at,
                    self.ticks,
                    stage,
                    len(context.leases),
                    self.tick_seconds,
                    memory_bytes(),
                )
                workers.say(connection, pulse, calls, outcomes)
        except psycopg.Error:
            TALLY.give_back(calls, outcomes)
            raise


def tell_counts(database: Database) -> bool:
    """What this process counted, added to everybody's; False when it could not be written: then it
    is kept and told later. For processes that are no workers; a worker's pulse tells its own."""
    calls, outcomes = TALLY.take()
    if not calls and not outcomes:
        return True
    try:
        with database.looking() as connection:
            workers.count(connection, calls, outcomes)
    except (psycopg.Error, PoolTimeout):
        TALLY.give_back(calls, outcomes)
        return False
    return True


def memory_bytes() -> int:
    """Memory this process holds now; 0 where the machine does not tell (no /proc)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
