"""Reads what changed, page by page, by the pair (last change, internal id).

The vendor stamps changes in whole seconds and shows a row only when its transaction is through, so
a finished scan starts the next one `overlap_seconds` earlier; a row that comes again is the same
row in the same version.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tieout.connectors.netsuite.streams import SOURCES, STAMP
from tieout.connectors.netsuite.wire import ROWS_PER_PAGE, Row, chunks, odd_answer, query
from tieout.ports.connector import Item, Mark, Marks, Page
from tieout.ports.session import Session

OVERLAP_SECONDS = 60
ROW_NEEDS = ("id", "lastmodifieddate")
_STAMP_FORM = "%Y-%m-%d %H:%M:%S"
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far rows and deletions were read. `at` with `id` is the last row of an unfinished scan;
    with `id` 0 a scan starts at `at`, inclusive. Empty `at`: from the beginning."""

    at: str = ""
    id: int = 0
    deleted_at: str = ""
    deleted_id: int = 0

    @classmethod
    def read(cls, text: str) -> Cursor:
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        return json.dumps(asdict(self))


def read_page(at: Session, stream: str, cursor: str) -> Page:
    """The next page of changes, then of deletions. Raises VendorFault or NoAnswer."""
    before = Cursor.read(cursor)
    overlap = int(at.settings.get("overlap_seconds", OVERLAP_SECONDS))
    # `rows_per_page` lets a rehearsal meet page borders without thousands of rows.
    size = min(int(at.settings.get("rows_per_page", ROWS_PER_PAGE)), ROWS_PER_PAGE)
    condition = _after("t.lastmodifieddate", "t.id", before.at, before.id)
    text = SOURCES[stream].select(condition) + " ORDER BY t.lastmodifieddate, t.id"
    rows, more = query(at, text, size, ROW_NEEDS)
    _continuable(rows, "lastmodifieddate")
    items = tuple(_item(row) for row in rows)
    after_at, after_id = before.at, before.id
    if more:
        after_at, after_id = rows[-1]["lastmodifieddate"], int(rows[-1]["id"])
        unfinished = Cursor(after_at, after_id, before.deleted_at, before.deleted_id)
        return Page(items, unfinished.text(), True)
    if rows:
        after_at = rows[-1]["lastmodifieddate"]
    gone, more = _deletions(at, stream, before, size)
    if more:
        last = gone[-1]
        # The rows' scan is over only when the deletions' is: it stays where it stands.
        resume = (rows[-1]["lastmodifieddate"], int(rows[-1]["id"])) if rows else None
        place = resume or (before.at, before.id)
        unfinished = Cursor(*place, last["deleteddate"], int(last["id"]))
        return Page(items + tuple(map(_deleted, gone)), unfinished.text(), True)
    deleted_at = gone[-1]["deleteddate"] if gone else before.deleted_at
    finished = Cursor(_earlier(after_at, overlap), 0, _earlier(deleted_at, overlap), 0)
    if not rows and before.id == 0:
        finished = Cursor(before.at, 0, finished.deleted_at, 0)
    if not gone and before.deleted_id == 0:
        finished = Cursor(finished.at, 0, before.deleted_at, 0)
    return Page(items + tuple(map(_deleted, gone)), finished.text(), False)


def fetch_items(at: Session, stream: str, keys: Sequence[str]) -> list[Item]:
    """These rows as they are now, in the order asked; a row that is gone comes back deleted."""
    numbers = sorted({key for key in keys if key.isascii() and key.isdigit()}, key=int)
    found: dict[str, Row] = {}
    for some in chunks(numbers):
        rows, _ = query(
            at, SOURCES[stream].select(f"t.id IN ({', '.join(some)})"), needed=ROW_NEEDS
        )
        found.update((row["id"], row) for row in rows)
    return [
        _item(found[key]) if key in found else Item(key, "", json.dumps({"id": key}), True)
        for key in keys
    ]


def read_marks(at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
    """Ids and versions of rows that changed since, by id: a row that shows late has an old stamp,
    but it has its place among the ids."""
    size = min(int(at.settings.get("rows_per_page", ROWS_PER_PAGE)), ROWS_PER_PAGE)
    moment = since.astimezone(dt.UTC).strftime(_STAMP_FORM)
    condition = (
        f"t.id > {int(after or 0)} AND t.lastmodifieddate >= TO_TIMESTAMP('{moment}', '{STAMP}')"
    )
    rows, more = query(at, SOURCES[stream].select(condition) + " ORDER BY t.id", size, ROW_NEEDS)
    _continuable(rows, "lastmodifieddate")
    found = tuple(Mark(row["id"], row["lastmodifieddate"]) for row in rows)
    return Marks(found, rows[-1]["id"] if rows else after, more)


def _item(row: Row) -> Item:
    payload = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return Item(row["id"], row["lastmodifieddate"], payload)


def _deleted(row: Row) -> Item:
    key = row["recordid"]
    return Item(key, row["deleteddate"], json.dumps({"id": key}), True)


def _deletions(at: Session, stream: str, before: Cursor, size: int) -> tuple[list[Row], bool]:
    """Deleted rows stand in a table of their own; the changes' tables no longer show them."""
    condition = _after("t.deleteddate", "t.id", before.deleted_at, before.deleted_id)
    gone, more = query(
        at,
        f"SELECT t.id AS id, t.recordid AS recordid, TO_CHAR(t.deleteddate, '{STAMP}') AS "
        f"deleteddate FROM deletedrecord t WHERE t.type = '{stream}' AND ({condition}) "
        "ORDER BY t.deleteddate, t.id",
        size,
        ("id", "recordid", "deleteddate"),
    )
    _continuable(gone, "deleteddate")
    return gone, more


def _continuable(rows: Sequence[Row], stamp: str) -> None:
    """The cursor made of a row stands in the next query. Raises VendorFault (Drift)."""
    try:
        for row in rows:
            if not _STAMP.fullmatch(row[stamp]) or not dt.datetime.fromisoformat(row[stamp]):
                raise ValueError(f"{stamp} '{row[stamp]}'")
            if not (row["id"].isascii() and row["id"].isdigit()):
                raise ValueError(f"id '{row['id']}'")
    except ValueError as error:
        raise odd_answer(error) from error


def _after(stamp: str, number: str, at: str, last: int) -> str:
    if not at:
        return f"{number} > {last}"
    moment = f"TO_TIMESTAMP('{at}', '{STAMP}')"
    return f"{stamp} > {moment} OR ({stamp} = {moment} AND {number} > {last})"


def _earlier(stamp: str, seconds: int) -> str:
    if not stamp:
        return ""
    moment = dt.datetime.fromisoformat(stamp) - dt.timedelta(seconds=seconds)
    return moment.strftime(_STAMP_FORM)
