"""Northwind's books in a fresh Tryton: companies, currencies and rates, charts, periods, the user.

All over Tryton's public interface, once; the result is kept as a template and cloned.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tieout.connectors.tryton import CONNECTOR, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import value_at
from tieout.finance.ecb_rates import EcbRates
from tieout.finance.rates import NoRate
from tieout.ports.session import Session
from tieout.ports.transport import http_transport

VERSION = "5"  # grows with every change to what is set up
YEARS = (2020, 2021, 2022)
CLOSED = dt.date(2020, 6, 1)  # the period that starts here is closed in every company
LOGIN = "tieout"
GROUPS = (
    "Sales Administrator",  # may press "process", and so learns why an order cannot be processed
    "Accounting",
    "Product Administration",
    "Account Product Administration",
    "Party Administration",
)
CATEGORY = "Goods"
CURRENCIES: Mapping[str, str] = {
    "EUR": "Euro",
    "USD": "US dollar",
    "GBP": "Pound sterling",
    "SEK": "Swedish krona",
    "CHF": "Swiss franc",
    "NOK": "Norwegian krone",
    "DKK": "Danish krone",
    "PLN": "Polish zloty",
    "CAD": "Canadian dollar",
    "MXN": "Mexican peso",
    "BRL": "Brazilian real",
}
COUNTRIES = (
    *("Argentina", "Austria", "Belgium", "Brazil", "Canada", "Denmark", "Finland", "France"),
    *("Germany", "Ireland", "Italy", "Mexico", "Norway", "Poland", "Portugal", "Spain", "Sweden"),
    *("Switzerland", "UK", "USA", "Venezuela"),
)


@dataclass(frozen=True, slots=True)
class Company:
    """One legal entity: its name in Tryton and the currency of its books."""

    name: str
    currency: str


COMPANIES = (
    Company("Northwind Europe BV", "EUR"),
    Company("Northwind UK & Nordics Ltd", "GBP"),
    Company("Northwind North America Inc", "USD"),
    Company("Northwind South America", "USD"),
)


def session(address: str, database: str, login: str, password: str) -> Session:
    """An open line to a Tryton server."""
    settings = {"base_url": address, "database": database, "login": login}
    secrets = {"password": password}
    return Session(
        "tryton",
        settings,
        secrets,
        http_transport([address]),
        CONNECTOR.signin(settings, secrets),
        most_in_flight=2,
        timeout_seconds=120.0,
    )


class Books:
    """Sets the books up through one administrator's session."""

    def __init__(self, at: Session) -> None:
        self._at = at
        self._context: dict[str, object] = {}

    def set_up(self, password: str) -> None:
        """Everything Northwind needs; `password` is for the connection's own user."""
        currencies = self._currencies()
        self.create("country.country", [{"name": name} for name in COUNTRIES])
        companies = self._companies(currencies)
        category = self.create("product.category", [{"name": CATEGORY, "accounting": True}])
        for company in companies:
            self._context = {"company": company}
            self._accounts(company, category)
            for year in YEARS:
                self._fiscal_year(company, year)
        self._context = {}
        groups = self.find("res.group", [["name", "in", list(GROUPS)]])
        self.create(
            "res.user",
            [
                {
                    "name": "Tieout connection",
                    "login": LOGIN,
                    "password": password,
                    "groups": [["add", groups]],
                    "companies": [["add", companies]],
                    "company": companies[0],
                    "company_filter": "all",  # else it sees the first company's documents only
                }
            ],
        )

    def call(self, method: str, *parameters: object) -> object:
        """One call in the current context. Raises VendorFault, NoAnswer."""
        return wire.ask(self._at, ERRORS, method, *parameters, context=self._context)

    def create(self, model: str, values: Sequence[Mapping[str, object]]) -> list[int]:
        """New rows; their ids in order."""
        made = self.call(f"model.{model}.create", list(values))
        return [int(str(one)) for one in made] if isinstance(made, list) else []

    def find(self, model: str, domain: Sequence[object]) -> list[int]:
        """Ids of the rows that match, in order of id."""
        rows = wire.rows(self._at, ERRORS, model, domain, ["id"], context=self._context)
        return [int(str(row["id"])) for row in rows]

    def _currencies(self) -> dict[str, int]:
        values = [
            {
                "name": name,
                "code": code,
                "symbol": code,
                "rounding": Decimal("0.01"),
                "digits": 2,
                "rates": [["create", _rates(code)]],
            }
            for code, name in CURRENCIES.items()
        ]
        return dict(zip(CURRENCIES, self.create("currency.currency", values), strict=True))

    def _companies(self, currencies: Mapping[str, int]) -> list[int]:
        parties = self.create("party.party", [{"name": one.name} for one in COMPANIES])
        companies = self.create(
            "company.company",
            [
                {"party": party, "currency": currencies[one.currency]}
                for party, one in zip(parties, COMPANIES, strict=True)
            ],
        )
        administrator = self.find("res.user", [["login", "=", "admin"]])
        self.call(
            "model.res.user.write",
            administrator,
            {
                "companies": [["add", companies]],
                "company": companies[0],
                "company_filter": "all",
            },
        )
        return companies

    def _accounts(self, company: int, category: Sequence[int]) -> None:
        """The chart from Tryton's own template, and the accounts that sales go to."""
        template = self.find("account.account.template", [["parent", "=", None]])[0]
        name = "wizard.account.create_chart"
        opened = self.call(f"{name}.create")
        wizard = opened[0] if isinstance(opened, list) else ""
        self.call(f"{name}.execute", wizard, {"start": {}}, "account")
        chart = {"company": company, "account_template": template}
        self.call(f"{name}.execute", wizard, {"account": chart}, "create_account")
        self.call(f"{name}.delete", wizard)
        exchange = self._exchange_account(company)
        self.call(
            "model.account.configuration.write",
            [1],
            {
                "default_account_receivable": self._account(company, "receivable"),
                "default_account_payable": self._account(company, "payable"),
                # Lines converted one by one may miss the converted total by a cent.
                "currency_exchange_credit_account": exchange,
                "currency_exchange_debit_account": exchange,
            },
        )
        self.call(
            "model.product.category.write",
            list(category),
            {
                "account_revenue": self._account(company, "revenue"),
                "account_expense": self._account(company, "expense"),
            },
        )

    def _account(self, company: int, kind: str) -> int:
        domain = [
            ["company", "=", company],
            [f"type.{kind}", "=", True],
            ["closed", "!=", True],
        ]
        return self.find("account.account", domain)[0]

    def _exchange_account(self, company: int) -> int:
        domain: list[object] = [
            ["company", "=", company],
            ["type.statement", "=", "income"],
            ["closed", "!=", True],
        ]
        named = self.find("account.account", [*domain, ["name", "ilike", "%exchange%"]])
        return (named or self.find("account.account", domain))[0]

    def _fiscal_year(self, company: int, year: int) -> None:
        """A year of monthly periods. Each period numbers its own invoices: Tryton numbers in date
        order within a sequence, and a month's documents arrive in any order."""
        kinds = self.find("ir.sequence.type", [["name", "in", ["Invoice", "Account Move"]]])
        rows = wire.rows(self._at, ERRORS, "ir.sequence.type", [["id", "in", kinds]], ["name"])
        by_name = {str(row["name"]): row["id"] for row in rows}
        moves = self.create(
            "ir.sequence.strict",
            [
                {
                    "name": f"Moves {year}",
                    "sequence_type": by_name["Account Move"],
                    "company": company,
                    "prefix": f"{year}/",
                }
            ],
        )
        [fiscal_year] = self.create(
            "account.fiscalyear",
            [
                {
                    "name": str(year),
                    "company": company,
                    "start_date": dt.date(year, 1, 1),
                    "end_date": dt.date(year, 12, 31),
                    "move_sequence": moves[0],
                }
            ],
        )
        self.call("model.account.fiscalyear.create_period", [fiscal_year])
        periods = self.find("account.period", [["fiscalyear", "=", fiscal_year]])
        sequences = self.create(
            "ir.sequence.strict",
            [
                {
                    "name": f"Invoices {year}-{month:02d}",
                    "sequence_type": by_name["Invoice"],
                    "company": company,
                    "prefix": f"INV{company}-{year}{month:02d}-",
                    "padding": 4,
                }
                for month in range(1, 13)
            ],
        )
        numbering = [
            {
                "company": company,
                "period": period,
                "out_invoice_sequence": sequence,
                "out_credit_note_sequence": sequence,
                "in_invoice_sequence": sequence,
                "in_credit_note_sequence": sequence,
            }
            for period, sequence in zip(periods, sequences, strict=True)
        ]
        change = {"invoice_sequences": [["create", numbering]]}
        self.call("model.account.fiscalyear.write", [fiscal_year], change)
        if year == CLOSED.year:
            domain = [["start_date", "=", CLOSED], ["fiscalyear", "=", fiscal_year]]
            self.call("model.account.period.close", self.find("account.period", domain))


def _rates(code: str) -> list[dict[str, object]]:
    """The ECB's rate of every published day of our years, and of the last day before them."""
    if code == "EUR":
        return [{"date": dt.date(YEARS[0], 1, 1), "rate": Decimal(1)}]
    table = EcbRates.bundled()
    first, last = dt.date(YEARS[0], 1, 1), dt.date(YEARS[-1], 12, 31)
    found: dict[dt.date, Decimal] = {}
    for number in range((last - first).days + 1):
        with contextlib.suppress(NoRate):  # the table may end before the last year does
            rate = table.rate(code, first + dt.timedelta(days=number))
            found[rate.date] = rate.value
    return [{"date": date, "rate": value} for date, value in found.items()]


def ids(address: str, database: str, password: str) -> dict[str, dict[str, str]]:
    """What the connection's user sees: ids of companies by name, of currencies by code."""
    at = session(address, database, LOGIN, password)
    companies = wire.rows(at, ERRORS, "company.company", [], ["party.name"])
    currencies = wire.rows(at, ERRORS, "currency.currency", [], ["code"])
    return {
        "company": {str(value_at(row, "party.name")): str(row["id"]) for row in companies},
        "currency": {str(row["code"]): str(row["id"]) for row in currencies},
    }
