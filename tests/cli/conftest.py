"""A landscape that has really sold something: the verbs for daily work are tried on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.shop import Shop, shop_in_a_new_folder


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Everything runs, the deals are synced, and what is bad waits in cases."""
    with shop_in_a_new_folder() as found:
        found.win()
        synced = found.sync()
        assert synced.code == 0, synced.err + synced.out
        yield found
