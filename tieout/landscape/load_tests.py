"""Loads tests/*.yaml: what is given, what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tieout.landscape.form import Form, did_you_mean
from tieout.landscape.loader import governed_files
from tieout.landscape.reader import Node, Table, read_yaml
from tieout.landscape.schema import Landscape
from tieout.rules.place import BadLandscape, Place, Problem

_KEYS = ("test", "mapping", "given", "expect", "errors", "controls", "ids", "numbers", "rates")


@dataclass(frozen=True, slots=True)
class TestSpec:
    """One test. `errors` and `controls` name the fields and controls that must fail; `ids` and
    `numbers` are by stream and record key; `rates` by "GBP/EUR"."""

    name: str
    mapping: str
    place: Place
    given: Table
    expect: Node | None
    errors: tuple[str, ...]
    controls: tuple[str, ...]
    ids: Mapping[str, Mapping[str, str]]
    numbers: Mapping[str, Mapping[str, str]]
    rates: Mapping[str, str]


def load_tests(landscape: Landscape) -> tuple[list[TestSpec], list[Problem]]:
    """Every test of the landscape, and what is wrong with their files."""
    specs: list[TestSpec] = []
    problems: list[Problem] = []
    for file in governed_files(landscape.folder):
        if not file.startswith("tests/"):
            continue
        try:
            documents = read_yaml(landscape.folder, file)
        except BadLandscape as bad:
            problems += bad.problems
            continue
        for node in documents:
            if isinstance(node, Table):
                spec = _load(node, landscape, problems)
                if spec is not None:
                    specs.append(spec)
            else:
                problems.append(Problem(node.place, "is not a test", "Begin with 'test: …'"))
    return specs, problems


def _load(table: Table, landscape: Landscape, problems: list[Problem]) -> TestSpec | None:
    form = Form(table, "a test", _KEYS, problems)
    name = form.text("test")
    form.what = f"test '{name}'"
    mapping = form.text("mapping")
    if mapping and mapping not in landscape.mappings:
        form.complain(
            form.place_of("mapping"),
            f"{form.what} names the unknown mapping '{mapping}'",
            did_you_mean(mapping, landscape.mappings),
        )
        mapping = ""
    given = form.table_at("given", required=True)
    errors, controls = form.texts("errors"), form.texts("controls")
    if not form.has("expect") and not errors and not controls:
        form.complain(
            form.place, f"{form.what} expects nothing", "Add 'expect', 'errors' or 'controls'"
        )
    if not mapping or given is None:
        return None
    return TestSpec(
        name=name,
        mapping=mapping,
        place=form.place,
        given=given,
        expect=form.node("expect"),
        errors=errors,
        controls=controls,
        ids=_by_stream(form, "ids", problems),
        numbers=_by_stream(form, "numbers", problems),
        rates=_rates(form),
    )


def _by_stream(form: Form, key: str, problems: list[Problem]) -> Mapping[str, Mapping[str, str]]:
    table = form.table_at(key)
    if table is None:
        return {}
    below = Form(table, f"{key} of {form.what}", tuple(table.entries), problems)
    return {stream: below.text_table(stream) for stream in table.entries}


def _rates(form: Form) -> Mapping[str, str]:
    rates = form.text_table("rates")
    for pair, rate in rates.items():
        try:
            good = Decimal(rate).is_finite() and Decimal(rate) > 0
        except InvalidOperation:
            good = False
        if not good:
            form.complain(
                form.place_under("rates", pair), f"rate '{rate}' is not one", "Write e.g. 1.0853"
            )
    return rates
