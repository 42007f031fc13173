"""A twin over an installed emulator: the vendor's own tongue, looked at from behind its counter.

One small module per vendor says how people work in it and what its tables mean; what they share is
here.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from tieout import clock
from tieout.emulators.kit import Emulator, Fault, FaultKind
from tieout.ports.connector import Connector, InboundCall
from tieout.ports.http import Request, Response
from tieout.rehearsal.twins.base import Applied, Effect, Unplayable

SNAPSHOT_EVERY = 8  # writes that took effect
MOST_SNAPSHOTS = 3
Tables = dict[str, dict[str, dict[str, object]]]


class Emulated(ABC):
    """A `Twin` over an emulator. A vendor's module says which tables `restored` goes back with, and
    overrides what it knows better."""

    strikes: frozenset[str] = frozenset()
    restored: tuple[str, ...] = ()

    def __init__(
        self, system: str, real: Connector, emulator: Emulator, settings: Mapping[str, str]
    ) -> None:
        self.system = system
        self.emulator = emulator
        self.streams = real.streams
        self.settings = settings
        self.described = (
            f"{system}: the emulator '{emulator.name}' plays {real.title}, call by call as the "
            "vendor documents it"
        )
        self._applied: list[Applied] = []
        self._snapshots: list[tuple[int, Tables]] = []  # after so many writes

    # --- the interface --------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer one call as the vendor would, and note what it changed."""
        self._take_snapshot()
        return self.watched(request, self.emulator.handle)

    def watched(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        """Have the call answered; a vendor's module notes here what a write came to."""
        return answer(request)

    def busy(self, kind: FaultKind, seconds: float) -> Response:
        """The vendor's own form of 'slow down'."""
        return self.emulator.busy(Fault(kind, 1.0, seconds=seconds))

    def note(
        self,
        stream: str,
        reference: str,
        action: str,
        target_id: str,
        facts: Mapping[str, str],
        *,
        closed: bool = False,
    ) -> None:
        """A write took effect. The vendor's form hides our digest, so facts say what it says."""
        done = Applied(stream, reference, action, "", target_id, facts, clock.now(), closed)
        self._applied.append(done)

    # --- what people do -------------------------------------------------------------------------

    def put(self, stream: str, row: Mapping[str, object]) -> str:
        """Raises Unplayable unless a vendor's module knows how people make such a row."""
        raise Unplayable(f"{self.system}: nobody here knows how people make a {stream}")

    def remove(self, stream: str, key: str) -> None:
        """Raises Unplayable unless a vendor's module knows how people delete such a row."""
        raise Unplayable(f"{self.system}: nobody here knows how people delete a {stream}")

    def rows(self, stream: str) -> Mapping[str, Mapping[str, object]]:
        """Raises Unplayable unless a vendor's module knows where such rows are."""
        raise Unplayable(f"{self.system}: nobody here knows where people see a {stream}")

    def calls(self) -> Sequence[InboundCall]:
        """The emulator's webhooks; the stream is the last part of the address they go to. Each is
        reported as sent: what becomes of it on the way is the people's fault, not the vendor's."""
        due = self.emulator.outbox()
        for one in due:
            self.emulator.sent(one, True)
        return [
            InboundCall(
                one.url.rstrip("/").rpartition("/")[2],
                {"Content-Type": one.content_type, **one.headers},
                one.body,
            )
            for one in due
        ]

    # --- looking from inside --------------------------------------------------------------------

    @abstractmethod
    def effects(self) -> Sequence[Effect]:
        """Every document that is there. A vendor's module reads its tables."""

    def applied(self) -> Sequence[Applied]:
        """Every write that was answered well, in order."""
        return tuple(self._applied)

    # --- faults ---------------------------------------------------------------------------------

    def strike(self, fault: str, dice: random.Random) -> str:
        """See `Twin.strike`. Raises ValueError for a fault that is not in `strikes`."""
        if fault not in self.strikes:
            raise ValueError(f"{self.system} cannot suffer '{fault}'")
        return self._restore(dice) if fault == "restore" else self.suffer(fault, dice)

    def suffer(self, fault: str, dice: random.Random) -> str:
        """What a vendor's module knows to suffer beside a restore."""
        raise AssertionError(f"{type(self).__name__} names '{fault}' and does not know it")

    def heal(self) -> None:
        """What was restored stays as it is; a vendor's module mends what it planted."""
        return

    def _take_snapshot(self) -> None:
        """Rows are replaced when they change, never edited, so that a copy of the tables that
        share them stays as it was."""
        done = len(self._applied)
        if not self.restored or done % SNAPSHOT_EVERY:
            return
        if self._snapshots and self._snapshots[-1][0] == done:
            return
        tables = {name: dict(self.emulator.tables[name]) for name in self.restored}
        self._snapshots = [*self._snapshots, (done, tables)][-MOST_SNAPSHOTS:]

    def _restore(self, dice: random.Random) -> str:
        """Back to an earlier snapshot. Counters stay, as no vendor gives an id twice."""
        if not self._snapshots:
            return ""
        _, earlier = dice.choice(self._snapshots)
        before = {name: self.emulator.tables[name] for name in self.restored}
        lost = sum(len(before[name].keys() - earlier[name].keys()) for name in self.restored)
        changed = sum(
            before[name].get(key) is not row
            for name in self.restored
            for key, row in earlier[name].items()
        )
        if not lost and not changed:
            return ""
        self.emulator.tables.update({name: dict(earlier[name]) for name in self.restored})
        self._snapshots = [(len(self._applied), earlier)]
        self.after_restore()
        return (
            f"{self.system} was restored: {lost} rows are lost, {changed} are what they were before"
        )

    def after_restore(self) -> None:
        """What a vendor's module keeps beside the tables is brought in step here."""
        return
