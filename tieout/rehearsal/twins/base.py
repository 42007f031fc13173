"""What a rehearsal asks of a system it plays: to answer, to be worked in, to be looked at.

A twin is looked at from inside, never through a connector: what a connector makes of an answer is
part of what is rehearsed.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from tieout.emulators.kit import FaultKind
from tieout.ports.connector import InboundCall
from tieout.ports.http import Request, Response


@dataclass(frozen=True, slots=True)
class Effect:
    """One document as a target holds it now.

    `reference` is the business reference that it carries, as `Write.reference` gave it. `alive`:
    it still has effect: not voided, deleted or reversed. `facts` are those of `Stream.facts` that
    the target keeps, in canonical text.
    """

    stream: str
    reference: str
    target_id: str
    alive: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """One write that took effect, in the order in which writes did.

    `digest`: that of the dispatch whose words it carries, "" where the system's own form hides it;
    then `facts` say what it says, as in `Effect`. `at` is when it took effect; `closed`: that it
    fell into an accounting period that was closed in this system at that moment.
    """

    stream: str
    reference: str
    action: str
    digest: str
    target_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    at: dt.datetime | None = None
    closed: bool = False


class Twin(Protocol):
    """One system. All of it happens on one thread; time is the rehearsal's (`tieout.clock`)."""

    system: str
    strikes: frozenset[str]
    """Names of the faults (see `rehearsal.faults`) that this twin itself can suffer."""

    def handle(self, request: Request) -> Response:
        """Answer one call, as the system would on a good day, or as it was struck."""

    def put(self, stream: str, row: Mapping[str, object]) -> str:
        """Somebody makes a row of this stream, or changes the one with its key; returns the key.
        The twin keeps the stream's version field itself. Raises Unplayable."""

    def remove(self, stream: str, key: str) -> None:
        """Somebody deletes a row. Raises Unplayable where the system keeps everything."""

    def rows(self, stream: str) -> Mapping[str, Mapping[str, object]]:
        """The rows of a stream as people see them now, by key."""

    def calls(self) -> Sequence[InboundCall]:
        """Webhooks that are due now; each is handed out once."""

    def effects(self) -> Sequence[Effect]:
        """Every document that was ever written here."""

    def applied(self) -> Sequence[Applied]:
        """Every write that took effect, in order, also what a restore has taken away since."""

    def strike(self, fault: str, dice: random.Random) -> str:
        """Suffer this fault now; returns what happened in plain words, "" when nothing could."""

    def heal(self) -> None:
        """Faults stop: from now on a good day."""


@runtime_checkable
class SaysBusy(Protocol):
    """A twin that says 'slow down' in its vendor's own form."""

    def busy(self, kind: FaultKind, seconds: float) -> Response:
        """The refusal; `seconds` is how long to wait, where the form and the kind say it."""


@runtime_checkable
class ReckonsDelay(Protocol):
    """A twin to which it matters when a call arrived: it shows a document some time after that."""

    def arrived(self, request: Request, seconds_ago: float) -> Response:
        """Answer a call that came some time ago, when nobody was looking."""


@runtime_checkable
class HasBooks(Protocol):
    """A twin with accounting periods."""

    def reopen(self) -> Sequence[str]:
        """Open what a strike has closed, as a controller decides when the faults are over; returns
        the names of the periods."""


class Unplayable(Exception):
    """This system cannot be played like that. Says which system, and what is missing."""
