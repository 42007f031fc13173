"""No wake-up is lost: who waits and who wakes are two real transactions on two connections, and one
is stopped at the worst moment until the other is through, or stands before a lock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from tests.engine.house import House, house
from tests.engine.test_flow import order
from tests.engine.test_waits import FIRST_ORDER, welcoming
from tieout.engine import confirm, dispatch, flow, resolve
from tieout.engine.collect import collect
from tieout.engine.deadlines import FIRST_SAFETY_LOOK_SECONDS, SECOND_LOOK_SECONDS
from tieout.store import documents, runs
from tieout.store.database import Connection, Database
from tieout.store.runs import Advance, Run, Wanted

MOST_SECONDS = 60.0
ROUNDS = 150
PARTITIONS = list(range(16))
HELD_IN_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock'"
)


class Beside(threading.Thread):
    """Work on a thread of its own; what it raised is raised where it is joined."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.failed: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - told by `through`
            self.failed = error

    def through(self) -> None:
        self.join(MOST_SECONDS)
        assert not self.is_alive(), "it never came through"
        if self.failed is not None:
            raise self.failed


class Stop:
    """A place in the program where one thread stands until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def stand(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(MOST_SECONDS), "nobody let it go"

    def await_reached(self) -> None:
        assert self.reached.wait(MOST_SECONDS), "it never came there"


@contextmanager
def stopping(target: Any, name: str, *, after: bool = False) -> Iterator[Stop]:
    """The first call of a function stands before it does its work, or after it."""
    stop, real = Stop(), getattr(target, name)

    def standing(*given: Any, **more: Any) -> Any:
        if not after:
            stop.stand()
        answer = real(*given, **more)
        if after:
            stop.stand()
        return answer

    with patch.object(target, name, standing):
        try:
            yield stop
        finally:
            stop.go_on.set()


def through_or_stuck(home: House, other: Beside) -> None:
    """Until the other has come through, or stands before a lock."""
    with psycopg.connect(home.database.url, autocommit=True) as looking:
        end = threading.Event()
        for _ in range(int(MOST_SECONDS * 100)):
            row = looking.execute(HELD_IN_LOCK).fetchone()
            if not other.is_alive() or (row is not None and row[0]):
                return
            end.wait(0.01)
    raise AssertionError("neither through nor before a lock")


def advance(home: House) -> Callable[[], object]:
    return lambda: flow.advance(home.engine)


def seen(home: House) -> None:
    """What the systems have to tell arrives; nothing is made of it yet."""
    home.renew(home.engine)
    collect(home.engine, at_once=True)


# --- a document ---


@pytest.fixture
def sent(home: House) -> House:
    """An order that was written and is not proved; its run is ready, and no wait of it is stored,
    as after an amendment that was taken back."""
    order(home, "10")
    _turn_until(home, "SELECT count(*) = 2 FROM documents WHERE state = 'present'")
    nobody_looks = patch.object(confirm, "confirm", lambda _: 0)
    with nobody_looks, patch.object(dispatch, "LANDED", ()):  # not even in the turn that writes
        written = "stream = 'salesOrder' AND state = 'written'"
        _turn_until(home, f"SELECT count(*) = 1 FROM dispatches WHERE {written}")
    looks_anew(home)
    home.clock.sleep(5)  # it is time to look
    home.renew(home.engine)
    return home


def looks_anew(home: House) -> None:
    """Every run is ready, and no wait of it is stored."""
    home.rows("UPDATE runs SET state = 'ready', waits_document = NULL, due_at = NULL RETURNING 1")
    home.rows("WITH gone AS (DELETE FROM run_waits RETURNING 1) SELECT count(*) FROM gone")


def _turn_until(home: House, so: str) -> None:
    for _ in range(100):
        if home.one(so):
            return
        home.go_on(0.5)
    raise AssertionError(f"never so: {so}; {home.story()}")


def goes_on_without_time(home: House) -> None:
    """What was proved is carried on by its event alone: the clock stands still."""
    flow.advance(home.engine)
    assert home.one("SELECT min(step_no) FROM runs") > 2, home.story()


def test_a_proof_that_comes_while_the_wait_is_being_stored(sent: House) -> None:
    with stopping(runs, "advance") as storing:
        waiter = Beside(advance(sent))
        storing.await_reached()
        waker = Beside(lambda: confirm.confirm(sent.engine))
        through_or_stuck(sent, waker)
        storing.go_on.set()
        waiter.through()
        waker.through()
    goes_on_without_time(sent)


def test_a_proof_that_is_being_committed_while_the_run_looks(sent: House) -> None:
    with stopping(flow, "carry_on", after=True) as waking:
        waker = Beside(lambda: confirm.confirm(sent.engine))
        waking.await_reached()
        waiter = Beside(advance(sent))
        through_or_stuck(sent, waiter)
        waking.go_on.set()
        waker.through()
        waiter.through()
    goes_on_without_time(sent)


# --- a record ---


@pytest.fixture
def orphan(home: House) -> tuple[House, str]:
    """An order whose customer cannot be mapped yet; its run has not looked."""
    account = home.seller.account(region="Antarctica")
    home.seller.deal("10248", account, home.seller.product())
    seen(home)
    resolve.resolve(home.engine)
    looks_anew(home)
    home.seller.change("Account", account, Region__c="Central Europe")
    home.clock.sleep(3)
    seen(home)
    return home, account


def looks_once_more(home: House, seconds: float = SECOND_LOOK_SECONDS) -> str:
    """What the run says after its next look."""
    home.clock.sleep(seconds + 0.1)
    flow.advance(home.engine)
    return str(home.one("SELECT waits_for FROM runs WHERE flow = 'quote_to_cash'"))


def test_a_parent_that_arrives_while_the_wait_is_being_stored(orphan: tuple[House, str]) -> None:
    home, _ = orphan
    with stopping(runs, "advance") as storing:
        waiter = Beside(advance(home))
        storing.await_reached()
        waker = Beside(lambda: resolve.resolve(home.engine))
        through_or_stuck(home, waker)
        storing.go_on.set()
        waiter.through()
        waker.through()
    assert looks_once_more(home) == "customer in netsuite.customer", home.story()


def test_a_parent_that_is_being_committed_while_the_run_looks(orphan: tuple[House, str]) -> None:
    home, _ = orphan
    with stopping(resolve, "records_came", after=True) as waking:
        waker = Beside(lambda: resolve.resolve(home.engine))
        waking.await_reached()
        waiter = Beside(advance(home))
        through_or_stuck(home, waiter)
        waking.go_on.set()
        waker.through()
        waiter.through()
    assert looks_once_more(home) == "customer in netsuite.customer", home.story()


# --- an event ---


@pytest.fixture
def expected(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A customer that waits for its first order has not looked yet; the order is there to read."""
    with house(database_url, welcoming(tmp_path, FIRST_ORDER)) as home:
        account = home.seller.account()
        home.seller.product()
        seen(home)
        resolve.resolve(home.engine)
        looks_anew(home)
        home.seller.deal("10248", account, next(iter(home.seller.emulator.tables["Product2"])))
        home.clock.sleep(3)
        seen(home)
        yield home


