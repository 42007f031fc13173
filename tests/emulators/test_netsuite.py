"""The emulated NetSuite, driven by the `netsuite` client from PyPI and by plain signed calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from netsuite.exceptions import NetsuiteAPIRequestError
from oauthlib.oauth1.rfc5849 import Client as OauthlibClient

from tests.emulators.netsuite_client import Client, Tenant, error, run, signer
from tieout import clock
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import Fault, load_tables, save_tables
from tieout.emulators.netsuite import EMULATOR
from tieout.emulators.netsuite.seeds import DEFAULTS
from tieout.ports.http import Request


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve("netsuite") as running:
        yield running


# --- through the client that others wrote ---------------------------------------------------------


def test_the_public_client_writes_and_reads(served: Served) -> None:
    client = Client(served.url)
    customer = {"companyName": "Blauer See", "subsidiary": {"id": "2"}, "currency": {"id": "1"}}
    assert run(client.put("/record/v1/customer/eid:BLAUS", json=customer)) is None
    shown = run(client.get("/record/v1/customer/eid:BLAUS"))
    assert shown["companyName"] == "Blauer See"
    assert shown["currency"]["refName"] == "Euro"
    assert run(client.put("/record/v1/inventoryItem/eid:P1", json={"itemId": "Chai"})) is None
    item = run(client.get("/record/v1/inventoryItem/eid:P1"))["id"]
    order = {
        "entity": {"id": shown["id"]},
        "tranDate": "2020-07-04",
        "item": {"items": [{"item": {"id": item}, "quantity": 12, "amount": 98}]},
    }
    assert run(client.put("/record/v1/salesOrder/eid:SO-1", json=order)) is None
    got = run(client.get("/record/v1/salesOrder/eid:SO-1", params={"expandSubResources": "true"}))
    assert got["tranId"] == "SO1001"
    assert [line["quantity"] for line in got["item"]["items"]] == [12]
    bill = f"/record/v1/salesOrder/{got['id']}/!transform/invoice"
    assert run(client.post(bill, json={"externalId": "INV-1", "tranDate": "2020-07-05"})) is None
    answer = run(
        client.suiteql("SELECT id, tranid, foreigntotal FROM transaction WHERE type = 'CustInvc'")
    )
    assert answer["items"][0]["tranid"] == "INV1001"
    assert answer["items"][0]["foreigntotal"] == "98.00"
    assert run(client.get("/system/v1/governanceLimits"))["accountConcurrencyLimit"] == 5


def test_the_public_client_is_refused_with_a_wrong_secret(served: Served) -> None:
    with pytest.raises(NetsuiteAPIRequestError) as refused:
        run(Client(served.url, token_secret="wrong").get("/record/v1/customer"))
    assert refused.value.status_code == 401
    assert "INVALID_LOGIN_ATTEMPT" in refused.value.response_text


# --- signing --------------------------------------------------------------------------------------


def _oauthlib(url: str, method: str = "GET") -> dict[str, str]:
    oracle = OauthlibClient(
        DEFAULTS["consumer_key"],
        client_secret=DEFAULTS["consumer_secret"],
        resource_owner_key=DEFAULTS["token_id"],
        resource_owner_secret=DEFAULTS["token_secret"],
        signature_method="HMAC-SHA256",
        realm=DEFAULTS["account"],
        nonce=clock.new_id().hex,
        timestamp=str(int(clock.now().timestamp())),
    )
    _, headers, _ = oracle.sign(url, method)
    return {str(name): str(value) for name, value in headers.items()}


@pytest.mark.parametrize(
    "path",
    ["/record/v1/customer?limit=5&q=companyName%20IS%20%22a%20%2B%20b%22", "/record/v1/currency/1"],
)
def test_a_request_signed_by_oauthlib_is_let_in(path: str) -> None:
    tenant = Tenant()
    url = f"{tenant.base}/services/rest{path}"
    assert tenant.emulator.handle(Request("GET", url, _oauthlib(url))).status == 200


def test_a_nonce_is_good_once() -> None:
    tenant = Tenant()
    url = f"{tenant.base}/services/rest/record/v1/currency"
    request = Request("GET", url, {"Authorization": signer().authorization("GET", url)})
    assert tenant.emulator.handle(request).status == 200
    again = tenant.emulator.handle(request)
    assert again.status == 401
    assert "nonce_used" in again.header("WWW-Authenticate")


@pytest.mark.parametrize("late", [-400, 400])
def test_a_wrong_clock_is_refused(late: int) -> None:
    tenant = Tenant()
    url = f"{tenant.base}/services/rest/record/v1/currency"
    stamp = int(clock.now().timestamp()) + late
    header = signer().authorization("GET", url, timestamp=stamp)
    answer = tenant.emulator.handle(Request("GET", url, {"Authorization": header}))
    assert error(answer)["o:errorCode"] == "INVALID_LOGIN_ATTEMPT"
    assert "timestamp_refused" in answer.header("WWW-Authenticate")


@pytest.mark.parametrize(
    "changed", ["consumer_key", "consumer_secret", "token_id", "token_secret", "realm"]
)
def test_every_part_of_the_token_counts(changed: str) -> None:
    tenant = Tenant()
    url = f"{tenant.base}/services/rest/record/v1/currency"
    header = signer(**{changed: "other"}).authorization("GET", url)
    assert tenant.emulator.handle(Request("GET", url, {"Authorization": header})).status == 401


# --- records --------------------------------------------------------------------------------------


def test_external_ids_are_one_namespace_over_all_transactions() -> None:
    tenant = Tenant()
    order = tenant.made(tenant.order("X-1", {"amount": 5}))
    answer = tenant.call(
        "POST", f"/record/v1/salesOrder/{order}/!transform/invoice", {"externalId": "x-1"}
    )
    assert error(answer)["o:errorCode"] == "DUP_RCRD"
    assert tenant.emulator.tables["invoice"] == {}
    assert tenant.made(tenant.order("x-1", {"amount": 6})) == order  # upper case, lower case


def test_a_misspelt_property_is_dropped_or_refused_as_asked() -> None:
    tenant = Tenant()
    body = {"companyName": "A", "subsidiary": {"id": "2"}, "compnyName": "B"}
    refused = error(tenant.call("PUT", "/record/v1/customer/eid:A", body))
    assert (refused["o:errorCode"], refused["o:errorPath"]) == ("INVALID_CONTENT", "compnyName")
    lax = {"X-NetSuite-PropertyNameValidation": "Warning"}
    assert tenant.call("PUT", "/record/v1/customer/eid:A", body, lax).status == 204


def test_references_must_exist_and_say_where_they_stand() -> None:
    tenant = Tenant()
    answer = tenant.order("R-1", {"amount": 1}, currency={"id": "99"})
    assert error(answer)["o:errorPath"] == "currency"
    answer = tenant.order("R-1", {"amount": 1}, {"amount": 1, "item": {"id": "77"}})
    assert error(answer)["o:errorPath"] == "item.items[1].item"
    answer = tenant.call("GET", "/record/v1/salesOrder/eid:R-1")
    assert answer.status == 404
    assert error(answer)["o:errorCode"] == "NONEXISTENT_ID"


def test_a_customer_trades_only_with_its_own_subsidiary() -> None:
    tenant = Tenant()
    answer = tenant.order("S-1", {"amount": 1}, subsidiary={"id": "3"})
    assert error(answer)["o:errorPath"] == "subsidiary"
    assert tenant.order("S-1", {"amount": 1}, subsidiary={"id": "2"}).status == 204


def test_numbers_are_numbers_and_totals_are_exact() -> None:
    tenant = Tenant()
    assert error(tenant.order("N-1", {"amount": "5"}))["o:errorCode"] == "INVALID_CONTENT"
    made = tenant.made(
        tenant.order(
            "N-1",
            {"amount": Decimal("12345678901234567.89")},
            {"quantity": 3, "rate": Decimal("0.335")},
        )
    )
    assert tenant.read(f"/record/v1/salesOrder/{made}")["total"] == Decimal("12345678901234568.90")
    row = tenant.query(f"SELECT foreigntotal FROM transaction WHERE id = {made}")
    assert row == [{"foreigntotal": "12345678901234568.90"}]


@pytest.mark.parametrize(
    "line",
    [
        {"quantity": 10**19, "rate": 10**19},
        {"amount": Decimal("1e400")},
        {"amount": True},
        {"amount": 1, "description": "\ud800"},
        {"amount": 1, "line": "one"},
        {"quantity": 1},
        {"amount": 1, "item": []},
    ],
)
def test_a_bad_line_is_refused_in_the_vendors_form(line: dict[str, object]) -> None:
    tenant = Tenant()
    body = json.dumps(
        {
            "entity": {"id": tenant.customer()},
            "item": {"items": [{"item": {"id": tenant.item()}, **line}]},
        },
        default=str,
    ).replace('"1E+400"', "1E+400")
    url = f"{tenant.base}/services/rest/record/v1/salesOrder/eid:BAD"
    headers = {"Authorization": signer().authorization("PUT", url)}
    answer = tenant.emulator.handle(Request("PUT", url, headers, body.encode()))
    assert (answer.status, error(answer)["o:errorPath"][:14]) == (400, "item.items[0].")


def test_lines_merge_by_key_unless_they_are_replaced() -> None:
    tenant = Tenant()
    made = tenant.made(tenant.order("L-1", {"line": 1, "amount": 1}, {"line": 2, "amount": 2}))
    path = f"/record/v1/salesOrder/{made}"
    change = {"item": {"items": [{"line": 2, "amount": 5}]}}
    assert tenant.call("PATCH", path, change).status == 204
    assert tenant.read(path)["total"] == Decimal("6.00")
    whole = {"item": {"items": [{"line": 2, "amount": 7, "item": {"id": tenant.item()}}]}}
    assert tenant.call("PATCH", f"{path}?replace=item", whole).status == 204
    assert tenant.read(path)["total"] == Decimal("7.00")
    assert len(tenant.read(f"{path}/item")["items"]) == 1


def test_put_wants_an_external_id() -> None:
    answer = Tenant().call("PUT", "/record/v1/customer/12", {"companyName": "A"})
    assert answer.status == 400


def test_collections_page_by_references() -> None:
    tenant = Tenant()
    ids = [tenant.customer(name) for name in "ABCDE"]
    page = tenant.read("/record/v1/customer?limit=2&offset=2")
    assert [item["id"] for item in page["items"]] == ids[2:4]
    assert (page["count"], page["hasMore"], page["totalResults"]) == (2, True, 5)
    assert set(page["items"][0]) == {"id", "links"}
    answer = tenant.call("GET", "/record/v1/customer?limit=2&offset=3")
    assert error(answer)["o:errorQueryParam"] == "offset"
    assert tenant.call("GET", "/record/v1/customer?limit=1001").status == 400
    found = tenant.read("/record/v1/customer?q=companyName%20IS%20%22c%22")
    assert [item["id"] for item in found["items"]] == [ids[2]]
    both = tenant.read(f"/record/v1/customer?ids={ids[0]},eid:customer-B&expandRecords=true")
    assert [one["companyName"] for one in both["items"]] == ["A", "B"]
    some = tenant.read(f"/record/v1/customer/{ids[0]}?fields=companyName")
    assert set(some) == {"links", "companyName"}


def test_a_record_that_others_need_stays() -> None:
    tenant = Tenant()
    order = tenant.made(tenant.order("D-1", {"amount": 1}))
    assert tenant.call("DELETE", f"/record/v1/customer/{tenant.customer()}").status == 400
    assert tenant.call("DELETE", f"/record/v1/salesOrder/{order}").status == 204
    gone = tenant.query("SELECT recordid, type FROM deletedrecord")
    assert gone == [{"recordid": order, "type": "salesOrder"}]
    assert tenant.query("SELECT id FROM transaction") == []


# --- documents ------------------------------------------------------------------------------------


def test_an_order_is_billed_once_and_credited_once() -> None:
    tenant = Tenant()
    order = tenant.made(tenant.order("B-1", {"amount": 440}))
    bill = f"/record/v1/salesOrder/{order}/!transform/invoice"
    body = {"externalId": "B-1-INV", "tranDate": "2020-07-31"}
    invoice = tenant.made(tenant.call("POST", bill, body))
    shown = tenant.read(f"/record/v1/invoice/{invoice}")
    assert shown["createdFrom"]["id"] == order
    assert shown["postingPeriod"]["refName"] == "Jul 2020"
    assert tenant.read(f"/record/v1/salesOrder/{order}")["status"]["refName"] == "Billed"
    assert error(tenant.call("POST", bill, body))["o:errorCode"] == "DUP_RCRD"
    other = tenant.call("POST", bill, {**body, "externalId": "B-1-AGAIN"})
    assert error(other)["o:errorCode"] == "USER_ERROR"
    credit = f"/record/v1/invoice/{invoice}/!transform/creditMemo"
    memo = tenant.made(tenant.call("POST", credit, {"externalId": "V", "tranDate": "2020-08-01"}))
    row = tenant.query(f"SELECT tranid, foreigntotal FROM transaction WHERE id = {memo}")
    assert row == [{"tranid": "CM1001", "foreigntotal": "-440.00"}]
    assert tenant.call("POST", credit, {"tranDate": "2020-08-01"}).status == 400
    close = {"item": {"items": [{"line": 1, "isClosed": True}]}}
    assert tenant.call("PATCH", f"/record/v1/salesOrder/{order}", close).status == 204
    assert tenant.read(f"/record/v1/salesOrder/{order}")["status"]["refName"] == "Closed"


def test_a_closed_period_takes_no_posting() -> None:
    tenant = Tenant(closed_periods="2020-06, 2020-07")
    order = tenant.made(tenant.order("P-1", {"amount": 1}))  # an order does not post
    bill = f"/record/v1/salesOrder/{order}/!transform/invoice"
    refused = error(tenant.call("POST", bill, {"externalId": "P", "tranDate": "2020-07-31"}))
    assert refused["o:errorCode"] == "USER_ERROR"
    assert "TRAN_PERIOD_CLOSED" in refused["detail"]
    assert tenant.read(f"/record/v1/salesOrder/{order}")["status"]["refName"] == "Pending Billing"
    july = {"externalId": "P", "tranDate": "2020-08-01", "postingPeriod": {"id": "102"}}
    assert "TRAN_PERIOD_CLOSED" in error(tenant.call("POST", bill, july))["detail"]
    assert tenant.call("POST", bill, {"externalId": "P", "tranDate": "2020-08-01"}).status == 204


# --- asynchronous ---------------------------------------------------------------------------------


def test_a_job_runs_once_per_idempotency_key() -> None:
    tenant = Tenant()
    headers = {"Prefer": "respond-async", "X-NetSuite-Idempotency-Key": "6b1c-1"}
    body = {"companyName": "A", "subsidiary": {"id": "2"}}
    accepted = tenant.call("POST", "/record/v1/customer", body, headers)
    assert (accepted.status, accepted.header("Preference-Applied")) == (202, "respond-async")
    job = accepted.header("Location").removeprefix("/services/rest")
    assert tenant.read(job)["progress"] == "pending"
    assert tenant.read(job)["progress"] == "succeeded"
    again = tenant.call("POST", "/record/v1/customer", body, headers)
    assert (again.status, error(again)["o:errorCode"]) == (400, "IDEMPOTENCY_ERROR")
    assert json.loads(again.body)["title"] == "Conflict"
    assert again.header("Location") == accepted.header("Location")
    assert len(tenant.emulator.tables["customer"]) == 1
    task = tenant.read(f"{job}/task")["items"][0]["links"][0]["href"].split("/services/rest")[1]
    result = tenant.call("GET", f"{task}/result")
    assert result.status == 204
    assert result.header("Location").endswith(next(iter(tenant.emulator.tables["customer"])))


# --- SuiteQL --------------------------------------------------------------------------------------


def test_suiteql_speaks_like_the_vendor() -> None:
    tenant = Tenant()
    tenant.made(tenant.order("Q-1", {"amount": 9}, {"amount": 10}))
    tenant.made(tenant.order("Q-2", {"amount": 100}, memo="transaction 'x'"))
    rows = tenant.query(
        "SELECT ID, tranId AS Number, memo, BUILTIN.DF(status) AS status, trandate, "
        "TO_CHAR(t.trandate, 'YYYY-MM-DD') AS day FROM Transaction t WHERE t.type = 'SalesOrd' "
        "AND foreigntotal < 99.5 ORDER BY t.id"
    )
    assert rows == [
        {
            "id": "1001",
            "number": "SO1001",
            "status": "Sales Order : Pending Billing",
            "trandate": "7/4/2020",
            "day": "2020-07-04",
        }
    ]
    assert tenant.query("SELECT SUM(foreigntotal) AS s, COUNT(*) AS n FROM transaction") == [
        {"s": "119.00", "n": "2"}
    ]
    found = tenant.query("SELECT id FROM transaction WHERE memo = 'transaction ''x''' ")
    assert found == [{"id": "1002"}]
    found = tenant.query("SELECT id FROM transaction WHERE externalid IN ('q-2', 'none')")
    assert found == [{"id": "1002"}]


@pytest.mark.parametrize(
    "bad",
    [
        "SELECT nothing FROM transaction",
        "SELECT id FROM transaction LIMIT 1",
        "DELETE FROM customer",
        "ATTACH DATABASE '/tmp/x' AS x",
        "SELECT id FROM currency; SELECT 1",
        "SELECT TO_DATE('yesterday', 'YYYY-MM-DD') FROM currency",
        "",
    ],
)
def test_suiteql_refuses_what_is_not_a_query(bad: str) -> None:
    tenant = Tenant()
    answer = tenant.call("POST", "/query/v1/suiteql", {"q": bad}, {"Prefer": "transient"})
    assert error(answer)["o:errorCode"] == "INVALID_PARAMETER"
    assert len(tenant.query("SELECT id FROM currency")) == 11


def test_suiteql_wants_transient_and_pages() -> None:
    tenant = Tenant()
    answer = tenant.call("POST", "/query/v1/suiteql", {"q": "SELECT id FROM currency"})
    assert error(answer)["o:errorHeader"] == "Prefer"
    rows = tenant.query("SELECT id FROM currency ORDER BY id", "?limit=4&offset=8")
    assert [row["id"] for row in rows] == ["9", "10", "11"]


# --- the back door, lasting state, slow down ----------------------------------------------------


def test_rows_edited_or_loaded_behind_its_back_are_seen(tmp_path: Path) -> None:
    tenant = Tenant()
    order = tenant.made(tenant.order("K-1", {"amount": 5}))
    row = tenant.emulator.tables["salesOrder"][order]
    row.update({"externalId": "K-2", "total": Decimal("6.00")})
    found = tenant.query("SELECT id, foreigntotal FROM transaction WHERE externalid = 'K-2'")
    assert found == [{"id": order, "foreigntotal": "6.00"}]
    save_tables(tenant.emulator.tables, tmp_path / "state.json")
    other = Tenant()
    other.emulator.tables.update(load_tables(tmp_path / "state.json"))
    assert other.query("SELECT id FROM transaction WHERE externalid = 'k-2'") == [{"id": order}]
    assert other.made(other.order("K-2", {"amount": 7})) == order
    assert other.read(f"/record/v1/salesOrder/{order}")["tranId"] == "SO1001"
    assert other.made(other.order("K-3", {"amount": 7})) == "1002"


def test_busy_in_the_vendors_words() -> None:
    emulator = EMULATOR("http://127.0.0.1:1", {})
    told = emulator.busy(Fault("busy", 1.0, seconds=7))
    assert (told.status, told.retry_after_seconds()) == (429, 7)
    untold = emulator.busy(Fault("busy_without_wait", 1.0))
    assert untold.retry_after_seconds() is None
    assert error(untold)["o:errorCode"] == "CONCURRENCY_LIMIT_EXCEEDED"
