"""The line of a rehearsal: what each fault does to a request, to its answer, and to the twin."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tieout import clock
from tieout.emulators.kit import FaultKind
from tieout.landscape.schema import EnvironmentSpec
from tieout.ports.connector import Idempotency, Stream
from tieout.ports.http import NoAnswer, Request, Response
from tieout.rehearsal.line import LINE_FAULTS, Line, most_late_seconds
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
SURELY = 0.999999


@dataclass
class Listener:
    """A twin that answers 200 and remembers what it was asked, in its order."""

    system: str = "books"
    strikes: frozenset[str] = frozenset()
    heard: list[str] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        self.heard.append(request.path())
        return Response(200, {}, b"{}")


class Vendor(Listener):
    """One that has its own way to say 'slow down'."""

    def busy(self, kind: FaultKind, seconds: float) -> Response:
        return Response(403, {}, f"{kind} {seconds:.0f}".encode())


@pytest.fixture(autouse=True)
def world() -> Iterator[SeededWorld]:
    with clock.world(SeededWorld("line", START)) as made:
        assert isinstance(made, SeededWorld)
        yield made


def line(fault: str = "", rate: float = SURELY, *, twin: Any = None, **more: Any) -> Line:
    rates = {fault: rate} if fault else {}
    played: Any = twin or Listener()
    return Line(played, random.Random(7), rates, **more)


def post(number: int = 1, **more: Any) -> Request:
    return Request("POST", f"http://books.invalid/{number}", **more)


def heard(made: Line) -> list[str]:
    twin: Any = made.twin
    assert isinstance(twin, Listener)
    return twin.heard


def test_a_good_line_hands_on_and_brings_back() -> None:
    made = line()
    assert made(post()).status == 200
    assert heard(made) == ["/1"]
    assert not made.met


@pytest.mark.parametrize(("fault", "told"), [("busy", True), ("busy_without_wait", False)])
def test_busy_is_not_carried_out_and_says_for_how_long(fault: str, told: bool) -> None:
    made = line(fault)
    answer = made(post())
    assert answer.status == 429
    assert heard(made) == []
    assert (answer.retry_after_seconds() is not None) is told
    assert made.met == {fault: 1}


def test_a_vendor_says_busy_in_its_own_form() -> None:
    answer = line("busy", twin=Vendor())(post())
    assert answer.status == 403
    assert answer.body.startswith(b"busy ")


def test_a_server_error_is_not_carried_out() -> None:
    made = line("server_error")
    assert made(post()).status == 500
    assert heard(made) == []


def test_slow_takes_the_whole_timeout_and_may_have_been_carried_out() -> None:
    made = line("slow")
    for number in range(20):
        before = clock.monotonic()
        with pytest.raises(NoAnswer) as silence:
            made(post(number, timeout_seconds=12.0))
        assert not silence.value.never_sent
        assert 12.0 <= clock.monotonic() - before < 12.1
    assert 0 < len(heard(made)) < 20


@pytest.mark.parametrize(
    ("fault", "applied"), [("cut_reply", True), ("lost_reply", True), ("lost_request", False)]
)
def test_no_answer_and_what_it_hides(fault: str, applied: bool) -> None:
    made = line(fault)
    with pytest.raises(NoAnswer) as silence:
        made(post())
    assert not silence.value.never_sent
    assert bool(heard(made)) is applied


def test_a_late_request_comes_after_we_gave_up_and_before_what_is_sent_later(
    world: SeededWorld,
) -> None:
    made = line("late_apply", late_seconds=40.0)
    with pytest.raises(NoAnswer):
        made(post(1))
    assert heard(made) == []
    assert made.under_way == 1
    world.sleep(40.0)
    made.quiet = True
    made(post(2))
    assert heard(made) == ["/1", "/2"]
    assert made.under_way == 0


def test_late_requests_come_within_the_bound_and_each_once(world: SeededWorld) -> None:
    made = line("late_apply", late_seconds=10.0)
    for number in range(30):
        with pytest.raises(NoAnswer):
            made(post(number))
    world.sleep(10.0)
    made.let_in()
    assert sorted(heard(made)) == sorted(f"/{number}" for number in range(30))
    assert heard(made) != [f"/{number}" for number in range(30)], "each has its own delay"


def test_flush_lets_everything_in_at_once() -> None:
    made = line("late_apply", late_seconds=3_600.0)
    for number in range(3):
        with pytest.raises(NoAnswer):
            made(post(number))
    assert made.flush() == 3
    assert len(heard(made)) == 3
    assert made.flush() == 0


def test_a_reading_is_never_late_but_lost() -> None:
    made = line("late_apply", late_seconds=5.0)
    with pytest.raises(NoAnswer):
        made(Request("GET", "http://books.invalid/rows"))
    assert made.under_way == 0
    assert made.met == {"lost_request": 1}


def test_quiet_makes_no_faults_and_refuse_lets_nobody_through() -> None:
    made = line("lost_reply")
    made.quiet = True
    assert made(post()).status == 200
    made.refuse = True
    with pytest.raises(NoAnswer) as silence:
        made(post(2))
    assert silence.value.never_sent
    assert heard(made) == ["/1"]
    assert made.met == {"refused": 1}


class Watch(Listener):
    """A twin that looks at the clock."""

    def handle(self, request: Request) -> Response:
        self.heard.append(str(clock.now().hour))
        return super().handle(request)


def test_a_system_has_its_own_clock_however_wrong_ours_is(world: SeededWorld) -> None:
    made = line(twin=Watch(), world=world)
    world.wrong_by = dt.timedelta(hours=-5)
    made(post())
    assert heard(made)[0] == str(START.hour)
    assert clock.now().hour == START.hour - 5


def story(rates: dict[str, float]) -> list[str]:
    told: list[str] = []
    twin: Any = Listener()
    made = Line(
        twin,
        random.Random("7:line"),
        rates,
        late_seconds=3.0,
        on_exchange=lambda *said: told.append(" ".join(said)),
    )
    for number in range(300):
        try:
            made(post(number))
        except NoAnswer as silence:
            told.append(silence.words)
    return told


def test_the_same_dice_tell_the_same_story() -> None:
    rates = dict.fromkeys(LINE_FAULTS, 0.1)
    assert story(rates) == story(rates)
    assert len(story(rates)) > 300


def test_one_fault_less_leaves_the_others_where_they_were() -> None:
    every = story({"busy": 0.2, "lost_request": 0.2})
    fewer = story({"lost_request": 0.2})
    lost = [one for one in every if "lost_request" in one]
    assert lost
    assert set(lost) <= set(fewer)
    assert not [one for one in fewer if "busy" in one]


def test_each_fault_happens_as_often_as_it_is_drawn() -> None:
    made = line("lost_request", 0.25)
    for number in range(2_000):
        try:
            made(post(number))
        except NoAnswer:
            continue
    assert 430 < made.met["lost_request"] < 570


@pytest.mark.parametrize("rates", [{"crash": 0.1}, {"busy": 1.0}, {"busy": -0.1}])
def test_what_no_line_can_do_is_refused(rates: dict[str, float]) -> None:
    twin: Any = Listener()
    with pytest.raises(ValueError, match="busy"):
        Line(twin, random.Random(1), rates)


def stream(**more: Any) -> Stream:
    return Stream("entry", "Entry", (), writes=True, **more)


def test_how_late_follows_the_declared_bound_as_the_engine_reckons() -> None:
    sixty = stream(idempotency=Idempotency("B", in_flight_seconds=60.0))
    ten = stream(idempotency=Idempotency("B", in_flight_seconds=10.0))
    real = EnvironmentSpec({}, {}, ())
    assert most_late_seconds([sixty, ten], real) == 7.5
    longer = EnvironmentSpec({}, {}, (), fence_seconds=20.0)
    assert most_late_seconds([ten], longer) == 15.0
    emulated = EnvironmentSpec({}, {}, (), fence_seconds=2.0, emulate="netsuite")
    assert most_late_seconds([sixty], emulated) == 1.5
    assert most_late_seconds([Stream("rows", "Rows", ())], real) == 0.0
