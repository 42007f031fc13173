"""The life of order 10770 on its page is the life it has in a demo."""

from __future__ import annotations

import pytest

from tests.docs.conftest import Demo
from tools import life_page

pytestmark = pytest.mark.xdist_group("docs")


def test_the_page_comes_out_of_the_demo(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.output
    page = life_page.PAGE.read_text(encoding="utf-8")
    shown = {match[2]: match[3] for match in life_page.BLOCK.finditer(page)}
    made = life_page.read(demo.folder)
    assert set(shown) == set(made)
    for name, text in made.items():
        assert life_page.plain(shown[name]) == life_page.plain(text), name


def test_what_may_differ_is_little() -> None:
    seen = "2026-11-21 04:31:21  arrival:891 by poll, 3 times → recorded SO1069 236.25 BRL"
    assert life_page.plain(seen) == (
        "<instant> arrival:<number> by <door> → recorded SO<number> 236.25 BRL"
    )
    assert life_page.plain("amount 236.25") != life_page.plain("amount 236.26")
