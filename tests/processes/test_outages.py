"""A system is down, a secret wrong, somebody killed or interrupted: clear words, nothing lost."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from tests.processes.commands import (
    await_that,
    table,
    tieout_started,
)
from tests.processes.end_state import posted_twice
from tests.processes.shop import Shop, shop_in_a_new_folder
from tests.processes.theatre import kill
from tieout import clock
from tieout.cli.processes import Processes, start_emulators, start_web
from tieout.cli.telling import INTERRUPTED, NO
from tieout.landscape.loader import load

DRAWN_WITH = 5
UNDER_WAY = "SELECT count(*) FROM dispatches WHERE state IN ('planned', 'sending', 'written')"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Runs without a worker: `tieout sync` does the work. Each test wins some more deals."""
    with shop_in_a_new_folder(20) as found:
        first = found.sync()
        assert first.code == 0, first.err
        yield found


def stop_erp(shop: Shop) -> None:
    """The ERP goes down in an orderly way, keeping its data."""
    found = Processes(shop.folder).running("emulator-netsuite")
    assert found is not None
    os.kill(found.pid, signal.SIGTERM)
    await_that("the ERP is down", lambda: not Processes(shop.folder).running(found.name), 20)


def start_erp(shop: Shop) -> None:
    start_emulators(Processes(shop.folder), load(shop.folder), "demo")


def orders_in_erp(shop: Shop, deals: list[str]) -> set[str]:
    """Which of these deals have an order in the ERP, asked from the ERP."""
    there = {str(row["externalId"]) for row in table(shop.port + 2, "salesOrder").values()}
    return {deal for deal in deals if f"salesOrder-{deal}" in there}


def unlucky(shop: Shop) -> set[str]:
    """Deals that get no order: a case stops them, whatever else happens."""
    met = shop.troubles
    numbers = {met.unknown_currency, met.wrong_total, *met.late_deals}
    return {shop.deals[number] for number in numbers}


def assert_complete(shop: Shop) -> None:
    """Every good deal has its one order, and nothing is there twice."""
    good = [deal for deal in shop.won if deal not in unlucky(shop)]
    assert orders_in_erp(shop, shop.won) == set(good)
    assert posted_twice(shop.port) == {}


def test_a_web_process_killed_while_webhooks_fire_loses_none(shop: Shop) -> None:
    dice = random.Random(DRAWN_WITH)
    won = shop.win(5)
    for _ in range(3):
        clock.sleep(dice.uniform(0, 0.3))
        kill(shop.folder, "web")
        won += shop.win(1)  # while nobody listens
        start_web(Processes(shop.folder), shop.folder, "demo", shop.url, shop.port)
        won += shop.win(1)
    await_that("all acknowledged", lambda: table(shop.port + 1, "_notifications") == {}, 60)
    known = {
        str(key)
        for (key,) in shop.ask(
            "SELECT source_key FROM hints UNION SELECT source_key FROM arrivals WHERE stream = "
            "'Opportunity'"
        )
    }
    assert set(won) <= known
    done = shop.sync()
    assert done.code == 0, done.err
    assert_complete(shop)


def test_a_system_that_is_down_is_named_and_nothing_is_lost(shop: Shop) -> None:
    stop_erp(shop)
    try:
        won = shop.win(2)
        done = shop.sync(wait=6)
        assert done.code == NO
        assert "netsuite is down" in done.err
        assert "are kept" in done.err
        assert "Traceback" not in done.err
        doctor = shop("doctor", "--json")
        assert doctor.code == NO
        assert {one["what"] for one in doctor.json if not one["well"]} >= {"netsuite"}
        told = shop("doctor")
        assert told.code == NO
        assert "ILL" in told.out
    finally:
        start_erp(shop)
    again = shop.sync()
    assert again.code == 0, again.err
    assert set(won) - unlucky(shop) <= orders_in_erp(shop, shop.won)
    assert_complete(shop)
    assert shop("doctor").code == 0


def test_a_wrong_secret_is_a_case_for_the_administrator(shop: Shop) -> None:
    path = shop.folder / "environments" / "demo.yaml"
    right = path.read_text(encoding="utf-8")
    path.write_text(right.replace("demo-netsuite-token-secret", "guessed-canary"), encoding="utf-8")
    try:
        shop.win(2)  # one of them may be a troubled deal that never reaches the ERP
        done = shop.sync(wait=5)
        assert done.code == NO
        assert "netsuite is denied" in done.err
        cases = shop("cases", "--as", "omar", "--json").json["cases"]
        denied = [one for one in cases if one["reason"] == "denied"]
        assert len(denied) == 1
        assert (denied[0]["system"], bool(denied[0]["next_action"])) == ("netsuite", True)
        doctor = shop("doctor")
        assert doctor.code == NO
        assert "guessed-canary" not in done.out + done.err + doctor.out + doctor.err + str(cases)
    finally:
        path.write_text(right, encoding="utf-8")
    again = shop.sync()
    assert again.code == 0, again.err
    after = shop("cases", "--as", "omar", "--json").json["cases"]
    assert not [one for one in after if one["reason"] == "denied"]
    assert_complete(shop)


def test_an_interrupted_sync_is_continued_by_the_next(shop: Shop) -> None:
    before = shop.ask("SELECT count(*) FROM dispatches")[0][0]
    shop.win(3)
    child = tieout_started("sync", "--as", "omar", folder=shop.folder)
    await_that(
        "work is under way",
        lambda: shop.ask("SELECT count(*) FROM dispatches")[0][0] > before,
        60,
    )
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == INTERRUPTED, said
    assert "what was committed is safe" in said
    assert "Traceback" not in said
    assert "nanobind" not in said
    held = shop.ask("SELECT count(*) FROM leases WHERE holder IS NOT NULL")
    assert held == [(0,)], "leases are given back"
    again = shop.sync()
    assert again.code == 0, again.err
    assert_complete(shop)
