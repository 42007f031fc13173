"""The worker: one process that keeps turning the record plane, tick by tick.

A tick is collect, resolve, flow, dispatch, confirm. Work done in one tick is followed by the next
at once; an idle worker sleeps until the database tells it that something came in, or until its
poll is due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import psycopg

from tieout import clock
from tieout.engine import confirm, dispatch, flow, periods, resolve
from tieout.engine.collect import collect
from tieout.engine.context import Context
from tieout.engine.heartbeat import Heartbeat
from tieout.engine.logs import event
from tieout.engine.pulse import PulseTeller
from tieout.engine.sealing import Sealer
from tieout.engine.telemetry import span
from tieout.store import backlog, leases, workers
from tieout.store.arrivals import PARTITIONS
from tieout.store.database import Connection
from tieout.store.leases import LEASE_SECONDS, LeaseLost

IDLE_SECONDS = 0.2
RENEW_SECONDS = LEASE_SECONDS / 5
MOST_LOST_LEASES = 100  # in a row: then something is wrong that a new process may not have


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


def tick(
    context: Context,
    *,
    poll_at_once: bool = False,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Tick:
    """One turn of the engine over everything this process holds leases for. `on_stage` hears where
    it is."""

    def staged(name: str, work: Callable[[], int]) -> int:
        on_stage(name)
        with span(f"tick {name}") as told:
            done = work()
            told["tieout.count"] = done
        if done:
            event(name, level="debug", count=done)
        return done

    periods.refresh(context)
    with context.looking() as connection:
        waits = backlog.waits(connection, context.compiled.targets, context.partitions())
    # A stage that has nothing to do is left out: what an earlier stage of this tick brings about is
    # its work as well, what others bring about meanwhile is the next tick's.
    arrived = staged("collect", lambda: collect(context, at_once=poll_at_once).new)
    resolved = moves = sent = followed = confirmed = 0
    if waits.arrivals or arrived:
        resolved = staged("resolve", lambda: resolve.resolve(context))
    if waits.runs or resolved:
        moves = staged("flow", lambda: flow.advance(context))
    if waits.planned or resolved or moves:
        sent = staged("dispatch", lambda: dispatch.send(context))
    if waits.accepted or sent:
        followed = staged("follow", lambda: dispatch.follow(context))
    if waits.written or sent or followed:
        confirmed = staged("confirm", lambda: confirm.confirm(context))
    return Tick(arrived, resolved, moves, sent, followed, confirmed)


def lease_names(context: Context) -> list[str]:
    """Everything a worker of this landscape may hold."""
    return [f"partition:{no}" for no in range(PARTITIONS)] + [
        f"poll:{system}" for system in context.landscape.systems
    ]


def _by_kind(names: list[str]) -> list[list[str]]:
    """Leases of which each worker has an even share: partitions, and polls."""
    return [[name for name in names if name.startswith(kind)] for kind in ("partition:", "poll:")]


class Worker:
    """Takes leases, keeps them, and ticks until told to stop."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._renewed_at = float("-inf")
        self._lost = 0  # ticks in a row
        self._told = ""  # the landscape state that our leases name
        self._seal = Sealer(context)
        self._pulse = PulseTeller(context)

    def run(self, stopping: Callable[[], bool], on_tick: Callable[[Tick], None]) -> None:
        """Turn until `stopping()`; leases are given back at the end. Any error that `turn` raises
        ends the process loudly."""
        with self.context.database.listening("tieout_work") as ears, Heartbeat(self.context):
            self.begin(ears)
            while not stopping():
                done = self.turn()
                if done is None:
                    continue
                if done.busy:
                    event("tick", **asdict(done))
                on_tick(done)
                self._seal()
                if not done.busy:
                    self._idle(ears)
            self._pulse.stop()  # from now on others count without us
            with self.context.database.transaction() as connection:
                leases.give_back(connection, self.context.holder)
                leases.say_free(connection)
            self.context.leases = {}
            self._seal(at_once=True)
            event("worker stopped", worker=self.context.worker, ticks=self._pulse.ticks)

    def begin(self, ears: Connection) -> None:
        """Be there, for as long as this connection is open."""
        leases.live(ears, self.context.holder)
        self._pulse.now("start")
        event("worker started", worker=self.context.worker)

    def turn(self, on_stage: Callable[[str], None] = lambda stage: None) -> Tick | None:
        """Keep our leases and do one tick; `on_stage` hears where it is. None when a lease was lost
        or a deadlock undid something: the work of that tick is dropped, all is taken anew.
        Raises what ends the process."""

        def stage(name: str) -> None:
            on_stage(name)
            self._pulse.stage(name)

        self._pulse.begin()
        try:
            stage("leases")
            self._keep_leases()
            done = tick(self.context, on_stage=stage)
        except (LeaseLost, psycopg.errors.TransactionRollback):
            self._lost += 1
            event("lease lost", level="warning", times=self._lost)
            if self._lost > MOST_LOST_LEASES:
                raise
            # Taken anew, so that what this tick was sending is looked after like a dead worker's:
            # nobody else does in the partitions that are still ours.
            self.context.leases = {}
            self._renewed_at = float("-inf")
            return None
        self._lost = 0
        self._pulse.ticked()
        return done

    def _keep_leases(self) -> None:
        """Renew what we hold when it is time, take our share of what is free, and look after what a
        dead holder was sending."""
        unchanged = self._told == self.context.landscape.content_hash
        if unchanged and clock.monotonic() - self._renewed_at < RENEW_SECONDS:
            return
        began = clock.monotonic()
        before = set(self.context.leases)
        with self.context.database.transaction() as connection:
            undisputed = unchanged and self._are_undisputed(connection)
        # In a transaction of its own: who has renewed rows must not then wait for others' rows.
        if not undisputed:
            with self.context.database.transaction() as connection:
                self.context.leases = self._share(connection)
                if before - set(self.context.leases):
                    leases.say_free(connection)
        if before != set(self.context.leases):
            event("leases", held=len(self.context.leases), before=len(before))
        self._told = self.context.landscape.content_hash
        self._renewed_at = clock.monotonic()
        self.context.leases_until = began + LEASE_SECONDS
        if set(self.context.leases) - before:
            dispatch.recover(self.context)

    def _are_undisputed(self, connection: Connection) -> bool:
        """Keep what we have; whether that is our part, and nothing is free, as it nearly always
        is."""
        names = lease_names(self.context)
        held, free = leases.keep(connection, names, self.context.holder)
        turning = max(1, workers.turning(connection, LEASE_SECONDS))
        return (
            not free
            and held == set(self.context.leases)
            and all(
                len(held.intersection(some)) <= -(-len(some) // turning) for some in _by_kind(names)
            )
        )

    def _share(self, connection: Connection) -> dict[str, int]:
        """Our part of the work: as much as there is for each worker that turns, rounded up."""
        turning = max(1, workers.turning(connection, LEASE_SECONDS))
        names = lease_names(self.context)
        if self._told != self.context.landscape.content_hash:
            leases.register(connection, names, self.context.holder)
        taken: dict[str, int] = {}
        for some in _by_kind(names):
            taken |= leases.take_known(
                connection,
                some,
                self.context.holder,
                self.context.landscape.content_hash,
                -(-len(some) // turning),
            )
        return taken

    def _idle(self, ears: psycopg.Connection[tuple[object, ...]]) -> None:
        """Sleep until something comes in, at most IDLE_SECONDS."""
        for heard in ears.notifies(timeout=IDLE_SECONDS, stop_after=1):
            if heard.payload == leases.FREE:
                self._renewed_at = float("-inf")
