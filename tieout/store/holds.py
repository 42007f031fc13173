"""Legal holds: what must not be removed from the archive, whatever its age, and who says so."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from tieout import clock
from tieout.store import audit
from tieout.store.database import Connection

MOST_HOLDS = 10_000
HOLDS_LOCK = 7_408_311_911  # any fixed number: holds do not change while files are removed


class HoldRefused(Exception):
    """A hold that cannot be placed or released. Says why."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Rows of a legal entity, a record or a fiscal period; fields that are given count together."""

    hold_id: int
    legal_entity: str
    record_key: str
    period: str
    because: str
    placed_at: dt.datetime
    placed_by: str
    released_at: dt.datetime | None
    released_by: str
    released_because: str


def steady(connection: Connection) -> None:
    """For the rest of the transaction no hold is placed or released by anybody else."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (HOLDS_LOCK,))


def add(
    connection: Connection,
    actor: str,
    *,
    because: str,
    legal_entity: str = "",
    record_key: str = "",
    period: str = "",
) -> int:
    """Place a hold, audited; returns its number. Raises HoldRefused."""
    if not (legal_entity or record_key or period):
        raise HoldRefused("say what is held: --legal-entity, --record or --period")
    if not because.strip():
        raise HoldRefused("say why, with --because: a hold without a reason helps nobody")
    steady(connection)
    row = connection.execute(
        "INSERT INTO legal_holds (legal_entity, record_key, period, because, placed_at, placed_by) "
        "VALUES (%s, %s, %s, %s, %s, %s) RETURNING hold_id",
        (legal_entity, record_key, period, because.strip(), clock.now(), actor),
    ).fetchone()
    if row is None:
        raise RuntimeError("the hold was not stored")
    detail: dict[str, object] = {
        "hold": row[0],
        "legal_entity": legal_entity,
        "record": record_key,
        "period": period,
        "because": because.strip(),
    }
    audit.action(connection, actor, "hold", detail)
    return int(row[0])


def release(connection: Connection, actor: str, hold_id: int, because: str) -> None:
    """Let go of a hold, audited. Raises HoldRefused: not by who placed it, not without a reason."""
    steady(connection)
    row = connection.execute(
        "SELECT placed_by, released_at FROM legal_holds WHERE hold_id = %s FOR UPDATE", (hold_id,)
    ).fetchone()
    if row is None:
        raise HoldRefused(f"there is no hold {hold_id}; `tieout hold list` shows them")
    if row[1] is not None:
        raise HoldRefused(f"hold {hold_id} was released on {row[1]:%Y-%m-%d} already")
    if row[0] == actor:
        raise HoldRefused(
            f"{actor} placed hold {hold_id}: somebody else must release it (two people)"
        )
    if not because.strip():
        raise HoldRefused("say why it is released, with --because")
    connection.execute(
        "UPDATE legal_holds SET released_at = %s, released_by = %s, released_because = %s "
        "WHERE hold_id = %s",
        (clock.now(), actor, because.strip(), hold_id),
    )
    audit.action(connection, actor, "hold release", {"hold": hold_id, "because": because.strip()})


def read(connection: Connection, *, released: bool = False) -> list[Hold]:
    """Holds, oldest first: those in force, or all of them."""
    rows = connection.execute(
        "SELECT hold_id, legal_entity, record_key, period, because, placed_at, placed_by, "
        "released_at, released_by, released_because FROM legal_holds "
        "WHERE released_at IS NULL OR %s ORDER BY hold_id LIMIT %s",
        (released, MOST_HOLDS),
    ).fetchall()
    return [Hold(*row) for row in rows]


# A month is held as a whole if any row that the hold means has evidence in it. The registers say
# so: arrivals and dispatches stay in the database when their texts and proofs are archived.
_HELD = """
SELECT h.hold_id FROM legal_holds h WHERE h.released_at IS NULL AND CASE
    WHEN %(table)s = 'payloads' THEN EXISTS (
        SELECT FROM arrivals a
        LEFT JOIN records r ON r.record_type = a.record_type AND r.record_key = a.record_key
                           AND r.version = a.record_version
        WHERE a.arrival_id BETWEEN %(first)s AND %(last)s
          AND a.received_at >= %(start)s AND a.received_at < %(end)s
          AND (h.legal_entity = '' OR a.legal_entity IN ('', h.legal_entity))
          AND (h.record_key = '' OR a.record_key IN ('', h.record_key))
          AND (h.period = '' OR coalesce(r.period, '') IN ('', h.period)))
    ELSE EXISTS (
        SELECT FROM dispatches d
        WHERE d.dispatch_id BETWEEN %(first)s AND %(last)s
          AND (h.legal_entity = '' OR d.legal_entity = h.legal_entity)
          AND (h.record_key = '' OR d.record_key = h.record_key)
          AND (h.period = '' OR d.period = h.period))
    END
ORDER BY h.hold_id LIMIT 1
"""


def holding(
    connection: Connection,
    table: str,
    first_key: int,
    last_key: int,
    start: dt.datetime,
    end: dt.datetime,
) -> int | None:
    """The hold that keeps a month of a table; None when there is none. What cannot be attributed (a
    row that never became a record) is held by every hold: nobody can say that it is not meant."""
    row = connection.execute(
        _HELD,
        {"table": table, "first": first_key, "last": last_key, "start": start, "end": end},
    ).fetchone()
    return int(row[0]) if row else None
