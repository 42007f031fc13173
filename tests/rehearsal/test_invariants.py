"""The promises as code are silent about a world in which all is well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import fresh_database
from tests.rehearsal.invariants_world import World, busy_day, world
from tieout.rehearsal.invariants import ALL
from tieout.store.embedded import Embedded


@pytest.fixture(scope="module")
def made(cluster: Embedded) -> Iterator[World]:
    with fresh_database(cluster) as url, world(url) as one:
        busy_day(one)
        yield one


@pytest.mark.parametrize("promise", ALL)
def test_a_promise_is_silent_about_a_good_world(made: World, promise: str) -> None:
    with made.planting() as connection:
        assert ALL[promise].check(made.scene(connection)) == []
        assert ALL[promise].check(made.scene(connection, "during")) == []
