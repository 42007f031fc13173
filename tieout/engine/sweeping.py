"""Sweeps: now and then ask a source for the keys of all it changed, and fetch what never arrived.

A cursor can pass a row by: a source stamps a change when it is made and shows it when its
transaction is through, and an overlap bounds only what is usual. A sweep compares keys and versions
of a longer time with what arrived, and hints the rows that are missing: they are then read like
rows a webhook named.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from tieout import clock
from tieout.engine import pacing, trouble
from tieout.engine.context import Context
from tieout.engine.taking_in import in_order
from tieout.ports.connector import Marks, Sweeps
from tieout.store import arrivals, sweeps
from tieout.store.reading import Stands

PAGES_PER_TICK = 5


def is_due(context: Context, stands: Stands) -> bool:
    """Whether a sweep of this stream has something to do now. A stream that was never read has
    nothing to compare with."""
    if stands.read_at is None or not isinstance(context.connector(stands.system), Sweeps):
        return False
    due_at = stands.sweep_due_at
    return stands.sweeping or due_at is None or due_at <= clock.now()


def sweep(context: Context, system: str, stream: str) -> int:
    """Some pages of the sweep that is due or under way; returns how many rows were hinted.

    Every page is its own commit, so that a sweep goes on where a dead worker left it.
    """
    connector = context.connector(system)
    environment = context.environment_of(system)
    if not isinstance(connector, Sweeps):
        return 0
    every = dt.timedelta(seconds=environment.sweep_seconds)
    now = clock.now()
    with context.transaction() as connection:
        stands = sweeps.sweep_of(connection, system, stream, now + every)
        since, after = stands.since, stands.after
        if since is None:
            if stands.due_at > now:
                return 0
            since = now - dt.timedelta(seconds=environment.sweep_back_seconds)
            sweeps.begin(connection, system, stream, since)
    hinted = 0
    for _ in range(PAGES_PER_TICK):
        ask = partial(connector.marks, context.session(system), stream, since, after)
        with pacing.reading(context, system):
            page: Marks = trouble.guarded(ask)
        missing = _keep_page(context, system, stream, page, every)
        hinted, after = hinted + missing, page.after
        if not page.more:
            break
    return hinted


def _keep_page(context: Context, system: str, stream: str, page: Marks, every: dt.timedelta) -> int:
    """One page compared and its missing rows hinted; the last one ends the sweep."""
    ordered = in_order(context, system, stream)
    marks = [(one.key, ordered(one.version)) for one in page.marks]
    with context.transaction() as connection:
        missing = sweeps.not_arrived(connection, system, stream, marks)
        if missing:
            arrivals.store_hints(connection, system, [(stream, key) for key in missing])
        sweeps.go_on(connection, system, stream, page.after, len(marks), len(missing))
        if not page.more:
            now = clock.now()
            sweeps.end(connection, system, stream, now, now + every)
    return len(missing)
