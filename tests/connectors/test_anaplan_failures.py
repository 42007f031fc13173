"""The Anaplan connector when imports run long, answers get lost, or the model is shut."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.connectors.anaplan_line import BOOKINGS, ONE, TWO, Line, altered, fault, line_to, state
from tieout import clock
from tieout.connectors.anaplan import CONNECTOR
from tieout.emulators.anaplan.seed import FILE_ID, IMPORT_ID
from tieout.emulators.host import serve
from tieout.emulators.kit import FaultKind
from tieout.finance.outcome import (
    Accepted,
    Busy,
    Denied,
    Drift,
    Outage,
    Unknown,
    Written,
)
from tieout.ports.errors import VendorFault
from tieout.ports.http import Response
from tieout.ports.opening import open_session

KINDS: tuple[FaultKind, ...] = ("lost_reply", "lost_request", "server_error")


@pytest.fixture
def line() -> Iterator[Line]:
    with serve("anaplan", {"task_seconds": "0"}) as served:
        yield line_to(served)


@pytest.fixture
def slow_line() -> Iterator[Line]:
    """Imports take a quarter of a second."""
    with serve("anaplan", {"task_seconds": "0.25"}) as served:
        yield line_to(served)


def test_a_running_import_makes_the_next_load_wait(slow_line: Line) -> None:
    accepted = slow_line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    waiting = slow_line.write(TWO)[0]
    assert isinstance(waiting, Busy)
    assert waiting.wait_seconds == pytest.approx(0.01)
    with pytest.raises(VendorFault) as nothing_known:
        slow_line.shows(ONE)
    assert isinstance(nothing_known.value.outcome, Busy)
    clock.sleep(0.3)
    assert slow_line.follow(accepted.handle, ONE) == [Written("SO1")]
    assert slow_line.load(TWO) == [Written("SO2")]


def test_a_lost_reply_to_the_start_is_unknown_and_the_view_decides(line: Line) -> None:
    line.served.emulator.faults = fault("lost_reply", f"imports/{IMPORT_ID}/tasks", "POST")
    assert isinstance(line.write(ONE)[0], Unknown)
    assert line.shows(ONE) == CONNECTOR.meant(BOOKINGS, ONE)


def test_a_lost_start_is_unknown_and_the_view_shows_nothing(line: Line) -> None:
    line.served.emulator.faults = fault("lost_request", f"imports/{IMPORT_ID}/tasks", "POST")
    assert isinstance(line.write(ONE)[0], Unknown)
    assert line.shows(ONE) is None
    assert line.load(ONE) == [Written("SO1")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "method"),
    [("/tasks", "GET"), (f"/files/{FILE_ID}", "POST"), ("/chunks/1", "PUT"), ("/token/", "POST")],
)
def test_before_the_start_every_silence_is_only_an_outage(
    line: Line, kind: FaultKind, path: str, method: str
) -> None:
    line.served.emulator.faults = fault(kind, path, method)
    assert isinstance(line.write(ONE)[0], Outage)
    assert line.served.emulator.tables["tasks"] == {}
    assert line.load(ONE) == [Written("SO1")]


def test_a_silent_poll_says_nothing_about_the_task(line: Line) -> None:
    accepted = line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    kinds: tuple[FaultKind, ...] = ("lost_reply", "server_error", "busy")
    for kind in kinds:
        line.served.emulator.faults = fault(kind, accepted.handle)
        again = line.follow(accepted.handle, ONE)[0]
        assert isinstance(again, Accepted)
        assert again.handle == accepted.handle
        told = again.look_after_seconds
    assert told == 1.0, "as told by Retry-After"
    assert line.follow(accepted.handle, ONE) == [Written("SO1")]


def test_a_token_that_expires_while_polling_is_renewed(slow_line: Line) -> None:
    accepted = slow_line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    slow_line.served.emulator.tables["tokens"].clear()
    assert isinstance(slow_line.follow(accepted.handle, ONE)[0], Accepted)
    clock.sleep(0.3)
    slow_line.served.emulator.tables["tokens"].clear()
    assert slow_line.follow(accepted.handle, ONE) == [Written("SO1")]


def test_a_password_changed_while_polling_is_denied(line: Line) -> None:
    accepted = line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    other = open_session(
        "anaplan",
        CONNECTOR,
        line.session.settings,
        {**line.session.secrets, "password": "old"},
        [line.served.url],
    )
    assert isinstance(Line(line.served, other).follow(accepted.handle, ONE)[0], Denied)


@pytest.mark.parametrize("shut", ["LOCKED", "ARCHIVED", "MAINTENANCE"])
def test_a_locked_model_is_an_outage_and_said_so_by_check(line: Line, shut: str) -> None:
    state(line, activeState=shut)
    outcome = line.write(ONE)[0]
    assert isinstance(outcome, Outage)
    assert "locked" in outcome.detail.words
    assert shut in CONNECTOR.check(line.session).words
    state(line, activeState="UNLOCKED")
    assert CONNECTOR.check(line.session).well
    assert line.load(ONE) == [Written("SO1")]


def test_a_cancelled_import_was_rolled_back(slow_line: Line) -> None:
    accepted = slow_line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    task = slow_line.served.emulator.tables["tasks"][accepted.handle]
    task["taskState"] = "CANCELLING"
    assert isinstance(slow_line.follow(accepted.handle, ONE)[0], Outage)
    assert slow_line.cells == {}


def test_a_file_that_is_gone_is_drift_and_no_import_runs() -> None:
    with serve("anaplan", {"task_seconds": "0"}) as served:
        line = line_to(served, bookings_file_id="113000000055")
        outcome = line.write(ONE)[0]
        assert isinstance(outcome, Drift)
        assert "113000000055" in outcome.detail.words
        assert served.emulator.tables["tasks"] == {}
        assert not any(url.startswith("PUT") for url in line.urls()), "nothing goes into a stray"
        health = CONNECTOR.check(line.session)
        assert "bookings_file_id" in health.words
        assert health.next_action


@pytest.mark.parametrize("setting", ["bookings_import_id", "bookings_view_id", "model_id"])
def test_check_names_the_id_that_is_wrong(setting: str) -> None:
    with serve("anaplan") as served:
        health = CONNECTOR.check(line_to(served, **{setting: "112000000099"}).session)
    assert not health.well
    assert health.next_action


def test_a_refusal_that_repeats_our_password_does_not_spread_it(line: Line) -> None:
    def echo(answer: Response) -> Response:
        said = {"status": {"code": 400, "message": "who is emulated-password?"}}
        return Response(400, answer.headers, json.dumps(said).encode())

    altered(line, "/tasks", echo)
    outcome = line.write(ONE)[0]
    assert isinstance(outcome, Drift)
    assert "who is" in outcome.detail.words
    assert "emulated-password" not in outcome.detail.words
