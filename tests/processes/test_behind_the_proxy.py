"""A network that misbehaves between real processes: the workers and the ledger, all and PostgreSQL.

Invoices are sent and amended all the time, before, during and after each kind of trouble. In the
end nothing that was acknowledged is lost, nothing came to the ledger twice or out of order, and
what is known of each call is what can be known: a reply that was lost is neither yes nor no.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from benchmarks.loopback.world import world
from tests.processes.amendments import Amendments, shown
from tests.processes.proxy import (
    Blackhole,
    HalfClose,
    Latency,
    Mode,
    Pass,
    Proxy,
    Refuse,
    Reset,
    SwallowReply,
    proxy_to,
)
from tests.processes.quick_world import (
    ANSWER_SECONDS,
    QuickWorld,
    Sender,
    await_acknowledged,
)
from tieout import clock
from tieout.rehearsal.invariants.recount import recount

DRAWN_WITH = 7_700
PAUSE_SECONDS = 0.04
TRIES = 200
TROUBLE_SECONDS = 2.0
REST_SECONDS = 60.0  # once the retry budget is spent, a system is asked every 5 to 15 seconds
CALL_SECONDS = 1  # that a call to the ledger may take
LEFT = (
    "SELECT (SELECT count(*) FROM arrivals WHERE state = 'new'), "
    "(SELECT count(*) FROM runs WHERE state <> 'complete'), "
    "(SELECT count(*) FROM cases WHERE state = 'open'), "
    "(SELECT count(*) FROM dispatches WHERE state NOT IN ('proved', 'superseded'))"
)


@dataclass
class Behind(QuickWorld):
    """Its processes reach the ledger, the database or both only through a proxy."""

    to_ledger: Proxy | None = None
    to_database: Proxy | None = None
    feeds: list[Amendments] = field(default_factory=list)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)

    def write_landscape(self) -> None:
        super().write_landscape()
        path = self.folder / "environments" / "bench.yaml"
        head, books, tail = path.read_text(encoding="utf-8").partition("  books:\n")
        tail = tail.replace("timeout: 10 seconds", f"timeout: {CALL_SECONDS} second")
        if self.to_ledger is not None:
            tail = tail.replace(f":{self.target_port}", f":{self.to_ledger.port}")
        path.write_text(f"{head}{books}{tail}", encoding="utf-8")

    def environment(self) -> dict[str, str]:
        found = super().environment()
        if self.to_database is not None:
            found["TIEOUT_DATABASE_URL"] = through(self.to_database, self.url)
        return found

    def start_who_ended(self) -> None:
        """What a supervisor would do."""
        for name in list(self.pids):
            if not self.running(name):
                self.start(name)


def through(proxy: Proxy, url: str) -> str:
    """The database's URL with the proxy's port for its own."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{place}:{proxy.port}"))


def assert_right(made: Behind) -> None:
    """Nothing lost, doubled or out of order; every total and document is what it must be."""
    deadline = clock.monotonic() + REST_SECONDS
    while (left := left_to_do(made)) != (0, 0, 0, 0):
        assert clock.monotonic() < deadline, f"{left} are left; {made.logs()}"
        clock.sleep(0.05)
    assert made.ledger is not None
    totals = {key: known for one in made.feeds for key, known in one.totals.items()}
    found = shown(made.ledger.story, totals, made.acknowledged)
    assert found.right, found.words
    assert recount(made.ask) == []
    there = len(made.ledger.rows["entry"])
    documents = made.ask(
        "SELECT count(*), count(DISTINCT reference), count(*) FILTER (WHERE state <> 'present') "
        "FROM documents WHERE stream = 'entry'"
    )
    assert documents == [(there, there, 0)], "one document for each invoice, and each is proved"


def left_to_do(made: Behind) -> tuple[object, ...]:
    made.start_who_ended()
    return made.ask(LEFT)[0]


@contextlib.contextmanager
def sending(made: Behind, prefix: str) -> Iterator[Sender]:
    """Invoices come in, are amended, and are sent again until they are acknowledged."""
    feed, stopping = Amendments(prefix, random.Random(f"{DRAWN_WITH} {prefix}")), threading.Event()
    sender = Sender([made.web_port], iter(feed), stopping, PAUSE_SECONDS, TRIES)
    made.feeds.append(feed)
    sender.start()
    try:
        yield sender
    finally:
        stopping.set()
        sender.join(ANSWER_SECONDS * 2)
        made.acknowledged += sender.acknowledged


