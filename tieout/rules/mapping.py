"""Running a compiled mapping: a batch of source rows in, documents and per-field errors out.

One bad row never fails its batch. A row is either in `mapped` or has at least one error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tieout.rules.field_errors import FieldError, bad_text_error, explain
from tieout.rules.level_run import LevelResult, run_level
from tieout.rules.lookups import Answers, Lookups, NoLookups, crosswalk_table
from tieout.rules.own_functions import record_key
from tieout.rules.plan import LevelPlan, asks_for_ids, asks_for_rates
from tieout.rules.reading import ROW, Reader
from tieout.rules.runner import Runner
from tieout.rules.spec import Crosswalk, FieldType, MappingSpec
from tieout.rules.stages import RECORD_KEY_COLUMN, Batch, answered, asks_the_engine, source_table

NOTHING = pa.scalar("", pa.string())

__all__ = ["CompiledMapping", "FieldError", "Mapped", "MappingResult", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row to map: `payload` is its JSON text.

    Inbound, `key` is the id in the source system. Outbound, `key` is the record key and
    `source_key` the record's id in the system it came from. Expressions see both as `record_key`
    and `source_key`.
    """

    row_id: int
    key: str
    payload: str
    source_key: str = ""


class Mapped(NamedTuple):
    """A row that mapped. `body` is canonical JSON: sorted keys, no blanks, decimals as texts.

    `conditions` answers the compiled conditions by name; None means NULL: nobody can say. Rows that
    answer alike may share it: read it, do not change it.
    `waits_for` names (system, record type, key) whose id in that system is not known yet.
    `facts` holds the values of the fields that `compile_mapping` was asked for, in that order, as
    the canonical texts that stand in the body; None where there is no value.
    """

    row_id: int
    key: str
    body: str
    conditions: dict[str, bool | None]
    rate_ids: tuple[str, ...]
    waits_for: tuple[tuple[str, str, str], ...]
    facts: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class MappingResult:
    """`mapped` and `errors`, both in the order of the rows that went in.

    `partial` holds, by row id, what could be mapped of rows that have errors: never a document,
    but enough to tell whether the row is in scope and how much is at stake.
    """

    mapped: list[Mapped]
    errors: list[FieldError]
    partial: dict[int, Mapped]


