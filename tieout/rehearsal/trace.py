"""The trace: everything that happened in one seed, in order, and a hash over all of it.

Two runs of one seed are the same run when their hashes are. A line is kept with the time in the
rehearsed world, who acted, and what came of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib

from tieout.store.database import Connection

MOST_LINES = 20_000

_END_STATE = """
SELECT 'arrival', source_key, source_version, state FROM arrivals
UNION ALL SELECT 'record', record_key, version::text, digest FROM records
UNION ALL SELECT 'document', reference, revision::text, state FROM documents
UNION ALL SELECT 'dispatch', write_key, dispatch_id::text, digest FROM intents
UNION ALL SELECT 'case', control, record_key, state FROM cases
ORDER BY 1, 2, 3, 4
"""


class Trace:
    """Lines as they are noted; `digest` is of all of them, also those beyond the ones kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[dt.datetime, str]] = []
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def note(self, at: dt.datetime, who: str, *what: str) -> None:
        """Somebody did or met something."""
        text = " ".join((who, *what))
        self._hash.update(f"{at.isoformat()} {text}\n".encode())
        if len(self.lines) < MOST_LINES:
            self.lines.append((at, text))

    def end(self, connection: Connection) -> None:
        """What stands in the database at the end belongs to the hash as well."""
        for row in connection.execute(_END_STATE).fetchall():
            self._hash.update("\t".join(map(str, row)).encode() + b"\n")