def came(home: House, seconds: float = SECOND_LOOK_SECONDS) -> bool:
    """Whether the customer's run has gone past its wait after its next look."""
    home.clock.sleep(seconds + 0.1)
    flow.advance(home.engine)
    return bool(home.one("SELECT step_no > 0 FROM runs WHERE flow = 'welcome'"))


def test_an_event_that_happens_while_the_wait_is_being_stored(expected: House) -> None:
    with stopping(runs, "advance") as storing:
        waiter = Beside(advance(expected))
        storing.await_reached()
        waker = Beside(lambda: resolve.resolve(expected.engine))
        through_or_stuck(expected, waker)
        storing.go_on.set()
        waiter.through()
        waker.through()
    assert came(expected), expected.story()


def test_an_event_that_is_being_committed_while_the_run_looks(expected: House) -> None:
    with stopping(resolve, "records_came", after=True) as waking:
        waker = Beside(lambda: resolve.resolve(expected.engine))
        waking.await_reached()
        flow.advance(expected.engine)
        waking.go_on.set()
        waker.through()
    assert came(expected), expected.story()


def test_an_event_whose_commit_takes_longer_than_the_second_look(expected: House) -> None:
    """Whoever wakes found nobody waiting, and commits after the run has looked twice."""
    with stopping(resolve, "records_came", after=True) as waking:
        waker = Beside(lambda: resolve.resolve(expected.engine))
        waking.await_reached()
        flow.advance(expected.engine)
        assert not came(expected)
        waking.go_on.set()
        waker.through()
    assert came(expected, FIRST_SAFETY_LOOK_SECONDS), expected.story()


