"""Northwind's CSV files as CRM rows: customers, products, and every order as a deal.

Dates move 24 years on (2020-07 … 2022-05), weekdays with them. Prices and discounts keep the
published float noise (`9.80000019`): cleaning it is the mapping's job, by a stated rule.
"""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

YEARS_ON = 24


@dataclass(frozen=True, slots=True)
class Customer:
    code: str
    name: str
    street: str
    city: str
    postal_code: str
    country: str
    region: str
    currency: str


@dataclass(frozen=True, slots=True)
class Product:
    code: str
    name: str
    family: str
    active: bool


@dataclass(frozen=True, slots=True)
class Line:
    product: str
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal


@dataclass(frozen=True, slots=True)
class Deal:
    number: str
    customer: Customer
    closed_on: dt.date
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        return f"Order {self.number} for {self.customer.name}"


@dataclass(frozen=True, slots=True)
class Northwind:
    customers: tuple[Customer, ...]
    products: tuple[Product, ...]
    deals: tuple[Deal, ...]


def read(folder: Path, *, month: str = "") -> Northwind:
    """Read the data folder of the example; `month` (2020-07) keeps only that month's deals, and
    the customers and products they need. Raises FileNotFoundError, KeyError on foreign files."""
    country = {row["country"]: row for row in _rows(folder / "country_region.csv")}
    family = {row["category_id"]: row["category_name"] for row in _rows(folder / "categories.csv")}
    customers = {
        row["customer_id"]: Customer(
            row["customer_id"],
            row["company_name"],
            row["address"],
            row["city"],
            row["postal_code"],
            row["country"],
            country[row["country"]]["region"],
            country[row["country"]]["currency"],
        )
        for row in _rows(folder / "customers.csv")
    }
    products = {
        row["product_id"]: Product(
            f"NW-{int(row['product_id']):03d}",
            row["product_name"],
            family[row["category_id"]],
            row["discontinued"] != "1",
        )
        for row in _rows(folder / "products.csv")
    }
    lines: dict[str, list[Line]] = {}
    for row in _rows(folder / "order_details.csv"):
        lines.setdefault(row["order_id"], []).append(
            Line(
                products[row["product_id"]].code,
                Decimal(row["quantity"]),
                Decimal(row["unit_price"]),
                Decimal(row["discount"]) * 100,
            )
        )
    deals = [
        Deal(
            row["order_id"],
            customers[row["customer_id"]],
            _later(row["order_date"]),
            tuple(lines[row["order_id"]]),
        )
        for row in _rows(folder / "orders.csv")
    ]
    if month:
        deals = [deal for deal in deals if deal.closed_on.isoformat().startswith(month)]
    wanted_customers = {deal.customer.code for deal in deals}
    wanted_products = {line.product for deal in deals for line in deal.lines}
    return Northwind(
        tuple(c for c in customers.values() if not month or c.code in wanted_customers),
        tuple(p for p in products.values() if not month or p.code in wanted_products),
        tuple(deals),
    )


def _later(text: str) -> dt.date:
    day = dt.date.fromisoformat(text[:10])
    return day.replace(year=day.year + YEARS_ON)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
