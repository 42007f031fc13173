"""What a rehearsal finds in a landscape's own tests: good rows, and what may be done to them."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from tests.rehearsal.connector import CONNECTORS, corner
from tieout.engine.compiled import Compiled
from tieout.engine.opening import load_checked
from tieout.landscape.examples import example
from tieout.landscape.given_expected import run_tests
from tieout.landscape.schema import Landscape
from tieout.rehearsal.corpus import Corpus, gather
from tieout.rehearsal.rowmaking import (
    changed,
    numbered,
    renamed,
    scaled,
    shifted,
    values,
    with_lines_repeated,
    with_value,
)

LINES = ("OpportunityLineItems", "records")


@cache
def shipped(name: str) -> tuple[Landscape, Compiled]:
    return load_checked(example(name))


@cache
def corpus_of(name: str) -> Corpus:
    return gather(*(corner() if name == "corner" else shipped(name)))


def without(tmp_path: Path, name: str, file: str) -> Corpus:
    """The corpus of an example landscape without one of its test files."""
    folder = tmp_path / name
    shutil.copytree(example(name), folder)
    (folder / file).unlink()
    return gather(*load_checked(folder))


# --- the landscapes --------------------------------------------------------------------------


def test_the_corner_passes_its_own_tests() -> None:
    landscape, _ = corner()
    results = run_tests(landscape, CONNECTORS)
    assert [one.problems for one in results if not one.passed] == []
    assert len(results) == 10


def test_the_corner_has_something_of_everything() -> None:
    landscape, compiled = corner()
    grades = {
        key: stream.idempotency.grade
        for key, stream in compiled.streams.items()
        if stream.idempotency is not None
    }
    assert set(grades.values()) == {"A", "B", "C"}
    assert [key for key, stream in compiled.streams.items() if stream.posts] == [("books", "entry")]
    steps = [step for flow in landscape.flows.values() for step in flow.steps]
    assert {one.verb for one in steps} == {"ensure", "require", "approve", "write"}
    writes = [one for one in steps if one.verb == "write"]
    assert {one.on_change for one in writes} == {"reverse_and_repost", "update"}
    assert {one.on_leave for one in writes} == {"undo", "case"}
    assert any(one.batch_seconds for one in writes)
    assert {one.base_currency for one in landscape.legal_entities.values()} == {"EUR", "GBP"}


def test_quote_to_cash_can_be_played_parents_first() -> None:
    corpus = corpus_of("quote_to_cash")
    assert list(corpus.kinds) == [
        ("salesforce", "Account"),
        ("salesforce", "Product2"),
        ("salesforce", "Opportunity"),
    ]
    assert corpus.left_out == ()
    deal = corpus.kinds["salesforce", "Opportunity"]
    assert deal.parents == {
        "customer": ("salesforce", "Account"),
        "product": ("salesforce", "Product2"),
    }
    assert [one.name for one in deal.templates] == [
        "float noise is cleaned by the stated rounding",
        "a discount is part of the line amount",
    ]


def test_what_the_fields_of_a_deal_are() -> None:
    anatomy = corpus_of("quote_to_cash").kinds["salesforce", "Opportunity"].anatomy
    assert anatomy.amounts == (("Amount",), (*LINES, "UnitPrice"), (*LINES, "TotalPrice"))
    assert anatomy.days == (("CloseDate",),)
    assert [(one.path, one.record_type) for one in anatomy.references] == [
        (("AccountId",), "customer"),
        ((*LINES, "Product2Id"), "product"),
    ]
    assert [(one.path, one.crosswalk) for one in anatomy.coded] == [
        (("Region__c",), "region_entity"),
        (("CurrencyIsoCode",), "currency"),
        (("StageName",), "opportunity_stage"),
    ]
    assert anatomy.deciding == (("StageName",),)
    assert anatomy.names == (("Order_Number__c",),)


def test_a_field_of_the_row_around_a_list_is_found(tmp_path: Path) -> None:
    """`parent.x` inside `each` means the field of the record itself."""
    folder = tmp_path / "quote_to_cash"
    shutil.copytree(example("quote_to_cash"), folder)
    mapping = folder / "mappings" / "opportunity_to_sales_order.yaml"
    text = mapping.read_text(encoding="utf-8")
    assert "product: \"xref('product', Product2Id)\"" in text
    mapping.write_text(
        text.replace("xref('product', Product2Id)", "xref('product', parent.AccountId)"),
        encoding="utf-8",
    )
    anatomy = gather(*load_checked(folder)).kinds["salesforce", "Opportunity"].anatomy
    assert [one.path for one in anatomy.references] == [("AccountId",), ("AccountId",)]


def test_what_may_be_done_to_a_deal() -> None:
    won, cancelled = corpus_of("quote_to_cash").kinds["salesforce", "Opportunity"].templates
    assert (won.scopes, cancelled.scopes) == ({"quote_to_cash": True}, {"quote_to_cash": False})
    assert [(one.value, one.scopes) for one in won.moves] == [
        ("Cancelled", {"quote_to_cash": False})
    ]
    assert [(one.value, one.scopes) for one in cancelled.moves] == [
        ("Closed Won", {"quote_to_cash": True})
    ]
    assert len(won.factors) > 10
    assert won.copies == (1, 2, 3)
    assert won.shifts == (-3, 27)  # July, without another window
    assert {one.fault for one in won.breaks} == {"drift", "unknown_code", "poison"}


def test_a_row_has_what_its_system_asks_for_though_no_mapping_reads_it() -> None:
    """The test of the cancelled deal names no Name; Salesforce wants one."""
    won, cancelled = corpus_of("quote_to_cash").kinds["salesforce", "Opportunity"].templates
    assert cancelled.row["Name"] == won.row["Name"] == "Order 10248"


def test_rows_stay_in_the_window_that_is_given() -> None:
    window = (dt.date(2021, 1, 10), dt.date(2021, 2, 3))
    corpus = gather(*shipped("record_sync"), window)
    (template,) = corpus.kinds["billing", "invoice"].templates
    issued = dt.date.fromisoformat(str(template.row["issue_date"]))
    first, last = template.shifts
    assert (issued + dt.timedelta(first), issued + dt.timedelta(last)) == window


def test_record_sync_needs_no_parents() -> None:
    corpus = corpus_of("record_sync")
    kind = corpus.kinds["billing", "invoice"]
    assert kind.parents == {}
    assert kind.anatomy.amounts == (
        ("subtotal",),
        ("tax",),
        ("total",),
        ("lines", "unit_price"),
        ("lines", "amount"),
    )
    assert {one.path for one in kind.templates[0].codes} == {
        ("customer",),
        ("currency",),
        ("status",),
    }


def test_a_stream_without_a_good_row_is_left_out_and_told(tmp_path: Path) -> None:
    """And so is one whose rows refer to it, with what to add."""
    corpus = without(tmp_path, "quote_to_cash", "tests/masters.yaml")
    assert corpus.kinds == {}
    account, product, deal = corpus.left_out
    assert account.startswith("salesforce.Account: no test gives a good row of it")
    assert "Add tests/NAME.yaml with 'mapping: account_to_customer'" in account
    assert product.startswith("salesforce.Product2")
    assert deal.startswith("salesforce.Opportunity: its rows refer to rows of salesforce.Account")


def test_a_row_that_its_mapping_refuses_is_no_template(tmp_path: Path) -> None:
    folder = tmp_path / "record_sync"
    shutil.copytree(example("record_sync"), folder)
    tests = folder / "tests" / "invoices.yaml"
    text = tests.read_text(encoding="utf-8")
    assert 'total: "357.00"' in text
    tests.write_text(text.replace('total: "357.00"', 'total: "358.00"', 1), encoding="utf-8")
    corpus = gather(*load_checked(folder))
    assert corpus.kinds == {}
    assert corpus.left_out[0].startswith("billing.invoice: no test gives a good row")


# --- rows ------------------------------------------------------------------------------------

ROW = {
    "id": "I-0099",
    "total": Decimal("266.00"),
    "text_total": "1.50",
    "day": "2028-02-28",
    "at": "2028-02-28T09:00:00Z",
    "none": None,
    "lines": [
        {"line": 1, "sku": "P-1", "amount": Decimal("168.00")},
        {"line": 2, "sku": "P-2", "amount": Decimal("98.00")},
    ],
}


def test_amounts_are_scaled_exactly_and_keep_their_form() -> None:
    row = scaled(ROW, [("total",), ("text_total",), ("none",), ("lines", "amount")], 7)
    assert row["total"] == Decimal("1862.00")
    assert row["text_total"] == "10.50"
    assert row["none"] is None
    assert sum(one for one in values(row, ("lines", "amount")) if isinstance(one, Decimal)) == 1862
    assert ROW["total"] == Decimal("266.00")  # nothing changes in place


def test_days_move_together_and_instants_keep_their_time() -> None:
    row = shifted(ROW, [("day",), ("at",)], 2)
    assert (row["day"], row["at"]) == ("2028-03-01", "2028-03-01T09:00:00Z")


def test_lines_are_repeated_and_counted_on() -> None:
    row = with_lines_repeated(ROW, ("lines",), 3)
    assert list(values(row, ("lines", "line"))) == [1, 2, 3, 4, 5, 6]
    assert list(values(row, ("lines", "sku"))) == ["P-1", "P-2"] * 3


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("P011", 7, "P007"),
        ("P011", 4711, "P4711"),
        ("INV-2020-01", 3, "INV-2020-03"),
        ("ALFKI", 3, "ALFKI 3"),
        ("006000000000001AAA", 12, "006000000000012AAA"),
    ],
)
def test_a_text_gets_a_number_of_its_own(text: str, number: int, expected: str) -> None:
    assert numbered(text, number) == expected


def test_values_are_set_changed_and_renamed_inside_lists() -> None:
    assert list(values(with_value(ROW, ("lines", "note"), "x"), ("lines", "note"))) == ["x", "x"]
    row = renamed(ROW, ("lines", "sku"), "sku_v2")
    assert list(values(row, ("lines", "sku"))) == []
    assert list(values(row, ("lines", "sku_v2"))) == ["P-1", "P-2"]
    assert changed(ROW, ("nowhere", "at_all"), lambda _: 1 / 0) == ROW
