"""Sales people at work: fills an emulated Salesforce with Northwind through its own REST API.

A client of its own, not the connector under test: it signs in, creates rows in collections of 200
and moves deals to Closed Won, as an importer or a person would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

import simplejson

from tieout.ports.http import Request, Response, Transport
from tieout.ports.transport import http_transport
from tieout.rehearsal.northwind.deals import Deal, Northwind

MOST_PER_CALL = 200
Row = Mapping[str, object]
OnProgress = Callable[[int], None]


class CrmRefused(Exception):
    """The emulated Salesforce refused a row of the demo. Shows its own words."""


class Crm:
    """One signed-in seller. `url` is the emulated organisation's address."""

    def __init__(self, url: str, client_id: str, client_secret: str, version: str) -> None:
        self._url = url
        self._data = f"{url}/services/data/v{version}"
        self._transport: Transport = http_transport([url])
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": client_secret,
            }
        )
        answer = self._transport(
            Request(
                "POST",
                f"{url}/services/oauth2/token",
                {"Content-Type": "application/x-www-form-urlencoded"},
                form.encode(),
            )
        )
        if answer.status != 200:
            raise CrmRefused(f"sign-in to {url} failed: {answer.text()}")
        self._token = str(json.loads(answer.body)["access_token"])

    def _send(self, method: str, path: str, body: object = None) -> Response:
        return self._transport(
            Request(
                method,
                f"{self._data}/{path}",
                {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
                simplejson.dumps(body, use_decimal=True).encode() if body is not None else b"",
            )
        )

    def create(self, kind: str, rows: Sequence[Row], on_progress: OnProgress) -> list[str]:
        """Create rows, 200 a call; returns ids in order. Raises CrmRefused."""
        ids: list[str] = []
        for chunk in _chunks(rows):
            ids += self._collection("POST", kind, chunk)
            on_progress(len(chunk))
        return ids

    def change(self, kind: str, rows: Sequence[Row], on_progress: OnProgress) -> None:
        """Change rows that carry their `id`. Raises CrmRefused."""
        for chunk in _chunks(rows):
            self._collection("PATCH", kind, chunk)
            on_progress(len(chunk))

    def _collection(self, method: str, kind: str, rows: Sequence[Row]) -> list[str]:
        body = {
            "allOrNone": False,
            "records": [{"attributes": {"type": kind}, **row} for row in rows],
        }
        answer = self._send(method, "composite/sobjects", body)
        results = json.loads(answer.body)
        if answer.status != 200:
            raise CrmRefused(f"{kind}: {answer.text()}")
        for row, result in zip(rows, results, strict=True):
            if not result["success"]:
                raise CrmRefused(f"{kind} {row}: {result['errors']}")
        return [str(result["id"]) for result in results]

    def query(self, soql: str) -> list[dict[str, object]]:
        """All rows of a query, numbers exact."""
        rows: list[dict[str, object]] = []
        answer = self._send("GET", "query?" + urlencode({"q": soql}))
        for _ in range(1_000):
            page = simplejson.loads(answer.body, use_decimal=True)
            if answer.status != 200:
                raise CrmRefused(f"{soql}: {answer.text()}")
            rows += cast(list[dict[str, object]], page["records"])
            if page["done"]:
                return rows
            answer = self._transport(
                Request(
                    "GET",
                    self._url + str(page["nextRecordsUrl"]),
                    {"Authorization": f"Bearer {self._token}"},
                )
            )
        raise CrmRefused(f"{soql}: the answer does not end")

    def behind(self, kind: str, row_id: str, values: Row) -> None:
        """Change a row behind the vendor's rules (the emulator's back door): planted damage."""
        answer = self._transport(
            Request(
                "PATCH",
                f"{self._url}/_emulator/tables/{kind}/{row_id}",
                {},
                simplejson.dumps(values, use_decimal=True).encode(),
            )
        )
        if answer.status != 204:
            raise CrmRefused(f"{kind}/{row_id}: {answer.text()}")

    def table(self, kind: str) -> list[dict[str, object]]:
        """Every row the emulator holds, deleted ones too (its back door)."""
        answer = self._transport(Request("GET", f"{self._url}/_emulator/tables/{kind}"))
        rows = simplejson.loads(answer.body, use_decimal=True)
        return [cast(dict[str, object], row) for row in rows.values()]


def load(crm: Crm, northwind: Northwind, on_progress: OnProgress) -> dict[str, str]:
    """Create accounts, products and deals with their lines, all in negotiation.

    Returns opportunity ids by order number.
    """
    accounts = dict(
        zip(
            (c.code for c in northwind.customers),
            crm.create(
                "Account",
                [
                    {
                        "Name": c.name,
                        "AccountNumber": c.code,
                        "BillingStreet": c.street,
                        "BillingCity": c.city,
                        "BillingPostalCode": c.postal_code,
                        "BillingCountry": c.country,
                        "Region__c": c.region,
                        "CurrencyIsoCode": c.currency,
                    }
                    for c in northwind.customers
                ],
                on_progress,
            ),
            strict=True,
        )
    )
    products = dict(
        zip(
            (p.code for p in northwind.products),
            crm.create(
                "Product2",
                [
                    {
                        "ProductCode": p.code,
                        "Name": p.name,
                        "Family": p.family,
                        "IsActive": p.active,
                    }
                    for p in northwind.products
                ],
                on_progress,
            ),
            strict=True,
        )
    )
    deals = dict(
        zip(
            (deal.number for deal in northwind.deals),
            crm.create(
                "Opportunity", [_deal(deal, accounts) for deal in northwind.deals], on_progress
            ),
            strict=True,
        )
    )
    crm.create(
        "OpportunityLineItem",
        [row for deal in northwind.deals for row in _lines(deal, deals[deal.number], products)],
        on_progress,
    )
    return deals


def win(crm: Crm, deal_ids: Sequence[str], on_progress: OnProgress) -> None:
    """Move deals to Closed Won."""
    crm.change(
        "Opportunity", [{"id": one, "StageName": "Closed Won"} for one in deal_ids], on_progress
    )


def _deal(deal: Deal, accounts: Mapping[str, str]) -> Row:
    return {
        "Name": deal.name,
        "AccountId": accounts[deal.customer.code],
        "StageName": "Negotiation/Review",
        "CloseDate": deal.closed_on.isoformat(),
        "CurrencyIsoCode": deal.customer.currency,
        "Region__c": deal.customer.region,
        "Order_Number__c": deal.number,
    }


def _lines(deal: Deal, deal_id: str, products: Mapping[str, str]) -> Iterator[Row]:
    for number, line in enumerate(deal.lines, start=1):
        yield {
            "OpportunityId": deal_id,
            "Product2Id": products[line.product],
            "Quantity": line.quantity,
            "UnitPrice": line.unit_price,
            "Discount": line.discount_percent,
            "SortOrder": number,
        }


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), MOST_PER_CALL):
        yield rows[start : start + MOST_PER_CALL]
