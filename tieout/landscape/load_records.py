"""Loads records/*.yaml: a canonical record type extended, owned and controlled, or a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

from tieout.landscape.form import NAME, Form, did_you_mean
from tieout.landscape.reader import Table, Text
from tieout.rules.place import Problem
from tieout.rules.spec import ControlSpec, FieldType, RecordTypeSpec, ValueType

TYPES: tuple[str, ...] = get_args(ValueType)

_WELL_KNOWN = ("legal_entity", "currency", "amount", "date", "status")
_KEYS = ("record", "title", "steward", "fields", "owned", "controls", *_WELL_KNOWN)
_FIELD_KEYS = ("type", "required", "to", "money_in", "title", "fields")
_CONTROL_KEYS = ("name", "must", "because", "severity", "next_action")


def load_record(
    table: Table, canonical: Mapping[str, RecordTypeSpec], problems: list[Problem]
) -> RecordTypeSpec:
    """One record type. A canonical one keeps its fields and gets owners, controls and further
    fields; another name makes a new type, which must list its own fields."""
    form = Form(table, "a record type", _KEYS, problems)
    name = form.name("record")
    form.what = f"record type '{name}'"
    base = canonical.get(name) or RecordTypeSpec(name=name, title=name, fields=())
    below = form.table_at("fields", required=name not in canonical)
    added = load_fields(below, problems) if below is not None else ()
    for one in added:
        if base.field_named(one.name) is not None:
            form.complain(
                form.place_of("fields"),
                f"{form.what} already has a field '{one.name}'",
                "Remove it here; canonical fields are not redefined",
            )
    spec = replace(
        base,
        title=form.text("title", base.title),
        fields=base.fields + tuple(f for f in added if base.field_named(f.name) is None),
        steward=form.text("steward", base.steward or None),
        controls=base.controls + _controls(form, problems),
        place=form.place,
        legal_entity=form.text("legal_entity", base.legal_entity),
        currency=form.text("currency", base.currency),
        amount=form.text("amount", base.amount),
        date=form.text("date", base.date),
        status=form.text("status", base.status),
    )
    _well_known(spec, form)
    return replace(spec, owned=_owned(form, spec, problems))


def _well_known(spec: RecordTypeSpec, form: Form) -> None:
    for key in _WELL_KNOWN:
        value = cast(str, getattr(spec, key))
        if value and spec.field_named(value) is None:
            form.complain(
                form.place_of(key),
                f"{key} of {form.what} is '{value}', which is not one of its fields",
                did_you_mean(value, [one.name for one in spec.fields]),
            )


def load_fields(table: Table, problems: list[Problem]) -> tuple[FieldType, ...]:
    """The fields of a record type or of a declared interface, by name."""
    found: list[FieldType] = []
    for name, node in table.entries.items():
        place = table.key_places[name]
        if not NAME.fullmatch(name):
            problems.append(
                Problem(
                    place, f"'{name}' is not a field name", "Use letters, digits and underscores"
                )
            )
        elif isinstance(node, Text):
            # `region: text` is short for `region: {type: text}`
            short = Table({"type": node}, {"type": node.place}, node.place)
            found.append(_field(name, short, problems))
        elif isinstance(node, Table):
            found.append(_field(name, node, problems))
        else:
            problems.append(
                Problem(place, f"field '{name}' is a list", "Write {type: list, fields: {…}}")
            )
    return tuple(found)


def _field(name: str, table: Table, problems: list[Problem]) -> FieldType:
    form = Form(table, f"field '{name}'", _FIELD_KEYS, problems)
    kind = cast(ValueType, form.choice("type", TYPES))
    below = form.table_at("fields", required=kind in ("list", "object"))
    return FieldType(
        name=name,
        type=kind,
        required=form.yes("required", True),
        to=form.text("to", None if kind == "ref" else ""),
        money_in=form.text("money_in", ""),
        title=form.text("title", ""),
        fields=load_fields(below, problems) if below is not None else (),
    )


def _owned(
    form: Form, spec: RecordTypeSpec, problems: list[Problem]
) -> Mapping[str, tuple[str, ...]]:
    table = form.table_at("owned")
    if table is None:
        return spec.owned
    names = [one.name for one in spec.fields]
    below = Form(table, f"owned of {form.what}", tuple(table.entries), problems)
    owned = {system: below.texts(system) for system in table.entries}
    owners: dict[str, str] = {}
    for system, fields in owned.items():
        for name in fields:
            if name not in names:
                below.complain(
                    below.place_of(system),
                    f"'{name}', owned by {system}, is not a field of {form.what}",
                    did_you_mean(name, names),
                )
            elif name in owners:
                below.complain(
                    below.place_of(system),
                    f"field '{name}' of {form.what} is owned by {owners[name]} and by {system}",
                    "Keep one owner: two cannot both have the last word",
                )
            owners[name] = system
    return owned


def _controls(form: Form, problems: list[Problem]) -> tuple[ControlSpec, ...]:
    found: list[ControlSpec] = []
    for table in form.tables("controls"):
        each = Form(table, f"a control of {form.what}", _CONTROL_KEYS, problems)
        name = each.name("name")
        if any(one.name == name for one in found):
            each.complain(
                each.place, f"{form.what} has two controls named '{name}'", "Rename one of them"
            )
        found.append(
            ControlSpec(
                name=name,
                must=each.text("must"),
                because=each.text("because"),
                # The place of the expression: a problem in its SQL is found there.
                place=each.place_of("must"),
                severity=cast(
                    Literal["stop", "warn"], each.choice("severity", ("stop", "warn"), "stop")
                ),
                next_action=each.text("next_action", ""),
            )
        )
    return tuple(found)