class CompiledMapping:
    """A mapping ready to run. Made by `compile.compile_mapping`; safe to share between threads
    as long as each uses its own Runner."""

    def __init__(
        self,
        spec: MappingSpec,
        source_fields: Sequence[FieldType],
        root: LevelPlan,
        crosswalks: Mapping[str, Crosswalk],
        facts: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self.facts = tuple(facts)
        self._root = root
        self._fact_columns = {one.name: one.fact_column for one in root.facts}
        self._levels = tuple(root.walk())
        self._reader = Reader(source_fields)
        self._system, _, _ = spec.source.partition(".") if spec.inbound else ("", "", "")
        self.crosswalks_used = tuple(
            sorted(
                {
                    call.fixed[0]
                    for plan in self._levels
                    for call in plan.level.calls
                    if call.function == "crosswalk"
                }
            )
        )
        self._needs_record_key = any(plan.reads(RECORD_KEY_COLUMN) for plan in self._levels)
        self._crosswalks = {name: crosswalks[name] for name in self.crosswalks_used}
        self._chains: dict[str, str] = {}  # of levels that ask the engine nothing, by label
        self._tables = {name: crosswalk_table(one) for name, one in self._crosswalks.items()}

    @property
    def lineage(self) -> Mapping[str, tuple[str, ...]]:
        """Target path -> the source paths it is computed from."""
        found: dict[str, tuple[str, ...]] = {}
        for plan in self._levels:
            found.update({one.path: one.bound.lineage for one in plan.fields})
            found.update({one.path: (one.rows.level.path,) for one in plan.lists})
        return dict(sorted(found.items()))

    def run(
        self, runner: Runner, rows: Sequence[Row], lookups: Lookups | None = None
    ) -> MappingResult:
        """Map a batch. Raises RuleTooSlow, or what `lookups` raises; never for one row's data."""
        errors: dict[int, list[FieldError]] = defaultdict(list)
        read = self._reader.read([row.payload for row in rows])
        for text in read.bad:
            row = rows[text.index]
            errors[text.index].append(bad_text_error(row.row_id, row.key, text, self.spec))
        with ExitStack() as stack:
            batch = Batch(runner, stack, Answers(lookups or NoLookups()), self._tables)
            batch.show(self._root.level.source, self._source(read.table, rows))
            results: dict[str, LevelResult] = {}
            for plan in self._levels:
                chain = self._chain(batch, plan)
                results[plan.label] = found = run_level(batch, plan, chain, results)
                if found.failed.num_rows:
                    for index, error in explain(
                        batch, plan, chain, found.failed, rows, self.spec, self._crosswalks
                    ):
                        errors[index].append(error)
        indexes, made = self._mapped(rows, results)
        if not errors:
            return MappingResult(made, [], {})
        numbered = list(zip(indexes, made, strict=True))
        return MappingResult(
            [one for index, one in numbered if index not in errors],
            [one for index in sorted(errors) for one in errors[index]],
            {one.row_id: one for index, one in numbered if index in errors},
        )

    def _chain(self, batch: Batch, plan: LevelPlan) -> str:
        """SQL of a level's rows with every question answered."""
        if asks_the_engine(plan.level):
            return answered(batch, plan.level, plan.base(), plan.label)
        if plan.label not in self._chains:
            self._chains[plan.label] = answered(batch, plan.level, plan.base(), plan.label)
        return self._chains[plan.label]

    def _source(self, table: pa.Table, rows: Sequence[Row]) -> pa.Table:
        indexes = table.column(ROW).to_pylist()
        ids: list[str | None]
        if self.spec.inbound:
            target = self.spec.target
            keys: list[str | None] = [None] * len(indexes)
            if self._needs_record_key:
                keys = [record_key(target, self._system, rows[index].key) for index in indexes]
            ids = [rows[index].source_key or rows[index].key for index in indexes]
        else:
            keys = [rows[index].key for index in indexes]
            ids = [rows[index].source_key or None for index in indexes]
        return source_table(table, keys, ids)

    def _mapped(
        self, rows: Sequence[Row], results: Mapping[str, LevelResult]
    ) -> tuple[list[int], list[Mapped]]:
        """The indexes of the rows that could be read, in order, and what was made of them."""
        table = results[self._root.label].rows
        waits, rates = self._waits(results), self._rates(results)
        names = list(self._root.conditions)
        # Few combinations of answers: rows that answer alike share them.
        known: dict[tuple[bool | None, ...], dict[str, bool | None]] = {}
        answers = list(_together(table, [f"#k{index}" for index in range(len(names))]))
        for answer in dict.fromkeys(answers):
            known[answer] = dict(zip(names, answer, strict=True))
        indexes = table.column(ROW).to_pylist()
        read = rows if len(indexes) == len(rows) else [rows[index] for index in indexes]
        columns = (
            [one.row_id for one in read],
            [one.key for one in read],
            table.column("#body").to_pylist(),
            [known[answer] for answer in answers],
            [tuple(sorted(rates.get(index, ()))) for index in indexes] if rates else repeat(()),
            [tuple(sorted(waits.get(index, ()))) for index in indexes] if waits else repeat(()),
            _together(table, [self._fact_columns.get(name) for name in self.facts]),
        )
        return indexes, list(map(Mapped._make, zip(*columns, strict=False)))

    def _waits(self, results: Mapping[str, LevelResult]) -> dict[int, set[tuple[str, str, str]]]:
        found: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
        for plan in filter(asks_for_ids, self._levels):
            calls = {one.number: one for one in plan.level.calls}
            for index, text in _filled(results[plan.label].rows, "#waits"):
                for part in text.split("\x1e"):
                    number, _, key = part.partition("\x1f")
                    system, record_type = calls[int(number)].fixed
                    found[index].add((system, record_type, key))
        return found

    def _rates(self, results: Mapping[str, LevelResult]) -> dict[int, set[str]]:
        found: dict[int, set[str]] = defaultdict(set)
        for plan in filter(asks_for_rates, self._levels):
            for index, text in _filled(results[plan.label].rows, "#rates"):
                found[index].update(text.split("\x1e"))
        return found


def _together(table: pa.Table, names: Sequence[str | None]) -> Iterable[tuple[Any, ...]]:
    """The values of these columns, row by row; a column that is None has nothing to say."""
    if not any(names):
        return repeat((None,) * len(names), table.num_rows)
    nothing: list[None] = [None] * table.num_rows
    columns = [table.column(name).to_pylist() if name else nothing for name in names]
    return zip(*columns, strict=True)


def _filled(table: pa.Table, column: str) -> list[tuple[int, str]]:
    """(row, text) where a text column holds something."""
    some = table.filter(pc.not_equal(table.column(column), NOTHING))
    return list(zip(some.column(ROW).to_pylist(), some.column(column).to_pylist(), strict=True))
