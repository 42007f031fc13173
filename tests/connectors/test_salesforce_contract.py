"""The suite every connector inherits, run against the emulated Salesforce over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from tieout.connectors.salesforce import CONNECTOR
from tieout.emulators.host import Served
from tieout.emulators.salesforce.model import OBJECTS
from tieout.emulators.salesforce.service import Salesforce
from tieout.emulators.salesforce.values import instant_text
from tieout.ports.connector import InboundCall, Write
from tieout.ports.http import Response
from tieout.rehearsal.connector_contract import Bench, ConnectorContract, Effect

ORGANIZATION = "00D000000000001EAA"
REQUIRED: Mapping[str, Mapping[str, object]] = {
    "Account": {"Name": "Ernst Handel"},
    "Product2": {"Name": "Chai"},
    "Opportunity": {"Name": "Order", "StageName": "Closed Won", "CloseDate": "2021-03-04"},
}


def tenant(bench: Bench) -> Salesforce:
    emulator = bench.served.emulator
    assert isinstance(emulator, Salesforce)
    return emulator


def make(bench: Bench, stream: str) -> str:
    rows = tenant(bench).rows
    with rows.transaction():
        return rows.create(OBJECTS[stream], REQUIRED[stream])


class TestSalesforce(ConnectorContract):
    connector = CONNECTOR
    emulator = "salesforce"
    emulator_settings: Mapping[str, str] = MappingProxyType(
        {"client_id": "contract-client", "client_secret": "contract-secret"}
    )
    changes = ("Opportunity",)
    voids = ("Opportunity",)

    def session_settings(self, served: Served) -> Mapping[str, str]:
        return {
            "base_url": served.url,
            "api_version": "67.0",
            "organization_id": ORGANIZATION,
            "page_rows": "2",
        }

    def session_secrets(self, served: Served) -> Mapping[str, str]:
        return {"client_id": "contract-client", "client_secret": "contract-secret"}

    def prepare(self, bench: Bench) -> None:
        for number in range(5):
            bench.notes[str(number)] = make(bench, "Opportunity")

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        return [
            Write(
                f"salesforce/Opportunity/{place}/1",
                f"salesOrder-{place}",
                "change",
                {
                    "ERP_Order_Number__c": f"SO{place}",
                    "ERP_Invoice_Number__c": f"INV{place}",
                    "ERP_Status__c": "Invoiced",
                },
                target_id=bench.notes[str(place)],
            )
            for place in range(number)
        ]

    def bad_example(self, bench: Bench, stream: str) -> Write:
        missing = {"ERP_Status__c": "Invoiced"}
        return Write("bad", "bad", "change", missing, target_id=self.missing_key(stream))

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        document = {**write.document, "ERP_Invoice_Number__c": "INV-amended"}
        return replace(write, write_key=f"{write.write_key}/2", document=document)

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        document = {**write.document, "ERP_Status__c": "Cancelled"}
        return replace(write, write_key=f"{write.write_key}/v", action="void", document=document)

    def effect(self, stream: str) -> Effect:
        return Effect(("PATCH",), "/composite/sobjects")

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        keys = [make(bench, stream) for _ in range(number)]
        counters = tenant(bench).tables["_counters"]["stamp"]
        shared = instant_text(int(str(counters["milliseconds"])))
        for key in keys:
            tenant(bench).tables[stream][key]["SystemModstamp"] = shared
        return keys

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        key = make(bench, stream)
        tenant(bench).tables[stream][key]["Amount"] = Decimal(amount)
        return key

    def missing_key(self, stream: str) -> str:
        return f"{OBJECTS[stream].prefix}000000009999AAA"

    def unauthorised(self) -> Response:
        body = b'[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]'
        return Response(401, {"Content-Type": "application/json"}, body)

    def webhook(self, bench: Bench, stream: str) -> InboundCall:
        opportunity = bench.notes["0"]
        outbound = tenant(bench).outbound
        waiting = tenant(bench).tables.setdefault("_notifications", {})
        waiting["04l000000000001AAA"] = {"opportunity": opportunity}
        body = outbound.envelope(["04l000000000001AAA"])
        return InboundCall(stream, {"Content-Type": "text/xml"}, body, ORGANIZATION)
