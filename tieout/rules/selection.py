"""One side of a reconciliation: rows of a system, seen through SQL of its own.

Every side is read by its own expressions, never through the mapping under test. A row that a rule
cannot read is not left out silently: it is reported as unreadable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from tieout.rules.binding import Bound, Surroundings, bind
from tieout.rules.column_types import is_binary, literal, quoted
from tieout.rules.crosswalk import crosswalk_problems
from tieout.rules.expression import BadExpression, parse, short
from tieout.rules.level import Level
from tieout.rules.lookups import Answers, Lookups, NoLookups, crosswalk_table
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.reading import ROW, Reader
from tieout.rules.runner import Runner
from tieout.rules.spec import Crosswalk, FieldType
from tieout.rules.stages import (
    Batch,
    answered,
    argument_failed,
    child_base,
    missing,
    root_base,
    source_table,
)

MOST_ROWS = 10_000  # payloads in one query


@dataclass(frozen=True, slots=True)
class SelectionResult:
    """`table` has the asked columns, one row per selected row (or list item). `unreadable` names
    (index of the payload, why) of rows that no rule could judge."""

    table: pa.Table
    unreadable: list[tuple[int, str]]


@dataclass(frozen=True)
class CompiledSelection:
    """A selection ready to run. Made by `compile_selection`."""

    reader: Reader
    level: Level
    over: Bound | None
    columns: Mapping[str, Bound]
    where: Bound | None
    crosswalks: Mapping[str, pa.Table] = field(default_factory=dict)

    def run(
        self, runner: Runner, payloads: Iterable[str], lookups: Lookups | None = None
    ) -> SelectionResult:
        """Select from JSON texts, in chunks of MOST_ROWS. Raises RuleTooSlow."""
        tables: list[pa.Table] = []
        unreadable: list[tuple[int, str]] = []
        answers = Answers(lookups or NoLookups())
        chunk: list[str] = []
        start = 0
        for payload in payloads:
            chunk.append(payload)
            if len(chunk) == MOST_ROWS:
                tables.append(self._chunk(runner, answers, chunk, start, unreadable))
                start, chunk = start + len(chunk), []
        if chunk or not tables:
            tables.append(self._chunk(runner, answers, chunk, start, unreadable))
        return SelectionResult(pa.concat_tables(tables), sorted(unreadable))

    def _chunk(
        self,
        runner: Runner,
        answers: Answers,
        payloads: Sequence[str],
        start: int,
        unreadable: list[tuple[int, str]],
    ) -> pa.Table:
        read = self.reader.read(payloads)
        unreadable += [(start + one.index, one.why) for one in read.bad]
        nothing: list[str | None] = [None] * read.table.num_rows
        with ExitStack() as stack:
            batch = Batch(runner, stack, answers, self.crosswalks)
            batch.show(self.level.source, source_table(read.table, nothing, nothing))
            found = runner.query(self.sql(batch))
        bad: dict[int, str] = {}
        for index, why in zip(
            found.column(ROW).to_pylist(), found.column("#why").to_pylist(), strict=True
        ):
            if why:
                bad.setdefault(index, why)
        unreadable += [(start + index, why) for index, why in bad.items()]
        good = [not why for why in found.column("#why").to_pylist()]
        return found.filter(pa.array(good, pa.bool_())).select(list(self.columns))

    def sql(self, batch: Batch) -> str:
        """The rows that are selected or unreadable, with `#row`, `#why` and the columns."""
        root = self.level.parent or self.level
        base = root_base(root, None)
        if self.over is not None:
            base = child_base(self.level, base, self.over)
        chain = answered(batch, self.level, base, self.level.mark)
        chosen = f"TRY(CAST(({self.where.sql}) AS BOOLEAN))" if self.where else "true"
        values = "".join(
            f", TRY({one.sql}) AS {quoted(name)}" for name, one in self.columns.items()
        )
        order = ", ".join(quoted(key) for key in self.level.keys)
        return (
            f'SELECT {order}, {self._why()} AS "#why"{values} FROM '
            f'(SELECT *, {chosen} AS "#chosen" FROM ({chain})) '
            f'WHERE "#chosen" IS NOT FALSE ORDER BY {order}'
        )

    def _why(self) -> str:
        """SQL: why a row cannot be judged, or NULL."""
        cases = []
        for call in self.level.calls:
            shown = " || ', ' || ".join(
                f"coalesce(CAST({quoted(call.argument_column(i))} AS VARCHAR), 'nothing')"
                for i in range(len(call.arguments))
            )
            text = f"{literal(call.shown + ' found nothing for ')} || {shown}"
            cases.append(f"WHEN {missing(call)} OR {argument_failed(call)} THEN {text}")
        if self.where:
            text = literal(f"where gives no answer: {short(self.where.written)}")
            cases.append(f'WHEN "#chosen" IS NULL THEN {text}')
        for name, one in self.columns.items():
            if not one.plain:
                text = literal(f"{name} cannot be computed: {short(one.written)}")
                cases.append(f"WHEN TRY(({one.sql}) IS NULL) IS NULL THEN {text}")
        return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"


def compile_selection(
    fields: Sequence[FieldType],
    columns: Mapping[str, str],
    where: str,
    each: str,
    place: Place,
    *,
    system: str = "",
    crosswalks: Mapping[str, Crosswalk] | None = None,
    legal_entity: str = "legal_entity",
    runner: Runner | None = None,
) -> CompiledSelection:
    """Compile a reconciliation side: `columns` maps names to SQL over the rows of `fields`.

    `where` ("" = every row) must be TRUE; NULL makes the row unreadable. `each` ("" = none) is the
    path of a list to unfold first: then bare names are the item, `parent.x` the row. Crosswalks,
    and with a `lookups` at run time convert() and period(), may be used. Raises BadLandscape.
    """
    used = dict(crosswalks or {})
    around = Surroundings(system, used, legal_entity)
    problems = crosswalk_problems(used.values())
    root = Level(tuple(fields))
    level, over = root, None
    if each:
        over = _bound(each, place, root, around, problems)
        if over and (over.value.kind != "list" or not over.value.fields):
            what = f"`each: {short(each)}` is not a list of objects"
            problems.append(Problem(place, what, "Name a list whose items have fields."))
        elif over:
            level = Level(over.value.fields, each, root)
    bound = {name: _bound(sql, place, level, around, problems) for name, sql in columns.items()}
    chosen = _bound(where, place, level, around, problems) if where else None
    if problems:
        raise BadLandscape(problems)
    names = {one.fixed[0] for one in level.calls if one.function == "crosswalk"}
    tables = {name: crosswalk_table(used[name]) for name in names}
    ready = {name: one for name, one in bound.items() if one}
    made = CompiledSelection(Reader(fields), level, over, ready, chosen, tables)
    _check(made, place, runner)
    return made


def _bound(
    sql: str, place: Place, level: Level, around: Surroundings, problems: list[Problem]
) -> Bound | None:
    try:
        return bind(parse(sql, place), level, around)
    except BadExpression as error:
        problems += error.problems
        return None


def _check(made: CompiledSelection, place: Place, runner: Runner | None) -> None:
    """Ask DuckDB what the columns compile to, on no rows. Raises BadLandscape."""
    with ExitStack() as stack:
        room = runner or stack.enter_context(Runner())
        batch = Batch(room, stack, Answers(NoLookups()), made.crosswalks)
        batch.show(made.level.source, source_table(made.reader.schema.empty_table(), [], []))
        try:
            types = room.column_types(made.sql(batch))
        except duckdb.Error as error:
            what = str(error).splitlines()[0]
            problem = Problem(place, what, "Cast one side so that the types agree.")
            raise BadLandscape([problem]) from None
    binary = [name for name, kind in types.items() if is_binary(kind)]
    if binary:
        what = f"{', '.join(binary)} compiles to a binary number, which cannot hold cents exactly"
        raise BadLandscape([Problem(place, what, "Cast to DECIMAL(22,6).")])
