"""Loads flows/*.yaml: what starts a flow, and its steps in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from tieout.landscape.form import Form
from tieout.landscape.load_service_levels import load_service_level
from tieout.landscape.load_steps import load_step
from tieout.landscape.reader import Table
from tieout.landscape.schema import FlowSpec, OnReject, StepSpec
from tieout.landscape.service_levels import ServiceLevel
from tieout.rules.place import Place, Problem
from tieout.rules.spec import MappingSpec

Lane = Literal["close_critical", "standard", "bulk"]
ClosedPeriod = Literal["hold"]

LANES = ("close_critical", "standard", "bulk")
MOST_STEPS = 50

_KEYS = (
    "flow",
    "steward",
    "starts",
    "record",
    "lane",
    "steps",
    "slo",
    "closed_period",
    "on_reject",
    "title",
)


def load_flow(
    table: Table, mappings: Mapping[str, MappingSpec], problems: list[Problem]
) -> FlowSpec:
    """One flow. A step's `system` becomes the full target of its mapping, `netsuite.salesOrder`;
    the flow's record type is what the start stream's mapping makes, unless `record:` says it."""
    form = Form(table, "a flow", _KEYS, problems)
    name = form.name("flow")
    form.what = f"flow '{name}'"
    system, stream, when, when_place = _starts(form, problems)
    slo = form.table_at("slo")
    promised = ServiceLevel()
    if slo is not None:
        promised = load_service_level(slo, form.what, problems)
    return FlowSpec(
        name=name,
        record_type=form.text("record", "") or _made_from(f"{system}.{stream}", mappings),
        system=system,
        stream=stream,
        when=when,
        when_place=when_place,
        steps=_steps(form, mappings, problems),
        steward=form.text("steward"),
        place=form.place,
        lane=cast(Lane, form.choice("lane", LANES, "standard")),
        closed_period=cast(ClosedPeriod, form.choice("closed_period", ("hold",), "hold")),
        on_reject=cast(OnReject, form.choice("on_reject", ("case", "undo"), "case")),
        fresh_within_seconds=promised.fresh_within_seconds,
        complete_by=promised.complete_by,
    )


def _starts(form: Form, problems: list[Problem]) -> tuple[str, str, str, Place]:
    table = form.table_at("starts", required=True)
    if table is None:
        return "", "", "TRUE", form.place
    starts = Form(table, f"starts of {form.what}", ("on", "when"), problems)
    on = starts.text("on")
    system, _, stream = on.partition(".")
    if on and not stream:
        starts.complain(starts.place_of("on"), f"'{on}' is not a stream", "Write system.Stream")
    return system, stream, starts.text("when", "TRUE") or "TRUE", starts.place_of("when")


def _made_from(source: str, mappings: Mapping[str, MappingSpec]) -> str:
    made = {one.target for one in mappings.values() if one.inbound and one.source == source}
    return made.pop() if len(made) == 1 else ""


def _steps(
    form: Form, mappings: Mapping[str, MappingSpec], problems: list[Problem]
) -> tuple[StepSpec, ...]:
    steps: list[StepSpec] = []
    names: set[str] = set()
    for table in form.tables("steps", required=True):
        step = load_step(table, form.what, mappings, problems)
        if step is None:
            continue
        if step.name in names:
            form.complain(
                step.place,
                f"{form.what} has two steps named '{step.name}'",
                "Give one of them another 'name:'",
            )
        names.add(step.name)
        steps.append(step)
    if not steps and form.has("steps"):
        form.complain(form.place_of("steps"), f"{form.what} has no steps", "Add at least one")
    if len(steps) > MOST_STEPS:
        form.complain(
            form.place_of("steps"),
            f"{form.what} has {len(steps)} steps, more than {MOST_STEPS}",
            "Split the flow",
        )
    return tuple(steps)
