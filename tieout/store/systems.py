"""What is known about calling each system: its door, its limits, who is calling it now."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.rules.door import Door
from tieout.rules.limits import Bucket, Claim, Concurrency
from tieout.store.database import Connection
from tieout.store.leases import LIVING, life_key


@dataclass(frozen=True, slots=True)
class Seen:
    """The door to a system, and until when somebody is finding out whether it works again."""

    door: Door
    probe_until: dt.datetime | None = None
    probe_by: uuid.UUID | None = None


_DOOR = "state, until, failures, room, credit, words, probe_until, probe_by"


def door(connection: Connection, system: str, *, locked: bool = False) -> Seen:
    """The door to one system; an open one when nothing is known. `locked`: until the end of the
    transaction nobody else may change it."""
    row = connection.execute(
        f"SELECT {_DOOR} FROM system_states WHERE system = %s{' FOR UPDATE' if locked else ''}",
        (system,),
    ).fetchone()
    return _seen(row) if row else Seen(Door())


def is_well(connection: Connection, system: str) -> bool:
    """Whether a good answer tells nothing new about a system: its door is open, nothing is left of
    earlier failures, and no case is open about the system itself. One look, no lock."""
    row = connection.execute(
        f"SELECT {_DOOR} FROM system_states WHERE system = %(system)s UNION ALL "
        "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (SELECT FROM cases "
        "WHERE state = 'open' AND system = %(system)s AND reason IN ('denied', 'drift') "
        "AND source_key = '')",
        {"system": system},
    ).fetchall()
    return all(one[0] is not None and _seen(one).door.is_well for one in row)


def _seen(row: Sequence[object]) -> Seen:
    return Seen(Door(*row[:6]), *row[6:8])  # type: ignore[arg-type]


def keep_door(connection: Connection, system: str, known: Door) -> None:
    """Store the door after a call; whoever was finding out has found out."""
    now = clock.now()
    connection.execute(
        "INSERT INTO system_states (system, state, until, failures, room, credit, words, "
        "changed_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (system) DO UPDATE SET "
        "state = excluded.state, until = excluded.until, failures = excluded.failures, "
        "room = excluded.room, credit = excluded.credit, words = excluded.words, "
        "changed_at = excluded.changed_at, probe_until = NULL, probe_by = NULL",
        (
            system,
            known.state,
            known.until or now,
            known.failures,
            known.room,
            known.credit,
            known.words,
            now,
        ),
    )


def claim_probe(connection: Connection, system: str, holder: uuid.UUID, seconds: float) -> bool:
    """Be the one who finds out whether a system works again: at most one in all, for at most
    `seconds`. A dead finder is succeeded at once. False when another one is at it."""
    now = clock.now()
    return bool(
        connection.execute(
            "UPDATE system_states s SET probe_until = %(end)s, probe_by = %(holder)s "
            "WHERE s.system = %(system)s AND s.state <> 'open' AND s.until <= %(now)s AND ("
            "  s.probe_until IS NULL OR s.probe_until <= %(now)s OR s.probe_by = %(holder)s)",
            {
                "system": system,
                "holder": holder,
                "now": now,
                "end": now + dt.timedelta(seconds=seconds),
            },
        ).rowcount
    )


def drop_probe(connection: Connection, system: str, holder: uuid.UUID) -> None:
    """There was nothing to find out with: let somebody else do it."""
    connection.execute(
        "UPDATE system_states SET probe_until = NULL, probe_by = NULL "
        "WHERE system = %s AND probe_by = %s",
        (system, holder),
    )


def not_working(connection: Connection) -> list[str]:
    """What a person must know of systems that cannot be worked with now: `netsuite is down: …`."""
    rows = connection.execute(
        "SELECT system, state, words FROM system_states WHERE state <> 'open' ORDER BY system"
    ).fetchall()
    return [f"{system} is {state}: {words}" for system, state, words in rows]


def ask_again(connection: Connection) -> None:
    """End the pauses of systems that were down or refused us; what a system told us to wait
    (Retry-After) stays."""
    connection.execute(
        "UPDATE system_states SET until = %s WHERE state IN ('down', 'denied')", (clock.now(),)
    )


# --- limits that all workers share --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What a system takes from all workers together; no bucket while no rate is known."""

    concurrency: Concurrency
    bucket: Bucket | None


_LIMITS = (
    "SELECT system, at_a_time, changed_at, tokens, per_second, brim, filled_at, not_before "
    "FROM system_limits WHERE system = ANY(%s) ORDER BY system FOR UPDATE"
)


def limits(connection: Connection, most: Mapping[str, int]) -> dict[str, Limits]:
    """The limits of these systems, locked until the end of the transaction. `most` is how many
    calls at a time the environment allows each."""
    names = sorted(most)
    rows = connection.execute(_LIMITS, (names,)).fetchall()
    if len(rows) < len(names):  # the first time anybody asks
        connection.execute(
            "INSERT INTO system_limits (system, at_a_time, changed_at) "
            "SELECT t.system, t.most, %s FROM unnest(%s::text[], %s::int[]) AS t (system, most) "
            "ORDER BY 1 ON CONFLICT (system) DO NOTHING",
            (clock.now(), names, [most[name] for name in names]),
        )
        rows = connection.execute(_LIMITS, (names,)).fetchall()
    return {
        str(row[0]): Limits(
            Concurrency(int(row[1]), most[str(row[0])], row[2]),
            None if row[3] is None else Bucket(*row[3:8]),
        )
        for row in rows
    }


