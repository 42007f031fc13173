"""Loads the interfaces that a system of systems/*.yaml declares (databases, folders of files)."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.landscape.form import Form, did_you_mean
from tieout.landscape.load_records import load_fields
from tieout.landscape.reader import Table
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import Problem
from tieout.rules.spec import FieldType

_KEYS = ("title", "key", "version", "fields", "options")


def load_interfaces(system: Form, problems: list[Problem]) -> Mapping[str, InterfaceSpec]:
    """By stream name, every interface under `interfaces` of a system."""
    table = system.table_at("interfaces")
    found: dict[str, InterfaceSpec] = {}
    for name, node in (table.entries if table is not None else {}).items():
        if not isinstance(node, Table):
            system.complain(node.place, f"interface '{name}' has no fields", "Write a table")
            continue
        found[name] = _interface(name, node, problems)
    return found


def _interface(name: str, table: Table, problems: list[Problem]) -> InterfaceSpec:
    form = Form(table, f"interface '{name}'", _KEYS, problems)
    below = form.table_at("fields", required=True)
    spec = InterfaceSpec(
        name=name,
        title=form.text("title", name),
        key=form.text("key"),
        fields=load_fields(below, problems) if below is not None else (),
        place=form.place,
        version=form.text("version", ""),
        options=form.text_table("options"),
    )
    for key in ("key", "version"):
        value = getattr(spec, key)
        if value and spec.field_named(value) is None:
            form.complain(
                form.place_of(key),
                f"{key} of {form.what} is '{value}', which is not one of its fields",
                did_you_mean(value, [one.name for one in spec.fields]),
            )
    _no_references(form, spec.fields)
    return spec


def _no_references(form: Form, fields: tuple[FieldType, ...]) -> None:
    for one in fields:
        if one.type == "ref":
            form.complain(
                form.place_of("fields"),
                f"field '{one.name}' of {form.what} is a ref",
                "Write text: a system knows its own ids; a mapping makes references of them",
            )
        _no_references(form, one.fields)
