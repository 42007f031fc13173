"""Reconcile: read every side afresh from its own system, in its own words, and compare.

Never from our records, never through the mapping under test. A tie-out compares sides pairwise
against the first one: by count and sum per group, then record by record. What differs is a break;
a break whose key has an open case is explained by it, to the cent.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tieout import clock
from tieout.engine.compiled import field_types
from tieout.engine.context import Context
from tieout.landscape.schema import ReconciliationSpec, SideSpec
from tieout.ports.connector import Reads
from tieout.rules.selection import compile_selection
from tieout.store import audit, cases
from tieout.store.database import Connection

MOST_PAGES = 2_000
ZERO = Decimal(0)


class CannotReconcile(Exception):
    """A side could not be read or understood. Says which and what to do; nothing is guessed."""


Group = tuple[str, ...]
RowKey = tuple[Group, str]


@dataclass
class Side:
    """One side as read: amounts and counts by (group, key)."""

    name: str
    read_at: dt.datetime
    amounts: dict[RowKey, Decimal] = field(default_factory=dict)
    rows: dict[RowKey, int] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, group: Group, key: str, amount: Decimal) -> None:
        self.amounts[group, key] = self.amounts.get((group, key), ZERO) + amount
        self.rows[group, key] = self.rows.get((group, key), 0) + 1

    def drop_zeroes(self) -> None:
        """Keys that net to nothing (an invoice and its credit) are not there."""
        for where in [where for where, amount in self.amounts.items() if amount == 0]:
            del self.amounts[where], self.rows[where]


@dataclass(frozen=True, slots=True)
class Break:
    """One key on which two sides differ; `difference` is left minus right."""

    left_side: str
    right_side: str
    key: str
    kind: str
    group: Group
    left: Decimal | None
    right: Decimal | None
    difference: Decimal
    case_id: int | None = None


@dataclass(frozen=True, slots=True)
class SideSummary:
    """One side in figures: how many records, and their sums by currency."""

    name: str
    count: int
    sums: Mapping[str, Decimal]
    read_at: dt.datetime


@dataclass(frozen=True, slots=True)
class TieOut:
    """The result of one reconciliation."""

    name: str
    sides: tuple[SideSummary, ...]
    agrees: bool
    explained: bool
    difference: Decimal
    breaks: tuple[Break, ...]
    unexplained: int
    result: Mapping[str, object]


def reconcile(context: Context, spec: ReconciliationSpec, *, store: bool = True) -> TieOut:
    """Run one reconciliation. Raises CannotReconcile, VendorFault or NoAnswer.

    `agrees`: no break at all. `explained`: every break belongs to an open case, and the open
    cases' own differences sum to the whole difference exactly.
    """
    sides = [_read(context, spec, one) for one in spec.sides]
    with context.database.transaction() as connection:
        open_cases = _cases_by_key(connection)
        found: list[Break] = []
        for right in sides[1:]:
            found += _compare(sides[0], right, Decimal(spec.tolerance_each), open_cases)
        tie_out = _judge(spec, sides, found)
        if store:
            _store(context, connection, spec, tie_out)
    return tie_out


# --- reading a side --------------------------------------------------------------------------


def _read(context: Context, spec: ReconciliationSpec, side: SideSpec) -> Side:
    read = Side(side.name, clock.now())
    _add_stream(context, spec, side, side.stream, side.where, 1, read)
    for other in side.also:
        _add_stream(context, spec, side, other.stream, other.where, other.sign, read)
    if side.also:
        read.drop_zeroes()
    return read


def _add_stream(
    context: Context,
    spec: ReconciliationSpec,
    side: SideSpec,
    stream: str,
    where: str,
    sign: int,
    into: Side,
) -> None:
    columns = {"key": side.key, "amount": side.sum} | {
        f"by_{name}": side.dimensions[name] for name in spec.by
    }
    selection = compile_selection(
        field_types(context.compiled.streams[side.system, stream].fields),
        columns,
        where,
        side.each,
        side.place_of("where"),
    )
    payloads = list(fresh_rows(context, side.system, stream).values())
    result = selection.run(context.runner, payloads)
    into.unreadable += [(stream, why) for _, why in result.unreadable]
    if into.unreadable:
        raise CannotReconcile(
            f"{side.place}: side '{side.name}' has {len(into.unreadable)} rows that cannot be "
            f"read, the first: {into.unreadable[0][1]}. Correct the expression or the data; a "
            "total that leaves rows out would be a lie"
        )
    table = result.table.to_pydict()
    for index in range(result.table.num_rows):
        key, amount = table["key"][index], table["amount"][index]
        group = tuple(str(table[f"by_{name}"][index] or "?") for name in spec.by)
        if key is None or amount is None:
            raise CannotReconcile(
                f"{side.place}: side '{side.name}' has a row of {stream} without key or amount "
                f"(group {' '.join(group)}); say in its `where` which rows count"
            )
        into.add(group, str(key), Decimal(str(amount)) * sign)


def fresh_rows(context: Context, system: str, stream: str) -> dict[str, str]:
    """Every row of a stream as the system shows it now: payloads by source key.

    Raises CannotReconcile when the system cannot be read or does not come to an end.
    """
    reader = context.connector(system)
    if not isinstance(reader, Reads):
        raise CannotReconcile(f"{system} cannot be read; a tie-out needs a system that can")
    rows: dict[str, str] = {}
    cursor = ""
    for _ in range(MOST_PAGES):
        page = reader.read(context.session(system), stream, cursor)
        for item in page.items:
            if item.deleted:
                rows.pop(item.key, None)
            else:
                rows[item.key] = item.payload
        cursor = page.cursor
        if not page.more:
            return rows
    raise CannotReconcile(f"{system}.{stream} did not end within {MOST_PAGES} pages")


# --- comparing ---------------------------------------------------------------------------------


def _cases_by_key(connection: Connection) -> dict[str, int]:
    """Open cases by the source key they are about; the oldest explains."""
    found: dict[str, int] = {}
    for case in cases.read(connection, most=100_000):
        if case.source_key:
            found.setdefault(case.source_key, case.case_id)
    return found


def _compare(
    left: Side, right: Side, tolerance: Decimal, open_cases: Mapping[str, int]
) -> list[Break]:
    """Breaks between two sides, in a stable order, independent of row order."""
    found = []
    for group, key in sorted(set(left.amounts) | set(right.amounts)):
        one, other = left.amounts.get((group, key)), right.amounts.get((group, key))
        difference = (one or ZERO) - (other or ZERO)
        if one is not None and other is not None and abs(difference) <= tolerance:
            continue
        if one is None:
            kind = "missing_left"
        elif other is None:
            kind = "missing_right"
        else:
            kind = "amount"
        found.append(
            Break(
                left.name, right.name, key, kind, group, one, other, difference, open_cases.get(key)
            )
        )
    return found


def _judge(spec: ReconciliationSpec, sides: Sequence[Side], found: Sequence[Break]) -> TieOut:
    summaries = tuple(_summary(spec, side) for side in sides)
    unexplained = [one for one in found if one.case_id is None]
    difference = sum((one.difference for one in found), ZERO)
    explained = sum((one.difference for one in found if one.case_id is not None), ZERO)
    return TieOut(
        name=spec.name,
        sides=summaries,
        agrees=not found,
        explained=not unexplained and explained == difference,
        difference=difference,
        breaks=tuple(found),
        unexplained=len(unexplained),
        result={
            "sides": [_side_json(side) for side in summaries],
            "groups": _groups_json(spec, sides),
            "by": list(spec.by),
            "tolerance": {"each": spec.tolerance_each, "total": spec.tolerance_total},
            "unexplained": len(unexplained),
        },
    )


def _summary(spec: ReconciliationSpec, side: Side) -> SideSummary:
    at = spec.by.index("currency") if "currency" in spec.by else None
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for (group, _), amount in side.amounts.items():
        sums[group[at] if at is not None else ""] += amount
    return SideSummary(side.name, len(side.amounts), dict(sorted(sums.items())), side.read_at)


def _side_json(side: SideSummary) -> dict[str, object]:
    return {
        "name": side.name,
        "count": side.count,
        "read_at": side.read_at.isoformat(),
        "sum_by_currency": {currency: str(amount) for currency, amount in side.sums.items()},
    }


def _groups_json(spec: ReconciliationSpec, sides: Sequence[Side]) -> list[dict[str, object]]:
    groups = sorted({group for side in sides for group, _ in side.amounts})
    totals = {side.name: _group_totals(side) for side in sides}
    made: list[dict[str, object]] = []
    for group in groups:
        sums = {name: total.get(group, (0, ZERO))[1] for name, total in totals.items()}
        made.append(
            dict(zip(spec.by, group, strict=True))
            | {
                "counts": {name: total.get(group, (0, ZERO))[0] for name, total in totals.items()},
                "sums": {name: str(amount) for name, amount in sums.items()},
                "difference": str(max(sums.values()) - min(sums.values())),
            }
        )
    return made


def _group_totals(side: Side) -> dict[Group, tuple[int, Decimal]]:
    totals: dict[Group, tuple[int, Decimal]] = {}
    for (group, _), amount in side.amounts.items():
        count, total = totals.get(group, (0, ZERO))
        totals[group] = (count + 1, total + amount)
    return totals


def _store(
    context: Context, connection: Connection, spec: ReconciliationSpec, tie_out: TieOut
) -> None:
    text = json.dumps(tie_out.result, sort_keys=True)
    row = connection.execute(
        "INSERT INTO tie_outs (name, made_at, made_by, agrees, explained, difference, result, "
        "landscape_hash) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING tie_out_id",
        (
            tie_out.name,
            clock.now(),
            context.actor,
            tie_out.agrees,
            tie_out.explained,
            tie_out.difference,
            text,
            context.landscape.content_hash,
        ),
    ).fetchone()
    if row is None:
        raise RuntimeError("the tie-out was not stored")
    at = {
        name: spec.by.index(name) if name in spec.by else None
        for name in ("legal_entity", "period", "currency")
    }
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO breaks (tie_out_id, left_side, right_side, key, kind, legal_entity, "
            "period, currency, left_amount, right_amount, difference, case_id) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    row[0],
                    one.left_side,
                    one.right_side,
                    one.key,
                    one.kind,
                    *(
                        one.group[i] if (i := at[name]) is not None else ""
                        for name in ("legal_entity", "period", "currency")
                    ),
                    one.left,
                    one.right,
                    one.difference,
                    one.case_id,
                )
                for one in tie_out.breaks
            ],
        )
    audit.record(connection, context.actor, "reconcile", [(f"tie_out/{row[0]}", text)])
