"""Loads reconciliations/*.yaml: sides that must agree, each in the words of its own system."""

from __future__ import annotations

from typing import Literal, cast

from tieout.landscape.form import Form
from tieout.landscape.reader import Table
from tieout.landscape.schema import AlsoSpec, ReconciliationSpec, SideSpec
from tieout.rules.place import Problem

_KEYS = ("reconciliation", "steward", "sides", "by", "tolerance", "title")
_SIDE_KEYS = (
    "system",
    "stream",
    "key",
    "sum",
    "where",
    "dimensions",
    "each",
    "unreadable",
    "also",
)


def load_reconciliation(table: Table, problems: list[Problem]) -> ReconciliationSpec:
    """One reconciliation of two or more sides; every side gives every dimension of `by`."""
    form = Form(table, "a reconciliation", _KEYS, problems)
    name = form.name("reconciliation")
    form.what = f"reconciliation '{name}'"
    by = form.texts("by")
    each, total = "0.00", "0.00"
    tolerance = form.table_at("tolerance")
    if tolerance is not None:
        given = Form(tolerance, f"tolerance of {form.what}", ("each", "total"), problems)
        each, total = given.decimal("each", each), given.decimal("total", total)
    sides: list[SideSpec] = []
    below = form.table_at("sides", required=True)
    for side, node in (below.entries if below is not None else {}).items():
        if isinstance(node, Table):
            sides.append(_side(side, node, by, form.what, problems))
        else:
            form.complain(node.place, f"side '{side}' is not a table", "Write {stream: …, …}")
    if below is not None and len(sides) < 2:
        form.complain(
            form.place_of("sides"), f"{form.what} has fewer than two sides", "Add the other side"
        )
    return ReconciliationSpec(
        name=name,
        steward=form.text("steward"),
        sides=tuple(sides),
        by=by,
        tolerance_each=each,
        tolerance_total=total,
        place=form.place,
    )


def _side(
    name: str, table: Table, by: tuple[str, ...], of: str, problems: list[Problem]
) -> SideSpec:
    form = Form(table, f"side '{name}' of {of}", _SIDE_KEYS, problems)
    dimensions = form.text_table("dimensions")
    for missing in (one for one in by if one not in dimensions):
        form.complain(
            form.place_of("dimensions"),
            f"{form.what} does not say its '{missing}'",
            f"Add '{missing}:' under dimensions; {of} groups by it",
        )
    for extra in (one for one in dimensions if one not in by):
        form.complain(
            form.place_of("dimensions"),
            f"{form.what} gives '{extra}', which {of} does not group by",
            "Add it to 'by', or remove it",
        )
    return SideSpec(
        name=name,
        system=form.text("system", name) or name,
        stream=form.text("stream"),
        key=form.text("key"),
        sum=form.text("sum"),
        where=form.text("where", "TRUE") or "TRUE",
        dimensions=dimensions,
        place=form.place,
        each=form.text("each", ""),
        unreadable=form.text("unreadable", ""),
        places={
            **{one: form.place_of(one) for one in ("key", "sum", "where", "each")},
            **{one: form.place_under("dimensions", one) for one in dimensions},
        },
        also=tuple(_also(one, form.what, problems) for one in form.tables("also")),
    )


def _also(table: Table, of: str, problems: list[Problem]) -> AlsoSpec:
    form = Form(table, f"also of {of}", ("stream", "sign", "where"), problems)
    return AlsoSpec(
        stream=form.text("stream"),
        sign=cast(Literal[1, -1], int(form.choice("sign", ("1", "-1")))),
        place=form.place,
        where=form.text("where", "TRUE") or "TRUE",
    )
