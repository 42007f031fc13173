"""Running a compiled mapping: a batch of source rows in, documents and per-field errors out.

One bad row never fails its batch. A row is either in `mapped` or has at least one error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

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
from tieout.rules.stages import RECORD_KEY_COLUMN, SOURCE, Batch, answered, source_table

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
    """

    row_id: int
    key: str
    body: str
    conditions: dict[str, bool | None]
    rate_ids: tuple[str, ...]
    waits_for: tuple[tuple[str, str, str], ...]


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
    ) -> None:
        self.spec = spec
        self._root = root
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
            batch.show(SOURCE, self._source(read.table, rows))
            results: dict[str, LevelResult] = {}
            for plan in self._levels:
                chain = answered(batch, plan.level, plan.base(), plan.label)
                results[plan.label] = found = run_level(batch, plan, chain, results)
                if found.failed.num_rows:
                    for index, error in explain(
                        batch, plan, chain, found.failed, rows, self.spec, self._crosswalks
                    ):
                        errors[index].append(error)
        made = self._mapped(rows, results)
        if not errors:
            return MappingResult([one for _, one in made], [], {})
        return MappingResult(
            [one for index, one in made if index not in errors],
            [one for index in sorted(errors) for one in errors[index]],
            {one.row_id: one for index, one in made if index in errors},
        )

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
        self,
        rows: Sequence[Row],
        results: Mapping[str, LevelResult],
    ) -> list[tuple[int, Mapped]]:
        """(index, what was made) of every row that could be read, in order."""
        table = results[self._root.label].rows
        waits = self._waits(results)
        rates = self._rates(results)
        names = list(self._root.conditions)
        columns = [table.column(f"#k{index}").to_pylist() for index in range(len(names))]
        indexes = table.column(ROW).to_pylist()
        bodies = table.column("#body").to_pylist()
        answers = zip(*columns, strict=True) if columns else repeat((), len(indexes))
        # Few combinations of answers: rows that answer alike share them.
        known: dict[tuple[bool | None, ...], dict[str, bool | None]] = {}
        made: list[tuple[int, Mapped]] = []
        for index, body, answer in zip(indexes, bodies, answers, strict=True):
            row, conditions = rows[index], known.get(answer)
            if conditions is None:
                conditions = known[answer] = dict(zip(names, answer, strict=True))
            rate_ids = tuple(sorted(rates[index])) if index in rates else ()
            waits_for = tuple(sorted(waits[index])) if index in waits else ()
            mapped = Mapped(row.row_id, row.key, body, conditions, rate_ids, waits_for)
            made.append((index, mapped))
        return made

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


def _filled(table: pa.Table, column: str) -> list[tuple[int, str]]:
    """(row, text) where a text column holds something."""
    some = table.filter(pc.not_equal(table.column(column), ""))
    return list(zip(some.column(ROW).to_pylist(), some.column(column).to_pylist(), strict=True))
