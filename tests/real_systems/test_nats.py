"""Processes that are really killed, against a real NATS server. Fails where there is none."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.nats_landscape import write_landscape
from tests.connectors.nats_server import Server, server
from tests.connectors.test_nats_flow import order, published

pytestmark = pytest.mark.real_system
ORDERS = 20
MOST_SECONDS = 120


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "jetstream") as made:
        made.stream("SHOP", "shop.>")
        made.stream("FINANCE", "finance.>", duplicate_window=0.1)  # no help from the server
        yield made


def run(landscape: Path, database_url: str, *dies_after: str) -> int:
    command = [sys.executable, "-m", "tests.real_systems.nats_worker"]
    command += [str(landscape), database_url, *dies_after]
    done = subprocess.run(command, timeout=MOST_SECONDS, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


@pytest.mark.parametrize("dies_after", ["read", "write"])
def test_killed_before_the_commit_nothing_is_lost_or_doubled(
    broker: Server, tmp_path: Path, database_url: str, dies_after: str
) -> None:
    landscape = write_landscape(tmp_path / "landscape", broker.url)
    for number in range(ORDERS):
        order(broker, number)
    assert run(landscape, database_url, dies_after) == -signal.SIGKILL
    broker.kill()
    broker.start()
    assert run(landscape, database_url) == 0
    assert published(broker) == [(f"O{n}", "10.00") for n in sorted(range(ORDERS), key=str)]
    assert run(landscape, database_url) == 0
    assert len(published(broker)) == ORDERS
