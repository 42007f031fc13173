"""The locked room in which rules run: one DuckDB connection, no files, no network.

Nothing that a rule says can reach outside: external access is off, extensions are never loaded,
Python variables are invisible, and the configuration is locked before the first rule is seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import duckdb
import pyarrow as pa

from tieout.rules.column_types import quoted
from tieout.rules.shown import Prepared, ShownTable
from tieout.rules.watchdog import Watchdog

MEMORY_LIMIT = "512MB"
MOST_SECONDS = 30.0
MOST_SHOWN = 2048  # names under which tables are shown; a mapping needs two or three


class RuleTooSlow(Exception):
    """A batch of rules ran into the time limit and was interrupted."""


class Runner:
    """Runs compiled rules, batch after batch, on one connection. Not for several threads at once:
    a lock makes a second caller wait.

    `threads` is DuckDB's; `most_seconds` bounds each query.
    """

    def __init__(self, *, threads: int = 1, most_seconds: float = MOST_SECONDS) -> None:
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": MEMORY_LIMIT,
                "enable_external_access": "false",
                "autoload_known_extensions": "false",
                "autoinstall_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET lock_configuration = true")
        self._most_seconds = most_seconds
        self._watchdog = Watchdog(most_seconds, self._connection.interrupt)
        self._lock = threading.RLock()
        self._kept: dict[str, object] = {}
        self._shown: dict[str, ShownTable] = {}
        self._prepared = Prepared(self._connection)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._watchdog.close()
        self._connection.close()

    @contextmanager
    def tables(self, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Show Arrow tables to the queries of this block, and hide them again.

        A name that always shows tables of one schema is cheap: what DuckDB planned stays valid.
        """
        with self._lock:
            shown = [self._slot(name, table) for name, table in tables.items()]
            try:
                yield
            finally:
                for one in shown:
                    one.table = None

    def _slot(self, name: str, table: pa.Table) -> ShownTable:
        slot = self._shown.pop(name, None)
        if slot is None or not slot.schema.equals(table.schema):
            self._prepared.forget(quoted(name))
            slot = ShownTable(table.schema)
            self._connection.register(name, slot)
        self._shown[name] = slot  # the last to go: what was shown most recently
        slot.table = table
        if len(self._shown) > MOST_SHOWN:
            oldest = next(iter(self._shown))
            self._prepared.forget(quoted(oldest))
            self._connection.unregister(oldest)
            del self._shown[oldest]
        return slot

    def keep(self, name: str, table: pa.Table) -> None:
        """Hold a table across batches (a crosswalk); the same object is shown only once."""
        with self._lock:
            if self._kept.get(name) is table:
                return
            self._connection.register("#new", table)
            self._connection.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS FROM "#new"')
            self._connection.unregister("#new")
            self._kept[name] = table

    def query(self, sql: str) -> pa.Table:
        """The result of one query. Raises RuleTooSlow, or what DuckDB says is wrong with it."""
        with self._lock, self._watched():
            return self._prepared.run(sql)

    def column_types(self, sql: str) -> dict[str, str]:
        """Column name -> DuckDB type of a query, without running it."""
        with self._lock, self._watched():
            rows = self._connection.execute(f"DESCRIBE {sql}").fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Interrupt what runs too long."""
        self._watchdog.begin()
        try:
            yield
        except duckdb.InterruptException as error:
            raise RuleTooSlow(
                f"a batch of rules ran longer than {self._most_seconds:g} s and was stopped; "
                "make the expression simpler or the batch smaller"
            ) from error
        finally:
            self._watchdog.end()
