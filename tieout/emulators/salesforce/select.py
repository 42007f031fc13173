"""Runs a parsed SOQL query over the rows: filter, order, nest, and show in the vendor's form."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from tieout.emulators.salesforce.model import (
    NUMERIC,
    OBJECTS,
    FieldDefinition,
    ObjectDefinition,
    object_named,
)
from tieout.emulators.salesforce.rows import Row, Rows
from tieout.emulators.salesforce.soql import Both, Comparison, Condition, Negated, Query, Value
from tieout.emulators.salesforce.values import ApiError, full_id

Test = Callable[[Row], bool]
ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MOST_VALUES = 4_000


def source_of(query: Query) -> ObjectDefinition:
    """The object a query reads. Raises ApiError (INVALID_TYPE)."""
    found = object_named(query.source)
    if found is None:
        raise ApiError(
            400,
            "INVALID_TYPE",
            f"sObject type '{query.source}' is not supported. If you are attempting to use a "
            "custom object, be sure to append the '__c' after the entity name.",
        )
    return found


def run(query: Query, rows: Rows, *, with_deleted: bool) -> list[Row]:
    """The rows a query finds, in its order."""
    definition = source_of(query)
    check_fields(query, definition)
    found = list(rows.table(definition.name).values())
    return _filtered(query, definition, found, with_deleted=with_deleted)


def nested_rows(query: Query, parent: ObjectDefinition, row: Row, rows: Rows) -> list[Row]:
    """The child rows of one parent that a nested query finds. A deleted parent's children were
    deleted with it and still show beneath it."""
    child = OBJECTS[parent.children[query.source][0]]
    return _filtered(
        query, child, rows.lines_of(str(row["Id"])), with_deleted=bool(row["IsDeleted"])
    )


def _filtered(
    query: Query, definition: ObjectDefinition, found: list[Row], *, with_deleted: bool
) -> list[Row]:
    if not with_deleted:
        found = [row for row in found if not row["IsDeleted"]]
    if query.where is not None:
        test = compile_condition(query.where, definition)
        found = [row for row in found if test(row)]
    for name, descending, nulls_last in reversed(query.order):
        one = _field(definition, name)
        some = [row for row in found if row[one.name] is not None]
        none = [row for row in found if row[one.name] is None]
        some.sort(key=partial(_sort_key, one), reverse=descending)
        found = some + none if nulls_last else none + some
    if query.offset:
        found = found[query.offset :]
    return found if query.limit is None else found[: query.limit]


def check_fields(query: Query, definition: ObjectDefinition) -> None:
    """Refuse unknown fields and relationships before any row is looked at."""
    if not query.fields and not query.nested and not query.counts:
        raise ApiError(400, "MALFORMED_QUERY", "SELECT clause is empty")
    for name in query.fields:
        _path(definition, name)
    for one in query.nested:
        if one.source not in definition.children:
            raise ApiError(
                400,
                "INVALID_TYPE",
                f"Didn't understand relationship '{one.source}' in FROM part of query call.",
            )
        check_fields(one, OBJECTS[definition.children[one.source][0]])


def _field(definition: ObjectDefinition, name: str) -> FieldDefinition:
    one = definition.field(name)
    if one is None:
        raise ApiError(
            400, "INVALID_FIELD", f"No such column '{name}' on entity '{definition.name}'."
        )
    return one


def _path(
    definition: ObjectDefinition, name: str
) -> tuple[FieldDefinition | None, FieldDefinition, ObjectDefinition]:
    """Resolve `Name` or `Account.Name`: the reference to follow (if any), the field, its owner."""
    relationship, dot, field = name.partition(".")
    if not dot:
        return None, _field(definition, name), definition
    for one in definition.fields.values():
        if one.refers_to and one.name.removesuffix("Id").lower() == relationship.lower():
            parent = OBJECTS[one.refers_to]
            return one, _field(parent, field), parent
    raise ApiError(
        400,
        "INVALID_FIELD",
        f"Didn't understand relationship '{relationship}' in field path.",
    )


def shown(query: Query, definition: ObjectDefinition, row: Row, rows: Rows, root: str) -> Row:
    """One found row in the vendor's form, without its nested queries."""
    answer: Row = {"attributes": attributes(definition, str(row["Id"]), root)}
    for name in query.fields:
        through, one, owner = _path(definition, name)
        if through is None:
            answer[one.name] = row[one.name]
            continue
        label = through.name.removesuffix("Id")
        parent = rows.table(owner.name).get(str(row[through.name]))
        if parent is None:
            answer[label] = None
            continue
        inside = answer.setdefault(
            label, {"attributes": attributes(owner, str(parent["Id"]), root)}
        )
        if isinstance(inside, dict):
            inside[one.name] = parent[one.name]
    return answer


