"""What each field of a source stream is, read from its interface and its inbound mapping.

Which fields are money, which are days, which refer to another record, which carry a code of a
crosswalk, which decide whether a flow wants the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from tieout.engine.compiled import Compiled, field_types
from tieout.landscape.schema import Landscape
from tieout.rehearsal.rowmaking import Path, path_of
from tieout.rules.expression import function_name, parse
from tieout.rules.level import PARENT
from tieout.rules.mapping import CompiledMapping
from tieout.rules.spec import Each, FieldType, Group, RecordTypeSpec, Shape

_NAMES = ("number", "code", "name")  # of record fields that tell one record from another
_MAY_BE_MONEY = ("amount", "number", "text")


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that holds the key of a row of another stream of the same system."""

    path: Path
    record_type: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A field whose code is looked up in a crosswalk, with every code that it knows."""

    path: Path
    crosswalk: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Anatomy:
    """One stream's fields by what they are.

    `types` has the type of every path. `days` begins with the accounting date, if there is one.
    `mapped` are the fields that the mapping reads; `lists` those that hold rows; `deciding` those
    that a flow's condition reads; `names` the texts of the row itself that tell it from others,
    `titles` those of them that people change.
    """

    system: str
    stream: str
    key: str
    version: str
    fields: tuple[FieldType, ...]
    types: Mapping[Path, str]
    amounts: tuple[Path, ...]
    days: tuple[Path, ...]
    references: tuple[Reference, ...]
    coded: tuple[Coded, ...]
    names: tuple[Path, ...]
    titles: tuple[Path, ...]
    lists: tuple[Path, ...]
    mapped: tuple[Path, ...]
    deciding: tuple[Path, ...]


def anatomy_of(landscape: Landscape, compiled: Compiled, system: str, stream: str) -> Anatomy:
    """The anatomy of a stream that an inbound mapping reads."""
    spec = compiled.streams[system, stream]
    mapping = compiled.inbound[system, stream]
    fields = field_types(spec.fields)
    types = _types(fields)
    record = landscape.records[mapping.spec.target]
    functions = tuple(landscape.functions)
    calls = tuple(_calls(mapping.spec.fields, (), types, functions))
    references = tuple(
        Reference(path, first) for name, first, path in calls if name == "xref" and path in types
    )
    coded = tuple(
        Coded(path, first, _codes(landscape, first))
        for name, first, path in dict.fromkeys(calls)
        if name == "crosswalk" and types.get(path) == "text"
    )
    mapped = tuple(
        path
        for path in types
        if path in {path_of(one) for found in mapping.lineage.values() for one in found}
        and types[path] not in ("list", "object")
    )
    deciding = _deciding(compiled, system, stream, types, functions)
    held = {
        (spec.key,),
        (spec.version,),
        *deciding,
        *(one.path for one in references),
        *(one.path for one in coded),
    }
    names = tuple(_names(mapping, record, types, held))
    return Anatomy(
        system=system,
        stream=stream,
        key=spec.key,
        version=spec.version,
        fields=fields,
        types=types,
        amounts=tuple(_amounts(mapping, record, types, held)),
        days=_days(mapping, record, types, spec.version),
        references=references,
        coded=coded,
        names=names,
        titles=tuple(
            path for path in names if ("name",) in _targets(mapping, path) and len(path) == 1
        ),
        lists=tuple(path for path, kind in types.items() if kind == "list"),
        mapped=mapped,
        deciding=deciding,
    )


def _types(fields: Sequence[FieldType], above: Path = ()) -> dict[Path, str]:
    """Every field of an interface, also those inside objects and lists, with its type."""
    found: dict[Path, str] = {}
    for one in fields:
        found[*above, one.name] = one.type
        found.update(_types(one.fields, (*above, one.name)))
    return found


def _calls(
    shapes: Mapping[str, Shape],
    over: Path,
    types: Mapping[Path, str],
    functions: Sequence[str],
) -> Iterator[tuple[str, str, Path]]:
    """(function, its first name, the path that it is given) of every xref and crosswalk that is
    given a field as it is. `over` is the list whose items an expression sees."""
    for shape in shapes.values():
        if isinstance(shape, Group):
            yield from _calls(shape.fields, over, types, functions)
        elif isinstance(shape, Each):
            yield from _calls(shape.fields, (*over, *path_of(shape.over)), types, functions)
        else:
            for node in parse(shape.sql, shape.place, functions).tree.walk():
                if not isinstance(node, exp.Anonymous):
                    continue
                name = function_name(node)
                if name in ("xref", "crosswalk") and len(node.expressions) >= 2:
                    path = _path(node.expressions[1], over, types)
                    if path:
                        yield name, str(node.expressions[0].name), path


def _path(node: exp.Expr, over: Path, types: Mapping[Path, str]) -> Path:
    """The field that an expression is, () where it is more than a field."""
    if isinstance(node, exp.Column | exp.Dot):
        written = tuple(one.name for one in node.parts)
        if written[0].lower() == PARENT and over:
            # One list in another is read by no system that we know: above an item is the row.
            return _known(written[1:], types)
        return _known((*over, *written), types)
    return ()


def _known(path: Path, types: Mapping[Path, str]) -> Path:
    """The field as the interface spells it, () where it has none."""
    lower = tuple(one.lower() for one in path)
    return next((one for one in types if tuple(part.lower() for part in one) == lower), ())


def _codes(landscape: Landscape, crosswalk: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.code for row in landscape.crosswalks[crosswalk].rows))


def _deciding(
    compiled: Compiled,
    system: str,
    stream: str,
    types: Mapping[Path, str],
    functions: Sequence[str],
) -> tuple[Path, ...]:
    found: dict[Path, None] = {}
    for flow in compiled.flows_by_stream.get((system, stream), ()):
        for node in parse(flow.when, flow.when_place, functions).tree.find_all(exp.Column, exp.Dot):
            path = _path(node, (), types)
            if path:
                found[path] = None
    return tuple(found)


def _targets(mapping: CompiledMapping, path: Path) -> list[Path]:
    """The record's fields that are computed from a source field."""
    return [
        path_of(target)
        for target, sources in mapping.lineage.items()
        if path in [path_of(one) for one in sources]
    ]


