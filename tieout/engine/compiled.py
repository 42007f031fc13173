"""A landscape made ready to run: every expression checked and compiled once, at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.finance.period import FiscalCalendar
from tieout.landscape.functions import python_functions
from tieout.landscape.schema import FlowSpec, Landscape, StepSpec
from tieout.ports.connector import Connector, Field, Stream
from tieout.rules.compile import compile_mapping
from tieout.rules.control import (
    CompiledConditions,
    CompiledControls,
    compile_conditions,
    compile_controls,
)
from tieout.rules.mapping import CompiledMapping
from tieout.rules.spec import FieldType, MappingSpec


@dataclass(frozen=True)
class Compiled:
    """Compiled mappings by name and by source stream, controls by record type."""

    inbound: Mapping[tuple[str, str], CompiledMapping]
    outbound: Mapping[str, CompiledMapping]
    specs: Mapping[str, MappingSpec]
    controls: Mapping[str, CompiledControls]
    requires: Mapping[tuple[str, int], CompiledConditions]
    flows_by_stream: Mapping[tuple[str, str], tuple[FlowSpec, ...]]
    calendars: Mapping[str, FiscalCalendar]  # by legal entity
    streams: Mapping[tuple[str, str], Stream]

    def target_of(self, step: StepSpec) -> tuple[str, str]:
        """(system, stream) that a step's mapping writes to."""
        system, _, stream = self.specs[step.mapping].target.partition(".")
        return system, stream


def compile_landscape(landscape: Landscape, connectors: Mapping[str, Connector]) -> Compiled:
    """Compile everything. `connectors` by system name. Raises BadLandscape with every problem."""
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
            )
        else:
            outbound[spec.name] = compile_mapping(
                spec,
                landscape.records[spec.source].fields,
                None,
                system="",
                crosswalks=landscape.crosswalks,
                functions=functions,
            )
    return Compiled(
        inbound=inbound,
        outbound=outbound,
        specs=landscape.mappings,
        controls={
            name: compile_controls(record, functions=functions)
            for name, record in landscape.records.items()
            if record.controls
        },
        requires={
            (flow.name, number): compile_conditions(
                landscape.records[flow.record_type].fields,
                {step.name: (step.must, step.place)},
                functions=functions,
            )
            for flow in landscape.flows.values()
            for number, step in enumerate(flow.steps)
            if step.verb == "require"
        },
        flows_by_stream=flows,
        calendars=_calendars(landscape),
        streams=streams,
    )


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
