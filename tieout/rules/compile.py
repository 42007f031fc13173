"""From what an engineer wrote to what runs: every mistake of a mapping, found before any record.

Raises BadLandscape with every problem, each with file:line and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import duckdb

from tieout.rules.binding import Bound, Surroundings, bind
from tieout.rules.column_types import type_of_compiled, why_it_does_not_fit
from tieout.rules.crosswalk import crosswalk_problems
from tieout.rules.expression import BadExpression, parse, short
from tieout.rules.level import Level, case_clashes
from tieout.rules.mapping import CompiledMapping
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.plan import LevelPlan, Node, PlannedField, PlannedGroup, PlannedList
from tieout.rules.python_functions import Functions
from tieout.rules.reading import Reader
from tieout.rules.runner import Runner
from tieout.rules.spec import Crosswalk, Each, FieldType, Group, Leaf, MappingSpec, Shape
from tieout.rules.stages import source_table, typed, wrong_arguments

MOST_LEVELS = 4


def compile_mapping(
    spec: MappingSpec,
    source_fields: Sequence[FieldType],
    target_fields: Sequence[FieldType] | None,
    *,
    system: str,
    crosswalks: Mapping[str, Crosswalk] | None = None,
    conditions: Mapping[str, tuple[str, Place]] | None = None,
    legal_entity: str = "legal_entity",
    runner: Runner | None = None,
    functions: Functions | None = None,
    facts: Sequence[str] = (),
) -> CompiledMapping:
    """Compile a mapping from rows of `source_fields` to documents of `target_fields`.

    `target_fields` None: the target's shape is free, types are what the expressions give.
    `system` is the source system of an inbound mapping (for xref()); "" for an outbound one.
    `conditions` are named SQL conditions over the source row, answered with each mapped row.
    `legal_entity` names the source field that `period()` uses. `runner` checks types; without one
    a short-lived one is opened. `functions` are the landscape's own Python functions by name.
    `facts` names top-level fields of one value whose texts are handed out with each mapped row
    (`Mapped.facts`); a name that the mapping does not fill gives None. Raises BadLandscape.
    """
    used = dict(crosswalks or {})
    around = Surroundings(
        system, used, legal_entity, bool(spec.dated), functions=dict(functions or {})
    )
    compiler = _Compiler(spec, tuple(source_fields), around)
    compiler.plan_all(target_fields, conditions or {})
    if not compiler.problems:
        with ExitStack() as stack:
            room = runner or stack.enter_context(Runner())
            check_types(room, compiler.root, compiler.source, compiler.problems)
    if compiler.problems:
        raise BadLandscape(list(dict.fromkeys(compiler.problems)))
    top = [one for one in compiler.root.members if isinstance(one, PlannedField)]
    compiler.root.facts = tuple(one for one in top if one.name in facts)
    return CompiledMapping(spec, compiler.source, compiler.root, used, facts)


class _Compiler:
    """One mapping being compiled; collects problems and goes on."""

    def __init__(
        self, spec: MappingSpec, source: tuple[FieldType, ...], around: Surroundings
    ) -> None:
        self.spec = spec
        self.source = source
        self.around = around
        self.problems: list[Problem] = []
        self.root = LevelPlan(Level(source), f"{spec.name} 0")
        self.levels = 1

    def label(self) -> str:
        self.levels += 1
        return f"{self.spec.name} {self.levels - 1}"

    def problem(self, place: Place, what: str, next_action: str) -> None:
        self.problems.append(Problem(place, what, next_action))

    def plan_all(
        self,
        targets: Sequence[FieldType] | None,
        conditions: Mapping[str, tuple[str, Place]],
    ) -> None:
        for one, other in case_clashes(self.source):
            self.problem(
                self.spec.place,
                f"the source has {one} and {other}, which differ only in case",
                "SQL cannot tell them apart: leave one of them out of the interface.",
            )
        self.problems += crosswalk_problems(self.around.crosswalks.values())
        if self.spec.inbound and self.spec.key and not self.root.level.find(self.spec.key):
            what = f"the key {self.spec.key} is no field of {self.spec.source}"
            self.problem(self.spec.place, what, self.root.level.near(self.spec.key))
        if self.spec.dated:
            self.root.dated = self.bound(self.spec.dated, self.spec.place, self.root)
        if not self.spec.fields:
            self.problem(self.spec.place, "the mapping has no fields", "Write `fields:`.")
        self.root.members = self.shapes(
            self.root, self.spec.fields, targets, "", self.spec.place, False
        )
        for name, (sql, place) in conditions.items():
            found = self.bound(sql, place, self.root)
            if found:
                self.root.conditions[name] = found

    def bound(self, sql: str, place: Place, plan: LevelPlan) -> Bound | None:
        try:
            return bind(parse(sql, place, self.around.functions), plan.level, self.around)
        except BadExpression as error:
            self.problems += error.problems
            return None

    def shapes(
        self,
        plan: LevelPlan,
        shapes: Mapping[str, Shape],
        targets: Sequence[FieldType] | None,
        at: str,
        place: Place,
        optional: bool,
    ) -> list[Node]:
        """The members of one object. `optional`: the object may be absent as a whole."""
        known = {one.name: one for one in targets} if targets is not None else None
        members: list[Node] = []
        for name, shape in shapes.items():
            target = known.get(name) if known is not None else None
            if known is not None and target is None:
                self._unknown_target(name, at, shape, known)
                continue
            node = self.shape(plan, name, shape, target, at)
            if node:
                members.append(node)
        for one in targets or ():
            if one.required and one.name not in shapes:
                self.problem(
                    place,
                    f"the required field {at}{one.name} of {self.spec.target} is not mapped",
                    f"Add `{one.name}:` with the expression that gives it.",
                )
        if optional:
            leaves = [one for one in members if isinstance(one, PlannedField)]
            for leaf in leaves:
                leaf.optional_group = tuple(other.number for other in leaves if other is not leaf)
                leaf.required = leaf.required and len(leaves) > 1
        return members

    def _unknown_target(
        self, name: str, at: str, shape: Shape, known: Mapping[str, FieldType]
    ) -> None:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        fields = ", ".join(sorted(known)[:20])
        hint = f"Did you mean {near[0]}?" if near else f"Its fields are {fields}."
        self.problem(shape.place, f"{self.spec.target} has no field {at}{name}", hint)

    def shape(
        self, plan: LevelPlan, name: str, shape: Shape, target: FieldType | None, at: str
    ) -> Node | None:
        if isinstance(shape, Leaf):
            return self._leaf(plan, name, shape, target, at)
        if isinstance(shape, Group):
            return self._group(plan, name, shape, target, at)
        return self._each(plan, name, shape, target, at)

    def _leaf(
        self, plan: LevelPlan, name: str, shape: Leaf, target: FieldType | None, at: str
    ) -> PlannedField | None:
        if target and (target.type == "object" or (target.type == "list" and target.fields)):
            how = "`each:` and `fields:`" if target.type == "list" else "nested fields"
            self.problem(
                shape.place,
                f"{at}{name} is {'a list' if target.type == 'list' else 'an object'}, "
                "not one value",
                f"Write {how} under it.",
            )
            return None
        found = self.bound(shape.sql, shape.place, plan)
        if found is None:
            return None
        number = len(plan.fields) + len(plan.lists) + 1
        made = PlannedField(number, name, f"{at}{name}", found)
        if target:
            made.type, made.required = target.type, target.required
        plan.fields.append(made)
        return made

    def _group(
        self, plan: LevelPlan, name: str, shape: Group, target: FieldType | None, at: str
    ) -> Node | None:
        if target and target.type != "object":
            self.problem(
                shape.place, f"{at}{name} is not an object", "Write one expression for it."
            )
            return None
        inner = target.fields if target and target.fields else None
        optional = target is not None and not target.required
        members = self.shapes(plan, shape.fields, inner, f"{at}{name}.", shape.place, optional)
        if not members:
            if not shape.fields:
                self.problem(shape.place, f"{at}{name} has no fields", "Write fields under it.")
            return None
        return PlannedGroup(name, members)

    def _each(
        self, plan: LevelPlan, name: str, shape: Each, target: FieldType | None, at: str
    ) -> Node | None:
        if target and target.type != "list":
            self.problem(shape.place, f"{at}{name} is not a list", "Write one expression for it.")
            return None
        over = self.bound(shape.over, shape.place, plan)
        if over is None:
            return None
        if over.value.kind != "list" or not over.value.fields or plan.level.depth >= MOST_LEVELS:
            what = f"`each: {short(shape.over)}` is not a list of objects"
            if plan.level.depth >= MOST_LEVELS:
                what = f"lists are nested deeper than {MOST_LEVELS} levels"
            self.problem(shape.place, what, "Name the path of a list whose items have fields.")
            return None
        path = next(iter(over.inputs), shape.over)
        rows = LevelPlan(Level(over.value.fields, path, plan.level), self.label(), over, plan)
        number = len(plan.fields) + len(plan.lists) + 1
        made = PlannedList(number, name, f"{at}{name}", over, rows, shape.place)
        made.required = target is not None and target.required
        plan.lists.append(made)
        inner = target.fields if target and target.fields else None
        rows.members = self.shapes(rows, shape.fields, inner, f"{at}{name}.", shape.place, False)
        if not shape.fields:
            self.problem(shape.place, f"{at}{name} has no fields", "Write `fields:` under it.")
        return made


def check_types(
    runner: Runner,
    root: LevelPlan,
    source: Sequence[FieldType],
    problems: list[Problem],
) -> None:
    """Ask DuckDB what every expression compiles to, on no rows; settle the fields' types."""
    shown = root.level.source
    with runner.tables({shown: source_table(Reader(source).schema.empty_table(), [], [])}):
        if root.dated and not _compiled(runner, root.dated, f"FROM {_named(shown)}", problems):
            return
        for plan in root.walk():
            chain = typed(plan.level, plan.base())
            conditions = list(plan.conditions.values())
            bounds = [*(one.bound for one in plan.fields), *conditions]
            try:
                wrong = list(wrong_arguments(runner, plan.level, chain))
            except duckdb.Error as error:
                place = bounds[0].place if bounds else Place("", 0)
                problems.append(Problem(place, _plain_words(error), _CAST))
                continue
            for call, what, next_action in wrong:
                places = [one.place for one in bounds if call.number in one.calls]
                problems.append(Problem(places[0] if places else Place("", 0), what, next_action))
            found = _all_compiled(runner, bounds, f"FROM ({chain})", problems)
            for one, compiled in zip(plan.fields, found, strict=False):
                one.compiled = compiled
                _settle(one, problems)
            for bound, compiled in zip(conditions, found[len(plan.fields) :], strict=True):
                if compiled and compiled not in ("BOOLEAN", '"NULL"'):
                    what = f"'{short(bound.written)}' is not a condition (it gives {compiled})"
                    problems.append(Problem(bound.place, what, "Write a comparison."))


