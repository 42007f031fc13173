"""The emulated Salesforce as a client that others wrote sees it: simple-salesforce over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from tests.emulators.salesforce_client import (
    SETTINGS,
    amount_of,
    client_of,
    http_session,
    opportunity,
    said,
    seed_lines,
    token,
)
from tieout import clock
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import Fault, load_tables, save_tables
from tieout.emulators.salesforce import EMULATOR
from tieout.emulators.salesforce.model import OBJECTS
from tieout.emulators.salesforce.values import full_id, with_check
from tieout.ports.http import Request


@pytest.fixture
def served() -> Iterator[Served]:
    with serve("salesforce", SETTINGS) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Any:
    return client_of(served)


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
        assert said(refusal) == [
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
        assert said(refusal)[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
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
    assert re.fullmatch(r"[-0-9]{10}T[:0-9]{8}\.\d{3}\+0000", after["SystemModstamp"])
    assert client.Account.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as refusal:
        client.Account.get(made["id"])
    assert said(refusal)[0]["errorCode"] == "ENTITY_IS_DELETED"
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
    (error,) = said(refusal)
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
    assert len(said(refusal)) == 2


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