def _record_type(record: RecordTypeSpec, path: Path) -> str:
    return _types(record.fields).get(path, "")


def _amounts(
    mapping: CompiledMapping, record: RecordTypeSpec, types: Mapping[Path, str], held: set[Path]
) -> Iterator[Path]:
    """Fields of type amount, and numbers of which nothing but amounts is made."""
    for path, kind in types.items():
        if path in held or kind not in _MAY_BE_MONEY:
            continue
        made = [_record_type(record, one) for one in _targets(mapping, path)]
        if kind == "amount" or (made and all(one == "amount" for one in made)):
            yield path


def _days(
    mapping: CompiledMapping, record: RecordTypeSpec, types: Mapping[Path, str], version: str
) -> tuple[Path, ...]:
    days = [
        path for path, kind in types.items() if kind in ("date", "timestamp") and path != (version,)
    ]
    main = [path for path in days if (record.date,) in _targets(mapping, path)]
    return tuple(dict.fromkeys([*main[:1], *days]))


def _names(
    mapping: CompiledMapping, record: RecordTypeSpec, types: Mapping[Path, str], held: set[Path]
) -> Iterator[Path]:
    """Texts of the row itself that nothing is looked up by. Those of the record that the record
    plane reads (currency, status, legal entity) are not among them."""
    plain = {record.legal_entity, record.currency, record.status, record.date, record.amount}
    for path, kind in types.items():
        if kind != "text" or len(path) > 1 or path in held:
            continue
        targets = _targets(mapping, path)
        if not targets or any(one[0] in plain or len(one) > 1 for one in targets):
            continue
        if all(_record_type(record, one) == "text" for one in targets):
            yield path


def tells_apart(mapping: CompiledMapping, path: Path) -> bool:
    """Whether a name goes into a number, a code or a name of the record."""
    return any(one[0] in _NAMES for one in _targets(mapping, path))


__all__ = ["Anatomy", "Coded", "Reference", "anatomy_of", "tells_apart"]
