"""The worker: one process that keeps turning the record plane, tick by tick.

A tick is collect, resolve, flow, dispatch, confirm. Work done in one tick is followed by the next
at once; an idle worker sleeps until the database tells it that something came in, or until its
poll is due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from tieout import clock
from tieout.engine import confirm, dispatch, flow, periods, resolve
from tieout.engine.collect import collect
from tieout.engine.context import Context
from tieout.engine.sealing import Sealer
from tieout.store import leases
from tieout.store.arrivals import PARTITIONS
from tieout.store.leases import LEASE_SECONDS, LeaseLost

IDLE_SECONDS = 0.2
RENEW_SECONDS = LEASE_SECONDS / 5
MOST_LOST_LEASES = 100


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did."""

    arrived: int
    resolved: int
    moves: int
    sent: int
    followed: int
    confirmed: int

    @property
    def busy(self) -> bool:
        return any(
            (self.arrived, self.resolved, self.moves, self.sent, self.followed, self.confirmed)
        )


def tick(context: Context, *, poll_at_once: bool = False) -> Tick:
    """One turn of the engine over everything this process holds leases for."""
    periods.refresh(context)
    collected = collect(context, at_once=poll_at_once)
    resolved = resolve.resolve(context)
    moves = flow.advance(context)
    sent = dispatch.send(context)
    followed = dispatch.follow(context)
    confirmed = confirm.confirm(context)
    return Tick(collected.new, resolved, moves, sent, followed, confirmed)


def lease_names(context: Context) -> list[str]:
    """Everything a worker of this landscape may hold."""
    return [f"partition:{no}" for no in range(PARTITIONS)] + [
        f"poll:{system}" for system in context.landscape.systems
    ]


class Worker:
    """Takes leases, keeps them, and ticks until told to stop."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._renewed_at = float("-inf")
        self._told = ""  # the landscape state that our leases name
        self._seal = Sealer(context)

    def run(self, stopping: Callable[[], bool], on_tick: Callable[[Tick], None]) -> None:
        """Tick until `stopping()`; leases are given back at the end. Survives a lost lease by
        dropping the work of that tick; any other error ends the process loudly."""
        with self.context.database.listening("tieout_work") as ears:
            leases.live(ears, self.context.holder)
            lost = 0
            while not stopping():
                self._keep_leases()
                try:
                    done = tick(self.context)
                except (LeaseLost, psycopg.errors.TransactionRollback):  # or a deadlock: undone
                    lost += 1
                    if lost > MOST_LOST_LEASES:
                        raise
                    # Taken anew, so that what this tick was sending is looked after like a dead
                    # worker's: nobody else does in the partitions that are still ours.
                    self.context.leases = {}
                    self._renewed_at = float("-inf")
                    continue
                on_tick(done)
                self._seal()
                if not done.busy:
                    self._idle(ears)
            self._seal(at_once=True)
            with self.context.database.transaction() as connection:
                leases.give_back(connection, self.context.holder)

    def _keep_leases(self) -> None:
        unchanged = self._told == self.context.landscape.content_hash
        if unchanged and clock.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        before = set(self.context.leases)
        with self.context.database.transaction() as connection:
            self.context.leases = leases.take(
                connection,
                lease_names(self.context),
                self.context.holder,
                self.context.landscape.content_hash,
            )
        self._told = self.context.landscape.content_hash
        self._renewed_at = clock.monotonic()
        if set(self.context.leases) - before:
            dispatch.recover(self.context)

    @staticmethod
    def _idle(ears: psycopg.Connection[tuple[object, ...]]) -> None:
        """Sleep until something comes in, at most IDLE_SECONDS."""
        for _ in ears.notifies(timeout=IDLE_SECONDS, stop_after=1):
            return
