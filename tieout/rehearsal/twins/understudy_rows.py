"""The rows of one stream as an understudy keeps them: versions, a feed of changes, deletions.

The feed shows each row once, at its latest change, oldest change first, in small pages; a row that
changes while somebody reads moves to the end. A reading that begins anew looks some changes back.
A row may be stored late: it has its place in the feed, and is shown only when others are read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.ports.connector import Stream

ROWS_PER_PAGE = 5
MARKS_PER_PAGE = 50
OVERLAP_CHANGES = 3
VERSION_DIGITS = 20

Row = Mapping[str, object]


class Forgotten(Exception):
    """The feed no longer knows what lies after a cursor."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as it is told: `change` counts the changes of its stream."""

    key: str
    version: str
    row: Row
    deleted: bool
    change: int
    at: dt.datetime

    @property
    def payload(self) -> str:
        """Its JSON text; amounts are strings."""
        return json.dumps(self.row, default=_plain, ensure_ascii=False)


class Rows:
    """The rows of one stream. The stream says what identifies a row and what its versions are: a
    whole number, an instant, or else text that sorts."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._kinds = {one.name: one.type for one in stream.fields}
        self._kept: dict[str, Shown] = {}
        self._ours: dict[str, dict[str, object]] = {}  # fields that were written over the interface
        self._born: dict[str, int] = {}  # at which change each key came first
        self._late: dict[str, dt.datetime] = {}  # new rows that nobody is shown before that
        self._read_to = 0  # the latest change that was shown
        self._changes = 0
        self._milliseconds = 0
        self._epoch = 0

    # --- what people do -------------------------------------------------------------------------

    def put(self, row: Row) -> str:
        """Make a row, or replace the one with its key; what was written to it over the interface
        stays, unless the row names it. Returns the key."""
        key = str(row.get(self.stream.key) or "")
        if not key:
            key = self.new_key()
        self._store(key, {**self._ours.get(key, {}), **row})
        return key

    def remove(self, key: str) -> bool:
        """Delete a row; whether it was there."""
        if not self.has(key):
            return False
        self._ours.pop(key, None)
        self._store(key, dict(self._kept[key].row), deleted=True)
        return True

    def live(self) -> dict[str, Row]:
        """The rows by key, as they are now."""
        return {key: one.row for key, one in self._kept.items() if not one.deleted}

    def has(self, key: str) -> bool:
        """Whether there is a row with this key."""
        return key in self._kept and not self._kept[key].deleted

    # --- what comes over the interface ----------------------------------------------------------

    def write(self, key: str, fields: Row) -> None:
        """Set fields of a row, or make it; fields that the stream does not have are left out."""
        known = {name: value for name, value in fields.items() if name in self._kinds}
        self._ours.setdefault(key, {}).update(known)
        before = dict(self._kept[key].row) if self.has(key) else {}
        self._store(key, {**before, **known})

    def vanish(self, key: str) -> None:
        """Be without a row as if it had never been: a restore leaves no trace."""
        self._kept.pop(key, None)
        self._ours.pop(key, None)

    def page(self, cursor: str) -> tuple[Sequence[Shown], str, bool]:
        """Rows after a cursor ("" = from the first), the next cursor, and whether there is more at
        once. Raises Forgotten."""
        epoch, at, reading_on = json.loads(cursor) if cursor else [self._epoch, 0, True]
        if epoch != self._epoch:
            raise Forgotten(f"the feed of {self.stream.name} begins after this place")
        start = at if reading_on else at - OVERLAP_CHANGES
        later = sorted(
            (one for one in self._stored() if one.change > start), key=lambda one: one.change
        )
        shown, more = later[:ROWS_PER_PAGE], len(later) > ROWS_PER_PAGE
        reached = shown[-1].change if shown else at
        self._read_to = max(self._read_to, reached)
        return shown, json.dumps([self._epoch, reached, more]), more

    def some(self, keys: Sequence[str]) -> list[Shown | None]:
        """These rows, in the order asked; None for what was never there."""
        return [self._kept.get(key) for key in keys]

    def changed(self, since: dt.datetime, after: str) -> tuple[Sequence[Shown], bool]:
        """Rows that changed at or after a moment, by key, and whether there are more."""
        found = sorted(
            (one for one in self._stored() if one.at >= since and one.key > after),
            key=lambda one: one.key,
        )
        return found[:MARKS_PER_PAGE], len(found) > MARKS_PER_PAGE

    def fresh(self) -> list[str]:
        """Keys of rows that are new and that nobody was shown."""
        return [
            key
            for key, one in self._kept.items()
            if one.change > self._read_to and one.change == self._born.get(key)
        ]

    def store_late(self, key: str, until: dt.datetime) -> None:
        """The transaction that made a new row goes on until then: nobody is shown the row before,
        and the cursors of those who read others meanwhile have passed it by."""
        self._late[key] = until

    def store_all(self) -> None:
        """No transaction is under way any more."""
        self._late.clear()

    def _stored(self) -> list[Shown]:
        now = clock.now()
        return [one for key, one in self._kept.items() if self._late.get(key, now) <= now]

    def forget(self) -> None:
        """From now on no cursor given so far is known."""
        self._epoch += 1

    def new_key(self) -> str:
        """A key that no row has had."""
        number = len(self._kept) + 1
        whole = self._kinds.get(self.stream.key) == "integer"
        while (key := str(number) if whole else f"{self.stream.name}-{number}") in self._kept:
            number += 1
        return key

    def _store(self, key: str, row: dict[str, object], *, deleted: bool = False) -> None:
        self._changes += 1
        now = clock.now()
        version: str | int = f"{self._changes:0{VERSION_DIGITS}d}"
        kind = self._kinds.get(self.stream.version)
        if kind == "integer":
            version = self._changes
        elif kind == "timestamp":
            self._milliseconds = max(int(now.timestamp() * 1000), self._milliseconds + 1)
            moment = dt.datetime.fromtimestamp(self._milliseconds / 1000, dt.UTC)
            version = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        whole = self._kinds.get(self.stream.key) == "integer" and key.isdigit()
        row[self.stream.key] = int(key) if whole else key
        if self.stream.version:
            row[self.stream.version] = version
        told = str(version) if self.stream.version else ""
        self._born.setdefault(key, self._changes)
        self._late.pop(key, None)  # whoever changes a row has seen it
        self._kept[key] = Shown(key, told, row, deleted, self._changes, now)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"a row holds a {type(value).__name__}")
