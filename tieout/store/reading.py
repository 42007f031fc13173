"""Where the reading of every stream stands: one look instead of one question for each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Stands:
    """One stream: when it was last polled, whether rows are hinted, whether it is being compared,
    when its next sweep is due (None: it never had one) and whether one is under way."""

    system: str
    stream: str
    read_at: dt.datetime | None
    hinted: bool
    comparing: bool
    sweep_due_at: dt.datetime | None
    sweeping: bool


def where(connection: Connection, streams: Sequence[tuple[str, str]]) -> list[Stands]:
    """How each of these (system, stream) stands, in their order."""
    rows = connection.execute(
        "SELECT t.system, t.stream, c.read_at, "
        "EXISTS (SELECT FROM hints h WHERE h.system = t.system AND h.stream = t.stream), "
        "EXISTS (SELECT FROM compares p WHERE p.system = t.system AND p.stream = t.stream "
        "AND p.ended_at IS NULL), s.due_at, s.since IS NOT NULL "
        "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t (system, stream, nth) "
        "LEFT JOIN stream_cursors c ON c.system = t.system AND c.stream = t.stream "
        "LEFT JOIN sweeps s ON s.system = t.system AND s.stream = t.stream ORDER BY t.nth",
        ([system for system, _ in streams], [stream for _, stream in streams]),
    ).fetchall()
    return [Stands(*row) for row in rows]