def outcomes(made: Behind, since: dt.datetime, until: dt.datetime) -> set[str]:
    """What is told of the calls that began and ended between these two instants."""
    rows = made.ask(
        "SELECT DISTINCT outcome FROM attempts WHERE kind = 'send' AND started_at > %s "
        "AND ended_at < %s",
        since,
        until,
    )
    return {str(outcome) for (outcome,) in rows}


@pytest.fixture(scope="module")
def towards_ledger() -> Iterator[Behind]:
    with contextlib.ExitStack() as stack:

        def make(home: Path, url: str, web_port: int, target_port: int) -> Behind:
            proxy = stack.enter_context(proxy_to(target_port, DRAWN_WITH))
            return Behind(home, url, web_port, target_port, to_ledger=proxy)

        made = stack.enter_context(world(1, make))
        assert isinstance(made, Behind)
        made.greet()
        yield made


@dataclass(frozen=True)
class Trouble:
    """What a mode must come to: what is known of a call, and whether it was applied."""

    mode: Mode
    outcome: str
    applied: bool


LEDGER_TROUBLE = (
    Trouble(Latency(0.1, 0.1), "Written", applied=True),
    Trouble(Refuse(), "Outage", applied=False),
    Trouble(Reset(), "Unknown", applied=False),
    Trouble(Reset(after_bytes=30), "Unknown", applied=True),
    Trouble(HalfClose("caller"), "Unknown", applied=True),
    Trouble(HalfClose("target"), "Unknown", applied=False),
    Trouble(Blackhole(), "Unknown", applied=False),
    Trouble(SwallowReply(), "Unknown", applied=True),
)


@pytest.mark.parametrize("trouble", LEDGER_TROUBLE, ids=lambda one: str(one.mode))
def test_trouble_on_the_way_to_the_ledger(towards_ledger: Behind, trouble: Trouble) -> None:
    made = towards_ledger
    assert made.to_ledger is not None
    with sending(made, f"l{LEDGER_TROUBLE.index(trouble)}x") as sender:
        await_acknowledged(made, [sender])
        made.to_ledger.become(trouble.mode)
        since, began = clock.now(), clock.monotonic()
        clock.sleep(TROUBLE_SECONDS)
        until, ended = clock.now(), clock.monotonic()
        made.to_ledger.become(Pass())
        await_acknowledged(made, [sender])
    assert outcomes(made, since, until) == {trouble.outcome}
    assert came(made, began, ended) == trouble.applied
    assert_right(made)


def came(made: Behind, since: float, until: float) -> bool:
    """Whether anything came to the ledger between these two instants (seconds, monotonic)."""
    assert made.ledger is not None
    return any(since < at < until for story in made.ledger.story.values() for at, _ in story)


@pytest.fixture(scope="module")
def towards_database(server: str) -> Iterator[Behind]:
    port = urlsplit(server).port
    assert port is not None
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(proxy_to(port, DRAWN_WITH))

        def make(home: Path, url: str, web_port: int, target_port: int) -> Behind:
            return Behind(home, url, web_port, target_port, to_database=proxy)

        made = stack.enter_context(world(1, make, server))
        assert isinstance(made, Behind)
        made.greet()
        yield made


DATABASE_TROUBLE: tuple[Mode, ...] = (
    Latency(0.01, 0.01),
    Refuse(),
    Reset(),
    Reset(after_bytes=2_000),
    HalfClose("caller"),
    HalfClose("target"),
    Blackhole(),
    SwallowReply(),
)


@pytest.mark.parametrize("mode", DATABASE_TROUBLE, ids=str)
def test_trouble_on_the_way_to_the_database(towards_database: Behind, mode: Mode) -> None:
    """Of intake and worker: one must not acknowledge what it cannot know to be kept, the other
    must not forget what it sent."""
    made = towards_database
    assert made.to_database is not None
    met = made.to_database.met[type(mode).__name__]
    with sending(made, f"d{DATABASE_TROUBLE.index(mode)}x") as sender:
        await_acknowledged(made, [sender])
        made.to_database.become(mode)
        deadline = clock.monotonic() + TROUBLE_SECONDS
        while clock.monotonic() < deadline:
            made.start_who_ended()
            clock.sleep(0.1)
        made.to_database.become(Pass())
        made.start_who_ended()
        await_acknowledged(made, [sender])
    assert made.to_database.met[type(mode).__name__] > met
    assert_right(made)
