"""The landscape for a real Tryton loads, checks clean, and its documents are as expected."""

from __future__ import annotations

from tieout.landscape.checker import check
from tieout.landscape.examples import example
from tieout.landscape.given_expected import run_tests
from tieout.landscape.loader import load
from tieout.ports.registry import connectors


def test_it_checks_clean() -> None:
    assert check(load(example("quote_to_cash_tryton")), connectors()) == []


def test_every_mapping_has_a_test_and_every_test_passes() -> None:
    landscape = load(example("quote_to_cash_tryton"))
    results = run_tests(landscape, connectors())
    assert [str(one) for result in results for one in result.problems] == []
    assert {result.mapping for result in results} == set(landscape.mappings)


def test_what_the_two_demos_share_stays_the_same() -> None:
    shared = (
        *(f"mappings/{name}.yaml" for name in SHARED_MAPPINGS),
        *(f"crosswalks/{name}.csv" for name in ("currency", "opportunity_stage", "region_entity")),
        *(f"policies/{name}.yaml" for name in ("legal_entities", "people")),
        "calendars/group.yaml",
    )
    ours, theirs = example("quote_to_cash_tryton"), example("quote_to_cash")
    assert [
        name for name in shared if (ours / name).read_bytes() != (theirs / name).read_bytes()
    ] == []


SHARED_MAPPINGS = ("account_to_customer", "product2_to_product", "opportunity_to_sales_order")