def attributes(definition: ObjectDefinition, record_id: str, root: str) -> Row:
    """The `attributes` of a record: its type and address."""
    return {"type": definition.name, "url": f"{root}/sobjects/{definition.name}/{record_id}"}


# --- conditions ---------------------------------------------------------------------------------


def compile_condition(condition: Condition, definition: ObjectDefinition) -> Test:
    """A test of one row. Raises ApiError for unknown fields and literals of the wrong form."""
    if isinstance(condition, Comparison):
        return _comparison(condition, definition)
    if isinstance(condition, Negated):
        inner = compile_condition(condition.part, definition)
        return lambda row: not inner(row)
    parts = [compile_condition(part, definition) for part in condition.parts]
    if isinstance(condition, Both):
        return lambda row: all(part(row) for part in parts)
    return lambda row: any(part(row) for part in parts)


def _comparison(condition: Comparison, definition: ObjectDefinition) -> Test:
    one = _field(definition, condition.field)
    if len(condition.values) > MOST_VALUES:
        raise ApiError(400, "MALFORMED_QUERY", "maximum number of IN values exceeded")
    values = [_literal(one, value) for value in condition.values]
    name, sign = one.name, condition.operator
    if sign in {"=", "IN"}:
        wanted = set(values)
        return lambda row: _comparable(one, row[name]) in wanted
    if sign in {"!=", "NOT IN"}:
        unwanted = set(values)
        return lambda row: _comparable(one, row[name]) not in unwanted
    if sign == "LIKE":
        pattern = _like(one, values[0])
        return lambda row: pattern.fullmatch(str(row[name] or "")) is not None
    if one.kind == "boolean" or values[0] is None:
        raise ApiError(
            400, "INVALID_QUERY_FILTER_OPERATOR", f"operator '{sign}' cannot be used on {one.name}"
        )
    order, edge = ORDERINGS[sign], values[0]
    return lambda row: row[name] is not None and order(_comparable(one, row[name]), edge)


def _like(one: FieldDefinition, value: object) -> re.Pattern[str]:
    if one.kind != "string":
        raise ApiError(400, "INVALID_FIELD", f"invalid operator on {one.kind} field '{one.name}'")
    wild = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in str(value or ""))
    return re.compile(wild, re.IGNORECASE | re.DOTALL)


def _literal(one: FieldDefinition, value: Value) -> object:
    if value.kind == "null":
        return None
    wanted = {"date": "date", "datetime": "datetime", "boolean": "boolean"}.get(
        one.kind, "number" if one.kind in NUMERIC else "string"
    )
    if value.kind != wanted:
        quotes = " and should be enclosed in quotes" if wanted == "string" else ""
        if value.kind == "string":
            quotes = " and should not be enclosed in quotes"
        raise ApiError(
            400,
            "INVALID_FIELD",
            f"value of filter criterion for field '{one.name}' must be of type {one.kind}{quotes}",
        )
    if one.kind in {"id", "reference"}:
        key = full_id(str(value.value))
        if key is None:
            raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {value.value}")
        return key
    return _comparable(one, value.value)


def _comparable(one: FieldDefinition, value: object) -> object:
    if value is None:
        return None
    if one.kind in NUMERIC:
        return value if isinstance(value, Decimal) else Decimal(str(value))
    return str(value).lower() if one.kind == "string" else value


def _sort_key(one: FieldDefinition, row: Row) -> Any:
    return _comparable(one, row[one.name])
