"""Judges every expression of a landscape by compiling it: the very code that will run it says what
is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tieout.landscape.functions import python_functions
from tieout.landscape.interfaces import Systems, field_types
from tieout.landscape.lookups import mapping_lookups
from tieout.landscape.schema import FlowSpec, Landscape, ReconciliationSpec, SideSpec
from tieout.landscape.step_values import value_mapping
from tieout.rules.compile import compile_mapping
from tieout.rules.control import compile_conditions, compile_controls
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.python_functions import Functions
from tieout.rules.runner import Runner
from tieout.rules.spec import Crosswalk, Each, FieldType, Leaf, MappingSpec, Shape


def check_expressions(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """Every problem of every expression: SQL that is refused, names that are not there, types
    that do not fit, required fields that nothing sets."""
    try:
        functions = python_functions(landscape)
    except BadLandscape as bad:
        yield from bad.problems
        return  # every expression that calls them would only repeat it
    with Runner() as runner:
        for mapping in landscape.mappings.values():
            yield from _mapping(mapping, landscape, systems, runner, functions)
        for record in landscape.records.values():
            if record.controls:
                try:
                    compile_controls(record, runner, functions)
                except BadLandscape as bad:
                    yield from bad.problems
        for flow in landscape.flows.values():
            yield from _conditions(flow, landscape, runner, functions)
            yield from _values(flow, landscape, runner, functions)
        for reconciliation in landscape.reconciliations.values():
            for side in reconciliation.sides:
                yield from _side(reconciliation, side, systems, runner)


def _mapping(
    mapping: MappingSpec,
    landscape: Landscape,
    systems: Systems,
    runner: Runner,
    functions: Functions,
) -> Iterator[Problem]:
    """One mapping; an inbound one together with the `when` of the flows its stream starts."""
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
            conditions={
                flow.name: (flow.when, flow.when_place)
                for flow in landscape.flows.values()
                if f"{flow.system}.{flow.stream}" == mapping.source
            },
            runner=runner,
            functions=functions,
        )
    except BadLandscape as bad:
        yield from bad.problems


def _crosswalks(mapping: MappingSpec, landscape: Landscape) -> Mapping[str, Crosswalk]:
    """Those the mapping names; all of them if it names one that is not there, for the hint."""
    named = {one.first for one in mapping_lookups(mapping) if one.function == "crosswalk"}
    starts = any(
        "crosswalk" in flow.when.lower() and f"{flow.system}.{flow.stream}" == mapping.source
        for flow in landscape.flows.values()
    )
    if starts or not named <= set(landscape.crosswalks):
        return landscape.crosswalks
    return {name: landscape.crosswalks[name] for name in sorted(named)}


def _conditions(
    flow: FlowSpec, landscape: Landscape, runner: Runner, functions: Functions
) -> Iterator[Problem]:
    """What must be TRUE of a record, and when a person is asked."""
    record = landscape.records.get(flow.record_type)
    asked = {one.name: (one.must, one.place) for one in flow.steps if one.verb == "require"}
    asked.update({one.name: (one.when, one.place) for one in flow.steps if one.verb == "approve"})
    if record is None or not asked:
        return
    try:
        compile_conditions(record.fields, asked, runner, functions)
    except BadLandscape as bad:
        yield from bad.problems


def _values(
    flow: FlowSpec, landscape: Landscape, runner: Runner, functions: Functions
) -> Iterator[Problem]:
    """Dates that are waited for, makers, the arguments of calls."""
    record = landscape.records.get(flow.record_type)
    for step in flow.steps if record is not None else ():
        made = value_mapping(flow, step, landscape.functions)
        if record is None or made is None:
            continue
        try:
            compile_mapping(
                made[0],
                record.fields,
                made[1],
                system="",
                crosswalks=landscape.crosswalks,
                runner=runner,
                functions=functions,
            )
        except BadLandscape as bad:
            for one in bad.problems:
                yield replace(one, what=f"step '{step.name}' of flow '{flow.name}': {one.what}")


def _side(
    reconciliation: ReconciliationSpec, side: SideSpec, systems: Systems, runner: Runner
) -> Iterator[Problem]:
    """One side: its expressions over its own stream, and over every stream it adds."""
    named = f"side '{side.name}' of reconciliation '{reconciliation.name}'"
    rows = [(side.stream, side.where, side.place_of("where"))]
    rows += [(also.stream, also.where, also.place) for also in side.also]
    for stream, where, where_place in rows:
        interface = systems.fields(side.system, stream)
        if not interface:
            continue
        spec, fields = _as_mapping(side, where, where_place)
        try:
            compile_mapping(spec, interface, fields, system="", runner=runner)
        except BadLandscape as bad:
            for one in bad.problems:
                yield replace(one, what=f"{named} over {side.system}.{stream}: {one.what}")


def _as_mapping(
    side: SideSpec, where: str, where_place: Place
) -> tuple[MappingSpec, tuple[FieldType, ...]]:
    """A side computes columns from rows, so it is judged as the mapping that would do that."""
    shapes: dict[str, Shape] = {
        "key": Leaf(side.key, side.place_of("key")),
        "sum": Leaf(side.sum, side.place_of("sum")),
        "where": Leaf(where, where_place),
    }
    fields = [FieldType("key", "text"), FieldType("sum", "amount"), FieldType("where", "boolean")]
    for number, (name, sql) in enumerate(side.dimensions.items(), 1):
        shapes[f"dimension_{number}"] = Leaf(sql, side.place_of(name))
        fields.append(FieldType(f"dimension_{number}", "text"))
    if side.each:
        shapes = {"rows": Each(side.each, shapes, side.place_of("each"))}
        fields = [FieldType("rows", "list", fields=tuple(fields))]
    source = f"{side.system}.{side.stream}"
    spec = MappingSpec(
        side.name, source, "reconciliation", 1, key="", fields=shapes, place=side.place
    )
    return spec, tuple(fields)
