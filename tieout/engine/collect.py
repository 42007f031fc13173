"""Collect: read pages and hinted rows, and commit arrivals and cursor before anything else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tieout import clock
from tieout.engine import comparing, pacing, sweeping, trouble
from tieout.engine.context import Context
from tieout.engine.taking_in import (
    NOTHING,
    Collected,
    arrival,
    incoming,
    keys_of,
    received,
    store,
)
from tieout.engine.telemetry import span
from tieout.ports.connector import InboundCall, Item, Reads, Received, Receives
from tieout.ports.errors import CursorExpired
from tieout.store import arrivals
from tieout.store.database import Connection
from tieout.store.reading import Stands, where
from tieout.store.totals import Movement, move

PAGES_PER_TICK = 20
HINTS_PER_TICK = 200


def collect(context: Context, *, at_once: bool = False) -> Collected:
    """Fetch hinted rows, and poll every stream whose time has come (all of them `at_once`).

    A system that does not answer is left for later; what the page held is not lost, since the
    cursor moves only with the arrivals.
    """
    came = NOTHING
    stuck: set[str] = set()
    for one in _due_streams(context, at_once):
        if one.system in stuck:
            continue
        try:
            came += _work_on(context, one, at_once)
        except trouble.ORDINARY as error:
            stuck.add(one.system)
            with context.transaction() as connection:
                trouble.note_failure(context, connection, one.system, error, "read")
    return came


def _due_streams(context: Context, at_once: bool) -> list[Stands]:
    """The streams that have something to do for us now, in one look; none while we cannot keep up,
    and none of a system that must not be called."""
    ours = [
        (system, stream)
        for system, spec in context.landscape.systems.items()
        if f"poll:{system}" in context.leases
        for stream in spec.streams
    ]
    if not ours:
        return []
    with context.looking() as connection:
        due = [one for one in where(connection, ours) if at_once or _is_due(context, one)]
        if not due or pacing.overfull(connection) is not None:
            return []  # it stays where it is until we have caught up
        systems = dict.fromkeys(one.system for one in due)
        shut = {system for system in systems if trouble.paused(connection, system) is not None}
    return [one for one in due if one.system not in shut]


def _is_due(context: Context, one: Stands) -> bool:
    return (
        one.hinted or one.comparing or _poll_is_due(context, one) or sweeping.is_due(context, one)
    )


def _poll_is_due(context: Context, one: Stands) -> bool:
    wait = dt.timedelta(seconds=context.environment_of(one.system).poll_seconds)
    return one.read_at is None or one.read_at + wait <= clock.now()


def _work_on(context: Context, one: Stands, at_once: bool) -> Collected:
    """Everything there is to do for one stream: hinted rows, a compare or a poll, a sweep."""
    came = _hinted(context, one.system, one.stream) if one.hinted else NOTHING
    if one.comparing:
        return came + comparing.go_on(context, one.system, one.stream)
    if at_once or _poll_is_due(context, one):
        try:
            came += _poll(context, one.system, one.stream)
        except CursorExpired as expired:
            comparing.begin(context, one.system, one.stream, str(expired))
            return came + comparing.go_on(context, one.system, one.stream)
    if sweeping.is_due(context, one):
        sweeping.sweep(context, one.system, one.stream)  # what it hints is read in the next tick
    return came


@dataclass(frozen=True, slots=True)
class Taken:
    """A webhook that was verified and understood; it is not stored yet. `size` in bytes."""

    system: str
    stream: str
    received: Received
    size: int


def understand(context: Context, system: str, call: InboundCall) -> Taken:
    """Verify a webhook and say what it means; nothing is stored, no system is called.

    The connector verifies with the secret or setting that the stream names. Raises NotGenuine,
    Unreadable, SecretMissing, or LookupError when the system receives nothing.
    """
    spec = context.landscape.systems.get(system)
    connector = context.connector(system) if spec is not None else None
    if connector is None or not isinstance(connector, Receives):
        raise LookupError(f"no system named '{system}' receives webhooks here")
    secret = _webhook_secret(context, system, call)
    received = connector.receive(InboundCall(call.stream, call.headers, call.body, secret))
    return Taken(system, call.stream, received, len(call.body))


def keep(context: Context, connection: Connection, batch: Sequence[Taken]) -> None:
    """Store what webhooks said, many at once, in the caller's transaction; wake the workers once.

    Only after that transaction is committed may anybody be told that it was received.
    """
    items: dict[tuple[str, str], list[Item]] = {}
    hints: dict[str, list[tuple[str, str]]] = {}
    for one in batch:
        items.setdefault((one.system, one.stream), []).extend(one.received.items)
        # A stream nobody reads here is nobody's business: its hints would never be settled.
        wanted = context.landscape.systems[one.system].streams
        hints.setdefault(one.system, []).extend(h for h in one.received.hints if h[0] in wanted)
    movements: list[Movement] = []
    for (system, stream), rows in sorted(items.items()):
        if rows:
            rows_in = incoming(context, system, stream, rows)
            told = arrival(system, stream, len(rows))
            with span("arrive", told, keys_of(context, system, stream, rows)):
                stored = arrivals.store_page(
                    connection, system, stream, rows_in, received_by="webhook"
                )
            movements += received(system, stream, stored.new, stored.repeated)
    for system, asked in sorted(hints.items()):
        if asked:
            arrivals.store_hints(connection, system, asked)
    move(connection, movements)
    connection.execute("SELECT pg_notify('tieout_work', '')")


def receive(context: Context, system: str, call: InboundCall) -> Received:
    """Take one webhook: verify, then commit; only after that may the caller acknowledge.
    Raises what `understand` raises."""
    taken = understand(context, system, call)
    with context.transaction() as connection:
        keep(context, connection, [taken])
    return taken.received


def _webhook_secret(context: Context, system: str, call: InboundCall) -> str:
    """What proves a webhook: the setting or secret that the stream names."""
    stream = context.connector(system).streams.get(call.stream)
    if stream is None or not stream.receives:
        raise LookupError(f"{system} receives no webhooks for '{call.stream}'")
    session = context.session(system)
    name = stream.webhook_secret
    return session.secrets.get(name) or session.settings.get(name, "")


def _hinted(context: Context, system: str, stream: str) -> Collected:
    """Re-read the rows that thin webhooks named."""
    with context.transaction() as connection:
        hints = arrivals.hinted(connection, system, stream, HINTS_PER_TICK)
    reader = context.connector(system)
    if not hints or not isinstance(reader, Reads):
        return NOTHING
    keys = [key for key, _ in hints]
    with pacing.reading(context, system):
        items = trouble.guarded(lambda: reader.fetch(context.session(system), stream, keys))
    return store(context, system, stream, items, "webhook", None, hints)


def _poll(context: Context, system: str, stream: str) -> Collected:
    reader = context.connector(system)
    if not isinstance(reader, Reads):
        return NOTHING
    came = NOTHING
    for _ in range(PAGES_PER_TICK):
        with context.transaction() as connection:
            cursor = arrivals.cursor_of(connection, system, stream)
        with pacing.reading(context, system):
            page = trouble.guarded(partial(reader.read, context.session(system), stream, cursor))
        came += store(context, system, stream, page.items, "poll", page.cursor, ())
        if not page.more:
            break
    return came
