"""up and down: twice, with a port taken, and what is still there afterwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.commands import free_ports, processes_of, quick_landscape, tieout
from tests.processes.end_state import posted_twice
from tests.processes.shop import Shop, shop_in_a_new_folder


@pytest.fixture
def shop() -> Iterator[Shop]:
    with shop_in_a_new_folder() as found:
        yield found


def test_up_twice_is_one_and_down_twice_is_fine(shop: Shop) -> None:
    """The emulated systems remember what they held: the tie-outs come out the same."""
    shop.win()
    assert shop.sync().code == 0
    port = ("--port", str(shop.port))
    tied = shop("reconcile", "--as", "elena", "--json").json
    first, second = shop("up", *port, "--json"), shop("up", *port)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "Running already" in second.out
    one_worker = [line for line in processes_of(shop.folder) if " worker " in line]
    assert len(one_worker) == 1
    down = shop("down", "--json")
    assert down.code == 0
    assert {"worker", "web", "emulator-netsuite", "postgres"} <= set(down.json["stopped"])
    assert processes_of(shop.folder) == []
    nothing = shop("down")
    assert nothing.code == 0
    assert "nothing was running" in nothing.out
    assert shop("up", *port).code == 0
    assert shop("reconcile", "--as", "elena", "--json").json == tied
    assert posted_twice(shop.port) == {}


def test_a_taken_port_is_named_and_nothing_is_left_running(home: Path) -> None:
    port = free_ports()
    folder = quick_landscape(home, port)
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", port + 2))
        somebody.listen()
        done = tieout("up", "--port", port, folder=folder)
    assert done.code == 5, done.out
    assert f"port {port + 2} for netsuite is taken" in done.err
    assert processes_of(folder) == []
