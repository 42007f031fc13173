"""One fresh house per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.house import House, house


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made
