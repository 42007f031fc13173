"""Crosswalks and ownership: what is wrong with them is found before a record is."""

from __future__ import annotations

from tests.rules.shapes import PLACE, crosswalk, inbound, leaf, outbound
from tieout.rules.crosswalk import crosswalk_problems, unused_crosswalks
from tieout.rules.ownership import ownership_problems, unowned_fields
from tieout.rules.spec import FieldType, RecordTypeSpec


def whats(*rows: tuple[str, str] | tuple[str, str, str, str]) -> list[str]:
    return [str(one) for one in crosswalk_problems([crosswalk("region", *rows)])]


def test_dates_that_follow_each_other_are_fine() -> None:
    assert (
        whats(
            ("EU", "A", "2020-01-01", "2020-12-31"),
            ("EU", "B", "2021-01-01", "9999-12-31"),
            ("UK", "B"),
        )
        == []
    )


def test_a_code_valid_twice_is_found_behind_a_long_row() -> None:
    found = whats(
        ("EU", "A", "2020-01-01", "2022-12-31"),
        ("EU", "B", "2020-02-01", "2020-02-28"),
        ("EU", "C", "2022-12-31", "9999-12-31"),
    )
    assert [one.split(":")[1] for one in found] == ["3", "4"]
    assert "'EU' is valid twice on 2022-12-31 (also crosswalks/region.csv:2)" in found[1]


def test_other_mistakes_of_a_crosswalk() -> None:
    assert "has no rows" in whats()[0]
    assert "without a code" in whats(("", "x"))[0]
    assert "without a value" in whats(("x", ""))[0]
    assert "before it starts" in whats(("x", "y", "2021-01-01", "2020-01-01"))[0]


def test_an_unused_crosswalk_is_named() -> None:
    tables = [crosswalk("used", ("a", "b")), crosswalk("unused", ("a", "b"))]
    [found] = unused_crosswalks(tables, {"used"})
    assert str(found).startswith("crosswalks/unused.csv:1: crosswalk unused is not used")


def record(owned: dict[str, tuple[str, ...]]) -> RecordTypeSpec:
    fields = (FieldType("total", "amount"), FieldType("status", "text"), FieldType("tax", "amount"))
    return RecordTypeSpec("order", "Order", fields, owned=owned, place=PLACE)


def test_a_mapping_sets_only_what_its_system_owns() -> None:
    spec = inbound({"total": leaf("a", 3), "tax": leaf("b", 4), "status": leaf("c", 5)})
    found = unowned_fields(spec, record({"crm": ("total",), "erp": ("tax",)}))
    assert [str(one) for one in found] == [
        "mappings/test.yaml:4: test sets order.tax, which erp owns. "
        "Remove the field, or move it from erp to crm under `owned:`.",
        "mappings/test.yaml:5: test sets order.status, which nobody owns. "
        "Add status to `owned: crm:` of record order.",
    ]
    assert unowned_fields(outbound({"tax": leaf("b")}), record({})) == []


def test_a_field_has_one_owner() -> None:
    found = ownership_problems(record({"crm": ("total", "totle"), "erp": ("total",)}))
    assert [one.what for one in found] == [
        "crm owns order.totle, which is no field",
        "order.total is owned by crm and by erp",
    ]
