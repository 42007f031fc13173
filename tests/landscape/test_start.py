"""A real system that is started beside the landscape: what its environment may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.landscape.conftest import Break
from tieout.landscape.examples import example
from tieout.landscape.loader import load

ENVIRONMENT = "environments/local.yaml"


def test_the_demo_says_which_program_and_where_it_is_kept() -> None:
    ledger = load(example("quote_to_cash_tryton")).environments["demo"]["tryton"]
    assert ledger.start == {"program": "tryton", "folder": "../.cache"}
    assert ledger.emulate == ""
    assert ledger.secrets == {"password": "file:../.cache/tryton/password"}


def test_a_system_that_runs_by_itself_is_not_started(folder: Path) -> None:
    assert load(folder).environments["local"]["netsuite"].start == {}


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("    start: {program: tryton}\n    emulate: netsuite\n", "both emulate and start"),
        ("    start: {folder: ../.cache}\n", "has no program"),
    ],
)
def test_what_start_may_not_say(problems_of: Break, start: str, words: str) -> None:
    found = problems_of(ENVIRONMENT, "    emulate: netsuite\n", start)
    assert any(words in problem.what for problem in found), [str(one) for one in found]
