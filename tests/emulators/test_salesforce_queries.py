"""SOQL, collections and composite of the emulated Salesforce, by a client that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from simple_salesforce.exceptions import (
    SalesforceMalformedRequest,
)

from tests.emulators.salesforce_client import (
    SETTINGS,
    client_of,
    opportunity,
    said,
    seed_lines,
    token,
)
from tieout.emulators.host import Served, serve
from tieout.emulators.salesforce.soql import parse
from tieout.emulators.salesforce.values import ApiError
from tieout.ports.http import Request


@pytest.fixture
def served() -> Iterator[Served]:
    with serve("salesforce", SETTINGS) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Any:
    return client_of(served)


# --- queries ------------------------------------------------------------------------------------


def test_pages_follow_the_locator(client: Any) -> None:
    rows = [{"attributes": {"type": "Account"}, "Name": f"A{n:03}"} for n in range(450)]
    for start in range(0, 450, 200):
        part = rows[start : start + 200]
        client.restful("composite/sobjects", method="POST", json={"records": part})
    header = {"Sforce-Query-Options": "batchSize=200"}
    first = client.query("SELECT Name FROM Account ORDER BY Name", headers=header)
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)
    second = client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    third = client.query_more(second["nextRecordsUrl"], identifier_is_url=True)
    assert third["done"]
    names = [row["Name"] for page in (first, second, third) for row in page["records"]]
    assert names == [f"A{n:03}" for n in range(450)]
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        client.query_more("01gnonsense-200")
    assert said(refusal)[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("Amount > 10", "2 3"),
        ("Amount >= 10 AND CloseDate < 2021-01-03", "1 2"),
        ("(Amount = 10 OR Amount = 30) AND NOT Name = 'O''x'".replace("''", r"\'"), "1 3"),
        ("Order_Number__c IN ('1', '3')", "1 3"),
        ("Order_Number__c NOT IN ('1', '3')", "2"),
        (r"Name = 'it\'s 2'", "2"),
        ("Name LIKE 'ORDER%'", "1 3"),
        ("Region__c = null", "1 2 3"),
        ("Region__c != 'North'", "1 2 3"),
        ("SystemModstamp > 2020-01-01T00:00:00Z", "1 2 3"),
        ("SystemModstamp < 2020-01-01T00:00:00+02:00", ""),
        ("IsDeleted = true", ""),
    ],
)
def test_conditions(client: Any, where: str, numbers: str) -> None:
    for number, name in (("1", "Order 1"), ("2", "it's 2"), ("3", "Order 3")):
        row = opportunity(number, Name=name, Amount=int(number) * 10)
        client.Opportunity.create({**row, "CloseDate": f"2021-01-0{number}"})
    found = client.query(f"SELECT Order_Number__c FROM Opportunity WHERE {where} ORDER BY Id")
    assert " ".join(row["Order_Number__c"] for row in found["records"]) == numbers


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nothing FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Name = 'a' OR Name = 'b' AND Name = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'unended", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = '2021-01-01'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Id FROM Account LIMIT -1", "MALFORMED_QUERY"),
        ("SELECT (SELECT Id FROM Contacts) FROM Account", "INVALID_TYPE"),
        ("DROP TABLE Account", "MALFORMED_QUERY"),
    ],
)
def test_bad_queries(client: Any, soql: str, code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        client.query(soql)
    assert said(refusal)[0]["errorCode"] == code


def test_parents_order_and_limit(client: Any) -> None:
    account = client.Account.create({"Name": "Ernst Handel"})["id"]
    client.Opportunity.create(opportunity("1", AccountId=account, Amount=1))
    client.Opportunity.create(opportunity("2", Amount=2))
    found = client.query(
        "SELECT Order_Number__c, Account.Name FROM Opportunity ORDER BY Amount DESC LIMIT 2"
    )["records"]
    assert [row["Order_Number__c"] for row in found] == ["2", "1"]
    assert found[0]["Account"] is None
    assert found[1]["Account"]["Name"] == "Ernst Handel"


def test_nesting_beyond_reason_is_refused_not_crashed() -> None:
    with pytest.raises(ApiError) as refusal:
        parse("SELECT Id FROM Account WHERE " + "(" * 2000 + "Id = null" + ")" * 2000)
    assert refusal.value.code == "QUERY_TOO_COMPLICATED"


# --- many rows at once --------------------------------------------------------------------------


def test_a_200_with_failed_rows(client: Any) -> None:
    records = [
        {"attributes": {"type": "Opportunity"}, **opportunity("1")},
        {"attributes": {"type": "Opportunity"}, "Name": "no stage"},
    ]
    answers = client.restful("composite/sobjects", method="POST", json={"records": records})
    assert [one["success"] for one in answers] == [True, False]
    assert answers[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert answers[1]["errors"][0]["fields"] == ["StageName", "CloseDate"]
    assert client.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 1


def test_all_or_none_leaves_nothing(client: Any) -> None:
    key = seed_lines(client, [("1", "5", "0")])
    before = client.Opportunity.get(key)
    records = [
        {"attributes": {"type": "Opportunity"}, "id": key, "Name": "changed"},
        {"attributes": {"type": "Opportunity"}, "id": "006000000000999AAA", "Name": "nobody"},
    ]
    answers = client.restful(
        "composite/sobjects", method="PATCH", json={"allOrNone": True, "records": records}
    )
    codes = [one["errors"][0]["statusCode"] for one in answers]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "NOT_FOUND"]
    assert client.Opportunity.get(key) == before


def test_collections_upsert_and_delete(client: Any) -> None:
    records = [{"attributes": {"type": "Opportunity"}, **opportunity(n)} for n in ("1", "2")]
    path = "composite/sobjects/Opportunity/Order_Number__c"
    first = client.restful(path, method="PATCH", json={"records": records})
    again = client.restful(path, method="PATCH", json={"records": records})
    assert [one["created"] for one in first + again] == [True, True, False, False]
    ids = ",".join(one["id"] for one in first)
    gone = client.restful("composite/sobjects", method="DELETE", params={"ids": ids})
    assert [one["success"] for one in gone] == [True, True]
    assert client.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 0


def test_more_than_200_rows_are_refused(client: Any) -> None:
    records = [{"attributes": {"type": "Account"}, "Name": "x"}] * 201
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        client.restful("composite/sobjects", method="POST", json={"records": records})
    assert said(refusal)[0]["errorCode"] == "EXCEEDED_MAX_SIZE_REQUEST"


@pytest.mark.parametrize(("all_or_none", "left"), [(False, 1), (True, 0)])
def test_composite_refers_back_and_rolls_back(client: Any, all_or_none: bool, left: int) -> None:
    root = "/services/data/v67.0/sobjects"
    calls = [
        ("a", "Account", {"Name": "Ernst Handel"}),
        ("o", "Opportunity", {**opportunity("1"), "AccountId": "@{a.id}"}),
        ("bad", "Account", {"AccountNumber": "no name"}),
    ]
    body = {
        "allOrNone": all_or_none,
        "compositeRequest": [
            {"method": "POST", "url": f"{root}/{kind}", "referenceId": ref, "body": row}
            for ref, kind, row in calls
        ],
    }
    parts = client.restful("composite", method="POST", json=body)["compositeResponse"]
    created = 400 if all_or_none else 201
    assert [part["httpStatusCode"] for part in parts] == [created, created, 400]
    found = client.query("SELECT Id FROM Opportunity WHERE AccountId != null")
    assert found["totalSize"] == left


# --- nonsense -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "composite/sobjects", b'{"records": [{"attributes": "Account"}]}'),
        ("POST", "composite/sobjects", b'{"records": 7}'),
        ("PATCH", "composite/sobjects", b'{"records": [{"attributes": {"type": []}, "id": 7}]}'),
        ("DELETE", "composite/sobjects?ids=x,,y", b""),
        ("POST", "composite", b'{"compositeRequest": [1]}'),
        ("POST", "composite", b'{"compositeRequest": [{}]}'),
        ("POST", "sobjects/Account", b"[" * 100_000),
        ("POST", "sobjects/Account", b"\xff"),
        ("POST", "sobjects/Account", b'{"Name": {"a": 1}}'),
        ("POST", "sobjects/Opportunity", b'{"Amount": 1e999999}'),
        ("POST", "sobjects/Opportunity", b'{"Amount": NaN}'),
        ("GET", "query", b""),
        ("GET", "query/x-y", b""),
        ("PUT", "sobjects/Account/001", b"{}"),
        ("GET", "../../..", b""),
    ],
)
def test_nonsense_is_answered(served: Served, method: str, path: str, body: bytes) -> None:
    authorization = {"Authorization": f"Bearer {token(served).json()['access_token']}"}
    url = f"{served.url}/services/data/v67.0/{path}"
    response = served.emulator.handle(Request(method, url, authorization, body))
    assert response.status in {200, 400, 404, 405}
    assert b'"success": true' not in response.body
    assert not served.emulator.tables.get("Account")