def keep_limits(connection: Connection, known: Mapping[str, Limits]) -> None:
    """Store limits that were read for a change in this transaction."""
    names = sorted(known)
    buckets = [known[name].bucket for name in names]
    connection.execute(
        "UPDATE system_limits l SET at_a_time = t.at_a_time, changed_at = t.changed_at, "
        "tokens = t.tokens, per_second = t.per_second, brim = t.brim, filled_at = t.filled_at, "
        "not_before = t.not_before FROM unnest(%s::text[], %s::int[], %s::timestamptz[], "
        "%s::float8[], %s::float8[], %s::float8[], %s::timestamptz[], %s::timestamptz[]) AS t "
        "(system, at_a_time, changed_at, tokens, per_second, brim, filled_at, not_before) "
        "WHERE l.system = t.system",
        (
            names,
            [known[name].concurrency.now for name in names],
            [known[name].concurrency.changed_at for name in names],
            [one and one.tokens for one in buckets],
            [one and one.per_second for one in buckets],
            [one and one.brim for one in buckets],
            [one and one.filled_at for one in buckets],
            [one and one.not_before for one in buckets],
        ),
    )


# --- who is calling -----------------------------------------------------------------------------


def claims(connection: Connection, systems: Sequence[str]) -> dict[str, dict[str, Claim]]:
    """System -> holder -> its claim, of those that live and whose time is not over. The caller
    holds the systems' limits locked, so that nobody else claims meanwhile."""
    now = clock.now()
    rows = connection.execute(
        "SELECT system, holder, slots, wants, waits_since FROM call_slots "
        f"WHERE system = ANY(%s) AND until > %s AND life_key IN {LIVING}",
        (list(systems), now),
    ).fetchall()
    found: dict[str, dict[str, Claim]] = {system: {} for system in systems}
    for system, holder, slots, wants, waits_since in rows:
        waited = (now - waits_since).total_seconds() if waits_since is not None else 0.0
        found[str(system)][str(holder)] = Claim(str(holder), int(slots), int(wants), waited)
    return found


def keep_claims(
    connection: Connection,
    holder: uuid.UUID,
    slots: Mapping[str, int],
    wants: Mapping[str, int],
    seconds: float,
) -> None:
    """Store what the holder may have at a time of each system, for at most `seconds`."""
    now = clock.now()
    names = sorted(slots)
    connection.execute(
        "INSERT INTO call_slots AS c (system, holder, life_key, slots, wants, waits_since, until) "
        "SELECT t.system, %(holder)s, %(life)s, t.slots, t.wants, "
        "CASE WHEN t.slots = 0 THEN %(now)s::timestamptz END, %(until)s "
        "FROM unnest(%(names)s::text[], %(slots)s::int[], %(wants)s::int[]) "
        "AS t (system, slots, wants) ON CONFLICT (system, holder) DO UPDATE SET "
        "slots = excluded.slots, wants = excluded.wants, until = excluded.until, "
        "waits_since = CASE WHEN excluded.slots = 0 AND c.until > %(now)s "
        "THEN coalesce(c.waits_since, excluded.waits_since) ELSE excluded.waits_since END",
        {
            "holder": holder,
            "life": life_key(holder),
            "now": now,
            "until": now + dt.timedelta(seconds=seconds),
            "names": names,
            "slots": [slots[name] for name in names],
            "wants": [wants[name] for name in names],
        },
    )


def give_back(connection: Connection, holder: uuid.UUID, systems: Sequence[str]) -> None:
    """Let go of what the holder may have of these systems."""
    connection.execute(
        "DELETE FROM call_slots WHERE holder = %s AND system = ANY(%s)", (holder, list(systems))
    )


@dataclass(frozen=True, slots=True)
class Told:
    """One system for a person: its door, and what all workers together may do."""

    system: str
    door: Door
    probing: bool
    at_a_time: int | None
    calls_left: int | None
    per_second: float | None


def overview(connection: Connection) -> list[Told]:
    """Every system that is known, for `tieout doctor` and the console."""
    now = clock.now()
    rows = connection.execute(
        "SELECT coalesce(s.system, l.system), coalesce(s.state, 'open'), s.until, "
        "coalesce(s.failures, 0), s.room, coalesce(s.credit, 100), coalesce(s.words, ''), "
        "coalesce(s.probe_until > %s, false), l.at_a_time, l.tokens, l.per_second "
        "FROM system_states s FULL JOIN system_limits l USING (system) ORDER BY 1 LIMIT 200",
        (now,),
    ).fetchall()
    return [
        Told(
            str(row[0]),
            Door(*row[1:7]),
            bool(row[7]),
            row[8],
            None if row[9] is None else max(0, int(row[9])),
            row[10],
        )
        for row in rows
    ]
