"""The README: one screen, two commands first, and what the demo really prints."""

from __future__ import annotations

import re

import pytest

from tests.docs.conftest import Demo
from tests.docs.pages import ROOT, blocks
from tests.docs.stage import differs

pytestmark = pytest.mark.xdist_group("docs")

README = ROOT / "README.md"
MOST_LINES = 70
# Repeats and seconds are counted, and differ from run to run.
COUNTED = re.compile(r"[\d,]+(?= repeats)|(?<=in )\d+(?= s\b)")


def test_it_is_one_screen() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_the_two_commands_come_first() -> None:
    first = blocks(README)[0]
    assert [line.split()[:2] for line in first.text.splitlines()] == [
        ["make", "demo"],
        ["make", "test"],
    ]


def test_the_output_is_the_demos(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.output
    (shown,) = (block.text for block in blocks(README) if block.kind == "console")
    assert differs(COUNTED.sub("n", f"…\n{shown}\n…"), COUNTED.sub("n", demo.output)) == ""
