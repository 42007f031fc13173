"""TIEOUT_DATABASE_URL: another server than the embedded one, and what is refused there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.commands import free_ports, rows
from tests.processes.end_state import posted_twice
from tests.processes.shop import Shop, shop_in_a_new_folder
from tieout.cli.shared import STATE_FOLDER
from tieout.cli.telling import UNAVAILABLE
from tieout.store import embedded


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with shop_in_a_new_folder(8) as found:
        yield found


def test_a_short_sync_on_another_server(shop: Shop, server: str) -> None:
    shop.win(4)
    done = shop("sync", "--as", "omar", "--json", TIEOUT_DATABASE_URL=server)
    assert done.code == 0, done.err
    assert done.json["at_rest"] is True
    assert done.json["proofs"] > 4
    assert rows(server, "SELECT name FROM landscape_identity") == [("quote_to_cash",)]
    assert shop.ask("SELECT count(*) FROM arrivals") == [(0,)], "the embedded one was not used"
    assert posted_twice(shop.port) == {}
    tied = shop("reconcile", "--as", "elena", TIEOUT_DATABASE_URL=server)
    assert tied.code == 0, tied.out + tied.err
    assert embedded.running(shop.folder / STATE_FOLDER) is not None, "not ours to stop"


def test_a_database_of_another_landscape_is_refused(shop: Shop, server: str) -> None:
    """One database, one landscape: the second one is told to go elsewhere."""
    shop("doctor", TIEOUT_DATABASE_URL=server)
    path = shop.folder / "landscape.yaml"
    mine = path.read_text(encoding="utf-8")
    path.write_text(mine.replace("quote_to_cash", "somebody_else", 1), encoding="utf-8")
    try:
        done = shop("sync", "--as", "omar", TIEOUT_DATABASE_URL=server)
        assert done.code == UNAVAILABLE
        assert "belongs to the landscape 'quote_to_cash'" in done.err
    finally:
        path.write_text(mine, encoding="utf-8")


def test_a_server_that_does_not_answer_is_named_without_its_password(shop: Shop) -> None:
    port = free_ports()
    url = f"postgresql://tieout:canary-password@127.0.0.1:{port}/tieout"
    done = shop("sync", "--as", "omar", TIEOUT_DATABASE_URL=url)
    assert done.code == UNAVAILABLE
    assert f"127.0.0.1:{port}" in done.err
    assert "TIEOUT_DATABASE_URL" in done.err
    assert "canary-password" not in done.out + done.err
