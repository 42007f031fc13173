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
    had = take(database, one)
    assert sorted(had) == NAMES
    assert take(database, other) == {}
    assert take(database, one) == had, "renewed, not taken anew"


def test_what_runs_out_is_taken_and_the_old_holder_is_fenced(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), (other, _) = two
    had = take(database, one)
    with clock.world(Later(LEASE_SECONDS + 1)):
        assert sorted(take(database, other)) == NAMES
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
    assert sorted(found) == NAMES


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


def fenced(database: Database, had: dict[str, int], holder: uuid.UUID) -> bool:
    try:
        with database.transaction() as connection:
            leases.hold(connection, had, holder)
    except LeaseLost:
        return True
    return False


def test_one_lease_that_is_lost_fences_the_holder_until_it_has_looked(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    """Whoever took it, and however: a person's SQL, a worker of an older version."""
    (one, _), (other, _) = two
    had = take(database, one)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE leases SET holder = %s, epoch = epoch + 1 WHERE name = 'partition:2'", (other,)
        )
    assert fenced(database, had, one)
    now = take(database, one)
    assert sorted(now) == ["partition:1"]
    assert not fenced(database, now, one)
    assert fenced(database, had, one), "what it knew before is of no worth any more"


def test_what_it_gave_back_itself_fences_it_too(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    """It may not know: the answer to the commit may have been lost."""
    (one, _), _ = two
    had = take(database, one)
    with database.transaction() as connection:
        assert len(leases.take(connection, NAMES, one, most=1)) == 1
    assert fenced(database, had, one)
    with database.transaction() as connection:
        leases.give_back(connection, one)
    again = take(database, one)
    assert not fenced(database, again, one)
    assert fenced(database, had, one)


def test_a_takeover_waits_for_nobody_and_what_it_left_alone_is_taken_later(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    """Of two expired holders one is in the middle of a transaction: only its leases stay."""
    (one, _), (other, _) = two
    third = clock.new_id()
    with database.transaction() as connection:
        had = leases.take(connection, NAMES[:1], one)
        leases.take(connection, NAMES[1:], other)
    with clock.world(Later(LEASE_SECONDS + 1)):
        with database.transaction() as connection:
            leases.hold(connection, had, one)
            assert sorted(take(database, third)) == NAMES[1:]
        assert sorted(take(database, third)) == NAMES


def test_holders_that_died_are_forgotten(
    database: Database, two: list[tuple[uuid.UUID, psycopg.Connection[object]]]
) -> None:
    (one, life), (other, _) = two
    take(database, one)
    life.close()
    for _ in range(100):
        if take(database, other):
            break
        clock.sleep(0.02)
    with database.transaction() as connection:
        leases.give_back(connection, other)
        left = connection.execute("SELECT holder FROM lease_holders").fetchall()
    assert left == [(other,)]


def test_to_hold_costs_one_row_however_many_leases_there_are(
    database: Database, two: list[tuple[uuid.UUID, object]]
) -> None:
    (one, _), _ = two
    names = [f"partition:{number}" for number in range(16)]
    with database.transaction() as connection:
        had = leases.take(connection, names, one)
    with database.transaction() as connection:
        leases.hold(connection, had, one)
        locked = connection.execute(
            "SELECT count(*) FROM leases WHERE xmax = pg_current_xact_id()::xid"
        ).fetchone()
    assert locked == (0,)
