import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tieout.finance.money import Money
from tieout.finance.record_types import RECORD_TYPES, RecordField
from tieout.finance.schema import json_schema, main, rendered
from tieout.rules.spec import RecordTypeSpec

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
KEY = "0123456789abcdef0123456789abcdef"
LINE = {
    "line": 1,
    "product": KEY,
    "quantity": "12",
    "unit_price": "9.80",
    "discount_percent": "5",
    "amount": "111.72",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "customer": {
        "name": "Alfreds Futterkiste",
        "number": "ALFKI",
        "legal_entity": "NW-EU",
        "currency": "EUR",
        "country": "Germany",
        "city": "Berlin",
        "status": "active",
    },
    "product": {"code": "P11", "name": "Queso Cabrales", "family": None},
    "sales_order": {
        "number": "10248",
        "legal_entity": "NW-EU",
        "customer": KEY,
        "currency": "EUR",
        "ordered_on": "2020-07-04",
        "status": "won",
        "total": "111.72",
        "lines": [LINE],
        "erp_status": None,
    },
    "invoice": {
        "number": "INV7",
        "legal_entity": "NW-EU",
        "customer": KEY,
        "currency": "JPY",
        "invoiced_on": "2020-07-31",
        "total": "-440",
        "status": "open",
        "lines": [],
    },
    "booking_line": {
        "order": KEY,
        "line": 1,
        "legal_entity": "NW-NA",
        "period": "2020-07",
        "currency": "USD",
        "product": KEY,
        "quantity": "0.5",
        "amount": "98.00",
        "group_amount": "82.10",
        "rate_id": "ecb:EUR/USD:2020-07-03:spot",
    },
}


def validator(name: str) -> Draft202012Validator:
    schema = json_schema(RECORD_TYPES[name])
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("name", sorted(RECORD_TYPES))
def test_the_schema_is_valid_published_and_accepts_its_example(name: str) -> None:
    Draft202012Validator.check_schema(json_schema(RECORD_TYPES[name]))
    published = (PUBLISHED / f"{name}.schema.json").read_text(encoding="utf-8")
    assert published == rendered(RECORD_TYPES[name]), (
        "out of date: run python -m tieout.finance.schema docs/reference/schemas"
    )
    validator(name).validate(EXAMPLES[name])


def test_nothing_else_is_published() -> None:
    assert {path.name for path in PUBLISHED.iterdir()} == {
        f"{name}.schema.json" for name in RECORD_TYPES
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda order: order.update(total=111.72),
        lambda order: order.update(total="1,111.72"),
        lambda order: order.update(total="1E+3"),
        lambda order: order.update(total="NaN"),
        lambda order: order.update(total=""),
        lambda order: order.update(total="-0.00"),
        lambda order: order.update(total="007.00"),
        lambda order: order.update(total="+7.00"),
        lambda order: order.update(total=".50"),
        lambda order: order.update(total="5."),
        lambda order: order.update(total="5.00\n"),
        lambda order: order.update(total="٣.00"),
        lambda order: order.update(total="0.1234567"),
        lambda order: order.update(total="1" * 17),
        lambda order: order.update(total=None),
        lambda order: order.update(currency="EURO"),
        lambda order: order.update(ordered_on="2020-02-30"),
        lambda order: order.update(ordered_on="4 July 2020"),
        lambda order: order.update(customer="ALFKI"),
        lambda order: order.update(unheard_of="x"),
        lambda order: order.pop("legal_entity"),
        lambda order: order["lines"][0].update(line="1"),
        lambda order: order["lines"][0].pop("product"),
        lambda order: order["lines"][0].update(quantity=12),
    ],
)
def test_a_damaged_order_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    order = copy.deepcopy(EXAMPLES["sales_order"])
    validator("sales_order").validate(order)
    change(order)
    assert not validator("sales_order").is_valid(order)


@pytest.mark.parametrize("text", ["0", "0.00", "-0.01", "9.8125", "-1234567890123456.123456"])
def test_the_canonical_text_of_money_fits_the_schema(text: str) -> None:
    total = Money.of(text, "EUR").json()["amount"]
    validator("sales_order").validate({**EXAMPLES["sales_order"], "total": total})


def test_a_landscapes_added_fields_are_in_its_schema() -> None:
    product = RECORD_TYPES["product"]
    region = RecordField("region", "object", fields=(RecordField("active", "boolean"),))
    wider = RecordTypeSpec("product", "Product", (*product.fields, region))
    check = Draft202012Validator(json_schema(wider))
    assert check.is_valid({**EXAMPLES["product"], "region": {"active": True}})
    assert not check.is_valid(EXAMPLES["product"])


def test_the_module_writes_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tieout.finance.schema", str(tmp_path / "schemas")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert len(done.stdout.splitlines()) == len(RECORD_TYPES)
    for path in (tmp_path / "schemas").iterdir():
        assert path.read_bytes() == (PUBLISHED / path.name).read_bytes()
    assert main([]) == 2
