"""Runs tests/*.yaml: given records, expected documents, field errors and failed controls.

An engineer writes what a mapping is meant to do in the words of the data; the test runs the very
rules that will run in production, without any system. Everything a mapping would ask of the record
plane (ids in targets, rates) is written down in the test.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout.finance.period import FiscalCalendar, NoPeriod
from tieout.landscape.functions import python_functions
from tieout.landscape.interfaces import ConnectorLike, Systems
from tieout.landscape.load_tests import TestSpec, load_tests
from tieout.landscape.reader import Items, Node, Table, Text
from tieout.landscape.schema import Landscape
from tieout.rules.compile import compile_mapping
from tieout.rules.control import compile_controls
from tieout.rules.lookups import ConvertAsk, PeriodAsk
from tieout.rules.mapping import Row
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.python_functions import Functions
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType, MappingSpec, RecordTypeSpec

RECORD_KEY = "given-record"
SOURCE_KEY = "given-source"
RATE_ID = "given-rate"


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test: passed if it has no problems."""

    name: str
    mapping: str
    place: Place
    problems: tuple[Problem, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problems


def run_tests(landscape: Landscape, connectors: Mapping[str, ConnectorLike]) -> list[TestResult]:
    """Run every test of the landscape, in order of file and line. Raises BadLandscape if a test
    file cannot be read or a mapping does not compile."""
    specs, problems = load_tests(landscape)
    if problems:
        raise BadLandscape(problems)
    systems = Systems(landscape, connectors)
    functions = python_functions(landscape)
    with Runner() as runner:
        return [_run(one, landscape, systems, runner, functions) for one in specs]


def _run(
    test: TestSpec, landscape: Landscape, systems: Systems, runner: Runner, functions: Functions
) -> TestResult:
    mapping = landscape.mappings[test.mapping]
    fields = source_fields(mapping, landscape, systems)
    record = landscape.records[mapping.target] if mapping.inbound else None
    compiled = compile_mapping(
        mapping,
        fields,
        record.fields if record is not None else None,
        system=mapping.source.partition(".")[0] if mapping.inbound else "",
        crosswalks=landscape.crosswalks,
        runner=runner,
        functions=functions,
    )
    given = json.dumps(given_json(test.given, fields))
    if mapping.inbound:
        row = Row(1, _text(test.given, mapping.key) or SOURCE_KEY, given)
    else:
        row = Row(1, RECORD_KEY, given, _text(test.given, "source_key") or SOURCE_KEY)
    result = compiled.run(runner, [row], GivenLookups(test, landscape))
    problems = _failures(
        "field", test.errors, {one.field: one.why for one in result.errors}, test.place
    )
    document = json.loads(result.mapped[0].body) if result.mapped else None
    if document is not None and test.expect is not None:
        problems += _differences(test.expect, document, "")
    elif test.expect is not None and not result.errors:
        problems.append(Problem(test.place, "nothing came out", "Check what is given"))
    if record is not None and result.mapped and not result.errors:
        problems += _controls(test, record, result.mapped[0].body, runner, functions)
    return TestResult(test.name, test.mapping, test.place, tuple(problems))


def _controls(
    test: TestSpec, record: RecordTypeSpec, body: str, runner: Runner, functions: Functions
) -> list[Problem]:
    failed: dict[str, str] = {}
    if record.controls:
        for one in compile_controls(record, runner, functions).run(runner, [(1, body)]):
            failed[one.control] = one.because
    return _failures("control", test.controls, failed, test.place)


def source_fields(
    mapping: MappingSpec, landscape: Landscape, systems: Systems
) -> tuple[FieldType, ...]:
    """What a mapping reads from: a stream's interface, or a record type's fields."""
    if mapping.inbound:
        return systems.fields(*systems.named(mapping.source))
    return landscape.records[mapping.source].fields


class GivenLookups:
    """What the test says the record plane knows."""

    def __init__(self, test: TestSpec, landscape: Landscape) -> None:
        self._test = test
        self._landscape = landscape

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        """`ids:` by stream and key; `this` stands for the record of the test itself."""
        given = self._test.ids.get(system, {})
        found: dict[str, tuple[str, str]] = {}
        for key in keys:
            value = given.get("this" if key == RECORD_KEY else key)
            if value is not None:
                number = self._test.numbers.get(system, {})
                shown = number.get("this" if key == RECORD_KEY else key, value)
                found[key] = (value, shown)
        return found

    def convert(
        self, asks: Sequence[ConvertAsk]
    ) -> Mapping[ConvertAsk, tuple[Decimal, str] | None]:
        """`rates: {GBP/EUR: 1.1}`; a currency into itself needs none."""
        found: dict[ConvertAsk, tuple[Decimal, str] | None] = {}
        for ask in asks:
            amount, source, target = ask[0], ask[1], ask[2]
            rate = "1" if source == target else self._test.rates.get(f"{source}/{target}")
            found[ask] = (amount * Decimal(rate), RATE_ID) if rate is not None else None
        return found

    def periods(self, asks: Sequence[PeriodAsk]) -> Mapping[PeriodAsk, str]:
        """By the landscape's own calendars."""
        found: dict[tuple[str, dt.date], str] = {}
        for entity, date in asks:
            spec = self._landscape.legal_entities.get(entity)
            calendar = self._landscape.calendars.get(spec.calendar) if spec is not None else None
            if calendar is None:
                continue
            try:
                period = FiscalCalendar(calendar.pattern, calendar.year_starts).period_of(date)
            except NoPeriod:
                continue
            found[entity, date] = period.name
        return found


def given_json(node: Node, fields: Sequence[FieldType]) -> object:
    """What was given as the JSON a system would send: texts, numbers as texts, real booleans."""
    known = {one.name: one for one in fields}
    if not isinstance(node, Table):
        return (
            node.value
            if isinstance(node, Text)
            else [given_json(one, fields) for one in node.items]
        )
    made: dict[str, object] = {}
    for name, value in node.entries.items():
        field = known.get(name)
        if isinstance(value, Text):
            if value.value == "" or (field is not None and value.value == "null"):
                made[name] = None
            elif field is not None and field.type == "boolean":
                made[name] = value.value == "true"
            else:
                made[name] = value.value
        else:
            made[name] = given_json(value, field.fields if field is not None else ())
    return made


def _text(table: Table, key: str) -> str:
    node = table.entries.get(key)
    return node.value if isinstance(node, Text) else ""


def _failures(
    kind: str, expected: Sequence[str], found: Mapping[str, str], place: Place
) -> list[Problem]:
    """Fields or controls that failed and should not have, or the reverse. `found`: name -> why."""
    advice = "Correct the mapping, or what the test expects"
    missing = [
        Problem(place, f"{kind} '{name}' should have failed and did not", advice)
        for name in expected
        if name not in found
    ]
    extra = [
        Problem(place, f"{kind} '{name}' failed: {why}", advice)
        for name, why in found.items()
        if name not in expected
    ]
    return missing + extra


def _differences(expected: Node, actual: object, path: str) -> list[Problem]:
    """Where the document is not as expected; fields that the test leaves out are not compared."""
    if isinstance(expected, Table) and isinstance(actual, dict):
        found: list[Problem] = []
        for name, node in expected.entries.items():
            below = f"{path}.{name}" if path else name
            found += _differences(node, actual.get(name), below)
        return found
    if isinstance(expected, Items) and isinstance(actual, list):
        if len(expected.items) != len(actual):
            what = f"'{path}' has {len(actual)} items, expected {len(expected.items)}"
            return [Problem(expected.place, what, "Correct the mapping or the expectation")]
        return [
            problem
            for index, (node, item) in enumerate(zip(expected.items, actual, strict=True))
            for problem in _differences(node, item, f"{path}[{index}]")
        ]
    wanted = expected.value if isinstance(expected, Text) else None
    shown = _shown(actual)
    if wanted is not None and (wanted == shown or (wanted in ("", "null") and actual is None)):
        return []
    wanted_words = f"'{wanted}'" if wanted is not None else "a table or list"
    return [
        Problem(
            expected.place,
            f"'{path}' is {shown if actual is None else repr(shown)}, expected {wanted_words}",
            "Correct the mapping or the expectation",
        )
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value)
