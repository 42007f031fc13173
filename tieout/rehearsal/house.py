"""The rehearsed house: virtual workers and the web's intake over one database, as production's are.

A worker is the engine's own `Worker`, turned tick by tick. When it dies, its database session goes
with it and what it sent stays as it was; its successor is a new process with an identity of its
own.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tieout import clock
from tieout.engine.collect import receive
from tieout.engine.compiled import Compiled
from tieout.engine.context import Context
from tieout.engine.worker import Tick, Worker
from tieout.landscape.schema import Landscape
from tieout.ports.connector import InboundCall, NotGenuine, Received, Unreadable
from tieout.ports.http import Transport
from tieout.rehearsal.acting import Actor, Stage, State
from tieout.rehearsal.server import RehearsedDatabase
from tieout.rehearsal.world import SeededWorld
from tieout.rules.runner import Runner
from tieout.store.leases import LEASE_SECONDS


@dataclass
class House:
    """What all processes of the house share. `transports` are the lines to the twins."""

    landscape: Landscape
    compiled: Compiled
    environment: str
    database: RehearsedDatabase
    runner: Runner
    world: SeededWorld
    stage: Stage
    transports: Mapping[str, Transport]

    def context(self, actor: str) -> Context:
        """A new process's own context; it holds nothing yet."""
        return Context(
            landscape=self.landscape,
            environment=self.environment,
            database=self.database,
            compiled=self.compiled,
            runner=self.runner,
            actor=actor,
            transports=self.transports,
        )


@dataclass
class VirtualWorker:
    """One worker process, and those that take its place when it dies."""

    house: House
    name: str
    wrong_by: dt.timedelta = dt.timedelta()
    deaths: int = 0
    last: Tick | None = None
    errors: list[Exception] = field(default_factory=list)
    actor: Actor = field(init=False)
    _context: Context | None = field(default=None, init=False)
    _worker: Worker | None = field(default=None, init=False)
    _session: int = field(default=0, init=False)  # of the database: its life
    _life: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)

    def __post_init__(self) -> None:
        self.actor = Actor(self.name)

    @property
    def holder(self) -> uuid.UUID | None:
        """By which identity it lives; None while it is dead."""
        return self._context.holder if self._context is not None else None

    @property
    def frozen(self) -> bool:
        return self.actor.state == "frozen"

    @property
    def idle(self) -> bool:
        """Whether its last tick found nothing to do."""
        return self.actor.state == "done" and self.last is not None and not self.last.busy

    def step(self) -> State:
        """One tick, or the rest of the one in which it stands still."""
        return self._settled(lambda: self.house.stage.turn(self.actor, self._tick))

    def go_on(self) -> State:
        """Let it go on from where it stands still."""
        return self._settled(lambda: self.house.stage.go_on(self.actor))

    def die(self) -> None:
        """Dead from outside: its session to the database is gone at once."""
        self._life.close()
        if self._session:
            self.house.database.until_gone(self._session)
        if self._context is not None:
            self._context.close()
        self._context = self._worker = None
        self.deaths += 1
        self.actor = Actor(self.name)

    def beat(self) -> None:
        """What its heartbeat tells the process itself."""
        if self._context is not None and not self.frozen:
            self._context.leases_until = clock.monotonic() + LEASE_SECONDS

    def renew(self) -> None:
        """Take up the landscape that is in force, as a worker does between two ticks."""
        if self._context is not None:
            self._context.landscape = self.house.landscape
            self._context.compiled = self.house.compiled

    def close(self) -> None:
        if self._context is not None:
            self.die()

    def _settled(self, act: Callable[[], State]) -> State:
        world = self.house.world
        world.wrong_by, before = self.wrong_by, world.wrong_by
        try:
            state = act()
        finally:
            world.wrong_by = before
        if state == "failed" and self.actor.error is not None:
            self.errors.append(self.actor.error)  # the process ends of it; the supervisor starts it
        if state in {"dead", "failed"}:
            self.die()
        return state

    def _tick(self) -> None:
        if self._worker is None:
            self._worker = self._begin()
        self.last = self._worker.turn(self._on_stage)

    def _on_stage(self, stage: str) -> None:
        self.actor.stage = stage

    def _begin(self) -> Worker:
        """A new process: its life is a session of its own to the database."""
        self.actor.stage = "start"
        context = self._context = self.house.context(self.name)
        ears = self._life.enter_context(self.house.database.listening("tieout_work"))
        self._session = ears.info.backend_pid
        worker = Worker(context)
        worker.begin(ears)
        return worker


def beat(database: RehearsedDatabase, workers: Sequence[VirtualWorker]) -> None:
    """What living workers do while time passes: they tick idly and keep their leases. A rehearsal
    leaves such ticks out; who stands still does neither."""
    living = [one.holder for one in workers if one.holder is not None and not one.frozen]
    now = clock.now()
    expires = now + dt.timedelta(seconds=LEASE_SECONDS)
    for one in workers:
        one.beat()
    database.admin.execute(
        "UPDATE leases SET expires_at = %s WHERE holder = ANY(%s)", (expires, living)
    )
    database.admin.execute("UPDATE workers SET moved_at = %s WHERE holder = ANY(%s)", (now, living))


@dataclass
class Intake:
    """The web process that takes webhooks in: what it has acknowledged is ours to keep."""

    house: House
    actor: Actor = field(default_factory=lambda: Actor("intake"))

    refused: bool = False
    """The last one was turned away for good: its sender hears 4xx and gives up in the end."""

    def take(self, system: str, call: InboundCall) -> Received | None:
        """Deliver one webhook; returns what it meant if it was acknowledged, else None."""
        answered: list[Received] = []

        def work() -> None:
            self.actor.stage = "intake"
            answered.append(receive(self.house.context("intake"), system, call))

        state = self.house.stage.turn(self.actor, work)
        if state == "frozen":  # an intake that stands still is a slow answer
            state = self.house.stage.go_on(self.actor)
        self.refused = isinstance(self.actor.error, NotGenuine | Unreadable)
        if state != "done":
            self.actor = Actor("intake")
            return None
        return answered[0]
