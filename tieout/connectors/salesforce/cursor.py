"""Where reading an object stands, and the condition that goes on from there."""

from __future__ import annotations

import datetime as dt

import msgspec

from tieout import clock
from tieout.connectors.salesforce import wire
from tieout.ports.errors import CursorExpired

DELETED_ROWS_KEPT = dt.timedelta(days=14)  # a day less than the vendor says, for clocks and zones


class Cursor(msgspec.Struct, omit_defaults=True):
    """Where reading stands. `stamp` and `id` are the last row seen; `asked` is the vendor's clock
    when the sweep began (until `sweeping` ends: the sweep under way)."""

    stamp: str = ""
    id: str = ""
    asked: str = ""
    sweeping: bool = False


def refuse_expired(stands: Cursor, stream: str) -> None:
    """Raises CursorExpired when rows deleted since then may be gone for good: Salesforce keeps them
    in the recycle bin for 15 days, and only there does a query show that they were deleted."""
    if stands.asked and clock.now() - wire.instant_of(stands.asked) > DELETED_ROWS_KEPT:
        raise CursorExpired(
            f"{stream} was last read at {stands.asked}; Salesforce shows deleted rows for 15 days"
        )


def where(stands: Cursor, overlap_seconds: float) -> str:
    """The condition that continues from a cursor."""
    if stands.sweeping:
        stamp = wire.instant_literal(wire.instant_of(stands.stamp))
        return (
            f" WHERE (SystemModstamp > {stamp} OR "
            f"(SystemModstamp = {stamp} AND Id > '{stands.id}'))"
        )
    since = stands.asked or stands.stamp
    if not since:
        return ""
    start = wire.instant_of(since) - dt.timedelta(seconds=overlap_seconds)
    return f" WHERE SystemModstamp >= {wire.instant_literal(start)}"
