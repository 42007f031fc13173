"""The corpus: good rows of every source stream of a landscape, and what may be done to them.

The good rows are those that the landscape's own tests give to its inbound mappings and expect no
complaint about. What may be done to one (other amounts, days, codes, more lines, out of scope and
back) and what breaks it is not believed but tried, with the very mapping and controls: a change
that they refuse is no change that people make on purpose, and a fault that they pass is none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tieout.engine.compiled import Compiled
from tieout.landscape.given_expected import GivenLookups, given_json
from tieout.landscape.load_tests import TestSpec, load_tests
from tieout.landscape.schema import Landscape
from tieout.rehearsal.anatomy import Anatomy, anatomy_of
from tieout.rehearsal.rowmaking import Row, number_of
from tieout.rehearsal.trying import Template, Trial, template_of
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType

Window = tuple[dt.date, dt.date]
StreamName = tuple[str, str]  # system, stream


@dataclass(frozen=True)
class Kind:
    """One stream that people make rows of. `parents` gives the stream of every record type that
    its rows refer to; `window` the days on which its rows may be dated."""

    anatomy: Anatomy
    templates: tuple[Template, ...]
    parents: Mapping[str, StreamName]
    starts_flow: bool

    @property
    def name(self) -> StreamName:
        return self.anatomy.system, self.anatomy.stream


@dataclass(frozen=True)
class Corpus:
    """The streams that can be played, by system and stream, parents before their children; and in
    plain words what is left out, and what to add so that it is not."""

    kinds: Mapping[StreamName, Kind]
    left_out: tuple[str, ...] = ()


@dataclass
class _Gathered:
    kinds: dict[StreamName, Kind] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def gather(landscape: Landscape, compiled: Compiled, window: Window | None = None) -> Corpus:
    """The corpus of a landscape. `window`: the days on which rows may be dated; without one, the
    months of the landscape's own good rows. Raises BadLandscape if a test file cannot be read."""
    tests, problems = load_tests(landscape)
    if problems:
        raise BadLandscape(problems)
    found = _Gathered()
    with Runner() as runner:
        for system, stream in compiled.inbound:
            _gather(found, landscape, compiled, runner, tests, (system, stream), window)
    return _ordered(found)


def _gather(
    found: _Gathered,
    landscape: Landscape,
    compiled: Compiled,
    runner: Runner,
    tests: Sequence[TestSpec],
    name: StreamName,
    window: Window | None,
) -> None:
    mapping = compiled.inbound[name]
    anatomy = anatomy_of(landscape, compiled, *name)
    good = [
        (one, _row(one, anatomy))
        for one in tests
        if one.mapping == mapping.spec.name and not one.errors and not one.controls
    ]
    templates: list[Template] = []
    given = [row for _, row in good]
    for test, row in [(test, completed(row, anatomy, given)) for test, row in good]:
        trial = Trial(
            mapping,
            compiled.controls.get(mapping.spec.target),
            runner,
            GivenLookups(test, landscape),
        )
        made = template_of(test.name, row, anatomy, trial, window, given)
        if made is not None:
            templates.append(made)
    if not templates:
        found.left_out.append(
            f"{'.'.join(name)}: no test gives a good row of it. Add tests/NAME.yaml with 'mapping: "
            f"{mapping.spec.name}', a 'given' row and what to 'expect' of it, without 'errors' and "
            "'controls'."
        )
        return
    found.kinds[name] = Kind(
        anatomy=anatomy,
        templates=tuple(templates),
        parents=_parents(compiled, anatomy),
        starts_flow=name in compiled.flows_by_stream,
    )


def _row(test: TestSpec, anatomy: Anatomy) -> dict[str, object]:
    row = given_json(test.given, anatomy.fields)
    assert isinstance(row, dict)
    return typed(row, anatomy.fields)


def _parents(compiled: Compiled, anatomy: Anatomy) -> dict[str, StreamName]:
    """The stream whose rows become the records that a row refers to: xref() means its own system.
    A type that no stream of the system becomes is refused by nobody: its record never arrives."""
    makers = {
        mapping.spec.target: name
        for name, mapping in compiled.inbound.items()
        if name[0] == anatomy.system
    }
    wanted = dict.fromkeys(one.record_type for one in anatomy.references)
    return {kind: makers[kind] for kind in wanted if kind in makers}


def _ordered(found: _Gathered) -> Corpus:
    """Parents first; a stream whose parents cannot be played cannot be either."""
    ordered: dict[StreamName, Kind] = {}
    waiting = dict(found.kinds)
    left_out = list(found.left_out)
    while waiting:
        ready = [
            name
            for name, kind in waiting.items()
            if all(one in ordered or one == name for one in kind.parents.values())
        ]
        if not ready:
            break
        for name in ready:
            ordered[name] = waiting.pop(name)
    for name, kind in waiting.items():
        missing = [".".join(one) for one in kind.parents.values() if one not in ordered]
        left_out.append(
            f"{'.'.join(name)}: its rows refer to rows of {' and '.join(missing)}, which cannot be "
            "made. Add a test with a good row of each, or break the circle of references."
        )
    return Corpus(ordered, tuple(left_out))


def completed(row: Row, anatomy: Anatomy, others: Sequence[Row]) -> dict[str, object]:
    """A row with every field that its system asks for: a test gives only what its mapping reads.
    The values are those of other rows, or a text of no meaning."""
    made = dict(row)
    for one in anatomy.fields:
        if not one.required or one.name in (anatomy.key, anatomy.version):
            continue
        if made.get(one.name) is None:
            known = [other[one.name] for other in others if other.get(one.name) is not None]
            if known or one.type == "text":
                made[one.name] = known[0] if known else one.title or one.name
    return made


def typed(row: Row, fields: Sequence[FieldType]) -> dict[str, object]:
    """A row of texts as a system holds it: numbers as exact numbers, dates and codes as texts."""
    known = {one.name: one for one in fields}
    return {name: _typed(value, known.get(name)) for name, value in row.items()}


def _typed(value: object, one: FieldType | None) -> object:
    if one is None or value is None:
        return value
    if isinstance(value, list):
        return [_typed(item, one) for item in value]
    if isinstance(value, Mapping):
        return typed(value, one.fields)
    if one.type == "integer":
        number = number_of(value)
        return int(number) if number is not None and number == number.to_integral() else value
    if one.type in ("amount", "quantity", "rate", "number"):
        number = number_of(value)
        return Decimal(number) if number is not None else value
    return value