def test_a_run_that_comes_to_its_event_by_a_date_looks_twice_as_well(
    database_url: str, tmp_path: Path
) -> None:
    """Nothing woke it: the day came, and the next step waits for an event that is just being
    committed."""
    steps = "{wait: 1 hour}\n  - " + FIRST_ORDER
    with house(database_url, welcoming(tmp_path, steps)) as home:
        account, product = home.seller.account(), home.seller.product()
        home.run()
        home.clock.sleep(3_601)
        home.seller.deal("10248", account, product)
        seen(home)
        with stopping(resolve, "records_came", after=True) as waking:
            waker = Beside(lambda: resolve.resolve(home.engine))
            waking.await_reached()
            flow.advance(home.engine)
            assert home.one("SELECT step_no FROM runs WHERE flow = 'welcome'") == 1
            waking.go_on.set()
            waker.through()
        home.clock.sleep(SECOND_LOOK_SECONDS + 0.1)
        flow.advance(home.engine)
        assert home.one("SELECT step_no FROM runs WHERE flow = 'welcome'") == 2, home.story()


# --- at random ---


def _round(database: Database, number: int, dice: random.Random) -> None:
    """One document, one run that looks at it, one that proves it: in whatever order comes."""
    pauses = [dice.choice((0.0, 0.0, 0.0005, 0.002, 0.005)) for _ in range(5)]
    key, told = f"r{number}", threading.Event()
    with database.transaction() as connection:
        wanted = Wanted("f", "t", key, 1, "forward", "standard", "", 0, "h")
        runs.start(connection, [wanted])
        connection.execute(
            "INSERT INTO documents (system, stream, record_type, record_key, part, reference, "
            "state, legal_entity, partition_no) "
            "VALUES ('s', 't', 't', %s, '', %s, 'absent', '', 0)",
            (key, key),
        )

    def look() -> None:
        told.wait(pauses[0])
        with database.transaction() as connection:
            for one in runs.ready(connection, PARTITIONS, 10):
                told.wait(pauses[1])
                document = documents.known(connection, "s", "t", "t", [key])[key]
                told.wait(pauses[2])
                runs.advance(
                    connection,
                    [_stands(one, document.state, document.document_id)],
                    one.landscape_hash,
                )

    def prove() -> None:
        told.wait(pauses[3])
        with database.transaction() as connection:
            document_id = _prove(connection, key)
            runs.wake(connection, "document", [str(document_id)])
            told.wait(pauses[4])

    some = [Beside(look), Beside(prove)]
    for one in some:
        one.through()
    with database.transaction() as connection:
        row = connection.execute("SELECT state FROM runs WHERE record_key = %s", (key,)).fetchone()
        assert row is not None
        assert row[0] in {"ready", "complete"}, f"round {number}: {row[0]} for ever ({pauses})"
        connection.execute("UPDATE runs SET state = 'complete' WHERE record_key = %s", (key,))


def _stands(run: Run, state: str, document_id: int) -> Advance:
    if state == "present":
        return Advance(run, "complete", 1)
    return Advance(run, "waiting", 0, "proof", documents=(document_id,))


def _prove(connection: Connection, key: str) -> int:
    row = connection.execute(
        "UPDATE documents SET state = 'present' WHERE record_key = %s RETURNING document_id", (key,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_no_order_of_looking_and_proving_loses_a_wake_up(database: Database) -> None:
    dice = random.Random(12)
    for number in range(ROUNDS):
        _round(database, number, dice)
