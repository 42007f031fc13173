"""The console in a real Chromium: seen, searched, followed, by mouse and by keyboard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.web import story
from tests.web.browser import launched
from tests.web.conftest import served
from tieout.engine.context import Context
from tieout.web.app import create_app

AXE = Path(__file__).resolve().parent / "axe" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATHS = (
    "/today",
    "/records",
    "/records?q=nothing",
    f"/records/{story.key_of(3)}",
    f"/records/{story.key_of(7)}",
    "/exceptions",
    "/exceptions/list",
    "/exceptions/1",
    "/tie-outs",
    "/tie-outs/1",
    "/nowhere",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture
def address(told: Context) -> Iterator[str]:
    with served(create_app(told)) as running:
        yield running


def opened(browser: Browser, width: int = 1280, *, dark: bool = False, script: bool = True) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
    )
    return context.new_page()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_no_page_has_a_serious_barrier(
    browser: Browser, address: str, width: int, dark: bool
) -> None:
    page = opened(browser, width, dark=dark)
    for path in PATHS:
        page.goto(address + path)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate(
            "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES
        )
        told = [
            (one["id"], one["help"], [node["html"][:160] for node in one["nodes"]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical", "moderate")
        ]
        assert not told, f"{path}: {json.dumps(told, indent=1)}"
        assert found["passes"], "axe looked at nothing"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_is_never_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    page = opened(browser, width)
    for path in PATHS:
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_an_id_is_found_and_its_life_is_drawn_without_javascript(
    browser: Browser, address: str
) -> None:
    page = opened(browser, script=False)
    page.goto(address)
    page.get_by_label("Find a record by any id").fill("SO1003")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Sales order 10250"
    drawing = page.get_by_role("img", name="The life of Sales order 10250")
    assert drawing.locator("text.lane-name").all_text_contents() == [
        "Salesforce",
        "Tieout",
        "NetSuite",
    ]
    rows = page.locator("table.events tbody tr")
    assert drawing.locator("text.mark-number").count() == rows.count()
    assert "no answer" in rows.filter(has_text="attempt 1").first.inner_text()


def test_a_case_is_followed_from_today_to_its_record_and_tie_out(
    browser: Browser, address: str
) -> None:
    page = opened(browser)
    page.goto(address)
    page.get_by_role("link", name="period closed").click()
    page.get_by_role("table").get_by_role("link", name="1", exact=True).click()
    assert page.get_by_role("heading", level=1).inner_text() == "Case 1"
    page.get_by_role("link", name="bookings to orders to plan").click()
    page.get_by_role("link", name="case 1").click()
    page.get_by_role("link", name="Sales order 10254").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Sales order 10254"


def test_the_keyboard_alone_gets_everywhere(browser: Browser, address: str) -> None:
    page = opened(browser)
    page.goto(f"{address}/today")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(f"{address}/today")
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement);"
            " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()"
        ), "what has the focus must be seen"
        if page.evaluate("document.activeElement.textContent") == "period closed":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/exceptions/list?*")
    assert "Period closed" in page.get_by_role("heading", level=1).inner_text()


def test_nothing_is_refused_by_the_pages_own_policy(browser: Browser, address: str) -> None:
    page = opened(browser)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    for path in PATHS[:-1]:
        page.goto(address + path, wait_until="networkidle")
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).fontWeight") == "600"
    assert heard == []
