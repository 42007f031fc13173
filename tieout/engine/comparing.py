"""Full compare: a feed that has forgotten where we stood is read anew, from its beginning.

What is no longer in it is gone, but only the whole reading can tell: rows that we knew and that it
did not show become deleted arrivals when it has come to its end, never before. A compare is kept
page by page, so that it goes on where a dead worker left it, and it stands in the audit log.
"""

from __future__ import annotations

from functools import partial

from tieout import clock
from tieout.engine import pacing, trouble
from tieout.engine.context import Context
from tieout.engine.taking_in import NOTHING, Collected, incoming, received, store
from tieout.ports.connector import Item, Page, Reads
from tieout.store import arrivals, audit, compares
from tieout.store.compares import Compare
from tieout.store.totals import move

PAGES_PER_TICK = 20
GONE_PER_COMMIT = 5_000
MOST_COMMITS = 10_000


def begin(context: Context, system: str, stream: str, why: str) -> None:
    """From now on this stream is compared instead of polled."""
    with context.transaction() as connection:
        if compares.begin(connection, system, stream, why, clock.now()) is not None:
            detail: dict[str, object] = {"system": system, "stream": stream, "why": why}
            audit.action(connection, context.actor, "compare", detail)


def go_on(context: Context, system: str, stream: str) -> Collected:
    """Some pages of the compare under way; after the last one, what is gone."""
    with context.transaction() as connection:
        compare = compares.under_way(connection, system, stream)
    reader = context.connector(system)
    if compare is None or not isinstance(reader, Reads):
        return NOTHING
    came, cursor = NOTHING, compare.cursor
    for _ in range(PAGES_PER_TICK):
        ask = partial(reader.read, context.session(system), stream, cursor)
        with pacing.reading(context, system):
            page: Page = trouble.guarded(ask)
        keys = [one.key for one in page.items if not one.deleted]
        came += store(
            context,
            system,
            stream,
            page.items,
            "compare",
            None,
            (),
            lambda connection, page=page, keys=keys: compares.go_on(  # type: ignore[misc]
                connection, compare.compare_id, keys, page.cursor
            ),
        )
        cursor = page.cursor
        if not page.more:
            return came + _finish(context, system, stream, compare, cursor)
    return came


def _finish(context: Context, system: str, stream: str, compare: Compare, cursor: str) -> Collected:
    """What was not seen is gone; then the stream's cursor stands where the compare ended."""
    came = NOTHING
    for _ in range(MOST_COMMITS):
        with context.transaction() as connection:
            gone = compares.unseen(connection, system, stream, compare, GONE_PER_COMMIT)
            last = len(gone) < GONE_PER_COMMIT
            items = [Item(key, "", "{}", deleted=True) for key in gone]
            stored = arrivals.store_page(
                connection,
                system,
                stream,
                incoming(context, system, stream, items),
                received_by="compare",
                cursor=cursor if last else None,
                read_now=True,
            )
            move(connection, received(system, stream, stored.new, 0))
            compares.count_gone(connection, compare.compare_id, len(gone))
            came += Collected(stored.new, stored.repeated)
            if last:
                seen, lost = compares.end(connection, compare.compare_id, clock.now())
                detail: dict[str, object] = {
                    "system": system,
                    "stream": stream,
                    "rows_seen": seen,
                    "rows_gone": lost,
                }
                audit.action(connection, context.actor, "compare ended", detail)
                return came
    return came
