"""simple-salesforce, a client that others wrote, led to the emulator."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceError,
)

from tieout.emulators.host import Served

SETTINGS = {"client_id": "app", "client_secret": "s3cret"}


class OverHttp(HTTPAdapter):
    """simple-salesforce insists on https and on *.salesforce.com: both lead to the emulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        path = request.url.removeprefix("https://").partition("/")[2]
        request.url = f"{self.url}/{path}"
        return super().send(request, *args, **options)


def http_session(served: Served) -> requests.Session:
    session = requests.Session()
    session.mount("https://", OverHttp(served.url))
    return session


def token(served: Served, secret: str = "s3cret") -> requests.Response:
    return requests.post(
        f"{served.url}/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=("app", secret),
        timeout=5,
    )


def client_of(served: Served) -> Any:
    granted = token(served).json()
    return Salesforce(
        instance=urlsplit(granted["instance_url"]).netloc,
        session_id=granted["access_token"],
        version="67.0",
        session=http_session(served),
        parse_float=Decimal,
    )


def opportunity(number: str, **more: object) -> dict[str, object]:
    return {
        "Name": f"Order {number}",
        "StageName": "Prospecting",
        "CloseDate": "2021-03-04",
        "Order_Number__c": number,
        **more,
    }


def seed_lines(client: Any, lines: list[tuple[str, str, str]]) -> str:
    """An opportunity with these (quantity, price, discount) lines; its id."""
    product = client.Product2.create({"Name": "Chai", "ProductCode": "1"})["id"]
    key = str(client.Opportunity.create(opportunity("10248"))["id"])
    for number, (quantity, price, discount) in enumerate(lines, 1):
        line = (
            f'{{"OpportunityId":"{key}","Product2Id":"{product}","SortOrder":{number},'
            f'"Quantity":{quantity},"UnitPrice":{price},"Discount":{discount}}}'
        )
        client.restful("sobjects/OpportunityLineItem", method="POST", data=line)
    return key


def said(refusal: pytest.ExceptionInfo[SalesforceError]) -> Any:
    """The error body as the client parsed it."""
    return refusal.value.content


def amount_of(client: Any, key: str) -> Decimal:
    found = client.query(f"SELECT Amount FROM Opportunity WHERE Id = '{key}'")
    return cast(Decimal, found["records"][0]["Amount"])
