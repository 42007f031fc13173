"""Judges every expression of a landscape, by the rules that will run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tieout.landscape.check_reconciliations import items_of
from tieout.landscape.interfaces import Systems, field_types
from tieout.landscape.lookups import mapping_lookups
from tieout.landscape.schema import FlowSpec, Landscape, ReconciliationSpec, SideSpec
from tieout.rules.binding import Surroundings, bind
from tieout.rules.compile import compile_mapping
from tieout.rules.expression import BadExpression, parse
from tieout.rules.level import Level
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.runner import Runner
from tieout.rules.spec import Crosswalk, FieldType, MappingSpec, RecordTypeSpec

ALONE = Surroundings(lookups=False)
_NUMBERS = ("amount", "quantity", "rate", "number", "integer", "same", "")


def check_expressions(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """Every problem of every expression: SQL that is refused, names that are not there, types
    that do not fit."""
    with Runner() as runner:
        for mapping in landscape.mappings.values():
            yield from _mapping(mapping, landscape, systems, runner)
    for record in landscape.records.values():
        yield from _controls(record)
    for flow in landscape.flows.values():
        yield from _flow(flow, landscape, systems)
    for reconciliation in landscape.reconciliations.values():
        for side in reconciliation.sides:
            yield from _side(reconciliation, side, systems)


def _mapping(
    mapping: MappingSpec, landscape: Landscape, systems: Systems, runner: Runner
) -> Iterator[Problem]:
    """Compiling is the check: the very code that runs the mapping says what is wrong with it."""
    record = landscape.records.get(mapping.target if mapping.inbound else mapping.source)
    stream = mapping.source if mapping.inbound else mapping.target
    found = systems.stream(*systems.named(stream))
    if record is None or found is None:
        return  # named where the mapping's ends are judged
    interface = systems.fields(*systems.named(stream))
    document = field_types(getattr(found, "document", ()))
    try:
        compile_mapping(
            mapping,
            interface if mapping.inbound else record.fields,
            record.fields if mapping.inbound else document or None,
            system=mapping.source.partition(".")[0] if mapping.inbound else "",
            crosswalks=_crosswalks(mapping, landscape),
            runner=runner,
        )
    except BadLandscape as bad:
        yield from bad.problems


def _crosswalks(mapping: MappingSpec, landscape: Landscape) -> Mapping[str, Crosswalk]:
    """Those the mapping names; all of them if it names one that is not there, for the hint."""
    named = {one.first for one in mapping_lookups(mapping) if one.function == "crosswalk"}
    if not named <= set(landscape.crosswalks):
        return landscape.crosswalks
    return {name: landscape.crosswalks[name] for name in sorted(named)}


def _controls(record: RecordTypeSpec) -> Iterator[Problem]:
    for control in record.controls:
        what = f"'must' of control '{control.name}'"
        yield from _condition(control.must, control.place, record.fields, what)


def _flow(flow: FlowSpec, landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    source = systems.fields(flow.system, flow.stream)
    if source:
        what = f"'when' of flow '{flow.name}'"
        yield from _condition(flow.when, flow.when_place, source, what)
    record = landscape.records.get(flow.record_type)
    for step in flow.steps if record is not None else ():
        if step.verb == "require" and record is not None:
            what = f"'must' of step '{step.name}'"
            yield from _condition(step.must, step.place, record.fields, what)


def _side(
    reconciliation: ReconciliationSpec, side: SideSpec, systems: Systems
) -> Iterator[Problem]:
    row = systems.fields(side.system, side.stream)
    if not row:
        return
    named = f"side '{side.name}' of reconciliation '{reconciliation.name}'"
    level = Level(row)
    if side.each:
        items = items_of(row, side.each)
        if items is None:
            return
        level = Level(items, path=side.each, parent=level)
    yield from _judge(side.where, side.place, level, f"'where' of {named}", "boolean")
    texts: Mapping[str, str] = {"key": side.key, **side.dimensions}
    for name, sql in texts.items():
        yield from _judge(sql, side.place, level, f"'{name}' of {named}", "")
    yield from _judge(side.sum, side.place, level, f"'sum' of {named}", "number")
    for also in side.also:
        other = systems.fields(side.system, also.stream)
        if other:
            yield from _condition(also.where, also.place, other, f"'where' of '{also.stream}'")


def _condition(sql: str, place: Place, fields: Sequence[FieldType], what: str) -> Iterator[Problem]:
    yield from _judge(sql, place, Level(tuple(fields)), what, "boolean")


def _judge(sql: str, place: Place, level: Level, what: str, wanted: str) -> Iterator[Problem]:
    """Problems of one expression; `wanted` is "boolean", "number" or "" (anything)."""
    try:
        bound = bind(parse(sql, place), level, ALONE)
    except BadExpression as bad:
        yield from (
            Problem(one.place, f"{what}: {one.what}", one.next_action) for one in bad.problems
        )
        return
    kind = bound.value.kind
    if wanted == "boolean" and kind not in ("boolean", ""):
        yield Problem(place, f"{what} is {kind}, not a condition", "Compare it with something")
    if wanted == "number" and kind not in _NUMBERS:
        yield Problem(place, f"{what} is {kind}, not a number", "Name an amount to add up")
