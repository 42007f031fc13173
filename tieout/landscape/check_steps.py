"""Judges what steps say beyond documents: who is asked, what is waited for, what is called."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.check_policies import PEOPLE_PLACE
from tieout.landscape.form import did_you_mean
from tieout.landscape.interfaces import Systems
from tieout.landscape.people import meant
from tieout.landscape.schema import FlowSpec, Landscape, StepSpec
from tieout.landscape.step_values import ANSWERS, referring_field
from tieout.rules.place import Problem


def check_step(
    flow: FlowSpec, step: StepSpec, landscape: Landscape, systems: Systems
) -> Iterator[Problem]:
    """Every problem of one step, its document and its expressions excepted."""
    named = f"step '{step.name}' of flow '{flow.name}'"
    if step.escalate:
        yield from _people(step, step.escalate, "escalates to", named, landscape)
        if not step.has_deadline:
            yield Problem(
                step.place,
                f"{named} escalates to '{step.escalate}', but never: it has no deadline",
                "Add 'within:', for example within: 2 business days",
            )
    if step.verb == "approve":
        yield from _approve(flow, step, named, landscape)
    elif step.verb == "wait" and step.wait == "event":
        yield from _event(flow, step, named, landscape, systems)
    elif step.verb == "call":
        yield from _call(step, named, landscape)
    elif step.verb == "write" and step.undo:
        yield from _undo(step, named, landscape)


def _people(
    step: StepSpec, words: str, what: str, named: str, landscape: Landscape
) -> Iterator[Problem]:
    if words and not meant(words, landscape.people):
        known = {role for one in landscape.people.values() for role in one.roles}
        yield Problem(
            step.place,
            f"{named} {what} '{words}', which is neither a person nor anybody's role",
            f"{did_you_mean(words.replace('_', ' '), known | set(landscape.people))} "
            f"People and roles stand in {PEOPLE_PLACE.file}",
        )


def _approve(flow: FlowSpec, step: StepSpec, named: str, landscape: Landscape) -> Iterator[Problem]:
    if step.record_type != flow.record_type:
        yield Problem(
            step.place,
            f"{named} approves '{step.record_type}', but the flow is about '{flow.record_type}'",
            f"Write 'approve: {flow.record_type}'",
        )
    yield from _people(step, step.by, "asks", named, landscape)


def _event(
    flow: FlowSpec, step: StepSpec, named: str, landscape: Landscape, systems: Systems
) -> Iterator[Problem]:
    """A record of the awaited type can arrive, and names this one."""
    record = landscape.records.get(step.record_type)
    if record is None:
        yield Problem(
            step.place,
            f"{named} waits for the unknown record type '{step.record_type}'",
            did_you_mean(step.record_type, landscape.records),
        )
        return
    paths = [path for path, to in record.references() if to == flow.record_type]
    if referring_field(flow, step, landscape) not in paths:
        yield Problem(
            step.place,
            f"{named} waits for a '{step.record_type}' that refers to this '{flow.record_type}', "
            + (f"and several of its fields do: {', '.join(paths)}" if paths else "and none does"),
            f"Write refers: {paths[0]}" if paths else "Wait for a record type that refers to it",
        )
    made = {one.target for one in landscape.mappings.values() if one.inbound}
    if step.record_type not in made:
        yield Problem(
            step.place,
            f"{named} waits for a '{step.record_type}', and no mapping makes one",
            f"Write a mapping with 'to: {step.record_type}'",
        )
    if step.system:
        missing = systems.missing(step.system, named, step.place)
        if missing is not None and "." in step.system:
            yield missing
        writers = {
            (one.record_type, one.system) for each in landscape.flows.values() for one in each.steps
        }
        if (step.record_type, step.system) not in writers:
            yield Problem(
                step.place,
                f"{named} waits for the proof of a '{step.record_type}' in {step.system}, and no "
                "flow writes one there",
                "Leave 'in' out to wait for its arrival, or write the target of a step, such as "
                "in: netsuite.customerPayment",
            )


def _call(step: StepSpec, named: str, landscape: Landscape) -> Iterator[Problem]:
    function = landscape.functions.get(step.function)
    if function is None:
        yield Problem(
            step.place,
            f"{named} calls '{step.function}', which functions.py does not have",
            did_you_mean(step.function, landscape.functions),
        )
        return
    wanted = [name for name, _ in function.parameters]
    given = [name for name, _, _ in step.arguments]
    if set(wanted) != set(given):
        yield Problem(
            step.place,
            f"{named} gives {step.function}() {', '.join(given) or 'nothing'}; it takes "
            f"{', '.join(wanted) or 'nothing'}",
            f"Write with: {{{', '.join(f'{name}: …' for name in wanted)}}}",
        )
    if function.returns not in ANSWERS:
        yield Problem(
            step.place,
            f"{named} calls {step.function}(), which returns {function.returns}: neither a yes "
            "nor a no",
            "Let it return bool (True passes), or str | None (a text says what is wrong)",
        )


def _undo(step: StepSpec, named: str, landscape: Landscape) -> Iterator[Problem]:
    """What takes a document out of effect is a mapping of the same record into the same system."""
    mapping = landscape.mappings.get(step.undo)
    if mapping is None or mapping.inbound:
        outbound = [one.name for one in landscape.mappings.values() if not one.inbound]
        yield Problem(
            step.place,
            f"{named} is undone by '{step.undo}', which is no mapping to a document",
            did_you_mean(step.undo, outbound),
        )
    elif (mapping.source, mapping.target) != (step.record_type, step.system):
        yield Problem(
            step.place,
            f"{named} is undone by '{step.undo}', which makes {mapping.target} of "
            f"'{mapping.source}'",
            f"Name a mapping from '{step.record_type}' to {step.system}",
        )
