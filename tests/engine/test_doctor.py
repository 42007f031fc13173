"""What doctor says of doors, limits and lanes is what holds for the calls."""

from __future__ import annotations

from tests.engine.house import House
from tieout.cli.doors import doors
from tieout.store import systems
from tieout.store.systems import Limits


def said(home: House, system: str) -> tuple[bool, str]:
    with home.connection() as connection:
        (found,) = [(well, words) for name, well, words in doors(home.engine, connection)
                    if name == f"{system} door"]  # fmt: skip
    return found


def test_a_system_nobody_called_yet_is_open(home: House) -> None:
    most = home.landscape.environments["demo"]["netsuite"].most_in_flight
    words = f"open; {most} of {most} calls at a time; nothing waits"
    assert said(home, "netsuite") == (True, words)


def test_one_that_asked_for_patience_is_obeyed_and_well(home: House) -> None:
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product)
    home.run()
    home.clock.sleep(10)
    home.seller.deal("2", account, product)
    home.lines["netsuite"].plant(
        "", "record/v1", "PUT", times=10**6, status=429, headers={"Retry-After": "90"}
    )
    for _ in range(3):
        home.go_on(0.2)
    well, words = said(home, "netsuite")
    assert well
    assert words.startswith("busy, until 2026-03-02 08:0")
    assert "2 of 5 calls at a time" in words, "halved by its refusal"
    assert "waiting by lane: close_critical 1" in words
    home.clock.sleep(100)
    assert "the next call finds out" in said(home, "netsuite")[1]


def test_one_that_does_not_answer_is_ill(home: House) -> None:
    home.lines["netsuite"].plant("refused_connection", "/", times=10**6)
    home.seller.deal("1", home.seller.account(), home.seller.product())
    for _ in range(3):
        home.go_on(0.2)
    well, words = said(home, "netsuite")
    assert not well
    assert words.startswith("down, ")
    assert "connection refused" in words


def test_a_rate_that_is_known_is_told(home: House) -> None:
    with home.connection() as connection:
        known = systems.limits(connection, {"netsuite": 5})["netsuite"]
        systems.keep_limits(connection, {"netsuite": Limits(known.concurrency, None)})
        connection.execute(
            "UPDATE system_limits SET tokens = 7, per_second = 0.5, brim = 30, filled_at = %s",
            (home.clock.now(),),
        )
    assert "7 call(s) left, 0.5 a second more" in said(home, "netsuite")[1]
