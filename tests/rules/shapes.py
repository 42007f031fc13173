"""Small builders that the tests of the rules share."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tieout.rules.compile import compile_mapping
from tieout.rules.lookups import ConvertAsk, PeriodAsk
from tieout.rules.mapping import CompiledMapping, Row
from tieout.rules.place import Place
from tieout.rules.spec import Crosswalk, CrosswalkRow, FieldType, Leaf, MappingSpec, Shape

PLACE = Place("mappings/test.yaml", 7)
ALWAYS = (dt.date(1, 1, 1), dt.date(9999, 12, 31))


def leaf(sql: str, line: int = 7) -> Leaf:
    return Leaf(sql, Place("mappings/test.yaml", line))


def crosswalk(name: str, *rows: tuple[str, str] | tuple[str, str, str, str]) -> Crosswalk:
    """Rows of (code, value) or (code, value, first day, last day)."""
    made = []
    for line, row in enumerate(rows, 2):
        days = (dt.date.fromisoformat(row[2]), dt.date.fromisoformat(row[3])) if row[2:] else ALWAYS
        place = Place(f"crosswalks/{name}.csv", line)
        made.append(CrosswalkRow(row[0], row[1], *days, place))
    return Crosswalk(name, tuple(made), Place(f"crosswalks/{name}.csv", 1))


def inbound(fields: Mapping[str, Shape], *, dated: str = "", key: str = "Id") -> MappingSpec:
    return MappingSpec("test", "crm.Deal", "order", 1, key, fields, PLACE, dated)


def outbound(fields: Mapping[str, Shape], *, dated: str = "") -> MappingSpec:
    return MappingSpec("test", "order", "erp.salesOrder", 1, "", fields, PLACE, dated)


def one_expression(sql: str, fields: Sequence[FieldType]) -> CompiledMapping:
    """A mapping of a single field `v` whose type is what the expression gives."""
    return compile_mapping(outbound({"v": leaf(sql)}), fields, None, system="")


def row(number: int, key: str = "", **fields: object) -> Row:
    key = key or f"key{number}"
    return Row(number, key, json.dumps({"Id": key, **fields}))


class Engine:
    """Lookups with fixed knowledge; counts the questions it was asked."""

    def __init__(self, ids: Mapping[tuple[str, str, str], tuple[str, str]] | None = None) -> None:
        self.known = ids or {}
        self.calls: list[tuple[str, int]] = []

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        assert len(set(keys)) == len(keys)
        self.calls.append((f"ids {system} {record_type}", len(keys)))
        found = {key: self.known.get((system, record_type, key)) for key in keys}
        return {key: value for key, value in found.items() if value}

    def convert(
        self, asks: Sequence[ConvertAsk]
    ) -> Mapping[ConvertAsk, tuple[Decimal, str] | None]:
        assert len(set(asks)) == len(asks)
        self.calls.append(("convert", len(asks)))
        return {
            ask: None
            if ask[1] == "XXX"
            else (ask[0] * Decimal("1.1"), f"{ask[1]}-{ask[2]} {ask[3]} {ask[4]}")
            for ask in asks
        }

    def periods(self, asks: Sequence[PeriodAsk]) -> Mapping[PeriodAsk, str]:
        assert len(set(asks)) == len(asks)
        self.calls.append(("periods", len(asks)))
        return {ask: f"{ask[0]} {ask[1]:%b %Y}" for ask in asks if ask[0] != "NOBODY"}
