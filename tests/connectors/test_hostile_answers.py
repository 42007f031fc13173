"""Answers no vendor should give, and documents no mapping should make: an outcome, never a crash.

Whatever a connector raises beside its own faults stops the work of every system, so each of these
must end as the outcome it is. The transport is a function, as a rehearsal's is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tieout.connectors.anaplan import CONNECTOR as ANAPLAN
from tieout.connectors.netsuite import CONNECTOR as NETSUITE
from tieout.connectors.salesforce import CONNECTOR as SALESFORCE
from tieout.finance.outcome import Drift, Outage, Rejected, Unknown, Written
from tieout.ports.connector import Job, TotalAsk, Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn

DEEP = b"[" * 100_000 + b"]" * 100_000
SETTINGS = {
    "base_url": "https://vendor.example",
    "auth_url": "https://auth.example",
    "api_version": "67.0",
    "workspace_id": "w",
    "model_id": "m",
    "bookings_file_id": "113",
    "bookings_import_id": "112",
    "bookings_view_id": "102",
}
DEAL = "006000000000001AAA"
Answer = Callable[[Request], Response]


def at(answer: Answer) -> Session:
    return Session("vendor", SETTINGS, {}, answer, NoSignIn(), most_in_flight=1)


def says(status: int, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: Response(status, headers or {}, data)


def drifted(call: Callable[[], object]) -> None:
    with pytest.raises(VendorFault) as caught:
        call()
    assert isinstance(caught.value.outcome, Drift), caught.value.outcome


# --- Salesforce -----------------------------------------------------------------------------------


def deal(stamp: str) -> dict[str, object]:
    return {"Id": DEAL, "SystemModstamp": stamp, "IsDeleted": False}


def page_of(*rows: object) -> dict[str, object]:
    return {"done": True, "totalSize": len(rows), "records": list(rows)}


@pytest.mark.parametrize("stamp", ["yesterday", "", "2026-05-08", "2026-05-08T21:20:00"])
def test_a_stamp_that_cannot_be_continued_from_is_drift_at_once(stamp: str) -> None:
    """Not one page later, when the cursor that holds it is stored and stops every read."""
    drifted(lambda: SALESFORCE.read(at(says(200, page_of(deal(stamp)))), "Opportunity", ""))


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-05-08T21:20:00.000+0000",
        "2026-05-08T21:20:00Z",
        "2026-05-08T21:20:00.123456Z",
        "2026-05-08T23:20:00+02:00",
    ],
)
def test_a_stamp_in_another_precision_is_continued_from(stamp: str) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.full_url())
        return says(200, {**page_of(deal(stamp)), "done": False})(request)

    first = SALESFORCE.read(at(answer), "Opportunity", "")
    SALESFORCE.read(at(answer), "Opportunity", first.cursor)
    assert "2026-05-08T21%3A20%3A00." in asked[1]


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_the_vendors_clock_does_not_depend_on_this_machines_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        headers = {"Date": f"Fri, 08 May 2026 21:20:00 {zone}"}
        page = SALESFORCE.read(at(says(200, page_of(), headers)), "Opportunity", "")
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert json.loads(page.cursor)["asked"] == "2026-05-08T21:20:00.000+0000"


@pytest.mark.parametrize("amount", ["12,50", "NaN", "Infinity", "", "1e999999"])
def test_a_number_that_is_none_stays_behind_alone(amount: str) -> None:
    good = Write("a", "a", "change", {"ERP_Status__c": "Billed", "Amount": "12.50"}, DEAL)
    bad = Write("b", "b", "change", {"Amount": amount}, DEAL)
    answer = says(200, [{"success": True, "id": DEAL, "errors": []}])
    first, second = SALESFORCE.write(at(answer), "Opportunity", [good, bad])
    assert isinstance(first, Written)
    assert isinstance(second, Rejected)
    assert second.detail.field == "Amount"


def test_half_a_surrogate_pair_is_rejected() -> None:
    bad = Write("b", "b", "change", {"ERP_Status__c": "\ud800"}, DEAL)
    assert isinstance(SALESFORCE.write(at(says(200, [])), "Opportunity", [bad])[0], Rejected)


@pytest.mark.parametrize("status", [202, 204, 302, 408, 503])
def test_what_a_proxy_says_about_a_write_is_no_no(status: int) -> None:
    write = Write("a", "a", "change", {"ERP_Status__c": "Billed"}, DEAL)
    answer = says(status, b"<html>Service Temporarily Unavailable</html>")
    assert isinstance(SALESFORCE.write(at(answer), "Opportunity", [write])[0], Unknown)
    invoice = Write("a", "a", "create", {"createdFrom": {"id": "7"}})
    if status != 204:  # NetSuite's own yes
        assert isinstance(NETSUITE.write(at(answer), "invoice", [invoice])[0], Unknown)


def test_a_proxys_503_to_a_read_is_an_outage() -> None:
    with pytest.raises(VendorFault) as caught:
        SALESFORCE.read(at(says(503, b"<html>")), "Opportunity", "")
    assert isinstance(caught.value.outcome, Outage)


def test_a_yes_for_another_row_is_no_answer() -> None:
    write = Write("a", "a", "change", {"ERP_Status__c": "Billed"}, DEAL)
    answer = says(200, [{"success": True, "id": "006000000000002AAA", "errors": []}])
    assert isinstance(SALESFORCE.write(at(answer), "Opportunity", [write])[0], Unknown)


def test_an_answer_nested_without_end() -> None:
    write = Write("a", "a", "change", {"ERP_Status__c": "Billed"}, DEAL)
    drifted(lambda: SALESFORCE.read(at(says(200, DEEP)), "Opportunity", ""))
    inside = b'{"done":true,"records":[{"Id":"' + DEAL.encode() + b'","SystemModstamp":' + DEEP
    drifted(lambda: SALESFORCE.read(at(says(200, inside + b"}]}")), "Opportunity", ""))
    assert isinstance(SALESFORCE.write(at(says(200, DEEP)), "Opportunity", [write])[0], Unknown)
    assert isinstance(SALESFORCE.write(at(says(400, DEEP)), "Opportunity", [write])[0], Rejected)
    order = Write("a", "a", "create", {})
    assert isinstance(NETSUITE.write(at(says(500, DEEP)), "salesOrder", [order])[0], Unknown)
    drifted(lambda: NETSUITE.read(at(says(200, DEEP)), "invoice", ""))
    drifted(lambda: NETSUITE.read(at(says(200, b'{"items":' + DEEP + b"}")), "invoice", ""))
    job = Job("t", (ORDER,))
    assert isinstance(ANAPLAN.follow(at(says(200, DEEP)), "bookings", [job])[0][0], Unknown)


# --- NetSuite -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"id": "7", "lastmodifieddate": "5/8/2026"},
        {"id": "7", "lastmodifieddate": "2026-05-08 21:20:00' OR 'a' = 'a"},
        {"id": "7 OR 1=1", "lastmodifieddate": "2026-05-08 21:20:00"},
    ],
)
@pytest.mark.parametrize("more", [True, False])
def test_a_row_that_cannot_be_continued_from_is_drift(row: object, more: bool) -> None:
    """A cursor made of it would stop every read, or say something else in the next query."""
    answer = says(200, {"items": [row], "hasMore": more})
    drifted(lambda: NETSUITE.read(at(answer), "invoice", ""))


def test_a_page_without_rows_that_promises_more_is_drift() -> None:
    answer = says(200, {"items": [], "hasMore": True})
    drifted(lambda: NETSUITE.read(at(answer), "invoice", ""))
    void = Write("v", "SO-1", "void", {})
    assert isinstance(NETSUITE.write(at(answer), "salesOrder", [void])[0], Drift)


@pytest.mark.parametrize("total", ["12,50", "NaN", True])
def test_totals_and_periods_in_another_form_are_drift(total: object) -> None:
    ask = TotalAsk("foreigntotal", ("currency",))
    totals = says(200, {"items": [{"g0": "1", "number": "3", "total": total}], "hasMore": False})
    drifted(lambda: NETSUITE.totals(at(totals), "invoice", ask))
    count = says(200, {"items": [{"g0": "1", "number": "three"}], "hasMore": False})
    drifted(lambda: NETSUITE.totals(at(count), "invoice", ask))
    period = {"id": "1", "periodname": "Jan", "startdate": "1/1/2026", "enddate": "2026-01-31"}
    periods = says(200, {"items": [period], "hasMore": False})
    drifted(lambda: NETSUITE.periods(at(periods)))


def test_what_could_never_be_taken_back_is_not_posted() -> None:
    """The credit memo's external id is longer than the invoice's; both must fit."""
    sent: list[Request] = []

    def answer(request: Request) -> Response:
        sent.append(request)
        return Response(204, {"Location": "https://vendor.example/invoice/9"})

    longest = Write("a", "R" * 75, "create", {"createdFrom": {"id": "7"}})
    too_long = Write("b", "R" * 76, "create", {"createdFrom": {"id": "7"}})
    first, second = NETSUITE.write(at(answer), "invoice", [longest, too_long])
    assert isinstance(first, Written)
    assert isinstance(second, Rejected)
    assert len(sent) == 1


def test_a_reference_cannot_become_part_of_a_query() -> None:
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(json.loads(request.body)["q"])
        return says(200, {"items": [], "hasMore": False})(request)

    odd = Write("a", "x FROM transaction t y' OR 'a'='a", "create", {})
    assert NETSUITE.find(at(answer), "salesOrder", [odd]) == {"a": None}
    assert "IN ('x FROM transaction t y'' OR ''a''=''a')" in asked[0]
    assert asked[0].count("transactionline") == 1


def test_a_document_with_half_a_surrogate_pair_is_rejected() -> None:
    write = Write("a", "C-1", "create", {"companyName": "\ud800"})
    assert isinstance(NETSUITE.write(at(says(204, b"")), "customer", [write])[0], Rejected)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "12,50"])
def test_what_no_order_can_come_to_is_not_meant(amount: str) -> None:
    document = {"item": {"items": [{"amount": amount}, {"amount": "1.00"}]}}
    assert "amount" not in NETSUITE.meant("salesOrder", Write("a", "a", "create", document))


# --- Anaplan --------------------------------------------------------------------------------------

ROW = {
    "code": "SO1-1",
    "order_id": "SO1",
    "line": "1",
    "legal_entity": "NL",
    "period": "Jan 26",
    "currency": "EUR",
    "product": "P",
    "quantity": "1",
    "value": "98.00",
    "value_group": "98.00",
}
ORDER = Write("k", "SO1", "create", {"rows": [ROW]})


@pytest.mark.parametrize("cell", ["9E999999", "1E99999999999999", "1e400", "9" * 400, "1_000"])
def test_a_cell_beyond_all_measure_is_drift(cell: str) -> None:
    header = ",".join(["", *list(ROW)[1:], "status"])
    values = ",".join([*list(ROW.values())[:-1], cell, "Active"])
    drifted(
        lambda: ANAPLAN.find(
            at(says(200, f"{header}\r\n{values}\r\n".encode())), "bookings", [ORDER]
        )
    )


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
@pytest.mark.parametrize("name", ["product", "code"])
def test_a_row_that_no_file_can_hold_is_rejected(text: str, name: str) -> None:
    write = Write("k", "SO1", "create", {"rows": [{**ROW, name: text}]})
    outcome = ANAPLAN.write(at(says(200, {})), "bookings", [write])[0]
    assert isinstance(outcome, Rejected)
    assert outcome.detail.field == name


def test_a_count_in_other_digits_is_no_count() -> None:
    detail = {"type": "x", "values": ["successRowCount", "²", "totalRowCount", "1"]}
    result = {"successful": True, "details": [detail]}
    task = says(200, {"task": {"taskState": "COMPLETE", "result": result}})
    assert ANAPLAN.follow(at(task), "bookings", [Job("t", (ORDER,))]) == [[Written("SO1")]]


def test_a_formula_is_text_to_a_planning_model() -> None:
    """Nothing is put before it: the model would keep it, and the proof would differ."""
    sent: list[bytes] = []

    def answer(request: Request) -> Response:
        sent.append(request.body)
        return says(200, {"file": {"id": "113"}, "task": {"taskId": "t"}})(request)

    write = Write("k", "SO1", "create", {"rows": [{**ROW, "product": '=1+1,"x"', "value": "-9"}]})
    ANAPLAN.write(at(answer), "bookings", [write])
    assert any(b',"=1+1,""x""",1,-9,98.00,Active\r\n' in body for body in sent)


def test_signing_in_states_how_long_it_may_take() -> None:
    limits: list[float | None] = []

    def answer(request: Request) -> Response:
        limits.append(request.timeout_seconds)
        return says(201, {"tokenInfo": {"tokenValue": "t"}})(request)

    signin = ANAPLAN.signin(SETTINGS, {"email": "e", "password": "p"})
    signin.apply(Request("GET", "https://vendor.example"), answer)
    assert limits == [30.0]


@pytest.mark.parametrize("body", [DEEP, b'{"tokenInfo":{"tokenValue":null}}', b"{}", b"\xff"])
def test_a_token_that_is_none_is_not_sent(body: bytes) -> None:
    signin = ANAPLAN.signin(SETTINGS, {"email": "e", "password": "p"})
    with pytest.raises(NoAnswer) as caught:
        signin.apply(Request("GET", "https://vendor.example"), says(201, body))
    assert caught.value.never_sent
