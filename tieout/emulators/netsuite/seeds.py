"""What a fresh tenant holds: currencies, subsidiaries, accounting periods, counters, its token."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Mapping

from tieout.emulators.netsuite.record_types import Row

DEFAULTS: Mapping[str, str] = {
    "account": "1234567_SB1",
    "consumer_key": "emulated-consumer-key",
    "consumer_secret": "emulated-consumer-secret",
    "token_id": "emulated-token-id",
    "token_secret": "emulated-token-secret",
    "closed_periods": "",
    "concurrency": "5",
    "job_polls": "1",
}
CURRENCIES = (
    ("EUR", "Euro"),
    ("USD", "US Dollar"),
    ("GBP", "British Pound"),
    ("SEK", "Swedish Krona"),
    ("CHF", "Swiss Franc"),
    ("NOK", "Norwegian Krone"),
    ("DKK", "Danish Krone"),
    ("PLN", "Polish Zloty"),
    ("CAD", "Canadian Dollar"),
    ("MXN", "Mexican Peso"),
    ("BRL", "Brazilian Real"),
)
SUBSIDIARIES = (
    ("Northwind Group", "1", True),
    ("Northwind Europe", "1", False),
    ("Northwind UK & Nordics", "3", False),
    ("Northwind North America", "2", False),
    ("Northwind South America", "2", False),
)
FIRST_MONTH = (2020, 6)
LAST_MONTH = (2022, 12)
_STAMP = "2020-01-01T00:00:00Z"


def tables(settings: Mapping[str, str]) -> dict[str, dict[str, Row]]:
    """The tables of a fresh tenant. `closed_periods` is a comma list of months (`2020-06`)."""
    closed = {one.strip() for one in settings["closed_periods"].split(",") if one.strip()}
    return {
        "customer": {},
        "inventoryItem": {},
        "salesOrder": {},
        "invoice": {},
        "creditMemo": {},
        "currency": {
            str(n): {
                "id": str(n),
                "symbol": symbol,
                "name": name,
                "currencyPrecision": 2,
                "isInactive": False,
                "lastModifiedDate": _STAMP,
            }
            for n, (symbol, name) in enumerate(CURRENCIES, start=1)
        },
        "subsidiary": {
            str(n): {
                "id": str(n),
                "name": name,
                "currency": {"id": currency},
                "isElimination": elimination,
                "isInactive": False,
                "lastModifiedDate": _STAMP,
                **({"parent": {"id": "1"}} if n > 1 else {}),
            }
            for n, (name, currency, elimination) in enumerate(SUBSIDIARIES, start=1)
        },
        "accountingPeriod": {one["id"]: one for one in _periods(closed)},
        "deletedRecord": {},
        "job": {},
        "nonce": {},
        "token": {},
        "counter": {},
    }


def _periods(closed: set[str]) -> list[Row]:
    found: list[Row] = []
    year, month = FIRST_MONTH
    while (year, month) <= LAST_MONTH:
        last = calendar.monthrange(year, month)[1]
        shut = f"{year}-{month:02}" in closed
        found.append(
            {
                "id": str(101 + len(found)),
                "periodName": dt.date(year, month, 1).strftime("%b %Y"),
                "startDate": f"{year}-{month:02}-01",
                "endDate": f"{year}-{month:02}-{last}",
                "closed": shut,
                "allLocked": shut,
                "arLocked": shut,
                "apLocked": shut,
                "isAdjust": False,
                "isYear": False,
                "isQuarter": False,
                "lastModifiedDate": _STAMP,
            }
        )
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found
