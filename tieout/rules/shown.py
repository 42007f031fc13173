"""What makes small batches cheap: queries that DuckDB plans once, over tables that change.

Planning a query takes DuckDB five times as long as running it over one row. A plan stays valid as
long as the tables it reads keep their schemas, so a name shows a place whose contents are swapped.
"""

from __future__ import annotations

import warnings
from typing import Any

import duckdb
import pyarrow as pa

MOST_PREPARED = 1024  # queries whose plans are kept; the least recently used one goes first
MOST_SEEN = 4096  # queries that were run once: most that explain an error never come again

# A prepared query hands its rows over by way of a copy, which DuckDB warns of each time: a
# millisecond for 10,000 rows, where planning again takes more.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)


class ShownTable:
    """A table of one schema, read anew by every query; None while nothing is shown."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.table: pa.Table | None = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """What DuckDB reads (the Arrow PyCapsule interface). Raises LookupError when hidden."""
        if self.table is None:
            raise LookupError("this table is not shown at the moment")
        return self.table.__arrow_c_stream__(requested_schema)


class Prepared:
    """The queries of one connection. A query that comes a second time is planned for good."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._numbers: dict[str, int] = {}  # by SQL; the most recently used one last
        self._seen: dict[str, None] = {}
        self._last = 0

    def run(self, sql: str) -> pa.Table:
        """The result of a query. Raises what DuckDB says is wrong with it."""
        number = self._numbers.pop(sql, None)
        if number is None:
            if sql not in self._seen:
                table = self._connection.sql(sql).to_arrow_table()
                self._remember(sql)
                return table
            number = self._prepare(sql)
        self._numbers[sql] = number
        return self._connection.execute(f"EXECUTE q{number}").to_arrow_table()

    def forget(self, part: str) -> None:
        """Drop the plans of all queries that contain this text."""
        for sql in [one for one in self._numbers if part in one]:
            self._drop(sql)

    def _remember(self, sql: str) -> None:
        if len(self._seen) >= MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[sql] = None

    def _prepare(self, sql: str) -> int:
        if len(self._numbers) >= MOST_PREPARED:
            self._drop(next(iter(self._numbers)))
        self._last += 1
        self._connection.execute(f"PREPARE q{self._last} AS {sql}")
        return self._last

    def _drop(self, sql: str) -> None:
        self._connection.execute(f"DEALLOCATE q{self._numbers.pop(sql)}")
