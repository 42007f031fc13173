"""A session's statements share a cursor, and nobody notices."""

from __future__ import annotations

import pytest
from psycopg.errors import DivisionByZero

from tieout.store.database import Connection, Database
from tieout.store.session import Session


@pytest.fixture
def session(database: Database) -> Session:
    with database.looking() as connection:
        assert isinstance(connection, Session)
        return connection


def test_rows_that_somebody_still_holds_are_his(session: Session) -> None:
    first = session.execute("SELECT generate_series(1, 3)")
    second = session.execute("SELECT 'other'")
    assert second.fetchone() == ("other",)
    assert [row[0] for row in first.fetchall()] == [1, 2, 3]


def test_small_statements_share_a_cursor(session: Session) -> None:
    made: list[int] = []
    for number in range(5):
        assert session.execute("SELECT %s::int", (number,)).fetchone() == (number,)
        made.append(id(session._spare))
    assert len(set(made)) == 1


def test_an_error_is_over_with_its_statement(session: Session) -> None:
    with pytest.raises(DivisionByZero):
        session.execute("SELECT 1 / %s::int", (0,))
    assert session.execute("SELECT 1 / %s::int", (1,)).fetchone() == (1,)


def test_the_form_of_an_answer_is_that_of_its_own_statement(session: Session) -> None:
    assert session.execute("SELECT 7", binary=True).pgresult.fformat(0) == 1  # type: ignore[union-attr]
    assert session.execute("SELECT 7").pgresult.fformat(0) == 0  # type: ignore[union-attr]


def test_lists_go_in_the_form_that_the_store_registered(session: Session) -> None:
    """The shared cursor was made before the form was registered: every batch was written as text,
    element by element, and a bulk load took twice as long."""
    assert typed(session, [1]) == "bigint[]"
    assert typed(session, [True]) == "boolean[]"


def typed(connection: Connection, value: object) -> str:
    row = connection.execute("SELECT pg_typeof(%s)::text", (value,)).fetchone()
    assert row is not None
    return str(row[0])
