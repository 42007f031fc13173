"""Events in, events out: a whole engine between two streams of a real server, and its deaths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.nats_landscape import write_landscape
from tests.connectors.nats_server import Server, server
from tieout.cli.watching import RestAwaiter
from tieout.connectors.nats import publishing, reading
from tieout.engine.context import Context
from tieout.engine.opening import open_context

MOST_SECONDS = 60.0


class Died(BaseException):
    """The process is gone: nothing after this line runs."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "jetstream") as made:
        made.stream("SHOP", "shop.>")
        made.stream("FINANCE", "finance.>")
        yield made


@pytest.fixture
def landscape(tmp_path: Path, broker: Server) -> Path:
    return write_landscape(tmp_path / "landscape", broker.url)


def order(broker: Server, number: int, total: str = "10.00", **more: object) -> None:
    event = {
        "specversion": "1.0",
        "id": f"order-{number}-{total}",
        "source": "shop",
        "type": "shop.order.placed.v1",
        "subject": f"O{number}",
        "time": f"2026-03-02T08:00:{number:02d}Z",
        "data": {"number": f"O{number}", "total": total, "currency": "EUR"},
    }
    broker.say(f"shop.order.O{number}", json.dumps({**event, **more}).encode())


def work(landscape: Path, database_url: str) -> list[tuple[str, str, str]]:
    """One process: it works until nothing moves, or dies. Returns open cases."""
    with open_context(landscape, "local", database_url, actor="test") as context:
        assert RestAwaiter(context, MOST_SECONDS).work_until_rest(poll_first=True), _story(context)
        return _cases(context)


def _cases(context: Context) -> list[tuple[str, str, str]]:
    with context.database.transaction() as connection:
        return connection.execute(
            "SELECT reason, control, words FROM cases WHERE state = 'open'"
        ).fetchall()


def _story(context: Context) -> str:
    with context.database.transaction() as connection:
        return str(
            connection.execute("SELECT system, outcome, words FROM system_states").fetchall()
        )


def published(broker: Server) -> list[tuple[str, str]]:
    """Number and amount of every event of finance."""
    found = []
    for message in broker.messages("FINANCE"):
        event = json.loads(message.data)
        assert event["type"] == "finance.invoice.posted.v1"
        found.append((event["data"]["number"], event["data"]["amount"]))
    return sorted(found)


def test_every_order_is_published_once(broker: Server, landscape: Path, database_url: str) -> None:
    for number in range(12):
        order(broker, number)
        order(broker, number)  # redelivered: the same event again
    assert work(landscape, database_url) == []
    assert published(broker) == [(f"O{n}", "10.00") for n in sorted(range(12), key=str)]
    assert work(landscape, database_url) == []
    assert len(published(broker)) == 12


def test_a_change_is_one_more_event_and_an_old_one_changes_nothing(
    broker: Server, landscape: Path, database_url: str
) -> None:
    order(broker, 1)
    work(landscape, database_url)
    order(broker, 1, "12.00", time="2026-03-02T09:00:00Z")
    order(broker, 1, "11.00", time="2026-03-02T07:00:00Z")  # older, delivered later
    work(landscape, database_url)
    assert published(broker) == [("O1", "10.00"), ("O1", "12.00")]


def test_what_is_no_event_is_a_case_and_the_rest_goes_on(
    broker: Server, landscape: Path, database_url: str
) -> None:
    broker.say("shop.order.x", b"hello")
    broker.say("shop.order.y", b"\xff\x00")
    order(broker, 1)
    assert len(work(landscape, database_url)) >= 1
    assert published(broker) == [("O1", "10.00")]


def test_killed_after_the_pull_nothing_is_lost_or_doubled(
    broker: Server, landscape: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(broker, 1)
    read = reading.read

    def died(*given: object) -> None:
        read(*given)  # type: ignore[arg-type]
        raise Died

    monkeypatch.setattr(reading, "read", died)
    with pytest.raises(Died):
        work(landscape, database_url)
    monkeypatch.undo()
    assert work(landscape, database_url) == []
    assert published(broker) == [("O1", "10.00")]


def test_killed_between_publish_and_commit_it_is_one_message(
    broker: Server, landscape: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(broker, 1)
    write = publishing.write

    def died(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        raise Died

    monkeypatch.setattr(publishing, "write", died)
    with pytest.raises(Died):
        work(landscape, database_url)
    assert len(published(broker)) == 1
    monkeypatch.undo()
    assert work(landscape, database_url) == []
    assert published(broker) == [("O1", "10.00")]


def test_a_server_killed_and_started_again_changes_nothing(
    broker: Server, landscape: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        order(broker, number)
    publish = publishing.wire.publish
    deaths: list[int] = []

    def restarted(*given: object) -> object:
        if not deaths:
            deaths.append(1)
            broker.kill()
            broker.start()
        return publish(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing.wire, "publish", restarted)
    assert work(landscape, database_url) == []
    assert deaths
    assert published(broker) == [("O0", "10.00"), ("O1", "10.00"), ("O2", "10.00")]
