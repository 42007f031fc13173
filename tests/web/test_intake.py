"""The webhook door over real HTTP: nothing is acknowledged that is not stored."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.web import story
from tests.web.conftest import served
from tieout.engine.context import Context
from tieout.web import intake
from tieout.web.app import create_app
from tieout.web.intake import MOST_BYTES

OURS, THEIRS = "00D000000000001EAA", "00D000000000002EAA"
ADDRESS = "/intake/salesforce/Opportunity"


def message(organization: str, key: str) -> bytes:
    """An outbound message as Salesforce sends it."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
<notifications xmlns="http://soap.sforce.com/2005/09/outbound">
<OrganizationId>{organization}</OrganizationId><ActionId>04k000000000001AAA</ActionId>
<Notification><Id>04l000000000001AAA</Id>
<sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
<sf:Id>{key}</sf:Id></sObject></Notification></notifications>
</soapenv:Body></soapenv:Envelope>""".encode()


@pytest.fixture
def sender(context: Context) -> Iterator[httpx.Client]:
    with served(create_app(context)) as address, httpx.Client(base_url=address) as asking:
        yield asking


def hinted(context: Context) -> list[tuple[str, int]]:
    with context.database.transaction() as connection:
        return [
            (str(key), int(times))
            for key, times in connection.execute("SELECT source_key, times FROM hints").fetchall()
        ]


def test_a_webhook_is_stored_and_answered_in_the_vendors_own_form(
    context: Context, sender: httpx.Client
) -> None:
    for _ in range(2):
        answer = sender.post(ADDRESS, content=message(OURS, story.opportunity(1)))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/xml")
        assert "<Ack>true</Ack>" in answer.text
    assert hinted(context) == [(story.opportunity(1)[:15] + "AAA", 2)]


def test_a_message_of_another_organisation_is_refused_without_a_hint(
    context: Context, sender: httpx.Client
) -> None:
    for body in (message(THEIRS, story.opportunity(1)), b"", b"<x/>", b"\x00\xff"):
        answer = sender.post(ADDRESS, content=body)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert "www-authenticate" in answer.headers
        assert OURS not in answer.text
        assert "rganisation" not in answer.text
    assert hinted(context) == []


@pytest.mark.parametrize(
    "path",
    [
        "/intake/nobody/Opportunity",
        "/intake/salesforce/Nothing",
        "/intake/salesforce/Account2",
        "/intake/netsuite/salesOrder",
        "/intake/salesforce",
    ],
)
def test_what_receives_nothing_is_not_found(sender: httpx.Client, path: str) -> None:
    answer = sender.post(path, content=message(OURS, story.opportunity(1)))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_too_large_a_body_is_refused_whatever_its_header_says(
    context: Context, sender: httpx.Client
) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (MOST_BYTES // 10)

    assert sender.post(ADDRESS, content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert sender.post(ADDRESS, content=parts()).status_code == 413
    assert hinted(context) == []


def test_without_a_database_nothing_is_acknowledged(context: Context) -> None:
    context.database.url = "postgresql://127.0.0.1:1/nobody"  # where no server listens
    with served(create_app(context)) as address:
        answer = httpx.post(f"{address}{ADDRESS}", content=message(OURS, story.opportunity(1)))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "Ack" not in answer.text


def test_content_of_another_type_is_refused(context: Context, sender: httpx.Client) -> None:
    body = message(OURS, story.opportunity(1))
    answer = sender.post(ADDRESS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 415
    assert "text/xml" in answer.json()["detail"]
    typed = {"Content-Type": "Text/XML; charset=UTF-8"}
    assert sender.post(ADDRESS, content=body, headers=typed).status_code == 200
    assert len(hinted(context)) == 1


def test_more_than_may_be_inside_at_once_are_told_when_to_come_again(
    context: Context, sender: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MOST_AT_ONCE", "MOST_BYTES_AT_ONCE"):
        with monkeypatch.context() as narrow:
            narrow.setattr(intake, limit, 0)
            answer = sender.post(ADDRESS, content=message(OURS, story.opportunity(1)))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
    assert hinted(context) == []


def test_looking_at_the_intake_is_no_webhook(sender: httpx.Client) -> None:
    assert sender.get(ADDRESS).status_code == 405
