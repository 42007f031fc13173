"""A landscape made ready to run: every expression checked and compiled once, at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.engine.facts import facts_wanted
from tieout.finance.period import FiscalCalendar
from tieout.landscape.functions import python_functions
from tieout.landscape.schema import FlowSpec, Landscape, StepSpec
from tieout.landscape.step_values import referring_field, value_mapping
from tieout.ports.connector import Connector, Field, Stream
from tieout.rules.compile import compile_mapping
from tieout.rules.control import (
    CompiledConditions,
    CompiledControls,
    compile_conditions,
    compile_controls,
)
from tieout.rules.mapping import CompiledMapping
from tieout.rules.python_functions import Functions
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType, MappingSpec


@dataclass(frozen=True)
class Compiled:
    """Compiled mappings by name and by source stream, controls by record type."""

    inbound: Mapping[tuple[str, str], CompiledMapping]
    outbound: Mapping[str, CompiledMapping]
    specs: Mapping[str, MappingSpec]
    controls: Mapping[str, CompiledControls]
    requires: Mapping[tuple[str, int], CompiledConditions]
    values: Mapping[tuple[str, int], CompiledMapping]  # what other steps compute, by flow and step
    awaited: Mapping[str, tuple[str, ...]]  # record type -> its fields that some flow waits by
    awaited_proofs: frozenset[tuple[str, str]]  # (record type, target) that some flow waits for
    flows_by_stream: Mapping[tuple[str, str], tuple[FlowSpec, ...]]
    calendars: Mapping[str, FiscalCalendar]  # by legal entity
    streams: Mapping[tuple[str, str], Stream]
    connectors: Mapping[str, Connector]  # by system

    @property
    def targets(self) -> list[tuple[str, str]]:
        """Every (system, stream) that can be written to."""
        return [key for key, stream in self.streams.items() if stream.writes]

    def target_of(self, step: StepSpec) -> tuple[str, str]:
        """(system, stream) that a step's mapping writes to."""
        system, _, stream = self.specs[step.mapping].target.partition(".")
        return system, stream


def compile_landscape(landscape: Landscape, connectors: Mapping[str, Connector]) -> Compiled:
    """Compile everything. `connectors` by system name. Raises BadLandscape with every problem."""
    with Runner() as runner:  # one for all expressions: opening one takes longer than asking it
        return _compiled(landscape, connectors, runner)


def _compiled(
    landscape: Landscape, connectors: Mapping[str, Connector], runner: Runner
) -> Compiled:
    streams = {
        (system, name): stream
        for system, connector in connectors.items()
        for name, stream in connector.streams.items()
    }
    flows: dict[tuple[str, str], tuple[FlowSpec, ...]] = {}
    functions = python_functions(landscape)
    for flow in landscape.flows.values():
        flows[flow.system, flow.stream] = (*flows.get((flow.system, flow.stream), ()), flow)
    inbound: dict[tuple[str, str], CompiledMapping] = {}
    outbound: dict[str, CompiledMapping] = {}
    for spec in landscape.mappings.values():
        if spec.inbound:
            system, _, stream = spec.source.partition(".")
            inbound[system, stream] = compile_mapping(
                spec,
                field_types(streams[system, stream].fields),
                landscape.records[spec.target].fields,
                system=system,
                crosswalks=landscape.crosswalks,
                conditions={
                    flow.name: (flow.when, flow.when_place)
                    for flow in flows.get((system, stream), ())
                },
                functions=functions,
                facts=facts_wanted(landscape.records[spec.target]),
                runner=runner,
            )
        else:
            outbound[spec.name] = compile_mapping(
                spec,
                landscape.records[spec.source].fields,
                None,
                system="",
                crosswalks=landscape.crosswalks,
                functions=functions,
                runner=runner,
            )
    return Compiled(
        inbound=inbound,
        outbound=outbound,
        specs=landscape.mappings,
        controls={
            name: compile_controls(record, runner, functions)
            for name, record in landscape.records.items()
            if record.controls
        },
        requires={
            (flow.name, number): compile_conditions(
                landscape.records[flow.record_type].fields,
                {step.name: (step.must if step.verb == "require" else step.when, step.place)},
                functions=functions,
                runner=runner,
            )
            for flow in landscape.flows.values()
            for number, step in enumerate(flow.steps)
            if step.verb in ("require", "approve")
        },
        values=_values(landscape, functions),
        awaited=_awaited(landscape),
        awaited_proofs=frozenset(
            (step.record_type, step.system)
            for flow in landscape.flows.values()
            for step in flow.steps
            if step.wait == "event" and step.system
        ),
        flows_by_stream=flows,
        calendars=_calendars(landscape),
        streams=streams,
        connectors=connectors,
    )


def _values(landscape: Landscape, functions: Functions) -> dict[tuple[str, int], CompiledMapping]:
    """The dates, makers and calls of flows, each compiled as the mapping that computes it."""
    made: dict[tuple[str, int], CompiledMapping] = {}
    for flow in landscape.flows.values():
        for number, step in enumerate(flow.steps):
            found = value_mapping(flow, step, landscape.functions)
            if found is not None:
                made[flow.name, number] = compile_mapping(
                    found[0],
                    landscape.records[flow.record_type].fields,
                    found[1],
                    system="",
                    crosswalks=landscape.crosswalks,
                    functions=functions,
                )
    return made


def _awaited(landscape: Landscape) -> dict[str, tuple[str, ...]]:
    fields: dict[str, set[str]] = {}
    for flow in landscape.flows.values():
        for step in flow.steps:
            if step.wait == "event":
                field = referring_field(flow, step, landscape)
                fields.setdefault(step.record_type, set()).add(field)
    return {name: tuple(sorted(found)) for name, found in fields.items()}


def _calendars(landscape: Landscape) -> dict[str, FiscalCalendar]:
    made = {
        name: FiscalCalendar(spec.pattern, spec.year_starts)
        for name, spec in landscape.calendars.items()
    }
    return {code: made[entity.calendar] for code, entity in landscape.legal_entities.items()}


def field_types(fields: Sequence[Field]) -> tuple[FieldType, ...]:
    """A connector's interface in the words of the rules floor."""
    return tuple(
        FieldType(
            name=one.name,
            type=one.type,
            required=one.required,
            title=one.title,
            fields=field_types(one.fields),
        )
        for one in fields
    )
