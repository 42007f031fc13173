"""Questions that only the engine can answer, asked set-wise: ids, rates, periods.

For every batch the distinct questions are collected first, asked once, and joined to the rows.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa

from tieout.rules.level import Call
from tieout.rules.python_functions import PythonAnswers
from tieout.rules.spec import Crosswalk

ConvertAsk = tuple[Decimal, str, str, dt.date, str]  # amount, from, to, date, rate type
PeriodAsk = tuple[str, dt.date]  # legal entity, date
CONVERTED = pa.decimal128(38, 18)


class Lookups(Protocol):
    """What the engine knows. Every method gets distinct questions, one call per batch and depth;
    a question without an answer is left out, or answered with None."""

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        """Record key -> (id in that system, document number there); proven ones only."""

    def convert(
        self, asks: Sequence[ConvertAsk]
    ) -> Mapping[ConvertAsk, tuple[Decimal, str] | None]:
        """Ask -> (converted amount, rate id). At most 18 decimals of the amount are kept."""

    def periods(self, asks: Sequence[PeriodAsk]) -> Mapping[PeriodAsk, str]:
        """(legal entity, date) -> name of the accounting period."""


class NoLookups:
    """An engine that knows nothing: for rules without lookups, and for checking types."""

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        return {}

    def convert(
        self, asks: Sequence[ConvertAsk]
    ) -> Mapping[ConvertAsk, tuple[Decimal, str] | None]:
        return {}

    def periods(self, asks: Sequence[PeriodAsk]) -> Mapping[PeriodAsk, str]:
        return {}


class Answers:
    """The answers of one batch; nothing is asked twice, whatever level needs it."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._python = PythonAnswers()
        self._ids: dict[tuple[str, str], dict[str, tuple[str, str] | None]] = {}
        self._converted: dict[ConvertAsk, tuple[Decimal, str] | None] = {}
        self._periods: dict[PeriodAsk, str | None] = {}

    def table(self, calls: Sequence[Call], asked: Mapping[int, pa.Table]) -> dict[int, pa.Table]:
        """Per call, its distinct arguments with columns `value` and `rate` (`error`, if a Python
        function answers).

        `asked` holds the distinct arguments per call, columns `a0`, `a1`, …
        """
        made = {
            one.number: self._python.table(one.python, asked[one.number])
            for one in calls
            if one.python is not None
        }
        calls = [one for one in calls if one.python is None]
        # The columns' types are those of the arguments: each row is an ask of its function.
        rows: dict[int, list[Any]] = {one.number: _rows(asked[one.number]) for one in calls}
        for place in dict.fromkeys(one.fixed for one in calls if one.function in _IDS):
            keys = [
                row[0]
                for one in calls
                if one.fixed == place and one.function in _IDS
                for row in rows[one.number]
            ]
            self._ask_ids(place, keys)
        self._ask_rates([r for c in calls if c.function in _RATES for r in rows[c.number]])
        self._ask_periods([r for c in calls if c.function == "period" for r in rows[c.number]])
        return made | {
            one.number: self._answer(one, asked[one.number], rows[one.number]) for one in calls
        }

    def _ask_ids(self, place: tuple[str, ...], keys: Iterable[str]) -> None:
        known = self._ids.setdefault((place[0], place[1]), {})
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            found = self._lookups.ids(place[0], place[1], new)
            known.update({key: found.get(key) for key in new})

    def _ask_rates(self, asks: Iterable[ConvertAsk]) -> None:
        new = [a for a in dict.fromkeys(asks) if a not in self._converted]
        if new:
            found = self._lookups.convert(new)
            self._converted.update({ask: found.get(ask) for ask in new})

    def _ask_periods(self, asks: Iterable[PeriodAsk]) -> None:
        new = [a for a in dict.fromkeys(asks) if a not in self._periods]
        if new:
            found = self._lookups.periods(new)
            self._periods.update({ask: found.get(ask) for ask in new})

    def _answer(self, call: Call, asked: pa.Table, rows: Sequence[Any]) -> pa.Table:
        values: list[object] = []
        rates: list[str | None] = []
        kind = CONVERTED if call.function == "convert" else pa.string()
        for row in rows:
            value, rate = self._one(call, row)
            values.append(value)
            rates.append(rate)
        return asked.append_column("value", pa.array(values, kind)).append_column(
            "rate", pa.array(rates, pa.string())
        )

    def _one(self, call: Call, row: Any) -> tuple[object, str | None]:
        if call.function in _IDS:
            found = self._ids[call.fixed[0], call.fixed[1]].get(str(row[0]))
            index = 0 if call.function == "id_in" else 1
            return (found[index] or None if found else None), None
        if call.function == "period":
            return self._periods.get(row), None
        converted = self._converted.get(row)
        if converted is None:
            return None, None
        amount, rate = converted
        return (_held(amount) if call.function == "convert" else rate), rate


_IDS = ("id_in", "number_in")
_RATES = ("convert", "rate_id")


def _rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _held(amount: Decimal) -> Decimal:
    """An amount with at most 18 decimals, half away from zero."""
    unit = Decimal(1).scaleb(-18)
    context = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP)
    return amount.quantize(unit, context=context)


def crosswalk_table(crosswalk: Crosswalk) -> pa.Table:
    """The rows of a crosswalk as a lookup table; the same table for the same crosswalk, so that a
    runner that holds it need not take it in again."""
    # By identity: hashing a crosswalk means hashing its every row.
    known = _TABLES.get(id(crosswalk))
    if known is None:
        while len(_TABLES) >= MOST_TABLES:
            _TABLES.pop(next(iter(_TABLES), 0), None)
        known = _TABLES[id(crosswalk)] = (crosswalk, _made_table(crosswalk))
    return known[1]


MOST_TABLES = 256  # crosswalks whose tables are kept
_TABLES: dict[int, tuple[Crosswalk, pa.Table]] = {}


def _made_table(crosswalk: Crosswalk) -> pa.Table:
    rows = crosswalk.rows
    return pa.table(
        {
            "code": pa.array([row.code for row in rows], pa.string()),
            "value": pa.array([row.value for row in rows], pa.string()),
            "valid_from": pa.array([row.valid_from for row in rows], pa.date32()),
            "valid_to": pa.array([row.valid_to for row in rows], pa.date32()),
        }
    )
