"""sObject Collections and Composite: many rows or many calls in one request.

Both answer HTTP 200 even when every part failed; the parts tell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import cast

from tieout.emulators.kit import whole_number
from tieout.emulators.salesforce.model import ObjectDefinition, object_named
from tieout.emulators.salesforce.rows import Row, Rows
from tieout.emulators.salesforce.values import ApiError, full_id

MOST_ROWS = 200
MOST_TYPE_SWITCHES = 10
MOST_SUBREQUESTS = 25
REFERENCE = re.compile(r"@\{([A-Za-z0-9_]+)\.([A-Za-z0-9_.\[\]]+)\}")

ROLLED_BACK = ApiError(
    400,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using "
    "AllOrNone header",
)

HALTED = ApiError(
    400,
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)


def named(name: object) -> ObjectDefinition:
    """The object type a row names. Raises ApiError."""
    found = object_named(str(name))
    if found is None:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return found


def upsert(
    rows: Rows,
    definition: ObjectDefinition,
    field: str,
    value: str,
    sent: Mapping[str, object],
    *,
    create: bool = True,
) -> tuple[str, bool]:
    """Save by external id: (record id, whether it was created). Raises ApiError; 300 when several
    rows match."""
    one = definition.field(field)
    if one is None or not (one.external or one.kind == "id"):
        raise ApiError(
            404,
            "NOT_FOUND",
            f"Provided external ID field does not exist or is not accessible: {field}",
        )
    if one.kind == "id":
        return rows.update(definition, value, sent), False
    if any(definition.field(name) is one for name in sent):
        raise ApiError(
            400,
            "INVALID_FIELD",
            f"The {one.name} field should not be specified in the sobject data.",
        )
    matches = rows.matching(definition, one, value)
    if len(matches) > 1:
        raise ApiError(
            300,
            "DUPLICATE_EXTERNAL_ID",
            f"{one.name}: more than one record found for external id field: "
            f"[{', '.join(str(row['Id']) for row in matches)}]",
        )
    if matches:
        return rows.update(definition, str(matches[0]["Id"]), sent), False
    if not create:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
    return rows.create(definition, {**sent, one.name: value}), True


def save_all(rows: Rows, method: str, sent: object, external: tuple[str, str] | None) -> list[Row]:
    """Create (POST), update by id (PATCH) or upsert (PATCH, external field) up to 200 rows."""
    body = cast(dict[str, object], sent if isinstance(sent, dict) else {})
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "The value for records must be a list")
    _check_size(len(records))
    types = [_type_of(one) for one in records]
    if sum(a != b for a, b in itertools.pairwise(types)) > MOST_TYPE_SWITCHES:
        raise ApiError(
            400,
            "LIMIT_EXCEEDED",
            "Cannot have more than 10 chunks in a single operation. Please rearrange the data to "
            "reduce chunking.",
        )
    known: dict[str, ObjectDefinition] = {}

    def one_row(index: int) -> Row:
        record = cast(dict[str, object], records[index])
        definition = known.setdefault(types[index], named(types[index]))
        values = {k: v for k, v in record.items() if k != "attributes" and k.lower() != "id"}
        if external is not None:
            if definition is not named(external[0]):
                raise ApiError(400, "INVALID_INPUT", "all records must be of the type in the URL")
            one = definition.field(external[1])
            key = next((k for k in values if one is not None and definition.field(k) is one), "")
            value = str(values.pop(key, None) or "")
            if not value:
                raise ApiError(400, "MISSING_ARGUMENT", f"{external[1]} not specified")
            saved, created = upsert(rows, definition, external[1], value, values)
            return {"id": saved, "success": True, "errors": [], "created": created}
        if method == "POST":
            saved = rows.create(definition, values)
        else:
            given = next((v for k, v in record.items() if k.lower() == "id"), None)
            if not isinstance(given, str) or not given:
                raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call")
            if full_id(given, definition.prefix) is None:
                raise ApiError(
                    400,
                    "MALFORMED_ID",
                    f"{definition.name} ID: id value of incorrect type: {given}",
                )
            saved = rows.update(definition, given, values)
        return {"id": saved, "success": True, "errors": []}

    return _each(rows, len(records), one_row, all_or_none=body.get("allOrNone") is True)


def delete_all(
    rows: Rows,
    ids: list[str],
    by_prefix: Callable[[str], ObjectDefinition],
    *,
    all_or_none: bool,
) -> list[Row]:
    """Delete up to 200 rows by id."""
    _check_size(len(ids))

    def one_row(index: int) -> Row:
        deleted = rows.delete(by_prefix(ids[index]), ids[index])
        return {"id": deleted, "success": True, "errors": []}

    return _each(rows, len(ids), one_row, all_or_none=all_or_none)


def _type_of(record: Mapping[str, object]) -> str:
    attributes = record.get("attributes")
    return str(attributes.get("type", "")) if isinstance(attributes, dict) else ""


def _check_size(count: int) -> None:
    if count > MOST_ROWS:
        raise ApiError(
            400,
            "EXCEEDED_MAX_SIZE_REQUEST",
            f"record limit reached. cannot submit more than {MOST_ROWS} records in this request",
        )


def _each(
    rows: Rows,
    count: int,
    one_row: Callable[[int], Row],
    *,
    all_or_none: bool,
) -> list[Row]:
    answers: list[Row] = []
    failed = False
    for index in range(count):
        try:
            answers.append(one_row(index))
        except ApiError as error:
            failed = True
            answers.append({"success": False, "errors": [error.as_row()]})
    if failed and all_or_none:
        rows.roll_back()
        return [
            one if not one["success"] else {"success": False, "errors": [ROLLED_BACK.as_row()]}
            for one in answers
        ]
    return answers


def resolve(value: object, answers: Mapping[str, object]) -> object:
    """Replace `@{reference.field}` by what an earlier subrequest answered."""
    if isinstance(value, dict):
        return {key: resolve(one, answers) for key, one in value.items()}
    if isinstance(value, list):
        return [resolve(one, answers) for one in value]
    if not isinstance(value, str):
        return value
    return REFERENCE.sub(lambda match: str(_looked_up(match, answers)), value)


def _looked_up(match: re.Match[str], answers: Mapping[str, object]) -> object:
    found: object = answers.get(match.group(1))
    for part in re.findall(r"[A-Za-z0-9_]+", match.group(2)):
        place = whole_number(part)
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and place is not None and place < len(found):
            found = found[place]
        else:
            found = None
    if found is None:
        raise ApiError(
            400,
            "PROCESSING_HALTED",
            f"Invalid reference specified. No value for {match.group(1)}.{match.group(2)} found",
        )
    return found
