"""A session to PostgreSQL that makes small statements cheap: they share one cursor.

Making a cursor, and finding out anew how each parameter is sent, takes the driver longer than
PostgreSQL takes for a row. A cursor that somebody still holds is never used again: his rows are
his.
"""

from __future__ import annotations

import sys

import psycopg
from psycopg import Cursor
from psycopg.abc import Params, Query
from psycopg.rows import TupleRow

# The attribute, the variable and the argument itself: any other reference is somebody's.
_OURS = 3


class Session(psycopg.Connection[TupleRow]):
    """A connection for one thread at a time, as `psycopg.Connection` is used everywhere here:
    `session.execute(...)` and, if anything, the rows of just that.

    How values are sent (`adapters`) is settled by the first statement: register before it.
    """

    _spare: Cursor[TupleRow] | None = None

    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool = False,
    ) -> Cursor[TupleRow]:
        """See `psycopg.Connection.execute`."""
        spare = self._spare
        if spare is None or spare.closed or sys.getrefcount(spare) > _OURS:
            spare = self._spare = self.cursor()
        spare.format = psycopg.pq.Format.BINARY if binary else psycopg.pq.Format.TEXT
        return spare.execute(query, params, prepare=prepare)  # type: ignore[arg-type]
