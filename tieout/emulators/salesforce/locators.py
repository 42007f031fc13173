"""Query pages: a result longer than one page is kept behind a locator that lives two days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import cast

from tieout import clock
from tieout.emulators.kit import whole_number
from tieout.emulators.salesforce.model import OBJECTS, ObjectDefinition
from tieout.emulators.salesforce.rows import Row, Rows, Tables
from tieout.emulators.salesforce.select import nested_rows, run, shown, source_of
from tieout.emulators.salesforce.soql import Query, parse
from tieout.emulators.salesforce.values import ApiError, new_record_id

LARGEST_PAGE = 2_000
SMALLEST_PAGE = 200
MOST_NESTED = 200  # child rows shown beneath one parent before they get a page of their own
LOCATOR_DAYS = 2
MOST_LOCATORS = 2_500


class Queries:
    """Answers `query`, `queryAll` and the pages behind their locators."""

    def __init__(self, tables: Tables, rows: Rows) -> None:
        self.tables = tables
        self.rows = rows

    def first(self, text: str, root: str, batch: int, *, with_deleted: bool) -> Row:
        """The first page of a query."""
        query = parse(text)
        found = run(query, self.rows, with_deleted=with_deleted)
        if query.counts:
            return {"totalSize": len(found), "done": True, "records": []}
        size = max(SMALLEST_PAGE, min(LARGEST_PAGE, batch))
        kept: Row = {"query": text, "nested": "", "ids": [str(r["Id"]) for r in found]}
        return self._page({**kept, "size": size}, 0, self._show(query, text, root), root)

    def next(self, page: str, root: str) -> Row:
        """The page that a `nextRecordsUrl` names."""
        locator, _, offset = page.rpartition("-")
        kept = self.tables.get("_locators", {}).get(locator)
        if kept is None or whole_number(offset) is None or _expired(kept):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        text, nested = str(kept["query"]), str(kept["nested"])
        query = parse(text)
        if nested:
            child = next(one for one in query.nested if one.source == nested)
            show = self._show_child(child, source_of(query), root)
        else:
            show = self._show(query, text, root)
        return self._page(kept, int(offset), show, root, locator)

    def _page(
        self, kept: Row, offset: int, show: Callable[[str], Row], root: str, locator: str = ""
    ) -> Row:
        keys, size = cast(list[str], kept["ids"]), int(str(kept["size"]))
        answer: Row = {"totalSize": len(keys), "done": offset + size >= len(keys)}
        if not answer["done"]:
            locator = locator or self._keep(kept)
            answer["nextRecordsUrl"] = f"{root}/query/{locator}-{offset + size}"
        answer["records"] = [show(key) for key in keys[offset : offset + size]]
        return answer

    def _show(self, query: Query, text: str, root: str) -> Callable[[str], Row]:
        definition = source_of(query)
        table = self.rows.table(definition.name)
        children = {one.source: self._show_child(one, definition, root) for one in query.nested}

        def show(key: str) -> Row:
            row = table[key]
            answer = shown(query, definition, row, self.rows, root)
            for one in query.nested:
                keys = [str(r["Id"]) for r in nested_rows(one, definition, row, self.rows)]
                kept: Row = {"query": text, "nested": one.source, "ids": keys, "size": MOST_NESTED}
                answer[one.source] = (
                    self._page(kept, 0, children[one.source], root) if keys else None
                )
            return answer

        return show

    def _show_child(
        self, query: Query, parent: ObjectDefinition, root: str
    ) -> Callable[[str], Row]:
        definition = OBJECTS[parent.children[query.source][0]]
        table = self.rows.table(definition.name)
        return lambda key: shown(query, definition, table[key], self.rows, root)

    def _keep(self, what: Row) -> str:
        kept = self.tables.setdefault("_locators", {})
        for old in list(kept)[: max(0, len(kept) - MOST_LOCATORS + 1)]:
            del kept[old]
        counter = self.tables.setdefault("_counters", {}).setdefault("locators", {"count": 0})
        counter["count"] = number = int(str(counter["count"])) + 1
        locator = new_record_id("01g", number)
        kept[locator] = {**what, "expires_at": clock.now() + dt.timedelta(days=LOCATOR_DAYS)}
        return locator


def _expired(kept: Row) -> bool:
    return cast(dt.datetime, kept["expires_at"]) <= clock.now()
