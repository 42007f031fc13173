"""Loads flows/*.yaml: what starts a flow, and its steps in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from tieout.landscape.form import Form
from tieout.landscape.reader import Table
from tieout.landscape.schema import FlowSpec, OnChange, OnLeave, StepSpec, Verb
from tieout.rules.place import Place, Problem
from tieout.rules.spec import MappingSpec

Lane = Literal["close_critical", "standard", "bulk"]
ClosedPeriod = Literal["hold"]

VERBS: tuple[Verb, ...] = ("ensure", "require", "write")
LANES = ("close_critical", "standard", "bulk")
MOST_STEPS = 50

_KEYS = ("flow", "steward", "starts", "record", "lane", "steps", "slo", "closed_period", "title")
_STEP_KEYS: Mapping[Verb, tuple[str, ...]] = {
    "ensure": ("ensure", "in", "as", "name", "within"),
    "require": ("require", "must", "because", "name"),
    "write": ("write", "to", "as", "name", "on_change", "on_leave", "batch", "within"),
}
_LATER = ("approve", "wait", "call")


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
    fresh = None
    if slo is not None:
        fresh = Form(slo, f"slo of {form.what}", ("fresh_within",), problems).seconds(
            "fresh_within"
        )
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
        fresh_within_seconds=fresh,
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
        step = _step(table, form.what, mappings, problems)
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


def _step(
    table: Table, flow: str, mappings: Mapping[str, MappingSpec], problems: list[Problem]
) -> StepSpec | None:
    verb = next((one for one in VERBS if one in table.entries), None)
    if verb is None:
        later = next((one for one in _LATER if one in table.entries), "")
        what = f"a step of {flow} has none of: {', '.join(VERBS)}"
        if later:
            what = f"'{later}' is not a step that flows have yet; {flow} uses it"
        problems.append(Problem(table.place, what, f"Write one of: {', '.join(VERBS)}"))
        return None
    form = Form(table, f"a '{verb}' step", _STEP_KEYS[verb], problems)
    if verb == "require":
        name = form.name("require")
        return StepSpec(
            verb=verb,
            name=form.text("name", name) or name,
            place=form.place,
            must=form.text("must"),
            because=form.text("because"),
        )
    mapping = form.text("as")
    return StepSpec(
        verb=verb,
        name=form.text("name", mapping) or mapping,
        place=form.place,
        record_type=form.name(verb),
        system=_target(form, "in" if verb == "ensure" else "to", mapping, mappings),
        mapping=mapping,
        on_change=cast(
            OnChange, form.choice("on_change", ("case", "update", "reverse_and_repost"), "case")
        ),
        on_leave=cast(OnLeave, form.choice("on_leave", ("case", "undo"), "case")),
        batch_seconds=form.seconds("batch"),
        within_seconds=form.seconds("within"),
    )


def _target(form: Form, key: str, mapping: str, mappings: Mapping[str, MappingSpec]) -> str:
    """`netsuite` as the step says it, `netsuite.salesOrder` as its mapping says it."""
    system = form.text(key)
    spec = mappings.get(mapping)
    if spec is None:  # the checker names an unknown mapping, with what there is
        return system
    if system and system not in (spec.target, spec.target.partition(".")[0]):
        form.complain(
            form.place_of(key),
            f"the step goes to '{system}', its mapping '{mapping}' to '{spec.target}'",
            f"Write {key}: {spec.target.partition('.')[0]}, or name another mapping",
        )
    return spec.target
