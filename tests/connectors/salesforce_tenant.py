"""An emulated Salesforce organisation with somebody who works in it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from tieout.connectors.salesforce import CONNECTOR
from tieout.emulators.host import Served
from tieout.emulators.kit import write_json
from tieout.ports.connector import Item, Write
from tieout.ports.http import Request
from tieout.ports.opening import open_session
from tieout.ports.session import Session

ORGANIZATION = "00D000000000001EAA"
SECRETS = {"client_id": "app", "client_secret": "s3cret"}


def session_of(served: Served, **settings: str) -> Session:
    base = {"base_url": served.url, "api_version": "67.0", "organization_id": ORGANIZATION}
    return open_session("crm", CONNECTOR, {**base, **settings}, SECRETS, [served.url])


class Administrator:
    """Somebody who works in Salesforce, through its API but not as our integration."""

    def __init__(self, served: Served) -> None:
        self.at = session_of(served)
        self.root = f"{served.url}/services/data/v67.0"

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = write_json(body) if body is not None else b""
        response = self.at.send(Request(method, f"{self.root}/{path}", {}, data))
        assert response.status < 300, response.text()
        return json.loads(response.body) if response.body else None

    def create(self, kind: str, **values: object) -> str:
        return str(self.call("POST", f"sobjects/{kind}", values)["id"])

    def change(self, key: str, **values: object) -> None:
        self.call("PATCH", f"sobjects/Opportunity/{key}", values)

    def order(self, number: int, stage: str = "Closed Won", **more: object) -> str:
        values: dict[str, object] = {
            "Name": f"Order {number}",
            "StageName": stage,
            "CloseDate": "2021-03-04",
            "Order_Number__c": str(number),
        }
        return self.create("Opportunity", **values, **more)

    def lines(self, order: str, count: int) -> None:
        product = self.create("Product2", Name="Chai")
        line = {"attributes": {"type": "OpportunityLineItem"}, "OpportunityId": order}
        records = [
            {
                **line,
                "Product2Id": product,
                "Quantity": 10,
                "UnitPrice": Decimal("9.80000019"),
                "Discount": Decimal("5.000000074505806"),
                "SortOrder": number,
            }
            for number in range(1, count + 1)
        ]
        for start in range(0, count, 200):
            self.call("POST", "composite/sobjects", {"records": records[start : start + 200]})


def sweep(at: Session, stream: str, cursor: str = "") -> tuple[list[Item], str, int]:
    """Every item up to the end of the sweep, the cursor to keep, and how many pages it took."""
    items: list[Item] = []
    for pages in range(1, 100):
        page = CONNECTOR.read(at, stream, cursor)
        items += page.items
        cursor = page.cursor
        if not page.more:
            return items, cursor, pages
    raise AssertionError("no end")


def status(key: str, value: str = "Invoiced", name: str = "w") -> Write:
    document = {"ERP_Order_Number__c": "SO1042", "ERP_Status__c": value}
    return Write(name, f"salesOrder-{key}", "change", document, target_id=key)
