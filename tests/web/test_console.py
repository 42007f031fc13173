"""The pages and their JSON twins, over a real database and real HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from tests.web import story
from tests.web.conftest import served
from tieout.engine.context import Context
from tieout.web.app import create_app

PAGES = ("/today", "/records", "/exceptions", "/exceptions/list", "/tie-outs")


@pytest.fixture
def empty(context: Context) -> Iterator[httpx.Client]:
    with served(create_app(context)) as address, httpx.Client(base_url=address) as asking:
        yield asking


def test_every_page_of_an_empty_landscape_says_what_to_do_next(empty: httpx.Client) -> None:
    expected = {
        "/today": "tieout sync",
        "/exceptions": "No case is open",
        "/tie-outs": "tieout reconcile",
        "/records": "order number",
    }
    for path, words in expected.items():
        page = empty.get(path)
        assert page.status_code == 200
        assert words in page.text, path
        assert empty.get(f"{path}.json").status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_its_twin_and_the_twin_carries_no_float(
    client: httpx.Client, path: str
) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert f'href="{path}.json"' in page.text
    twin = client.get(f"{path}.json")
    assert twin.headers["content-type"] == "application/json"

    def refuse(text: str) -> None:
        raise AssertionError(f"a float in {path}.json: {text}")

    json.loads(twin.text, parse_float=refuse)


def test_today_counts_what_is_proved_and_what_waits(client: httpx.Client) -> None:
    today = client.get("/today.json").json()
    assert (today["records"], today["complete"], today["held_arrivals"]) == (30, 28, 2)
    assert today["open_cases"] == 3
    euros = next(one for one in today["money"] if one["currency"] == "EUR")
    whole = sum((story.amount_of(n) for n in range(4, 31, 4)), Decimal(0))
    assert (euros["complete_count"], Decimal(euros["complete"])) == (7, whole)
    swedish = next(one for one in today["money"] if one["currency"] == "SEK")
    assert Decimal(swedish["held"]) == story.amount_of(story.HELD)
    assert [one["kept"] for one in today["promises"]] == [28]
    assert "28</strong> of 32 records" in client.get("/today").text


def test_an_id_of_any_system_leads_to_the_record(client: httpx.Client) -> None:
    for asked in ("SO1003", "so1003", "10250", story.opportunity(3), " SO1003 "):
        page = client.get("/records", params={"q": asked})
        assert page.status_code == 303, asked
        assert page.headers["location"] == f"/records/{story.key_of(3)}"
    life = client.get(f"/records/{story.key_of(3)}")
    for words in ("Sales order 10250", "no answer", "SO1003", "lines.1.amount", "2,000.00"):
        assert words in life.text, words
    twin = client.get(f"/records/{story.key_of(3)}.json").json()
    assert [one["version"] for one in twin["versions"]] == [1, 2]


def test_an_unknown_id_is_answered_with_what_to_do(client: httpx.Client) -> None:
    assert "Nothing here is known as" in client.get("/records", params={"q": "no such"}).text
    missing = client.get("/records/no-such")
    assert missing.status_code == 404
    assert "Search for it" in missing.text
    assert client.get("/exceptions/999").status_code == 404
    assert client.get("/tie-outs/99999999999999999999999").status_code == 404
    assert client.get("/nowhere").status_code == 404


def test_from_the_group_to_the_case_to_its_record(client: httpx.Client) -> None:
    groups = client.get("/exceptions")
    link = re.search(r'href="(/exceptions/list\?reason=period_closed[^"]*)"', groups.text)
    assert link is not None
    listed = client.get(link[1].replace("&amp;", "&"))
    number = re.search(r'href="/exceptions/(\d+)"', listed.text)
    assert number is not None
    case = client.get(f"/exceptions/{number[1]}")
    for words in (
        "period gate",
        "accounting date",
        "2020-06-30",
        "flows/quote_to_cash.yaml:11",
        "Reopen the period",
        "revenue-operations",
        "3,501.45",
        "Differences it explains",
    ):
        assert words in case.text, words
    life = client.get(f"/records/case:{number[1]}")
    assert "Sales order 10254" in life.text


def test_a_row_that_never_became_a_record_has_a_life(client: httpx.Client) -> None:
    page = client.get("/records", params={"q": story.opportunity(40)}, follow_redirects=True)
    assert page.status_code == 200
    assert "not a record yet" in page.text
    assert "UKP" in client.get("/exceptions/list").text


def test_a_tie_out_shows_sides_groups_and_what_explains_each_difference(
    client: httpx.Client,
) -> None:
    assert "explained to the cent" in client.get("/tie-outs").text
    page = client.get("/tie-outs/1")
    for words in ("NetSuite orders", "Salesforce", "3,501.45", "case ", "only on the left"):
        assert words in page.text, words
    twin = client.get("/tie-outs/1.json").json()
    assert len(twin["groups"]) == 4
    assert [one["difference"] for one in twin["breaks"]] == ["3501.45"]


def test_what_a_system_said_is_shown_and_never_executed(
    told: Context, client: httpx.Client
) -> None:
    with told.database.transaction() as connection:
        connection.execute(
            "UPDATE cases SET value = %s, words = %s",
            ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"),
        )
    for path in ("/exceptions", "/exceptions/1", "/exceptions/list"):
        text = client.get(path).text
        assert "<script" not in text
        assert "<img src=x" not in text
    assert "&lt;script" in client.get("/exceptions/1").text
    searched = client.get("/records", params={"q": "<script>alert(1)</script>"})
    assert "<script" not in searched.text


def test_pages_cannot_change_anything(told: Context) -> None:
    from tieout.web.console.pages import reading

    with pytest.raises(Exception, match="read-only"), reading(told) as connection:
        connection.execute("UPDATE cases SET words = 'x'")


def test_a_lost_database_is_told_and_asks_to_come_back(told: Context) -> None:
    with served(create_app(told)) as address:
        told.database.close()
        page = httpx.get(f"{address}/today")
        assert page.status_code == 503
        assert int(page.headers["retry-after"]) > 0
        assert "does not answer" in page.text