_CAST = "Cast one side so that the types agree, for example CAST(x AS DECIMAL(22,6))."


def _named(table: str) -> str:
    return f'"{table}"'


def _all_compiled(
    runner: Runner, bounds: Sequence[Bound], where: str, problems: list[Problem]
) -> list[str]:
    """The compiled type of each; "" for one that does not compile, which becomes a problem."""
    if not bounds:
        return []
    columns = ", ".join(f"{one.sql} AS v{index}" for index, one in enumerate(bounds))
    try:
        return list(runner.column_types(f"SELECT {columns} {where}").values())
    except duckdb.Error:  # one of them is wrong: ask one by one which
        return [_compiled(runner, one, where, problems) for one in bounds]


def _compiled(runner: Runner, bound: Bound, where: str, problems: list[Problem]) -> str:
    try:
        return runner.column_types(f"SELECT {bound.sql} AS v {where}")["v"]
    except duckdb.Error as error:
        what = f"{_plain_words(error)} (in '{short(bound.written)}')"
        problems.append(Problem(bound.place, what, _CAST))
        return ""


def _plain_words(error: duckdb.Error) -> str:
    first = str(error).splitlines()[0]
    return short(first.partition("Error: ")[2] or first, 160).rstrip(".")


def _settle(one: PlannedField, problems: list[Problem]) -> None:
    """Fix a field's type, or say why what it compiles to cannot fit."""
    if not one.compiled:
        return
    wanted = one.type or type_of_compiled(one.compiled)
    if not one.type and one.bound.value.amount and wanted == "number":
        wanted = "amount"
    if one.compiled == '"NULL"':
        wanted = wanted or "text"
    why = why_it_does_not_fit(one.compiled, wanted) if wanted else f"it gives {one.compiled}"
    if why:
        next_action = _fit_advice(one, wanted)
        problems.append(Problem(one.bound.place, f"{one.path} does not fit: {why}", next_action))
    one.type = wanted


def _fit_advice(one: PlannedField, wanted: str) -> str:
    casts = {
        "amount": "CAST(… AS DECIMAL(22,6))",
        "quantity": "CAST(… AS DECIMAL(18,6))",
        "rate": "CAST(… AS DECIMAL(16,10))",
        "number": "CAST(… AS DECIMAL(38,18))",
        "integer": "CAST(… AS BIGINT)",
        "date": "CAST(… AS DATE)",
        "timestamp": "CAST(… AS TIMESTAMP)",
        "boolean": "a comparison",
        "text": "CAST(… AS VARCHAR)",
        "ref": "xref('type', id) or a record key",
    }
    if one.compiled.startswith("STRUCT"):
        return "Write `each:` or nested fields; one expression makes one value."
    return f"Write {casts.get(wanted, 'one value')}."
