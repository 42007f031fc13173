"""What a leaf is made of has one text: when it is made, and when its row is read back."""

from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tieout.finance.digest import digest_bytes
from tieout.store import evidence, records
from tieout.store.database import Database
from tieout.store.records import Record

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(0, 2**31 - 1)
AMOUNTS = st.none() | st.decimals("-1e12", "1e12", allow_nan=False, places=4)
RECORDS = st.builds(
    Record,
    record_type=st.just("sales_order"), record_key=st.uuids().map(lambda one: one.hex),
    version=st.integers(1, 99), body=TEXT, digest=TEXT, in_scope=st.booleans(), system=TEXT,
    stream=TEXT, source_key=TEXT, source_version=TEXT, arrival_id=WHOLE, mapping=TEXT,
    mapping_version=WHOLE, landscape_hash=TEXT, legal_entity=TEXT, currency=st.just("EUR"),
    amount=AMOUNTS, accounting_date=st.none() | st.dates(), period=TEXT, status=TEXT,
)  # fmt: skip


class Kind(enum.StrEnum):
    CREATE = "create"


class Literal(str):
    """A kind of text of its own, as the slow reader's numbers are."""

    __slots__ = ()


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT | WHOLE | st.booleans() | st.none() | st.lists(TEXT, max_size=3)))
def test_a_rows_text_is_plain_json(columns: list[object]) -> None:
    plain = json.dumps(["proof/1", *columns], ensure_ascii=False, separators=(",", ":"))
    assert evidence.row_text("proof", columns) == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("30.30"), '"30.3"'),
        (Decimal("-0.00"), '"0"'),
        (dt.date(2026, 3, 1), '"2026-03-01"'),
        (dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
         '"2026-03-01T10:00:00+00:00"'),
        (Kind.CREATE, '"create"'),
        (Literal("as it was"), '"as it was"'),
    ],
)  # fmt: skip
def test_every_kind_of_value_has_one_form(value: object, text: str) -> None:
    assert evidence.row_text("x", [value]) == f'["x/1",{text}]'


def test_a_float_has_no_form() -> None:
    with pytest.raises(TypeError, match="a float has no place"):
        evidence.row_text("x", [1.5])


def test_the_leaf_that_is_made_is_the_one_of_the_row_that_is_stored(database: Database) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(RECORDS, min_size=1, max_size=4, unique_by=lambda one: one.record_key))
    def as_stored(made: list[Record]) -> None:
        with database.transaction() as connection:
            records.add(connection, made)
            for subject, text in evidence.of_records(made):
                assert evidence.of_stored(connection, subject) == (subject, text)

    as_stored()


def test_a_text_of_its_own_kind_makes_the_same_leaf() -> None:
    plain = Record(
        "sales_order", "a" * 32, 1, "{}", digest_bytes(b"{}"), True, "crm", "Order", "006", "7",
        1, "orders", 1, "h", "NWDE", "EUR", None, None, "", "won",
    )  # fmt: skip
    odd = Record(
        "sales_order", "a" * 32, 1, "{}", digest_bytes(b"{}"), True, "crm", "Order", "006",
        Literal("7"), 1, "orders", 1, "h", "NWDE", "EUR", None, None, "", "won",
    )  # fmt: skip
    assert evidence.of_records([odd]) == evidence.of_records([plain])
