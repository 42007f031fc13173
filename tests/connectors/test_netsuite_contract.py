"""The suite every connector inherits, run against the emulated NetSuite over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from tieout.connectors.netsuite import CONNECTOR
from tieout.emulators.host import Served
from tieout.emulators.netsuite.seeds import DEFAULTS
from tieout.finance.outcome import Written
from tieout.ports.connector import Stream, Total, TotalAsk, Write
from tieout.ports.http import Response
from tieout.rehearsal.connector_contract import Bench, ConnectorContract, Effect
from tieout.rehearsal.contract.wire import without_field

SECRETS = ("consumer_key", "consumer_secret", "token_id", "token_secret")


def customer(number: int, **fields: object) -> Write:
    reference = f"customer-{number:04d}"
    document: dict[str, object] = {
        "companyName": f"Customer {number}",
        "subsidiary": {"id": "2"},
        "currency": {"id": "1"},
        "isPerson": False,
        **fields,
    }
    return Write(f"netsuite/{reference}/1", reference, "create", document)


def item(number: int) -> Write:
    reference = f"item-{number:04d}"
    document = {"itemId": f"P-{number}", "displayName": f"Product {number}"}
    return Write(f"netsuite/{reference}/1", reference, "create", document)


def order(bench: Bench, number: int, *amounts: str) -> Write:
    reference = f"salesOrder-{number:04d}"
    lines = [
        {"line": n, "item": {"id": bench.notes["item"]}, "quantity": "2", "amount": amount}
        for n, amount in enumerate(amounts, start=1)
    ]
    document: dict[str, object] = {
        "entity": {"id": bench.notes["customer"]},
        "subsidiary": {"id": "2"},
        "currency": {"id": "1"},
        "tranDate": "2020-07-04",
        "item": {"items": lines},
    }
    return Write(f"netsuite/{reference}/1", reference, "create", document)


class TestNetSuite(ConnectorContract):
    connector = CONNECTOR
    emulator = "netsuite"
    emulator_settings: Mapping[str, str] = MappingProxyType(
        {name: f"contract-{DEFAULTS[name]}" for name in SECRETS}
    )
    token_expires = False
    exact_amounts = ("12345678901234567.89", "0.30", "1234567890123.45")
    changes = ("customer", "salesOrder")
    voids = ("salesOrder", "invoice")

    def session_settings(self, served: Served) -> Mapping[str, str]:
        return {"base_url": served.url, "account": DEFAULTS["account"], "rows_per_page": "3"}

    def session_secrets(self, served: Served) -> Mapping[str, str]:
        return dict(self.emulator_settings)

    def prepare(self, bench: Bench) -> None:
        for stream, write in (("customer", customer(9000)), ("inventoryItem", item(9000))):
            bench.notes[stream] = self._written(bench, stream, write)
        bench.notes["item"] = bench.notes["inventoryItem"]

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        numbers = range(1, number + 1)
        if stream == "customer":
            return [customer(n) for n in numbers]
        if stream == "inventoryItem":
            return [item(n) for n in numbers]
        if stream == "salesOrder":
            return [order(bench, n, "98.00", "1.25") for n in numbers]
        return [self._invoice(bench, n, "99.25") for n in numbers]

    def bad_example(self, bench: Bench, stream: str) -> Write:
        return {
            "customer": customer(900, currency={"id": "99"}),
            "inventoryItem": replace(item(900), document={"itemId": "", "displayName": "X"}),
            "salesOrder": order(bench, 900, "12,50"),
            "invoice": replace(
                item(900), document={"createdFrom": {"id": "999999"}, "tranDate": "2020-07-04"}
            ),
        }[stream]

    def example_with_amount(self, bench: Bench, stream: str, amount: str) -> Write:
        return (
            order(bench, 1, amount) if stream == "salesOrder" else self._invoice(bench, 1, amount)
        )

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        if stream == "customer":
            changed = {**write.document, "companyName": "Renamed"}
        else:
            changed = dict(order(bench, 1, "97.50").document)
        return replace(
            write,
            write_key="netsuite/2",
            action="change",
            document=changed,
            previous=write.document,
        )

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        document = {**write.document, "voidDate": "2020-08-02"}
        return replace(write, write_key="netsuite/3", action="void", document=document)

    def effect(self, stream: str) -> Effect:
        if stream == "invoice":
            return Effect(("POST",), "/!transform/")
        return Effect(("PUT", "PATCH"), "/record/v1/")

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        start = len(bench.served.emulator.tables[stream]) + 1
        keys = [self._seed(bench, stream, start + n, "7.00") for n in range(number)]
        rows = bench.served.emulator.tables[stream]
        for key in keys:  # one version for all
            rows[key].update({"lastModifiedDate": rows[keys[-1]]["lastModifiedDate"]})
        return keys

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        # SuiteQL shows a credit memo with the opposite sign of what it takes back.
        shown = f"-{amount}" if stream == "creditMemo" else amount
        return self._seed(bench, stream, len(bench.served.emulator.tables[stream]) + 1, shown)

    def without_key(self, stream: Stream, response: Response) -> Response:
        """Without the rows' `id`; other answers (a 204) have none."""
        return without_field(stream.key)(response)

    def totals_example(self, bench: Bench) -> tuple[str, TotalAsk, list[Total]]:
        for number, amount in enumerate(("0.10", "0.20", "12345678901234567.59"), start=1):
            self._seed(bench, "salesOrder", number, amount)
        ask = TotalAsk("foreigntotal", ("currency",), {"subsidiary": "2"})
        return "salesOrder", ask, [Total(("1",), 3, Decimal("12345678901234567.89"))]

    # --- help ---------------------------------------------------------------------------------

    def _seed(self, bench: Bench, stream: str, number: int, amount: str) -> str:
        if stream == "customer":
            return self._written(bench, stream, customer(number))
        if stream == "inventoryItem":
            return self._written(bench, stream, item(number))
        if stream == "salesOrder":
            return self._written(bench, stream, order(bench, number, amount))
        invoice = self._invoice(bench, number, amount)
        made = self._written(bench, "invoice", invoice)
        if stream == "invoice":
            return made
        void = replace(invoice, write_key="void", action="void", target_id=made)
        return self._written(bench, "invoice", void)

    def _invoice(self, bench: Bench, number: int, amount: str) -> Write:
        parent = order(bench, number, *(["98.00", "1.25"] if amount == "99.25" else [amount]))
        already = bench.served.emulator.tables["salesOrder"].values()
        same = [row for row in already if row["externalId"] == parent.reference]
        made = str(same[0]["id"]) if same else self._written(bench, "salesOrder", parent)
        document: dict[str, object] = {
            "createdFrom": {"id": made},
            "tranDate": "2020-07-31",
            "currency": {"id": "1"},
            "amount": amount,
        }
        reference = f"invoice-{number:04d}"
        return Write(f"netsuite/{reference}/1", reference, "create", document)

    def _written(self, bench: Bench, stream: str, write: Write) -> str:
        outcome = CONNECTOR.write(bench.session, stream, [write])[0]
        assert isinstance(outcome, Written), f"{stream} {write.reference}: {outcome}"
        return outcome.target_id
