"""Exceptions as people work them: cases in groups before lists, and one case whole."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from tieout.store.cases import COLUMNS, Case
from tieout.store.database import Connection

MOST_GROUPS = 200
MOST_IN_LIST = 200
MOST_BREAKS = 20


@dataclass(frozen=True, slots=True)
class AmountAtStake:
    """What a group of cases is worth in one currency; each record counts once."""

    currency: str
    amount: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """Cases that one decision may settle: the same reason, caught by the same control."""

    reason: str
    control: str
    count: int
    amounts: tuple[AmountAtStake, ...]
    without_amount: int
    oldest_at: dt.datetime
    newest_at: dt.datetime
    owners: tuple[str, ...]
    words: str
    next_action: str


@dataclass(frozen=True, slots=True)
class CaseRow(Case):
    """A case with the number people know its record by ("" when there is no record)."""

    number: str


@dataclass(frozen=True, slots=True)
class BreakOfCase:
    """A difference in a tie-out that this case explains."""

    tie_out_id: int
    name: str
    made_at: dt.datetime
    left_side: str
    right_side: str
    currency: str
    difference: Decimal


@dataclass(frozen=True, slots=True)
class CasePage:
    """One case with the differences it explains."""

    case: CaseRow
    breaks: tuple[BreakOfCase, ...]


def groups(connection: Connection, state: str = "open") -> list[CaseGroup]:
    """Groups of cases in one state, the biggest first."""
    rows = connection.execute(
        "SELECT reason, control, count(*), count(*) FILTER (WHERE amount IS NULL), "
        "min(opened_at), max(last_at), array_agg(DISTINCT owner ORDER BY owner), "
        "(array_agg(words ORDER BY case_id))[1], "
        "mode() WITHIN GROUP (ORDER BY next_action) FROM cases WHERE state = %s "
        "GROUP BY reason, control ORDER BY count(*) DESC, reason, control LIMIT %s",
        (state, MOST_GROUPS),
    ).fetchall()
    amounts = _amounts(connection, state)
    return [
        CaseGroup(
            reason=row[0],
            control=row[1],
            count=row[2],
            amounts=tuple(amounts[row[0], row[1]]),
            without_amount=row[3],
            oldest_at=row[4],
            newest_at=row[5],
            owners=tuple(row[6]),
            words=row[7],
            next_action=row[8],
        )
        for row in rows
    ]


def _amounts(connection: Connection, state: str) -> dict[tuple[str, str], list[AmountAtStake]]:
    """By (reason, control): a record with two troubles of one kind is at stake once."""
    rows = connection.execute(
        "SELECT reason, control, currency, sum(amount), count(*) FROM ("
        "  SELECT DISTINCT ON (reason, control, currency, subject) reason, control, currency, "
        "  amount FROM (SELECT *, coalesce(nullif(record_key, ''), nullif(source_key, ''), "
        "    case_id::text) AS subject FROM cases WHERE state = %s AND amount IS NOT NULL) AS c "
        "  ORDER BY reason, control, currency, subject, case_id DESC) AS one "
        "GROUP BY reason, control, currency ORDER BY reason, control, currency",
        (state,),
    ).fetchall()
    found: dict[tuple[str, str], list[AmountAtStake]] = defaultdict(list)
    for reason, control, currency, amount, count in rows:
        found[reason, control].append(AmountAtStake(currency, amount, count))
    return found


_CASE = (
    f"{COLUMNS}, coalesce((SELECT r.number FROM records r WHERE r.record_type = c.record_type "
    "AND r.record_key = c.record_key ORDER BY r.version DESC LIMIT 1), '')"
)


def in_group(
    connection: Connection, reason: str = "", control: str = "", state: str = "open"
) -> list[CaseRow]:
    """Cases of a group, oldest first, at most 200; "" for reason or control means any."""
    rows = connection.execute(
        f"SELECT {_CASE} FROM cases c WHERE c.state = %(state)s "
        "AND (%(reason)s = '' OR c.reason = %(reason)s) "
        "AND (%(control)s = '' OR c.control = %(control)s) "
        "ORDER BY c.opened_at, c.case_id LIMIT %(most)s",
        {"state": state, "reason": reason, "control": control, "most": MOST_IN_LIST},
    ).fetchall()
    return [CaseRow(*row) for row in rows]


def one_case(connection: Connection, case_id: int) -> CasePage | None:
    """A case by its number; None when there is none, or it is not ours to see."""
    row = connection.execute(
        f"SELECT {_CASE} FROM cases c WHERE c.case_id = %s", (case_id,)
    ).fetchone()
    if row is None:
        return None
    breaks = connection.execute(
        "SELECT t.tie_out_id, t.name, t.made_at, b.left_side, b.right_side, b.currency, "
        "b.difference FROM breaks b JOIN tie_outs t USING (tie_out_id) WHERE b.case_id = %s "
        "ORDER BY t.tie_out_id DESC, b.left_side, b.right_side, b.key LIMIT %s",
        (case_id, MOST_BREAKS),
    ).fetchall()
    return CasePage(CaseRow(*row), tuple(BreakOfCase(*one) for one in breaks))


def closed_count(connection: Connection) -> int:
    """How many cases were closed so far."""
    row = connection.execute("SELECT count(*) FROM cases WHERE state = 'closed'").fetchone()
    return int(row[0]) if row else 0
