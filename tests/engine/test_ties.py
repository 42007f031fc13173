"""One version, two contents: the order in which they arrived decides, in one load and in two."""

from __future__ import annotations

import json

import pytest

from tests.engine.house import House
from tests.engine.test_resolve import account, arrive


def name_of(home: House) -> str:
    body = home.one("SELECT body FROM records ORDER BY version DESC LIMIT 1")
    return str(json.loads(body)["name"])


@pytest.mark.parametrize("together", [True, False])
def test_what_arrived_last_speaks_for_a_version_that_came_twice(
    home: House, together: bool
) -> None:
    arrive(home, account("v1", "first"), account("v1", "second"), together=together)
    assert name_of(home) == "second"
    assert home.one("SELECT count(*) FROM records") == (1 if together else 2)


def test_the_earlier_content_again_is_a_repeat_and_changes_nothing(home: House) -> None:
    arrive(home, account("v1", "first"), account("v1", "second"), together=False)
    arrive(home, account("v1", "first"))
    assert name_of(home) == "second"
    assert home.one("SELECT count(*) FROM arrivals") == 2


def test_a_tie_does_not_win_over_a_newer_version(home: House) -> None:
    arrive(home, account("v1", "first"), account("v2", "newer"), together=False)
    arrive(home, account("v1", "late"))
    assert name_of(home) == "newer"
