"""The NetSuite connector against the emulated tenant, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from tieout.connectors.netsuite import CONNECTOR
from tieout.connectors.netsuite.errors import outcome_of
from tieout.connectors.netsuite.wire import encode
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import Fault, FaultKind, FaultPlan
from tieout.emulators.netsuite.seeds import DEFAULTS
from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Item, TotalAsk, Write
from tieout.ports.errors import PERIOD_CLOSED, VendorFault
from tieout.ports.http import Request, Response
from tieout.ports.opening import open_session
from tieout.ports.session import Session

SECRETS = {
    name: DEFAULTS[name] for name in ("consumer_key", "consumer_secret", "token_id", "token_secret")
}


def open_to(served: Served, secrets: Mapping[str, str] = SECRETS, **settings: str) -> Session:
    return open_session(
        "netsuite",
        CONNECTOR,
        {"base_url": served.url, "account": DEFAULTS["account"], **settings},
        secrets,
        [served.url],
        timeout_seconds=5,
    )


@dataclass
class Tenant:
    """One emulated tenant with a customer and an item, and an open session to it."""

    served: Served
    at: Session
    customer: str = ""
    item: str = ""

    def one(self, stream: str, write: Write) -> Outcome:
        return CONNECTOR.write(self.at, stream, [write])[0]

    def written(self, stream: str, write: Write) -> str:
        outcome = self.one(stream, write)
        assert isinstance(outcome, Written), outcome
        return outcome.target_id

    def table(self, name: str) -> dict[str, dict[str, object]]:
        return self.served.emulator.tables[name]

    def agrees(self, stream: str, write: Write) -> bool:
        found = CONNECTOR.find(self.at, stream, [write])[write.write_key]
        meant = CONNECTOR.meant(stream, write)
        return found is not None and {name: found.facts.get(name) for name in meant} == meant

    def plant(self, *faults: Fault) -> None:
        self.served.emulator.faults = FaultPlan(1, faults)

    def order(self, reference: str, *amounts: str) -> Write:
        lines = [
            {
                "line": n,
                "item": {"id": self.item},
                "quantity": "1",
                "rate": amount,
                "amount": amount,
            }
            for n, amount in enumerate(amounts, start=1)
        ]
        document: dict[str, object] = {
            "entity": {"id": self.customer},
            "subsidiary": {"id": "2"},
            "currency": {"id": "1"},
            "tranDate": "2020-07-04",
            "otherRefNum": "10248",
            "item": {"items": lines},
        }
        return Write(f"{reference}/1", reference, "create", document)

    def invoice(self, order_id: str, amount: str, reference: str = "invoice-1") -> Write:
        document: dict[str, object] = {
            "createdFrom": {"id": order_id},
            "tranDate": "2020-07-31",
            "currency": {"id": "1"},
            "amount": amount,
        }
        return Write(f"{reference}/1", reference, "create", document)


def customer(name: str) -> Write:
    document: dict[str, object] = {
        "companyName": name,
        "subsidiary": {"id": "2"},
        "currency": {"id": "1"},
        "isPerson": False,
    }
    return Write(f"customer-{name}/1", f"customer-{name}", "create", document)


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with serve("netsuite", {"closed_periods": "2020-06"}) as served:
        fresh = Tenant(served, open_to(served))
        fresh.customer = fresh.written("customer", customer("ALFKI"))
        item = Write("item-1/1", "item-1", "create", {"itemId": "P1", "displayName": "Chai"})
        fresh.item = fresh.written("inventoryItem", item)
        yield fresh


# --- writing --------------------------------------------------------------------------------------


def test_an_upsert_twice_is_one_document(tenant: Tenant) -> None:
    write = tenant.order("salesOrder-1", "98.00", "14.00")
    assert tenant.written("salesOrder", write) == tenant.written("salesOrder", write)
    assert len(tenant.table("salesOrder")) == 1
    assert tenant.agrees("salesOrder", write)


def test_an_amended_order_has_only_its_new_lines(tenant: Tenant) -> None:
    tenant.written("salesOrder", tenant.order("salesOrder-1", "98.00", "14.00", "3.00"))
    amended = replace(tenant.order("salesOrder-1", "20.00"), action="change", write_key="2")
    tenant.written("salesOrder", amended)
    found = CONNECTOR.find(tenant.at, "salesOrder", [amended])["2"]
    assert found is not None
    assert (found.facts["lines"], found.facts["amount"], found.number) == ("1", "20.00", "SO1001")


def test_a_transform_twice_is_one_invoice(tenant: Tenant) -> None:
    order = tenant.written("salesOrder", tenant.order("salesOrder-1", "440.00"))
    write = tenant.invoice(order, "440.00")
    tenant.written("invoice", write)
    assert isinstance(tenant.one("invoice", write), AlreadyThere)
    assert len(tenant.table("invoice")) == 1
    assert tenant.agrees("invoice", write)
    wrong = replace(write, document={**write.document, "amount": "441.00"})
    assert not tenant.agrees("invoice", wrong)


def test_a_lost_reply_is_found_by_reference(tenant: Tenant) -> None:
    order = tenant.written("salesOrder", tenant.order("salesOrder-1", "440.00"))
    write = tenant.invoice(order, "440.00")
    tenant.plant(Fault("lost_reply", 1.0, path="!transform", most=1))
    assert isinstance(tenant.one("invoice", write), Unknown)
    assert tenant.agrees("invoice", write)
    assert isinstance(tenant.one("invoice", write), AlreadyThere)


def test_a_system_that_is_down_was_never_reached(tenant: Tenant) -> None:
    gone = open_session(
        "netsuite",
        CONNECTOR,
        {"base_url": "http://127.0.0.1:1", "account": DEFAULTS["account"]},
        SECRETS,
        ["http://127.0.0.1:1"],
    )
    outcome = CONNECTOR.write(gone, "salesOrder", [tenant.order("salesOrder-1", "1.00")])[0]
    assert isinstance(outcome, Outage)


def test_a_closed_period_is_told_as_such(tenant: Tenant) -> None:
    order = tenant.written("salesOrder", tenant.order("salesOrder-1", "440.00"))
    write = tenant.invoice(order, "440.00")
    june = replace(write, document={**write.document, "tranDate": "2020-06-30"})
    outcome = tenant.one("invoice", june)
    assert isinstance(outcome, Rejected)
    assert outcome.detail.code == PERIOD_CLOSED
    assert tenant.table("invoice") == {}
    stated = {**write.document, "postingPeriod": {"id": "101"}}
    outcome = tenant.one("invoice", replace(write, document=stated))
    assert isinstance(outcome, Rejected)
    assert outcome.detail.code == PERIOD_CLOSED
    assert isinstance(tenant.one("invoice", write), Written)


def test_an_invoice_is_voided_by_a_credit_memo(tenant: Tenant) -> None:
    order = tenant.written("salesOrder", tenant.order("salesOrder-1", "440.00"))
    write = tenant.invoice(order, "440.00")
    made = tenant.written("invoice", write)
    change = tenant.one("invoice", replace(write, action="change"))
    assert isinstance(change, Rejected)
    dated = {**write.document, "voidDate": "2020-08-03"}
    void = replace(write, action="void", write_key="void", document=dated, target_id=made)
    assert CONNECTOR.find(tenant.at, "invoice", [void]) == {"void": None}
    tenant.written("invoice", void)
    assert isinstance(tenant.one("invoice", void), AlreadyThere)
    found = CONNECTOR.find(tenant.at, "invoice", [void, write])
    reversal, original = found["void"], found[write.write_key]
    assert reversal is not None
    assert original is not None
    assert (reversal.facts["amount"], reversal.facts["date"]) == ("440.00", "2020-08-03")
    assert reversal.number == "CM1001"
    assert original.facts["status"] == "Paid In Full"
    assert tenant.agrees("invoice", void)


def test_an_order_is_voided_by_closing_its_lines(tenant: Tenant) -> None:
    orders = [tenant.order(f"salesOrder-{n}", "98.00", "14.00") for n in range(3)]
    for order in orders:
        tenant.written("salesOrder", order)
    voids = [replace(one, action="void", write_key=f"void-{one.reference}") for one in orders[:2]]
    assert set(CONNECTOR.find(tenant.at, "salesOrder", voids).values()) == {None}
    nowhere = replace(voids[0], reference="salesOrder-9", write_key="void-9")
    outcomes = CONNECTOR.write(tenant.at, "salesOrder", [*voids, nowhere])
    assert [type(one) for one in outcomes] == [Written, Written, Rejected]
    assert all(tenant.agrees("salesOrder", void) for void in voids)
    items, _, _ = read_all(tenant.at, "salesOrder")
    states = [json.loads(item.payload)["status"] for item in items]
    assert sorted(states) == ["Closed", "Closed", "Pending Billing"]
    bill = tenant.invoice(str(next(iter(tenant.table("salesOrder")))), "112.00")
    assert isinstance(tenant.one("invoice", bill), Rejected)


def test_a_void_whose_look_fails_was_surely_not_sent(tenant: Tenant) -> None:
    order = tenant.order("salesOrder-1", "98.00")
    tenant.written("salesOrder", order)
    void = replace(order, action="void")
    tenant.plant(Fault("lost_reply", 1.0, path="suiteql"))
    assert isinstance(tenant.one("salesOrder", void), Outage)
    tenant.plant(Fault("busy", 1.0, path="suiteql", seconds=3))
    outcome = tenant.one("salesOrder", void)
    assert isinstance(outcome, Busy)
    assert outcome.wait_seconds == 3


@pytest.mark.parametrize(
    "amount", ["12345678901234567.89", "0.30", "-5.10", "98765432109876543210.01"]
)
def test_amounts_travel_digit_by_digit(tenant: Tenant, amount: str) -> None:
    write = tenant.order("salesOrder-1", amount)
    made = tenant.written("salesOrder", write)
    assert tenant.table("salesOrder")[made]["total"] == Decimal(amount)
    assert tenant.agrees("salesOrder", write)
    read = CONNECTOR.fetch(tenant.at, "salesOrder", [made])[0]
    assert json.loads(read.payload)["foreigntotal"] == amount


def test_number_fields_become_literals_and_nothing_else() -> None:
    sent = encode({"otherRefNum": "10248", "item": {"items": [{"line": 1, "amount": "0.0000001"}]}})
    assert (
        sent == b'{"otherRefNum": "10248", "item": {"items": [{"line": 1, "amount": 0.0000001}]}}'
    )


@pytest.mark.parametrize("bad", ["12,50", "NaN", "1e3", "", 0.1])
def test_a_number_that_is_none_is_rejected_before_it_is_sent(tenant: Tenant, bad: object) -> None:
    write = tenant.order("salesOrder-1", "1.00")
    line = {"line": 1, "item": {"id": tenant.item}, "quantity": "1", "amount": bad}
    sound = tenant.order("salesOrder-2", "1.00")
    broken = replace(write, document={**write.document, "item": {"items": [line]}})
    outcomes = CONNECTOR.write(tenant.at, "salesOrder", [broken, sound])
    assert isinstance(outcomes[0], Rejected)
    assert outcomes[0].detail.field == "item.items.0.amount"
    assert isinstance(outcomes[1], Written)


def test_a_misspelt_property_is_drift_not_silence(tenant: Tenant) -> None:
    write = tenant.order("salesOrder-1", "1.00")
    typo = replace(write, document={**write.document, "otherRefNumber": "10248"})
    outcome = tenant.one("salesOrder", typo)
    assert isinstance(outcome, Drift)
    assert outcome.detail.field == "otherRefNumber"
    assert tenant.table("salesOrder") == {}


@pytest.mark.parametrize(("kind", "wait"), [("busy", 4.0), ("busy_without_wait", None)])
def test_429_says_how_long_if_it_was_told(
    tenant: Tenant, kind: FaultKind, wait: float | None
) -> None:
    tenant.plant(Fault(kind, 1.0, methods=("PUT",), seconds=4))
    outcome = tenant.one("salesOrder", tenant.order("salesOrder-1", "1.00"))
    assert isinstance(outcome, Busy)
    assert outcome.wait_seconds == wait


@pytest.mark.parametrize("name", [*SECRETS, "account"])
def test_a_wrong_secret_is_denied(tenant: Tenant, name: str) -> None:
    wrong = open_to(tenant.served, {**SECRETS, **({name: "wrong"} if name in SECRETS else {})})
    if name == "account":
        wrong = open_to(tenant.served, account="7654321")
    outcome = CONNECTOR.write(wrong, "salesOrder", [tenant.order("salesOrder-1", "1.00")])[0]
    assert isinstance(outcome, Denied)
    health = CONNECTOR.check(wrong)
    assert not health.well
    assert health.next_action
    assert CONNECTOR.check(tenant.at).well


@pytest.mark.parametrize(
    ("status", "code", "words", "kind"),
    [
        (400, "RCRD_HAS_BEEN_CHANGED", "Record has been changed", Busy),
        (400, "DUP_RCRD", "This record already exists: external ID x", AlreadyThere),
        (400, "UNIQUE_CUST_ID_REQD", "A customer record with this ID already exists", Rejected),
        (403, "INSUFFICIENT_PERMISSION", "You need Transactions -> Invoice", Denied),
        (404, "NONEXISTENT_ID", "The record instance does not exist", Rejected),
        (500, "UNEXPECTED_ERROR", "An unexpected error occurred", Unknown),
        (503, "", "Scheduled maintenance", Outage),
        (400, "SSS_REQUEST_LIMIT_EXCEEDED", "Request limit exceeded", Busy),
        (400, "SOMETHING_NEW", "No", Rejected),
        (502, "SOMETHING_NEW", "No", Unknown),
    ],
)
def test_vendor_errors_have_one_meaning(
    status: int, code: str, words: str, kind: type[Outcome]
) -> None:
    body = {"status": status, "o:errorDetails": [{"detail": words, "o:errorCode": code}]}
    assert isinstance(outcome_of(Response(status, {}, json.dumps(body).encode())), kind)


# --- reading --------------------------------------------------------------------------------------


def read_all(at: Session, stream: str, cursor: str = "") -> tuple[list[Item], str, int]:
    items: list[Item] = []
    for pages in range(1, 50):
        page = CONNECTOR.read(at, stream, cursor)
        items += page.items
        cursor = page.cursor
        if not page.more:
            return items, cursor, pages
    raise AssertionError("the reading does not end")


@pytest.mark.parametrize("rows", range(1, 9))
def test_equal_timestamps_do_not_fall_between_pages(tenant: Tenant, rows: int) -> None:
    names = [f"C{n}" for n in range(7)]
    for name in names:
        tenant.written("customer", customer(name))
    table = tenant.table("customer")
    for row in table.values():
        row.update({"lastModifiedDate": "2020-07-04T10:00:00Z"})
    items, cursor, _ = read_all(open_to(tenant.served, rows_per_page=str(rows)), "customer")
    assert [item.key for item in items] == sorted(table, key=int)
    again, same, _ = read_all(tenant.at, "customer", cursor)
    assert {item.key for item in again} == set(table)  # the overlap
    assert same == cursor
    next(iter(table.values())).update({"lastModifiedDate": "2020-07-04T10:05:00Z"})
    _, later, _ = read_all(tenant.at, "customer", cursor)
    assert json.loads(later)["at"] == "2020-07-04 10:04:00"


def test_what_was_deleted_is_told_once_it_is_gone(tenant: Tenant) -> None:
    for n in range(5):
        tenant.written("customer", customer(f"D{n}"))
    small = open_to(tenant.served, rows_per_page="2")
    _, cursor, _ = read_all(small, "customer")
    gone = [key for key in tenant.table("customer") if key != tenant.customer]
    for key in gone:
        small.send(_delete(tenant, key))
    items, cursor, _ = read_all(small, "customer", cursor)
    assert [item.key for item in items if item.deleted] == gone
    assert all(item.deleted for item in CONNECTOR.fetch(small, "customer", gone))
    later, _, _ = read_all(small, "customer", cursor)
    assert {item.key for item in later if item.deleted} <= set(gone)


def _delete(tenant: Tenant, key: str) -> Request:
    return Request("DELETE", f"{tenant.served.url}/services/rest/record/v1/customer/{key}")


def test_the_interface_of_documents(tenant: Tenant) -> None:
    order = tenant.written("salesOrder", tenant.order("salesOrder-1", "440.00"))
    tenant.written("invoice", tenant.invoice(order, "440.00"))
    for stream in ("salesOrder", "invoice"):
        items, _, _ = read_all(tenant.at, stream)
        payload = json.loads(items[0].payload)
        known = {field.name for field in CONNECTOR.streams[stream].fields}
        assert set(payload) <= known
        assert all(isinstance(value, str) for value in payload.values())
        assert payload["trandate"].startswith("2020-07")
    assert payload["createdfrom"] == order
    assert payload["status"] == "Open"


def test_many_are_found_in_one_round_trip(tenant: Tenant) -> None:
    writes = [tenant.order(f"salesOrder-{n}", "1.00") for n in range(30)]
    assert all(isinstance(o, Written) for o in CONNECTOR.write(tenant.at, "salesOrder", writes))
    calls = len(tenant.at.evidence)
    missing = tenant.order("salesOrder-none", "1.00")
    found = CONNECTOR.find(tenant.at, "salesOrder", [*writes, missing])
    assert len(tenant.at.evidence) - calls == 1
    assert found[missing.write_key] is None
    assert all(found[write.write_key] is not None for write in writes)


def test_totals_are_summed_on_their_side(tenant: Tenant) -> None:
    for n, amount in enumerate(("0.10", "0.20", "12345678901234567.89")):
        tenant.written("salesOrder", tenant.order(f"salesOrder-{n}", amount))
    ask = TotalAsk("foreigntotal", ("subsidiary", "currency"), {"trandate": "2020-07-04"})
    totals = CONNECTOR.totals(tenant.at, "salesOrder", ask)
    assert [(one.group, one.count, one.sum) for one in totals] == [
        (("2", "1"), 3, Decimal("12345678901234568.19"))
    ]
    with pytest.raises(ValueError, match="nothing"):
        CONNECTOR.totals(tenant.at, "salesOrder", TotalAsk("nothing"))


def test_periods_and_their_state(tenant: Tenant) -> None:
    tenant.table("accountingPeriod")["102"].update({"arLocked": True})
    periods = CONNECTOR.periods(tenant.at)
    assert len(periods) == 31
    assert [(one.name, one.state) for one in periods[:3]] == [
        ("Jun 2020", "closed"),
        ("Jul 2020", "soft_closed"),
        ("Aug 2020", "open"),
    ]


def test_an_answer_of_another_form_is_drift(tenant: Tenant) -> None:
    tenant.at.transport = lambda request: Response(200, {}, b'{"rows": []}')
    with pytest.raises(VendorFault) as fault:
        CONNECTOR.find(tenant.at, "salesOrder", [tenant.order("salesOrder-1", "1.00")])
    assert isinstance(fault.value.outcome, Drift)
