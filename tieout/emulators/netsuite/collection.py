"""The record API for collections: references page by page, simple filters, a batch by ids."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from urllib.parse import urlencode

from tieout.emulators.netsuite.answers import RECORD_PATH, Refused, answer, not_there, self_link
from tieout.emulators.netsuite.books import Books
from tieout.emulators.netsuite.record_types import TYPES, Row
from tieout.emulators.netsuite.records import Records
from tieout.emulators.netsuite.suiteql import paging
from tieout.ports.http import Request, Response

MOST_IDS = 100
_TERM = re.compile(r"\s*(\w+)\s+(\w+)\s+(?:\"([^\"]*)\"|(\S+))\s*", re.IGNORECASE)
_DATE_FORMS = ("%m/%d/%Y", "%Y-%m-%d")

Test = Callable[[str, str], bool]
_TEXT_TESTS: dict[str, Test] = {
    "IS": lambda have, want: have.lower() == want.lower(),
    "IS_NOT": lambda have, want: have.lower() != want.lower(),
    "EQUAL": lambda have, want: have == want,
    "CONTAIN": lambda have, want: want.lower() in have.lower(),
    "START_WITH": lambda have, want: have.lower().startswith(want.lower()),
}
_DATE_TESTS: dict[str, Test] = {
    "ON": lambda have, want: have == want,
    "AFTER": lambda have, want: have > want,
    "BEFORE": lambda have, want: have < want,
    "ON_OR_AFTER": lambda have, want: have >= want,
    "ON_OR_BEFORE": lambda have, want: have <= want,
}


class Collection:
    """Lists of records of one type."""

    def __init__(self, books: Books, records: Records, base_url: str) -> None:
        self._books = books
        self._records = records
        self._base = base_url.rstrip("/") + RECORD_PATH

    def page(self, kind: str, request: Request) -> Response:
        """`GET /record/v1/{type}`: references only, unless ids and expandRecords are given."""
        if kind not in TYPES:
            raise not_there(request.path())
        asked = request.arguments()
        if asked.get("ids"):
            return self._by_ids(kind, asked, request)
        limit, offset = paging(asked.get("limit", ""), asked.get("offset", ""))
        wanted = _filter(asked.get("q", ""))
        rows = [row for row in self._books.rows(kind) if wanted(row)]
        shown = rows[offset : offset + limit]
        items = [
            {"links": self_link(f"{self._base}/{kind}/{r['id']}"), "id": r["id"]} for r in shown
        ]
        more = offset + limit < len(rows)
        links = self_link(request.full_url())
        if more:
            following = urlencode({**asked, "limit": limit, "offset": offset + limit})
            links.append({"rel": "next", "href": f"{self._base}/{kind}?{following}"})
        return answer(
            {
                "links": links,
                "count": len(items),
                "hasMore": more,
                "items": items,
                "offset": offset,
                "totalResults": len(rows),
            }
        )

    def _by_ids(self, kind: str, asked: dict[str, str], request: Request) -> Response:
        keys = [one.strip() for one in asked["ids"].split(",") if one.strip()]
        if len(keys) > MOST_IDS:
            raise Refused(
                "INVALID_PARAMETER",
                f"At most {MOST_IDS} ids can be asked for at once.",
                place={"o:errorQueryParam": "ids"},
            )
        rows = [self._records.find(kind, key, request) for key in keys]
        whole = asked.get("expandRecords") == "true"
        expand = asked.get("expandSubResources") == "true"
        items: list[Row] = [
            self._records.view(kind, row, expand=expand)
            if whole
            else {"links": self_link(f"{self._base}/{kind}/{row['id']}"), "id": row["id"]}
            for row in rows
        ]
        return answer(
            {
                "links": self_link(request.full_url()),
                "count": len(items),
                "hasMore": False,
                "items": items,
                "offset": 0,
                "totalResults": len(items),
            }
        )


def _filter(text: str) -> Callable[[Row], bool]:
    """A test made from `field OPERATOR "value" AND …`. Raises Refused for anything else."""
    if not text.strip():
        return lambda row: True
    terms = [_term(part) for part in re.split(r"\s+AND\s+", text.strip())]
    return lambda row: all(term(row) for term in terms)


def _term(text: str) -> Callable[[Row], bool]:
    found = _TERM.fullmatch(text)
    if found is None:
        raise _bad_filter(f"The condition {text} cannot be read.")
    field, operator, want = found[1], found[2].upper(), found[3] or found[4] or ""
    if operator in _DATE_TESTS:
        test, day = _DATE_TESTS[operator], _day(want)
        return lambda row: bool(row.get(field)) and test(str(row[field])[:10], day)
    if operator not in _TEXT_TESTS:
        raise _bad_filter(f"The operator {operator} is not known.")
    same = _TEXT_TESTS[operator]
    return lambda row: row.get(field) is not None and same(_text(row[field]), want)


def _text(value: object) -> str:
    return str(value["id"]) if isinstance(value, dict) else str(value)


def _day(text: str) -> str:
    for form in _DATE_FORMS:
        try:
            # A plain calendar day has no zone.
            return dt.datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007
        except ValueError:
            continue
    raise _bad_filter(f"{text} is not a date.")


def _bad_filter(words: str) -> Refused:
    return Refused(
        "INVALID_PARAMETER", f"Invalid filter. {words}", place={"o:errorQueryParam": "q"}
    )
