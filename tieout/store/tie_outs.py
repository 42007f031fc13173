"""Tie-outs as people read them: sides, groups, and the differences with what explains them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tieout.store.database import Connection

MOST_TIE_OUTS = 100
MOST_BREAKS = 500


@dataclass(frozen=True, slots=True)
class TieOutRow:
    """One tie-out in a list. `difference` is left minus right over all breaks, as it was judged."""

    tie_out_id: int
    name: str
    made_at: dt.datetime
    made_by: str
    agrees: bool
    explained: bool
    difference: Decimal
    landscape_hash: str
    sides: tuple[str, ...]
    breaks: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class SideSeen:
    """What one system said, read afresh at `read_at`."""

    name: str
    count: int
    read_at: dt.datetime
    sums: tuple[tuple[str, Decimal], ...]  # (currency, sum)


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """One group: its values (legal entity, period, currency), and what each side has in it.

    `cells` are (count, sum) in the order of the sides; None where a side has nothing there.
    """

    values: tuple[str, ...]
    cells: tuple[tuple[int, Decimal] | None, ...]
    difference: Decimal


@dataclass(frozen=True, slots=True)
class BreakSeen:
    """One key on which two sides differ, and the case that explains it."""

    left_side: str
    right_side: str
    key: str
    kind: str
    legal_entity: str
    period: str
    currency: str
    left_amount: Decimal | None
    right_amount: Decimal | None
    difference: Decimal
    case_id: int | None
    case_reason: str
    case_words: str


@dataclass(frozen=True, slots=True)
class TieOutPage:
    """One tie-out, whole. `differences` are (left, right, currency, sum, of which explained)."""

    row: TieOutRow
    by: tuple[str, ...]
    tolerance_each: str
    tolerance_total: str
    sides: tuple[SideSeen, ...]
    groups: tuple[GroupSeen, ...]
    breaks: tuple[BreakSeen, ...]
    differences: tuple[tuple[str, str, str, Decimal, Decimal], ...]


_ROW = (
    "t.tie_out_id, t.name, t.made_at, t.made_by, t.agrees, t.explained, t.difference, "
    "t.landscape_hash, t.result, b.breaks, b.unexplained FROM tie_outs t, LATERAL ("
    "SELECT count(*) AS breaks, count(*) FILTER (WHERE case_id IS NULL) AS unexplained "
    "FROM breaks WHERE breaks.tie_out_id = t.tie_out_id) AS b"
)


def newest_of_each(connection: Connection) -> list[TieOutRow]:
    """The newest tie-out of every reconciliation, by name."""
    rows = connection.execute(
        f"SELECT {_ROW} WHERE t.tie_out_id IN (SELECT max(tie_out_id) FROM tie_outs "
        "GROUP BY name) ORDER BY t.name LIMIT %s",
        (MOST_TIE_OUTS,),
    ).fetchall()
    return [_row(row, json.loads(row[8])) for row in rows]


def history(connection: Connection, name: str = "") -> list[TieOutRow]:
    """Tie-outs, newest first, at most 100; of one reconciliation when named."""
    rows = connection.execute(
        f"SELECT {_ROW} WHERE (%(name)s = '' OR t.name = %(name)s) "
        "ORDER BY t.tie_out_id DESC LIMIT %(most)s",
        {"name": name, "most": MOST_TIE_OUTS},
    ).fetchall()
    return [_row(row, json.loads(row[8])) for row in rows]


def one_tie_out(connection: Connection, tie_out_id: int) -> TieOutPage | None:
    """A tie-out by its number, with at most 500 breaks; None when there is none."""
    row = connection.execute(f"SELECT {_ROW} WHERE t.tie_out_id = %s", (tie_out_id,)).fetchone()
    if row is None:
        return None
    result = json.loads(row[8])
    names = [str(side["name"]) for side in result["sides"]]
    by = tuple(str(one) for one in result["by"])
    return TieOutPage(
        row=_row(row, result),
        by=by,
        tolerance_each=str(result["tolerance"]["each"]),
        tolerance_total=str(result["tolerance"]["total"]),
        sides=tuple(_side(one) for one in result["sides"]),
        groups=tuple(_group(one, by, names) for one in result["groups"]),
        breaks=_breaks(connection, tie_out_id),
        differences=_differences(connection, tie_out_id),
    )


def _row(row: Sequence[Any], result: Mapping[str, Any]) -> TieOutRow:
    sides = tuple(str(side["name"]) for side in result["sides"])
    return TieOutRow(*[*row[:8], sides, *row[9:]])


def _side(said: Mapping[str, Any]) -> SideSeen:
    return SideSeen(
        name=str(said["name"]),
        count=int(said["count"]),
        read_at=dt.datetime.fromisoformat(said["read_at"]),
        sums=tuple(
            (str(currency), Decimal(amount))
            for currency, amount in sorted(said["sum_by_currency"].items())
        ),
    )


def _group(said: Mapping[str, Any], by: Sequence[str], sides: Sequence[str]) -> GroupSeen:
    cells = []
    for side in sides:
        count = int(said["counts"].get(side, 0))
        cells.append((count, Decimal(said["sums"][side])) if count else None)
    return GroupSeen(
        values=tuple(str(said[name]) for name in by),
        cells=tuple(cells),
        difference=Decimal(said["difference"]),
    )


def _breaks(connection: Connection, tie_out_id: int) -> tuple[BreakSeen, ...]:
    rows = connection.execute(
        "SELECT b.left_side, b.right_side, b.key, b.kind, b.legal_entity, b.period, b.currency, "
        "b.left_amount, b.right_amount, b.difference, b.case_id, coalesce(c.reason, ''), "
        "coalesce(c.words, '') FROM breaks b LEFT JOIN cases c USING (case_id) "
        "WHERE b.tie_out_id = %s ORDER BY b.case_id IS NOT NULL, b.key, b.left_side, "
        "b.right_side, b.legal_entity, b.period, b.currency LIMIT %s",
        (tie_out_id, MOST_BREAKS),
    ).fetchall()
    return tuple(BreakSeen(*row) for row in rows)


def _differences(
    connection: Connection, tie_out_id: int
) -> tuple[tuple[str, str, str, Decimal, Decimal], ...]:
    rows = connection.execute(
        "SELECT left_side, right_side, currency, sum(difference), "
        "coalesce(sum(difference) FILTER (WHERE case_id IS NOT NULL), 0) FROM breaks "
        "WHERE tie_out_id = %s GROUP BY left_side, right_side, currency "
        "ORDER BY left_side, right_side, currency LIMIT 500",
        (tie_out_id,),
    ).fetchall()
    return tuple((str(r[0]), str(r[1]), str(r[2]), r[3], r[4]) for r in rows)
