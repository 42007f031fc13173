"""Reconcile: read every side afresh from its own system, in its own words, and compare.

Never from our records, never through the mapping under test. A reconciliation of n sides gives
n - 1 tie-outs: each further side against the first. A break that an open case is about, to the
cent, is explained by it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.engine.compiled import field_types
from tieout.engine.context import Context
from tieout.finance.decimals import canonical_decimal
from tieout.landscape.schema import ReconciliationSpec, SideSpec
from tieout.ports.connector import Reads
from tieout.rules.matching import ZERO, Break, Comparison, Side, Stake, compare
from tieout.rules.selection import compile_selection
from tieout.store import audit, cases, evidence
from tieout.store.database import Connection

MOST_PAGES = 2_000


class CannotReconcile(Exception):
    """A side could not be read or understood. Says which and what to do; nothing is guessed."""


@dataclass(frozen=True, slots=True)
class SideSummary:
    """One side in figures: how many records, and their sums by currency."""

    name: str
    count: int
    sums: Mapping[str, Decimal]
    read_at: dt.datetime


@dataclass(frozen=True, slots=True)
class TieOut:
    """Two sides of one reconciliation, compared. `differences` is by currency, left − right."""

    name: str
    left: SideSummary
    right: SideSummary
    comparison: Comparison
    differences: Mapping[str, Decimal]
    groups: tuple[Mapping[str, object], ...]

    @property
    def agrees(self) -> bool:
        return self.comparison.agrees

    @property
    def explained(self) -> bool:
        return self.comparison.explained

    @property
    def breaks(self) -> tuple[Break, ...]:
        return self.comparison.breaks


def reconcile(context: Context, spec: ReconciliationSpec, *, store: bool = True) -> list[TieOut]:
    """Run one reconciliation, and keep its tie-outs unless told not to.

    Raises CannotReconcile, VendorFault or NoAnswer when a side cannot be read.
    """
    sides = [(_read(context, spec, one), clock.now()) for one in spec.sides]
    with context.database.transaction() as connection:
        stakes = _stakes(connection)
        left, left_read_at = sides[0]
        found = [
            _tie_out(spec, left, left_read_at, right, read_at, stakes)
            for right, read_at in sides[1:]
        ]
        if store:
            for one in found:
                _store(context, connection, spec, one)
    return found


# --- reading a side ----------------------------------------------------------------------------


def _read(context: Context, spec: ReconciliationSpec, side: SideSpec) -> Side:
    read = Side(side.name)
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
        runner=context.runner,
    )
    payloads = list(fresh_rows(context, side.system, stream).values())
    result = selection.run(context.runner, payloads)
    if result.unreadable:
        raise CannotReconcile(
            f"{side.place}: side '{side.name}' has {len(result.unreadable)} rows of {stream} that "
            f"cannot be read, the first: {result.unreadable[0][1]}. Correct the expression or the "
            "data; a total that leaves rows out would be a lie"
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
        into.add(group, str(key), Decimal(str(amount)), sign)


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


# --- the result ----------------------------------------------------------------------------------


def _stakes(connection: Connection) -> dict[str, Stake]:
    """Open cases that name an amount, by the source key they are about; the oldest counts."""
    found: dict[str, Stake] = {}
    for case in cases.read(connection, most=100_000):
        if case.source_key and case.amount is not None:
            found.setdefault(case.source_key, Stake(case.case_id, case.amount))
    return found


def _tie_out(
    spec: ReconciliationSpec,
    left: Side,
    left_read_at: dt.datetime,
    right: Side,
    right_read_at: dt.datetime,
    stakes: Mapping[str, Stake],
) -> TieOut:
    one = _summary(spec, left, left_read_at)
    other = _summary(spec, right, right_read_at)
    differences = {
        currency: one.sums.get(currency, ZERO) - other.sums.get(currency, ZERO)
        for currency in sorted({*one.sums, *other.sums})
    }
    return TieOut(
        name=f"{spec.name}: {left.name} = {right.name}",
        left=one,
        right=other,
        comparison=compare(
            left, right, Decimal(spec.tolerance_each), stakes, Decimal(spec.tolerance_total)
        ),
        differences={currency: gap for currency, gap in differences.items() if gap},
        groups=_groups(spec, left, right),
    )


def _summary(spec: ReconciliationSpec, side: Side, read_at: dt.datetime) -> SideSummary:
    at = spec.by.index("currency") if "currency" in spec.by else None
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for (group, _), amount in side.amounts.items():
        sums[group[at] if at is not None else ""] += amount
    return SideSummary(side.name, len(side.amounts), dict(sorted(sums.items())), read_at)


def _groups(spec: ReconciliationSpec, left: Side, right: Side) -> tuple[Mapping[str, object], ...]:
    ours, theirs = left.group_totals(), right.group_totals()
    made = []
    for group in sorted({*ours, *theirs}):
        count, total = ours.get(group, (0, ZERO))
        other_count, other_total = theirs.get(group, (0, ZERO))
        made.append(
            dict(zip(spec.by, group, strict=True))
            | {
                "counts": {left.name: count, right.name: other_count},
                "sums": {
                    left.name: canonical_decimal(total, 2),
                    right.name: canonical_decimal(other_total, 2),
                },
                "difference": canonical_decimal(total - other_total, 2),
            }
        )
    return tuple(made)


def _side_json(side: SideSummary) -> dict[str, object]:
    return {
        "name": side.name,
        "count": side.count,
        "read_at": side.read_at.isoformat(),
        "sum_by_currency": {
            currency: canonical_decimal(amount, 2) for currency, amount in side.sums.items()
        },
    }


def _store(context: Context, connection: Connection, spec: ReconciliationSpec, one: TieOut) -> None:
    text = json.dumps(
        {
            "sides": [_side_json(one.left), _side_json(one.right)],
            "groups": one.groups,
            "by": spec.by,
            "tolerance": {"each": spec.tolerance_each, "total": spec.tolerance_total},
            "differences": {
                currency: canonical_decimal(gap, 2) for currency, gap in one.differences.items()
            },
            "unexplained": one.comparison.unexplained,
        },
        sort_keys=True,
    )
    row = connection.execute(
        "INSERT INTO tie_outs (name, made_at, made_by, agrees, explained, difference, result, "
        "landscape_hash) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING tie_out_id",
        (
            one.name,
            clock.now(),
            context.actor,
            one.agrees,
            one.explained,
            one.comparison.difference,
            text,
            context.landscape.content_hash,
        ),
    ).fetchone()
    if row is None:
        raise RuntimeError("the tie-out was not stored")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO breaks (tie_out_id, left_side, right_side, key, kind, legal_entity, "
            "period, currency, left_amount, right_amount, difference, case_id) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(row[0], one.left.name, one.right.name, *_break_row(spec, gap)) for gap in one.breaks],
        )
    leaf = evidence.of_stored(connection, f"tie_out/{row[0]}")
    audit.record(connection, context.actor, "reconcile", [leaf])


def _break_row(spec: ReconciliationSpec, gap: Break) -> tuple[object, ...]:
    named = dict(zip(spec.by, gap.group, strict=True))
    return (
        gap.key,
        gap.kind,
        named.get("legal_entity", ""),
        named.get("period", ""),
        named.get("currency", ""),
        gap.left,
        gap.right,
        gap.difference,
        gap.case_id,
    )
