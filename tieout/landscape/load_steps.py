"""Loads the steps of a flow, one form per verb."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from tieout.landscape import durations
from tieout.landscape.form import NAME, Form
from tieout.landscape.reader import Table
from tieout.landscape.schema import OnChange, OnLeave, StepSpec, Verb
from tieout.rules.place import Problem
from tieout.rules.spec import MappingSpec

Mappings = Mapping[str, MappingSpec]

VERBS: tuple[Verb, ...] = ("ensure", "require", "approve", "write", "wait", "call")
_LATE = ("within", "escalate")
_RECORD_STEP = ("as", "name", "within", "escalate")
STEP_KEYS: Mapping[Verb, tuple[str, ...]] = {
    "ensure": ("ensure", "in", *_RECORD_STEP),
    "require": ("require", "must", "because", "name", *_LATE),
    "approve": ("approve", "when", "by", "maker", "because", "name", *_LATE),
    "write": ("write", "to", "on_change", "on_leave", "undo", "batch", *_RECORD_STEP),
    "wait": ("wait", "after", "date", "record", "refers", "in", "name", *_LATE),
    "call": ("call", "with", "because", "name", *_LATE),
}
MOST_BUSINESS_DAYS = 250
MOST_SECONDS = 10 * 366 * 86_400.0  # ten years: beyond it no calendar is kept
_BUSINESS_DAYS = re.compile(r"(\d{1,3}) business days?")
_HOW_TO_WAIT = (
    'Write wait: "5 days" (with after: a date), wait: until (with date: a date), or wait: event '
    "(with record: and refers:)"
)


def load_step(
    table: Table, flow: str, mappings: Mappings, problems: list[Problem]
) -> StepSpec | None:
    """One step, or None where no verb is named."""
    verb = next((one for one in VERBS if one in table.entries), None)
    if verb is None:
        what = f"a step of {flow} has none of: {', '.join(VERBS)}"
        problems.append(Problem(table.place, what, f"Write one of: {', '.join(VERBS)}"))
        return None
    form = Form(table, f"a '{verb}' step", STEP_KEYS[verb], problems)
    return _MAKERS[verb](form, verb, mappings)


def _documents(form: Form, verb: Verb, mappings: Mappings) -> StepSpec:
    """ensure and write: a record rendered by a mapping into a system."""
    mapping = form.text("as")
    seconds, days = _length(form, "within")
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
        undo=form.text("undo", ""),
        batch_seconds=form.seconds("batch"),
        within_seconds=seconds,
        within_business_days=days,
        escalate=form.text("escalate", ""),
    )


def _require(form: Form, verb: Verb, mappings: Mappings) -> StepSpec:
    name = form.name("require")
    seconds, days = _length(form, "within")
    return StepSpec(
        verb=verb,
        name=form.text("name", name) or name,
        place=form.place,
        must=form.text("must"),
        because=form.text("because"),
        within_seconds=seconds,
        within_business_days=days,
        escalate=form.text("escalate", ""),
    )


def _approve(form: Form, verb: Verb, mappings: Mappings) -> StepSpec:
    record_type = form.name("approve")
    seconds, days = _length(form, "within")
    return StepSpec(
        verb=verb,
        name=form.text("name", f"approve {record_type}") or record_type,
        place=form.place,
        record_type=record_type,
        when=form.text("when", "TRUE") or "TRUE",
        by=form.text("by"),
        maker=form.text("maker", ""),
        because=form.text("because", ""),
        within_seconds=seconds,
        within_business_days=days,
        escalate=form.text("escalate", ""),
    )


def _wait(form: Form, verb: Verb, mappings: Mappings) -> StepSpec:
    """For a length of time, until a date, or for a record that refers to this one."""
    words = form.text("wait")
    seconds, days = _length(form, "within")
    common = StepSpec(
        verb=verb,
        name=form.text("name", f"wait {words}") or words,
        place=form.place,
        within_seconds=seconds,
        within_business_days=days,
        escalate=form.text("escalate", ""),
    )
    kind = words if words in ("until", "event") else "duration"
    _only(form, kind)
    if kind == "until":
        return replace(common, wait="until", date=form.text("date"))
    if kind == "event":
        return replace(
            common,
            wait="event",
            record_type=form.name("record"),
            refers=form.text("refers", ""),
            system=form.text("in", ""),
        )
    length, business_days = _length(form, "wait", _HOW_TO_WAIT)
    return replace(
        common,
        wait="duration",
        wait_seconds=length,
        wait_business_days=business_days,
        date=form.text("after", ""),
    )


def _only(form: Form, kind: str) -> None:
    """Keys of another kind of wait would be believed to do something."""
    own = {"duration": ("after",), "until": ("date",), "event": ("record", "refers", "in")}
    for other, keys in own.items():
        for key in keys:
            if other != kind and form.has(key):
                form.complain(
                    form.place_of(key),
                    f"'{key}' says nothing in a step that waits "
                    f"{'for a length of time' if kind == 'duration' else f'({kind})'}",
                    _HOW_TO_WAIT,
                )


def _call(form: Form, verb: Verb, mappings: Mappings) -> StepSpec:
    function = form.name("call")
    seconds, days = _length(form, "within")
    given = form.text_table("with")
    for name in given:
        if not NAME.fullmatch(name):
            form.complain(
                form.place_under("with", name),
                f"'{name}' is not the name of a parameter",
                f"Write the names as {function}() in functions.py has them",
            )
    return StepSpec(
        verb=verb,
        name=form.text("name", f"call {function}") or function,
        place=form.place,
        because=form.text("because", ""),
        function=function,
        arguments=tuple((name, sql, form.place_under("with", name)) for name, sql in given.items()),
        within_seconds=seconds,
        within_business_days=days,
        escalate=form.text("escalate", ""),
    )


_MAKERS: Mapping[Verb, Callable[[Form, Verb, Mappings], StepSpec]] = {
    "ensure": _documents,
    "require": _require,
    "approve": _approve,
    "write": _documents,
    "wait": _wait,
    "call": _call,
}


def _length(
    form: Form, key: str, how: str = f'{durations.HOW_TO_WRITE}, or "2 business days"'
) -> tuple[float | None, int | None]:
    """(seconds, None), (None, business days), or (None, None) where the key is absent or wrong."""
    if not form.has(key):
        return None, None
    words = form.text(key)
    found = _BUSINESS_DAYS.fullmatch(words)
    if found is not None and 1 <= int(found[1]) <= MOST_BUSINESS_DAYS:
        return None, int(found[1])
    try:
        seconds = durations.seconds(words)
        if seconds > MOST_SECONDS:
            form.complain(
                form.place_of(key),
                f"'{key}' of {form.what} is '{words}': nobody will be there after so long",
                "Write ten years at most",
            )
            return None, None
        return seconds, None
    except ValueError:
        if words:
            form.complain(
                form.place_of(key), f"'{key}' of {form.what} is '{words}', not a duration", how
            )
        return None, None


def _target(form: Form, key: str, mapping: str, mappings: Mappings) -> str:
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
