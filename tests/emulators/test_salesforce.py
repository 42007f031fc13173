"""The emulated Salesforce as a client that others wrote sees it: simple-salesforce over HTTP."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from tieout import clock
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import Fault, load_tables, save_tables
from tieout.emulators.salesforce import EMULATOR
from tieout.emulators.salesforce.model import OBJECTS
from tieout.emulators.salesforce.soql import parse
from tieout.emulators.salesforce.values import ApiError, full_id, with_check
from tieout.ports.http import Request

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


@pytest.fixture
def served() -> Iterator[Served]:
    with serve("salesforce", SETTINGS) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Any:
    return client_of(served)


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


def amount_of(client: Any, key: str) -> Decimal:
    found = client.query(f"SELECT Amount FROM Opportunity WHERE Id = '{key}'")
    return cast(Decimal, found["records"][0]["Amount"])


# --- signing in ---------------------------------------------------------------------------------


def test_client_credentials_grant_what_the_vendor_grants(served: Served) -> None:
    granted = token(served).json()
    assert granted["instance_url"] == served.url
    assert granted["token_type"] == "Bearer"
    assert granted["issued_at"].isdigit()
    assert "expires_in" not in granted
    assert "refresh_token" not in granted


def test_a_wrong_secret_is_refused_in_the_vendors_form(served: Served) -> None:
    refused = token(served, "wrong")
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "invalid_client",
        "error_description": "invalid client credentials",
    }


def test_jwt_bearer_sign_in_by_the_independent_client() -> None:
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    settings = {"client_id": "app", "username": "bot@x.example", "jwt_public_key": public.decode()}
    with serve("salesforce", settings) as served:
        client = cast(
            Any,
            Salesforce(
                username="bot@x.example",
                consumer_key="app",
                privatekey=pem,
                instance_url="northwind.my",
                version="67.0",
                session=http_session(served),
            ),
        )
        assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 0


def test_a_session_ends(served: Served) -> None:
    with serve("salesforce", {**SETTINGS, "session_seconds": "0"}) as short:
        with pytest.raises(SalesforceExpiredSession) as refusal:
            client_of(short).limits()
        assert refusal.value.content == [
            {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
        ]


def test_versions_need_no_session_and_limits_count(served: Served, client: Any) -> None:
    versions = requests.get(f"{served.url}/services/data/", timeout=5).json()
    assert {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"} in versions
    client.limits()
    limits = client.limits()["DailyApiRequests"]
    assert limits["Max"] - limits["Remaining"] == 2
    assert client.api_usage["api-usage"].used == 2


def test_the_daily_limit_is_a_403(served: Served) -> None:
    with serve("salesforce", {**SETTINGS, "daily_requests": "1"}) as small:
        client = client_of(small)
        client.limits()
        with pytest.raises(SalesforceRefusedRequest) as refusal:
            client.limits()
        assert refusal.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
        busy = small.emulator.busy(Fault("busy", 1.0))
        assert (busy.status, busy.retry_after_seconds()) == (403, None)


# --- rows ---------------------------------------------------------------------------------------


def test_create_read_change_delete(client: Any) -> None:
    made = client.Account.create({"Name": "Alfreds Futterkiste", "AccountNumber": "ALFKI"})
    assert made["success"]
    assert len(made["id"]) == 18
    assert made["id"].startswith("001")
    before = client.Account.get(made["id"])
    assert client.Account.update(made["id"], {"BillingCity": "Berlin"}) == 204
    after = client.Account.get(made["id"][:15])
    assert after["BillingCity"] == "Berlin"
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert dt.datetime.strptime(after["SystemModstamp"], "%Y-%m-%dT%H:%M:%S.%f+0000")
    assert client.Account.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as refusal:
        client.Account.get(made["id"])
    assert refusal.value.content[0]["errorCode"] == "ENTITY_IS_DELETED"
    assert client.query("SELECT Id FROM Account")["totalSize"] == 0
    gone = client.query("SELECT Id, IsDeleted FROM Account", include_deleted=True)
    assert [row["IsDeleted"] for row in gone["records"]] == [True]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Nothing__c": "x"}, "INVALID_FIELD"),
        ({"Name": None}, "REQUIRED_FIELD_MISSING"),
        ({"AccountId": "001000000009999AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"AccountId": "nonsense"}, "MALFORMED_ID"),
        ({"Amount": "a lot"}, "JSON_PARSER_ERROR"),
        ({"CloseDate": "soon"}, "JSON_PARSER_ERROR"),
        ({"Name": "x" * 121}, "STRING_TOO_LONG"),
        ({"SystemModstamp": "2021-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Order_Number__c": "TAKEN"}, "DUPLICATE_VALUE"),
    ],
)
def test_bad_values_are_refused_with_the_vendors_code(
    client: Any, change: dict[str, object], code: str
) -> None:
    client.Opportunity.create(opportunity("taken"))
    with pytest.raises(SalesforceMalformedRequest) as refusal:
        client.Opportunity.create({**opportunity("1"), **change})
    (error,) = refusal.value.content
    assert error["errorCode"] == code
    assert error["message"]
    assert client.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 1


def test_an_unknown_object_is_not_found(client: Any) -> None:
    with pytest.raises(SalesforceResourceNotFound):
        client.Nothing.create({"Name": "x"})


def test_describe_tells_types_and_keys(client: Any) -> None:
    fields = {one["name"]: one for one in client.Opportunity.describe()["fields"]}
    assert fields["Amount"]["type"] == "currency"
    assert fields["Order_Number__c"]["externalId"]
    assert fields["AccountId"]["referenceTo"] == ["Account"]


def test_upsert_by_external_id(client: Any) -> None:
    body = {k: v for k, v in opportunity("x").items() if k != "Order_Number__c"}
    path = "Order_Number__c/10%2F248"
    first = client.Opportunity.upsert(path, body, raw_response=True)
    again = client.Opportunity.upsert(path, {"Name": "renamed"}, raw_response=True)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["created"] is True
    assert again.json() == {**first.json(), "created": False}
    assert client.Opportunity.get_by_custom_id("Order_Number__c", "10/248")["Name"] == "renamed"
    assert client.query("SELECT COUNT() FROM Opportunity")["totalSize"] == 1


def test_upsert_that_matches_several_rows_is_a_300(client: Any) -> None:
    for number in ("1", "2"):
        client.Opportunity.create(opportunity(number, ERP_Order_Number__c="SO1"))
    with pytest.raises(SalesforceMoreThanOneRecord) as refusal:
        client.Opportunity.upsert("ERP_Order_Number__c/SO1", {"Name": "x"})
    assert len(refusal.value.content) == 2


# --- totals -------------------------------------------------------------------------------------


def test_totals_are_exact_and_follow_the_lines(client: Any) -> None:
    key = seed_lines(client, [("12", "14.0", "0"), ("10", "9.80000019", "5.000000074505806")])
    assert amount_of(client, key) == Decimal("261.10")
    found = client.query(
        "SELECT Amount, (SELECT UnitPrice, TotalPrice FROM OpportunityLineItems "
        f"ORDER BY SortOrder) FROM Opportunity WHERE Id = '{key}'"
    )
    lines = found["records"][0]["OpportunityLineItems"]["records"]
    assert [str(line["UnitPrice"]) for line in lines] == ["14.0", "9.80000019"]
    assert [str(line["TotalPrice"]) for line in lines] == ["168.00", "93.10"]


def test_the_total_rounds_half_away_from_zero(client: Any) -> None:
    key = seed_lines(client, [("1", "0.125", "0"), ("-1", "0.125", "0"), ("3", "0.335", "0")])
    lines = client.query("SELECT TotalPrice FROM OpportunityLineItem ORDER BY SortOrder")
    assert [str(line["TotalPrice"]) for line in lines["records"]] == ["0.13", "-0.13", "1.01"]
    assert amount_of(client, key) == Decimal("1.01")


def test_an_amount_with_lines_cannot_be_overwritten(client: Any) -> None:
    key = seed_lines(client, [("1", "5", "0")])
    client.Opportunity.update(key, {"Amount": 99, "CurrencyIsoCode": "UKP"})
    assert amount_of(client, key) == Decimal("5.00")
    assert client.Opportunity.get(key)["CurrencyIsoCode"] == "UKP"


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
    assert refusal.value.content[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


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
    assert refusal.value.content[0]["errorCode"] == code


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
    assert refusal.value.content[0]["errorCode"] == "EXCEEDED_MAX_SIZE_REQUEST"


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


# --- state --------------------------------------------------------------------------------------


def test_the_state_survives_saving(client: Any, served: Served, tmp_path: Path) -> None:
    key = seed_lines(client, [("10", "9.80000019", "0")])
    path = tmp_path / "state.json"
    save_tables(served.emulator.tables, path)
    twin = EMULATOR(served.url, SETTINGS)
    twin.tables.update(load_tables(path))
    authorization = {"Authorization": f"Bearer {client.session_id}"}

    def ask(method: str, path: str, body: bytes = b"") -> Any:
        url = f"{served.url}/services/data/v67.0/{path}"
        answer = twin.handle(Request(method, url, authorization, body)).body
        return json.loads(answer, parse_float=Decimal)

    assert ask("GET", f"sobjects/Opportunity/{key}")["Amount"] == Decimal("98.00")
    made = ask("POST", "sobjects/Account", b'{"Name":"x"}')
    assert made["id"] == with_check("001000000000001")
    product = ask("POST", "sobjects/Product2", b'{"Name":"y"}')
    assert product["id"] == with_check("01t000000000002"), "the sequence goes on where it was"


def test_stamps_never_repeat_even_when_the_clock_stands_still() -> None:
    class Frozen(clock.RealWorld):
        def now(self) -> dt.datetime:
            return dt.datetime(2026, 5, 8, 21, 20, tzinfo=dt.UTC)

    with clock.world(Frozen()):
        twin = EMULATOR("http://x", SETTINGS)
        with twin.rows.transaction():
            for name in ("a", "b", "c"):
                twin.rows.create(OBJECTS["Account"], {"Name": name})
        stamps = [row["SystemModstamp"] for row in twin.tables["Account"].values()]
    assert stamps[0] == "2026-05-08T21:20:00.000+0000"
    assert len(set(stamps)) == 3
    assert stamps == sorted(map(str, stamps))


def test_ids_have_the_vendors_check_letters() -> None:
    assert with_check("00D000000000001") == "00D000000000001EAA"
    assert full_id("001D000000IqhSL") == "001D000000IqhSLIAZ"
    assert full_id("too short") is None
