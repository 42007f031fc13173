"""Writes in bulk: one call is one transaction, staged by COPY and merged in one statement.

A row that the database refuses is found by halving: its savepoint is undone and the others go
through. Until COMMIT is sent nothing can have been applied; from then on only an explicit yes or no
counts, and silence is Unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from tieout.connectors.postgresql import statements
from tieout.connectors.postgresql.documents import BadDocument, Reader, reader
from tieout.connectors.postgresql.errors import concerns_a_row, outcome_of
from tieout.connectors.postgresql.streams import Table
from tieout.connectors.postgresql.wire import Connection, Wire, is_plain, named, rows, type_of
from tieout.finance.outcome import (
    AlreadyThere,
    Denied,
    Detail,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

_LATER = "Nothing to do: it is tried again with growing pauses."
_LOOK = "Nothing to do: the rows are looked up by their key before anything is sent again."
_COPY_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Row:
    """One write, taken apart. `number` is its place in the call."""

    number: int
    write: Write
    key: str
    document: Any


@dataclass
class _Call:
    """One call under way, inside its transaction."""

    at: Session
    table: Table
    reader: Reader
    connection: Connection
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    staged: bool = False
    holds_rows: bool = False  # the staging tables, from an earlier part of this call

    def put(self, some: Sequence[_Row]) -> None:
        """Merge rows with different keys; a poison row is told apart from the others."""
        if not self.staged and self.table.stream.name not in self.connection.staged:
            for statement in statements.stage(self.table, *self._tables()):
                self.connection.execute(statement)
        self.staged = True
        self._halving(some, self._merge)

    def void(self, some: Sequence[_Row]) -> None:
        self._halving(some, self._void)

    def delete(self, some: Sequence[_Row]) -> None:
        self._halving(some, self._delete)

    def _halving(self, some: Sequence[_Row], apply: Any) -> None:
        waiting = [some]
        while waiting:  # at most two parts per row
            part = waiting.pop()
            try:
                with self.connection.transaction():
                    apply(part)
                    # A rule that is checked late would fail COMMIT, and all rows with it.
                    self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            except psycopg.Error as error:
                if not concerns_a_row(error):
                    raise
                if len(part) == 1:
                    self.outcomes[part[0].number] = outcome_of(error)
                else:
                    middle = len(part) // 2
                    waiting += [part[middle:], part[:middle]]

    def _merge(self, some: Sequence[_Row]) -> None:
        if self.holds_rows:
            self._clear()
        copied = [self.reader.copied(one.number, one.document) for one in some]
        self._copy(statements.copy(self.table), [header for header, _ in copied])
        if self.table.lines is not None:
            lines = [line for _, lines in copied for line in lines]
            self._copy(statements.copy(self.table, True), lines)
        plain = is_plain(self.at, self.connection, self.table)
        merge = statements.merge(self.table, *self._tables(), tells_fresh=plain)
        merged = rows(self.connection, merge)
        applied = {number for (number,) in merged}
        for one in some:
            self.outcomes[one.number] = (
                Written(one.key) if one.number in applied else _newer_there(one)
            )
        self.holds_rows = True

    def _clear(self) -> None:
        self.connection.execute(sql.SQL("TRUNCATE {}").format(statements.staging(self.table)))
        if self.table.lines is not None:
            self.connection.execute(
                sql.SQL("TRUNCATE {}").format(statements.staging(self.table, True))
            )

    def _copy(self, statement: sql.Composed, lines: Sequence[str]) -> None:
        if not lines:
            return
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write("\n".join(lines) + "\n")

    def _void(self, some: Sequence[_Row]) -> None:
        real, _ = self._tables()
        kind = type_of(self.at, self.connection, self.table, self.table.key)
        there = rows(
            self.connection,
            statements.void(self.table, real, kind),
            ([one.key for one in some],),
        )
        keys = {key for (key,) in there}
        for one in some:
            self.outcomes[one.number] = (
                Written(one.key)
                if one.key in keys
                else Rejected(
                    Detail(
                        f"there is no row {one.key} to void",
                        "Look the row up in the table; if it never got there, close the case.",
                        field=self.table.key,
                    )
                )
            )

    def _delete(self, some: Sequence[_Row]) -> None:
        kind = type_of(self.at, self.connection, self.table, self.table.key)
        real, real_lines = self._tables()
        keys = ([one.key for one in some],)
        if self.table.lines is not None:
            self.connection.execute(statements.delete(self.table, real_lines, kind), keys)
        self.connection.execute(statements.delete(self.table, real, kind), keys)
        self.outcomes.update({one.number: Written(one.key) for one in some})

    def _tables(self) -> tuple[sql.Composed, sql.Composed]:
        lines = self.table.lines
        return named(self.at, self.table.name), named(self.at, lines.table if lines else "")


def write_all(at: Session, table: Table, writes: Sequence[Write]) -> list[Outcome]:
    """One outcome per write, in order."""
    outcomes: dict[int, Outcome] = {}
    reading = reader(table)
    sound: list[_Row] = []
    for number, write in enumerate(writes):
        try:
            sound.append(_row(reading, table, number, write))
        except BadDocument as bad:
            outcomes[number] = bad.outcome
    if sound:
        outcomes |= _transaction(at, table, reading, sound)
    return [outcomes[number] for number in range(len(writes))]


def _row(reading: Reader, table: Table, number: int, write: Write) -> _Row:
    if write.action == "void" and table.void is None:
        raise BadDocument(f"the landscape does not say how a row of {table.name} is voided", "void")
    document = reading.read(write)
    return _Row(number, write, reading.key(document), document)


def _transaction(
    at: Session, table: Table, reading: Reader, some: Sequence[_Row]
) -> dict[int, Outcome]:
    """Everything in one transaction; what fails as a whole is one outcome for all."""
    committing = False
    try:
        with at.told("COPY", table.name), at.line(Wire).connection() as connection:
            call = _Call(at, table, reading, connection)
            for action, part in _rounds(some):
                {"void": call.void, "delete": call.delete}.get(action, call.put)(part)
            committing = True
            connection.commit()
            if call.staged:
                connection.staged.add(table.stream.name)
            return call.outcomes
    except SignInFailed as refused:
        return _all(some, Denied(Detail(refused.words, refused.next_action)))
    except NoAnswer as silence:
        return _all(some, Outage(Detail(silence.words, _LATER)))
    except VendorFault as fault:
        return _all(some, fault.outcome)
    except psycopg.Error as error:
        at.drop_line()
        return _all(some, _failed(error, committing))


def _failed(error: psycopg.Error, committing: bool) -> Outcome:
    """A transaction that did not end with a yes. An explicit error says that it was undone, except
    that a server which is shut down while it commits may have committed."""
    state = error.sqlstate or ""
    if committing and (not state or state.startswith(("57", "08", "XX", "F0", "58"))):
        words = f"the connection was lost while the transaction was being committed: {error}"
        return Unknown(Detail(words.strip(), _LOOK, state))
    if not state:
        words = f"the connection was lost before anything was committed: {error}"
        return Outage(Detail(words.strip(), _LATER))
    return outcome_of(error)


def _all(some: Sequence[_Row], outcome: Outcome) -> dict[int, Outcome]:
    return {one.number: outcome for one in some}


def _rounds(some: Sequence[_Row]) -> list[tuple[str, list[_Row]]]:
    """Parts of a call, one after the other: one kind of action each, no key twice in a part."""
    parts: list[tuple[str, list[_Row]]] = []
    turns: dict[str, int] = {}
    for one in some:
        action = one.write.action if one.write.action in ("void", "delete") else "put"
        turn = turns.get(one.key, 0)
        while turn < len(parts) and parts[turn][0] != action:
            turn += 1
        if turn == len(parts):
            parts.append((action, []))
        parts[turn][1].append(one)
        turns[one.key] = turn + 1
    return parts


def _newer_there(one: _Row) -> Outcome:
    return AlreadyThere(
        one.key,
        Detail(
            "the table holds a newer version of this row, which is not overwritten",
            "Nothing to do if the newer one is right; else correct the version in the source.",
        ),
    )
