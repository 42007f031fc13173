"""Leases: taken, held, run out, orphaned; whoever lost one changes nothing."""

from __future__ import annotations

import datetime as dt
import uuid

import psycopg
import pytest

from tieout import clock
from tieout.store import leases
from tieout.store.database import Database
from tieout.store.leases import LEASE_SECONDS, LeaseLost

NAMES = ["partition:1", "partition:2"]


class Later(clock.RealWorld):
    """The real clock, some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.ahead = dt.timedelta(seconds=seconds)

    def now(self) -> dt.datetime:
        return super().now() + self.ahead


def take(database: Database, holder: uuid.UUID) -> dict[str, int]:
    with database.transaction() as connection:
        return leases.take(connection, NAMES, holder)


@pytest.fixture
def two(database_url: str) -> object:
    """Two living holders, each with a connection that proves it."""
    holders = [clock.new_id(), clock.new_id()]
    lives = [psycopg.connect(database_url, autocommit=True) for _ in holders]
    for life, holder in zip(lives, holders, strict=True):
        leases.live(life, holder)
    yield list(zip(holders, lives, strict=True))
    for life in lives:
        life.close()


def test_the_living_keep_what_they_have(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    assert take(database, one) == {"partition:1": 1, "partition:2": 1}
    assert take(database, other) == {}
    assert take(database, one) == {"partition:1": 1, "partition:2": 1}, "renewed, not taken anew"


def test_what_runs_out_is_taken_and_the_old_holder_is_fenced(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    had = take(database, one)
    with clock.world(Later(LEASE_SECONDS + 1)):
        assert take(database, other) == {"partition:1": 2, "partition:2": 2}
    with pytest.raises(LeaseLost, match="partition:1"), database.transaction() as connection:
        leases.hold(connection, had, one)


def test_a_dead_holder_is_succeeded_at_once(
    database: Database, two: list[tuple[uuid.UUID, psycopg.Connection[object]]]
) -> None:
    (one, life), (other, _) = two
    take(database, one)
    life.close()
    for _ in range(100):  # the server notices a closed connection within moments
        if found := take(database, other):
            break
        clock.sleep(0.02)
    assert found == {"partition:1": 2, "partition:2": 2}


def test_what_is_given_back_is_free(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    take(database, one)
    with database.transaction() as connection:
        leases.give_back(connection, one)
    assert sorted(take(database, other)) == NAMES


def test_nobody_takes_over_while_a_transaction_holds(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    had = take(database, one)
    with database.transaction() as connection:
        leases.hold(connection, had, one)
        with clock.world(Later(LEASE_SECONDS + 1)):
            assert take(database, other) == {}, "what is being worked on is left alone"
    with clock.world(Later(LEASE_SECONDS + 1)):
        assert sorted(take(database, other)) == NAMES


def test_a_heartbeat_is_not_kept_waiting_by_a_long_transaction(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    had = take(database, one)
    with database.transaction() as connection:
        leases.hold(connection, had, one)
        with clock.world(Later(LEASE_SECONDS - 1)), database.transaction() as beside:
            beside.execute("SET LOCAL lock_timeout = '5s'")
            assert leases.renew(beside, one) == 2
    with clock.world(Later(LEASE_SECONDS + 5)):
        assert take(database, other) == {}, "it beats: it lives"
        with database.transaction() as connection:
            assert leases.renew(connection, other) == 0


def test_a_heartbeat_does_not_bring_back_what_was_taken_over(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    had = take(database, one)
    with clock.world(Later(LEASE_SECONDS + 1)):
        take(database, other)
        with database.transaction() as connection:
            assert leases.renew(connection, one) == 0
    with pytest.raises(LeaseLost), database.transaction() as connection:
        leases.hold(connection, had, one)
