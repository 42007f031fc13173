"""What this process has just written and will need next, kept so that it is not read back.

The database stays the only truth: a record is taken from here only while this process holds the
partition it lies in (nobody else can make a newer version then), a dispatch only after its state
was read and locked. Both are bounded, and forgotten when a lease changes hands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tieout.store import records
from tieout.store.database import Connection
from tieout.store.dispatches import Dispatch
from tieout.store.records import Record

MOST_RECORDS = 20_000
MOST_DISPATCHES = 20_000


@dataclass
class Warm:
    """Records by (type, key), planned dispatches by id; the oldest are dropped beyond a bound."""

    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    dispatches: dict[int, Dispatch] = field(default_factory=dict)

    def recorded(self, made: Iterable[Record]) -> None:
        """These versions have just been committed. Call it after the commit."""
        for one in made:
            key = (one.record_type, one.record_key)
            self.records.pop(key, None)
            self.records[key] = one
        _shorten(self.records, MOST_RECORDS)

    def planned(self, made: Iterable[Dispatch]) -> None:
        """These dispatches are being planned. A plan that is rolled back is never asked for."""
        for one in made:
            self.dispatches[one.dispatch_id] = one
        _shorten(self.dispatches, MOST_DISPATCHES)

    def newest(
        self, connection: Connection, record_type: str, record_keys: Sequence[str]
    ) -> Mapping[str, Record]:
        """The newest version of each of these records, by record key."""
        found: dict[str, Record] = {}
        missing: list[str] = []
        for key in record_keys:
            one = self.records.get((record_type, key))
            if one is None:
                missing.append(key)
            else:
                found[key] = one
        if missing:
            found.update(records.newest(connection, record_type, missing))
        return found

    def sent(self, dispatch_ids: Iterable[int]) -> None:
        """These need not be kept any longer."""
        for one in dispatch_ids:
            self.dispatches.pop(one, None)

    def forget(self) -> None:
        """A lease changed hands: somebody else may have gone on."""
        self.records.clear()
        self.dispatches.clear()


def _shorten(kept: dict[Any, Any], most: int) -> None:
    for key in list(islice(kept, max(0, len(kept) - most))):
        del kept[key]
