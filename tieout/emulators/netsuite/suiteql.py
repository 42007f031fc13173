"""SuiteQL: one SELECT over the tenant's tables, with the vendor's paging and spelling."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from decimal import Decimal

from tieout.emulators.kit import whole_number
from tieout.emulators.netsuite.answers import Refused, self_link
from tieout.emulators.netsuite.mirror import Mirror

PATH = "/services/rest/query/v1/suiteql"
MOST_ROWS_PER_PAGE = 1000
MOST_ROWS = 100_000
MOST_STEPS = 50_000_000  # of SQLite's machine, so that no query runs for ever
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_DISPLAY = re.compile(r"\bBUILTIN\.DF\(\s*((?:\w+\.)?\w+)\s*\)", re.IGNORECASE)
_TOP = re.compile(r"^\s*SELECT\s+TOP\s+(\d+)\s", re.IGNORECASE)
_FETCH = re.compile(r"\bFETCH\s+(?:FIRST|NEXT)\s+(\d+)\s+ROWS?\s+ONLY\s*$", re.IGNORECASE)
_QUOTED = re.compile(r"('(?:[^']|'')*')")
_FORMAT = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S", "Mon": "%b"}
_FORMAT_PART = re.compile("|".join(_FORMAT), re.IGNORECASE)


class SuiteQl:
    """Runs queries against the mirror; knows nothing of HTTP."""

    def __init__(self, mirror: Mirror) -> None:
        self._connection = mirror.connection
        for name, arguments, function in (
            ("TO_CHAR", 2, to_char),
            ("TO_DATE", 2, to_date),
            ("TO_TIMESTAMP", 2, to_timestamp),
            ("NVL", 2, lambda value, other: other if value is None else value),
            ("TO_NUMBER", 1, lambda value: value),
        ):
            self._connection.create_function(name, arguments, function, deterministic=True)
        self._connection.create_aggregate("SUM", 1, ExactSum)  # type: ignore[arg-type]

    def page(self, query: object, limit: str, offset: str, href: str) -> dict[str, object]:
        """The body of a 200. Raises Refused."""
        rows_wanted, start = paging(limit, offset)
        if not isinstance(query, str) or not query.strip():
            raise Refused(
                "INVALID_PARAMETER", "Missing or empty property 'q' in the request body.", path="q"
            )
        rows = self._run(query)
        if start and start >= len(rows):
            rows_left: list[dict[str, object]] = []
        else:
            rows_left = rows[start : start + rows_wanted]
        return {
            "links": self_link(href),
            "count": len(rows_left),
            "hasMore": start + rows_wanted < len(rows),
            "items": [{"links": [], **row} for row in rows_left],
            "offset": start,
            "totalResults": len(rows),
        }

    def _run(self, query: str) -> list[dict[str, object]]:
        sql, displays = translate(query)
        connection = self._connection
        budget = iter(range(MOST_STEPS // 100_000))
        connection.set_authorizer(_only_reading)
        connection.set_progress_handler(lambda: next(budget, None) is None, 100_000)
        try:
            cursor = connection.execute(sql)
            names = [one[0].lower() for one in cursor.description or ()]
            found = cursor.fetchmany(MOST_ROWS)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise _invalid(f"Search error occurred: {error}") from error
        finally:
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)
        keys = _keys(names, displays)
        return [
            {
                key: spoken(value)
                for key, value in zip(keys, row, strict=True)
                if key and value is not None and value != ""
            }
            for row in found
        ]


def translate(query: str) -> tuple[str, bool]:
    """Our SQL engine's words for the vendor's, outside quoted texts; and whether display names
    were asked for. Raises Refused for words that SuiteQL does not know."""
    text = query.strip().rstrip(";")
    most = ""
    top = _TOP.match(text)
    if top:
        most, text = top[1], "SELECT " + text[top.end() :]
    fetch = _FETCH.search(text)
    if fetch:
        most, text = fetch[1], text[: fetch.start()]
    parts = _QUOTED.split(text)
    displays = False
    for index in range(0, len(parts), 2):
        part = parts[index]
        if re.search(r"\bLIMIT\b", part, re.IGNORECASE):
            raise _invalid("Search error occurred: Invalid or unsupported search: LIMIT")
        part, replaced = _DISPLAY.subn(r"\1__df", part)
        displays = displays or replaced > 0
        parts[index] = re.sub(r"\btransaction\b", '"transaction"', part, flags=re.IGNORECASE)
    return "".join(parts) + (f" LIMIT {most}" if most else ""), displays


def paging(limit: str, offset: str) -> tuple[int, int]:
    """Rows wanted and where to start; the vendor's rules for both. Raises Refused."""
    rows = _whole(limit or str(MOST_ROWS_PER_PAGE), "limit")
    start = _whole(offset or "0", "offset")
    if not 1 <= rows <= MOST_ROWS_PER_PAGE:
        raise _parameter("limit", f"Provide a value between 1 and {MOST_ROWS_PER_PAGE}.")
    if start % rows:
        raise _parameter("offset", "Provide an offset that is divisible by the limit.")
    return rows, start


def _whole(text: str, name: str) -> int:
    number = whole_number(text)
    if number is None:
        raise _parameter(name, "Provide a non-negative whole number.")
    return number


def _parameter(name: str, words: str) -> Refused:
    return Refused(
        "INVALID_PARAMETER",
        f"Invalid value for query parameter {name}. {words}",
        place={"o:errorQueryParam": name},
    )


def _invalid(words: str) -> Refused:
    return Refused(
        "INVALID_PARAMETER",
        f"Invalid search query. Detailed unprocessed description follows. {words}",
        place={"o:errorQueryParam": "q"},
    )


def _only_reading(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _keys(names: list[str], displays: bool) -> list[str]:
    """Result keys: lower case; an unnamed expression is `expr1`; "" leaves a column out."""
    keys = []
    for index, name in enumerate(names, start=1):
        if name.endswith("__df"):
            keys.append(name.removesuffix("__df") if displays else "")
        else:
            keys.append(name if name.isidentifier() else f"expr{index}")
    return keys


def spoken(value: object) -> str:
    """Every value comes back as a string."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


class ExactSum:
    """SUM over decimal texts; NULL when there was nothing to add."""

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: object) -> None:
        if value is not None:
            self.total = (self.total or Decimal(0)) + Decimal(str(value))

    def finalize(self) -> str | None:
        return None if self.total is None else format(self.total, "f")


def _instant(value: object) -> dt.datetime:
    return dt.datetime.fromisoformat(str(value))


def _pattern(form: str) -> str:
    return _FORMAT_PART.sub(lambda part: _python_part(part[0]), form)


def _python_part(part: str) -> str:
    return _FORMAT.get(part.upper()) or _FORMAT["Mon"]


def to_char(value: object, form: str) -> str | None:
    if value is None:
        return None
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", text):
        return _instant(text).strftime(_pattern(form))
    return text


def _parse(value: object, form: str) -> dt.datetime:
    # A naive value is right here: SQL dates carry no zone, the session's zone is UTC.
    return dt.datetime.strptime(str(value), _pattern(form))  # noqa: DTZ007


def to_date(value: object, form: str) -> str | None:
    return None if value is None else _parse(value, form).strftime("%Y-%m-%d")


def to_timestamp(value: object, form: str) -> str | None:
    return None if value is None else _parse(value, form).strftime("%Y-%m-%d %H:%M:%S")
