"""Lists that go to PostgreSQL in its binary form come back as they went."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tieout.store.database import Database

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
COLUMNS = {
    "text": TEXTS,
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=6),
    "date": st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)),
    "timestamptz": st.datetimes(timezones=st.just(dt.UTC)),
    "uuid": st.uuids(),
    "bytea": st.binary(),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_list_comes_back_as_it_went(database: Database, kind: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.none() | COLUMNS[kind], max_size=30))
    def back_and_forth(values: list[object]) -> None:
        with database.transaction() as connection:
            rows = connection.execute(
                f"SELECT t.v FROM unnest(%s::{kind}[]) WITH ORDINALITY AS t (v, n) "
                "ORDER BY t.n".encode(),
                (values,),
            ).fetchall()
        assert [row[0] for row in rows] == values

    back_and_forth()


def test_a_list_is_compared_with_a_column_without_a_cast(database: Database) -> None:
    with database.transaction() as connection:
        for values, one in ((["a", 'b"\\{}'], "a"), ([1, 2**40], 1), ([], None), ([None], None)):
            row = connection.execute("SELECT %s = ANY(%s)", (one, values)).fetchone()
            assert row is not None
            assert row[0] in (True, None, False)
            assert row[0] is True or one is None
        found = connection.execute(
            "SELECT count(*) FROM arrivals WHERE partition_no = ANY(%s) AND source_key = ANY(%s)",
            ([1, 2], ["x"]),
        ).fetchone()
    assert found == (0,)


def test_a_nul_is_refused_and_not_stored(database: Database) -> None:
    with pytest.raises(psycopg.DataError), database.transaction() as connection:
        connection.execute("SELECT unnest(%s::text[])", (["a\0b"],))


def test_a_decimal_keeps_every_digit(database: Database) -> None:
    amount = Decimal("12345678901234567.890000")
    with database.transaction() as connection:
        row = connection.execute("SELECT (%s::numeric[])[1]", ([amount],)).fetchone()
    assert row == (amount,)
    assert str(row[0]) == "12345678901234567.890000"


def test_amounts_that_are_equal_keep_their_own_scale(database: Database) -> None:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT v::text FROM unnest(%s::numeric[]) AS t (v)", ([Decimal("1.0"), Decimal("1")],)
        ).fetchall()
    assert [row[0] for row in rows] == ["1.0", "1"]
