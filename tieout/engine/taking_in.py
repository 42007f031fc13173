"""Taking in: rows that were read or sent become arrivals, in the transaction that moves the cursor.

Everything that comes from outside passes here: webhooks, polls, hinted rows, sweeps, compares.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.engine import trouble
from tieout.engine.context import Context
from tieout.engine.telemetry import span
from tieout.finance.digest import record_key
from tieout.finance.outcome import Written
from tieout.ports.connector import Item
from tieout.store import arrivals
from tieout.store.arrivals import Incoming
from tieout.store.database import Connection
from tieout.store.totals import Movement, move

VERSION_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Collected:
    """How much came in."""

    new: int
    repeated: int

    def __add__(self, other: Collected) -> Collected:
        return Collected(self.new + other.new, self.repeated + other.repeated)


NOTHING = Collected(0, 0)


def store(
    context: Context,
    system: str,
    stream: str,
    items: Sequence[Item],
    received_by: str,
    cursor: str | None,
    settles: Sequence[tuple[str, dt.datetime]],
    beside: Callable[[Connection], None] | None = None,
) -> Collected:
    """Rows that were just read from a system, and the cursor that read them: one commit. `beside`
    is what else belongs into that commit."""
    told, keys = arrival(system, stream, len(items)), keys_of(context, system, stream, items)
    with (
        span("arrive", told, keys),
        context.transaction() as connection,
    ):
        stored = arrivals.store_page(
            connection,
            system,
            stream,
            incoming(context, system, stream, items),
            received_by=received_by,
            cursor=cursor,
            settles=settles,
            read_now=True,
        )
        # A poll that overlaps repeats by design: only repeats of webhooks are worth a total.
        move(connection, received(system, stream, stored.new, 0))
        trouble.note(connection, system, Written(""), context.steward_of(system), "read")
        if beside is not None:
            beside(connection)
    return Collected(stored.new, stored.repeated)


def arrival(system: str, stream: str, count: int) -> dict[str, object]:
    """What a span of arrivals says beside their keys."""
    return {"system": system, "stream": stream, "count": count}


def keys_of(
    context: Context, system: str, stream: str, items: Sequence[Item]
) -> Callable[[], list[str]]:
    """The keys of the records that these rows are about, for who traces; none where no mapping
    makes records of the stream."""

    def keys() -> list[str]:
        mapping = context.compiled.inbound.get((system, stream))
        if mapping is None:
            return []
        kind = mapping.spec.target
        return [record_key(kind, system, one.key) for one in items if one.key]

    return keys


def received(system: str, stream: str, new: int, repeated: int) -> list[Movement]:
    return [
        Movement(f"{system}.{stream}", "received", bucket, count=count)
        for bucket, count in (("received", new), ("duplicate", repeated))
        if count
    ]


def incoming(context: Context, system: str, stream: str, items: Sequence[Item]) -> list[Incoming]:
    seen_at = clock.now().isoformat()
    ordered = in_order(context, system, stream)
    return [
        Incoming.storable(
            one.key,
            ordered(one.version)
            if one.version
            else (f"{arrivals.GONE}{seen_at}" if one.deleted else ""),
            one.payload,
            one.deleted,
        )
        for one in items
    ]


def in_order(context: Context, system: str, stream: str) -> Callable[[str], str]:
    """How this stream's versions become text that sorts as they do: whole numbers are padded, so
    that version 10 comes after version 9; everything else sorts as its connector wrote it."""
    spec = context.compiled.streams.get((system, stream))
    whole = spec is not None and any(
        one.name == spec.version and one.type == "integer" for one in spec.fields
    )
    return _padded if whole else str


def _padded(version: str) -> str:
    return version.zfill(VERSION_DIGITS) if version.isascii() and version.isdigit() else version
