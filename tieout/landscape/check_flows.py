"""Judges flows: every step can be done, can be proved, and comes after what it needs."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.check_steps import check_step
from tieout.landscape.form import did_you_mean
from tieout.landscape.interfaces import Systems, can_find, can_write
from tieout.landscape.lookups import Lookup, mapping_lookups
from tieout.landscape.schema import FlowSpec, Landscape, StepSpec
from tieout.rules.place import Problem


def check_flows(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    """Every problem of every flow, its expressions excepted."""
    for flow in landscape.flows.values():
        yield from _start(flow, landscape, systems)
        for step in flow.steps:
            if step.touches_documents:
                yield from _step(flow, step, landscape, systems)
            yield from check_step(flow, step, landscape, systems)
        yield from _order(flow, landscape)


def _start(flow: FlowSpec, landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    named = f"flow '{flow.name}'"
    target = f"{flow.system}.{flow.stream}"
    missing = systems.missing(target, named, flow.when_place)
    if missing is not None:
        yield missing
        return
    found = systems.stream(flow.system, flow.stream)
    if found is not None and not (found.reads or found.receives):
        yield Problem(
            flow.when_place,
            f"{named} starts on {target}, which can be neither read nor received",
            "Start it on a stream that can",
        )
    elif flow.stream not in landscape.systems[flow.system].streams:
        yield Problem(
            flow.when_place,
            f"{named} starts on {target}, which is not collected",
            f"Add '{flow.stream}' under 'streams' of system '{flow.system}'",
        )
    makers = [one for one in landscape.mappings.values() if one.inbound and one.source == target]
    if not makers:
        yield Problem(
            flow.place,
            f"{named} starts on {target}, which no mapping turns into a record",
            f"Write a mapping with 'from: {target}'",
        )
    elif flow.record_type not in {one.target for one in makers}:
        yield Problem(
            flow.place,
            f"{named} is about '{flow.record_type}', but {target} becomes '{makers[0].target}'",
            f"Write 'record: {makers[0].target}', or leave 'record' out",
        )


def _step(
    flow: FlowSpec, step: StepSpec, landscape: Landscape, systems: Systems
) -> Iterator[Problem]:
    named = f"step '{step.name}' of flow '{flow.name}'"
    mapping = landscape.mappings.get(step.mapping)
    if mapping is None:
        yield Problem(
            step.place,
            f"{named} uses the unknown mapping '{step.mapping}'",
            did_you_mean(step.mapping, landscape.mappings),
        )
        return
    if mapping.inbound:
        yield Problem(
            step.place,
            f"{named} uses mapping '{mapping.name}', which brings records in",
            f"Name a mapping with 'from: {step.record_type}'",
        )
        return
    if mapping.source != step.record_type:
        yield Problem(
            step.place,
            f"{named} is about '{step.record_type}', its mapping about '{mapping.source}'",
            f"Write '{step.verb}: {mapping.source}', or name another mapping",
        )
    yield from _subject(flow, step, landscape, named)
    yield from _can(step, systems, named)


def _subject(flow: FlowSpec, step: StepSpec, landscape: Landscape, named: str) -> Iterator[Problem]:
    record = landscape.records.get(flow.record_type)
    if record is None:
        return
    if step.verb == "write" and step.record_type != flow.record_type:
        yield Problem(
            step.place,
            f"{named} writes '{step.record_type}', but the flow is about '{flow.record_type}'",
            f"Write 'write: {flow.record_type}'",
        )
    referred = {to for _, to in record.references()}
    if step.verb == "ensure" and step.record_type not in referred:
        yield Problem(
            step.place,
            f"{named} ensures '{step.record_type}', which '{record.name}' does not refer to",
            did_you_mean(step.record_type, referred),
        )


def _can(step: StepSpec, systems: Systems, named: str) -> Iterator[Problem]:
    system, stream = systems.named(step.system)
    connector = systems.connector(system)
    found = systems.stream(system, stream)
    if connector is None or found is None:
        return  # named where the mapping is judged
    if not found.writes or not can_write(connector):
        yield Problem(
            step.place,
            f"{named} writes to {step.system}, which connector '{connector.name}' cannot write",
            did_you_mean(stream, [one.name for one in connector.streams.values() if one.writes]),
        )
    elif not can_find(connector):
        yield Problem(
            step.place,
            f"{named} writes to {step.system}, but connector '{connector.name}' cannot find what "
            "it wrote",
            "A write without read-back is never proved: use a connector with find, or add it",
        )
    elif found.idempotency is None:
        yield Problem(
            step.place,
            f"{named} writes to {step.system}, which does not say what a repeated write does",
            "State the idempotency of the stream in its connector",
        )


def _order(flow: FlowSpec, landscape: Landscape) -> Iterator[Problem]:
    """A step that needs an id waits for it; if nothing before makes it, it waits for ever."""
    done: set[tuple[str, str]] = set()
    later = {(step.system, step.record_type): step for step in flow.steps}
    brought = {(one.source, one.target) for one in landscape.mappings.values() if one.inbound}
    for step in flow.steps:
        mapping = landscape.mappings.get(step.mapping)
        needs: dict[tuple[str, str], Lookup] = {}
        for lookup in mapping_lookups(mapping) if mapping is not None else ():
            if lookup.function in ("id_in", "number_in") and "." in lookup.first:
                needs.setdefault((lookup.first, lookup.second), lookup)
        for (target, record), lookup in needs.items():
            if (target, record) in done or (target, record) in brought:
                continue
            maker = later.get((target, record))
            what = f"step '{step.name}' of flow '{flow.name}' needs the id of a '{record}' in"
            yield Problem(
                step.place,
                f"{what} {target} ({lookup.place}), and no earlier step makes it",
                f"Move step '{maker.name}' before it"
                if maker is not None and maker is not step
                else f"Add a step before it that ensures '{record}' in {target}",
            )
        done.add((step.system, step.record_type))
