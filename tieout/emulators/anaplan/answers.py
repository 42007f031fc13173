"""The shapes every Anaplan answer has: the status envelope, paging, refusals.

Source: vendor help pages of Integration API v2 (list calls, task states, error bodies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout import clock
from tieout.emulators.kit import whole_number, write_json
from tieout.ports.http import Request, Response

Row = dict[str, object]
Table = dict[str, Row]
Tables = dict[str, Table]

MOST_PAGE_SIZE = 5000
SCHEMA = "https://api.anaplan.com/2/0/objects/"
JSON_TYPE = {"Content-Type": "application/json"}


class Refusal(Exception):
    """The vendor says no: an HTTP status and the message of its error envelope."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})

    def answer(self, path: str) -> Response:
        """`{"status":{"code","message"},"path","timestamp"}`."""
        body = {
            "status": {"code": self.status, "message": self.message},
            "path": path,
            "timestamp": clock.now().isoformat(),
        }
        return Response(self.status, {**JSON_TYPE, **self.headers}, write_json(body))


def one(kind: str, row: Mapping[str, object], status: int = 200) -> Response:
    """One object under its own key."""
    body = {
        "meta": {"schema": SCHEMA + kind},
        "status": {"code": status, "message": "Success"},
        kind: row,
    }
    return Response(status, JSON_TYPE, write_json(body))


def page(
    request: Request,
    kind: str,
    key: str,
    rows: Sequence[Mapping[str, object]],
    most_per_page: int = MOST_PAGE_SIZE,
) -> Response:
    """A slice of `rows` by `offset`, `limit` and `sort`; the key is absent when there are none.

    A `limit` above `most_per_page` is cut without a word: callers step by `currentPageSize`.
    """
    arguments = request.arguments()
    offset = _whole_number(arguments.get("offset", "0"), "offset")
    limit = min(_whole_number(arguments.get("limit", str(most_per_page)), "limit"), most_per_page)
    ordered = _sorted(rows, arguments.get("sort", ""))
    chosen = ordered[offset : offset + limit]
    body: Row = {
        "meta": {
            "paging": {
                "currentPageSize": len(chosen),
                "totalSize": len(ordered),
                "offset": offset,
            },
            "schema": SCHEMA + kind,
        },
        "status": {"code": 200, "message": "Success"},
    }
    if chosen:
        body[key] = chosen
    return Response(200, JSON_TYPE, write_json(body))


def text(value: object) -> str:
    """A stored value as text; absent is empty."""
    return "" if value is None else str(value)


def _sorted(rows: Sequence[Mapping[str, object]], sort: str) -> Sequence[Mapping[str, object]]:
    if not sort:
        return rows
    field = sort.lstrip("+- ")
    field = "creationTime" if field == "creationDate" else field
    if rows and field not in rows[0]:
        raise Refusal(400, f"Invalid sort field: {field}")
    return sorted(rows, key=lambda row: text(row.get(field)), reverse=sort.startswith("-"))


def _whole_number(value: str, name: str) -> int:
    number = whole_number(value)
    if number is None:
        raise Refusal(400, f"Invalid value for parameter {name}: {value}")
    return number
