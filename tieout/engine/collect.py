"""Collect: read pages and hinted rows, and commit arrivals and cursor before anything else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tieout import clock
from tieout.engine import trouble
from tieout.engine.context import Context
from tieout.finance.outcome import Written
from tieout.ports.connector import InboundCall, Item, Reads, Received, Receives
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.signin import SignInFailed
from tieout.store import arrivals
from tieout.store.arrivals import Incoming
from tieout.store.totals import Movement, move

PAGES_PER_TICK = 20
HINTS_PER_TICK = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """How much came in."""

    new: int
    repeated: int


def collect(context: Context, *, at_once: bool = False) -> Collected:
    """Fetch hinted rows, and poll every stream whose time has come (all of them `at_once`).

    A system that does not answer is left for later; what the page held is not lost, since the
    cursor moves only with the arrivals.
    """
    new = repeated = 0
    for system, spec in context.landscape.systems.items():
        if not spec.streams or f"poll:{system}" not in context.leases:
            continue
        with context.transaction() as connection:
            if trouble.paused(connection, system) is not None:
                continue
        try:
            for stream in spec.streams:
                came = _hinted(context, system, stream)
                new, repeated = new + came.new, repeated + came.repeated
                if at_once or _is_due(context, system, stream):
                    came = _poll(context, system, stream)
                    new, repeated = new + came.new, repeated + came.repeated
        except (VendorFault, NoAnswer, SignInFailed) as error:
            with context.transaction() as connection:
                trouble.note(
                    connection,
                    system,
                    trouble.redacted(trouble.outcome_of(error), context.session(system)),
                    context.steward_of(system),
                    "read",
                )
    return Collected(new, repeated)


def receive(context: Context, system: str, call: InboundCall) -> Received:
    """Take a webhook: verify, then commit; only after that may the caller acknowledge.

    The connector verifies with the secret or setting that the stream names. Raises NotGenuine,
    SecretMissing, or LookupError when the system receives nothing.
    """
    spec = context.landscape.systems.get(system)
    connector = context.connector(system) if spec is not None else None
    if spec is None or connector is None or not isinstance(connector, Receives):
        raise LookupError(f"no system named '{system}' receives webhooks here")
    received = connector.receive(replace(call, secret=_webhook_secret(context, system, call)))
    with context.transaction() as connection:
        if received.items:
            stored = arrivals.store_page(
                connection, system, call.stream, _incoming(received.items), received_by="webhook"
            )
            move(connection, _received(system, call.stream, stored.new, stored.repeated))
        # A stream nobody reads here is nobody's business: its hints would never be settled.
        hints = [one for one in received.hints if one[0] in spec.streams]
        if hints:
            arrivals.store_hints(connection, system, hints)
        connection.execute("SELECT pg_notify('tieout_work', %s)", (system,))
    return received


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
        return Collected(0, 0)
    items = reader.fetch(context.session(system), stream, [key for key, _ in hints])
    return _store(context, system, stream, items, "webhook", None, hints)


def _poll(context: Context, system: str, stream: str) -> Collected:
    reader = context.connector(system)
    if not isinstance(reader, Reads):
        return Collected(0, 0)
    new = repeated = 0
    for _ in range(PAGES_PER_TICK):
        with context.transaction() as connection:
            cursor = arrivals.cursor_of(connection, system, stream)
        page = reader.read(context.session(system), stream, cursor)
        came = _store(context, system, stream, page.items, "poll", page.cursor, ())
        new, repeated = new + came.new, repeated + came.repeated
        if not page.more:
            break
    return Collected(new, repeated)


def _store(
    context: Context,
    system: str,
    stream: str,
    items: Sequence[Item],
    received_by: str,
    cursor: str | None,
    settles: Sequence[tuple[str, dt.datetime]],
) -> Collected:
    with context.transaction() as connection:
        stored = arrivals.store_page(
            connection,
            system,
            stream,
            _incoming(items),
            received_by=received_by,
            cursor=cursor,
            settles=settles,
            read_now=True,
        )
        # A poll that overlaps repeats by design: only repeats of webhooks are worth a total.
        move(connection, _received(system, stream, stored.new, 0))
        trouble.note(connection, system, Written(""), context.steward_of(system), "read")
    return Collected(stored.new, stored.repeated)


def _received(system: str, stream: str, new: int, repeated: int) -> list[Movement]:
    return [
        Movement(f"{system}.{stream}", "received", bucket, count=count)
        for bucket, count in (("received", new), ("duplicate", repeated))
        if count
    ]


def _incoming(items: Sequence[Item]) -> list[Incoming]:
    seen_at = clock.now().isoformat()
    return [
        Incoming.storable(
            one.key,
            one.version or (f"{arrivals.GONE}{seen_at}" if one.deleted else ""),
            one.payload,
            one.deleted,
        )
        for one in items
    ]


def _is_due(context: Context, system: str, stream: str) -> bool:
    wait = dt.timedelta(seconds=context.environment_of(system).poll_seconds)
    with context.transaction() as connection:
        row = connection.execute(
            "SELECT read_at FROM stream_cursors WHERE system = %s AND stream = %s",
            (system, stream),
        ).fetchone()
    return row is None or row[0] + wait <= clock.now()
