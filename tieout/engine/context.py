"""What every part of the engine works with: the landscape compiled, the database, open sessions.

A context belongs to one process. Its transactions all begin by making sure that the process still
holds its leases, so that a frozen worker that wakes up late can change nothing.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from tieout import clock
from tieout.engine.compiled import Compiled
from tieout.engine.pacer import Pacer
from tieout.engine.telemetry import TALLY, watched
from tieout.engine.warm import Warm
from tieout.landscape.schema import EnvironmentSpec, Landscape
from tieout.ports.connector import Connector
from tieout.ports.http import Transport
from tieout.ports.opening import open_session
from tieout.ports.secrets import resolve
from tieout.ports.session import Session
from tieout.rules.runner import Runner
from tieout.store import leases
from tieout.store.arrivals import PARTITIONS
from tieout.store.database import Connection, Database


@dataclass
class Context:
    """One engine process. `transports` replaces HTTP clients by system (a rehearsal)."""

    landscape: Landscape
    environment: str
    database: Database
    compiled: Compiled
    runner: Runner
    actor: str = "tieout"
    holder: uuid.UUID = field(default_factory=clock.new_id)
    leases: dict[str, int] = field(default_factory=dict)
    leases_until: float = float("inf")  # when they end unless they are renewed (monotonic)
    transports: Mapping[str, Transport] = field(default_factory=dict)
    warm: Warm = field(default_factory=Warm)
    pacer: Pacer = field(default_factory=Pacer)
    _sessions: dict[str, Session] = field(default_factory=dict)
    _moved_at: float = field(default_factory=clock.monotonic)

    @property
    def worker(self) -> str:
        """This process, as evidence names it."""
        return str(self.holder)

    def partitions(self) -> list[int]:
        """The partitions this process may work on now."""
        return [no for no in range(PARTITIONS) if f"partition:{no}" in self.leases]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction of the record plane, fenced by this process's leases.

        Raises LeaseLost when another worker has taken over; nothing is changed then.
        """
        self._moved_at = clock.monotonic()
        with self.database.transaction() as connection:
            leases.hold(connection, self.leases, self.holder)
            yield connection

    def leases_hold(self) -> bool:
        """Whether our leases are surely ours still. A process that stood still between its intent
        and its call must not send it any more: a successor may have looked, and decided."""
        return not self.leases or clock.monotonic() < self.leases_until

    def moved_at(self) -> float:
        """When this process last began a transaction or ended a call (monotonic)."""
        lines = list(self._sessions.values())
        return max([self._moved_at, *(line.moved_at for line in lines)])

    @contextlib.contextmanager
    def looking(self) -> Iterator[Connection]:
        """A connection to look with, each statement for itself: it changes nothing, so that no
        lease need be held and nothing be committed."""
        with self.database.looking() as connection:
            yield connection

    def environment_of(self, system: str) -> EnvironmentSpec:
        return self.landscape.environments[self.environment][system]

    def connector(self, system: str) -> Connector:
        """The connector of a system, with the streams that the landscape declares for it."""
        return self.compiled.connectors[system]

    def opened(self, system: str) -> Session | None:
        """The line to a system if it has been opened already."""
        return self._sessions.get(system)

    def session(self, system: str) -> Session:
        """The open line to a system, opened on first use. Raises SettingMissing, SecretMissing."""
        if system not in self._sessions:
            spec = self.environment_of(system)
            secrets = {
                name: resolve(name, reference, self.landscape.folder)
                for name, reference in spec.secrets.items()
            }
            self._sessions[system] = open_session(
                system,
                self.connector(system),
                spec.settings,
                secrets,
                spec.addresses,
                spec.most_in_flight,
                spec.timeout_seconds,
                self.transports.get(system),
            )
            opened = self._sessions[system]
            opened.transport = watched(opened.transport, system)
            opened.counts = partial(TALLY.call, system)
            opened.may_leave = self.leases_hold
        return self._sessions[system]

    def close(self) -> None:
        """Hang up every open line. The next use of a system opens a new one."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def steward_of(self, system: str) -> str:
        """Who owns trouble with this system."""
        return self.landscape.systems[system].steward
