"""P1: what was acknowledged is never lost, whoever is killed with -9 at whatever moment.

Senders post signed invoices all the time, while intake, worker and postmaster are killed at random
moments and started again. Whatever was answered with 2xx must be an arrival, and end in a terminal
state; what was not answered may be there or not.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest

from benchmarks.loopback.connector import SIGNATURE, sign
from benchmarks.loopback.load import customer, invoice
from benchmarks.loopback.world import PROJECT, SECRET, World, world
from tests.processes.commands import await_that
from tests.promises.figures import Keeper
from tieout import clock

SENDERS = 3
PAUSE_SECONDS = 0.01
ANSWER_SECONDS = 5.0
SHORTEST_LIFE, LONGEST_LIFE = 0.05, 0.8  # seconds between two kills
AGAIN_SECONDS = 60.0
REST_SECONDS = 120.0
DRAWN_WITH = 500_100


@dataclass
class QuickWorld(World):
    """A world whose web and workers are forks of one warm process."""

    pids: dict[str, int] = field(default_factory=dict)
    forker: subprocess.Popen[str] | None = None

    def fork(self, name: str, module: str, arguments: Sequence[str]) -> None:
        if self.forker is None:
            self.forker = subprocess.Popen(
                [sys.executable, "-m", "tests.processes.forker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment(),
                cwd=PROJECT,
            )
        assert self.forker.stdin is not None
        assert self.forker.stdout is not None
        asked = {"module": module, "arguments": [*arguments], "log": str(self.home / f"{name}.log")}
        self.forker.stdin.write(json.dumps(asked) + "\n")
        self.forker.stdin.flush()
        self.pids[name] = int(self.forker.stdout.readline())

    def _start(self, name: str, module: Sequence[str]) -> None:
        if name == "target":
            super()._start(name, module)
        else:
            self.fork(name, module[0], module[1:])

    def running(self, name: str) -> bool:
        try:
            os.kill(self.pids[name], 0)
        except (KeyError, ProcessLookupError):
            return False
        return True

    def kill(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[name], signal.SIGKILL)
        await_that(f"{name} is gone", lambda: not self.running(name), 10)

    def stop(self) -> None:
        for name in self.pids:
            self.kill(name)
        if self.forker is not None:
            self.forker.terminate()
            self.forker.wait()
        super().stop()


@pytest.fixture(scope="module")
def quick() -> Iterator[QuickWorld]:
    with world(made_by=QuickWorld) as made:
        assert isinstance(made, QuickWorld)
        yield made


class Sender(threading.Thread):
    """Posts invoices until told to stop; remembers which were acknowledged."""

    def __init__(self, port: int, name: str, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.prefix, self.stopping = port, name, stopping
        self.acknowledged: list[str] = []
        self.sent = 0
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        line: http.client.HTTPConnection | None = None
        while not self.stopping.is_set():
            reference = f"{self.prefix}-{self.sent}"
            body = invoice(reference, self.sent)
            self.sent += 1
            try:
                line = line or http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=ANSWER_SECONDS
                )
                headers = {"Content-Type": "application/json", SIGNATURE: sign(SECRET, body)}
                line.request("POST", "/intake/till/invoice", body, headers)
                answer = line.getresponse()
                answer.read()
                self.answers[str(answer.status)] += 1
                if 200 <= answer.status < 300:
                    self.acknowledged.append(reference)
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                if line is not None:
                    line.close()
                line = None
            self.stopping.wait(PAUSE_SECONDS)


def kill_and_start(made: QuickWorld, victim: str) -> None:
    """One kill, and whoever died of it started again."""
    if victim == "postmaster":
        made.kill_database()
        made.start_database()
    else:
        made.kill(victim)
    if not made.running("web"):
        made.start_web()
    if not made.running("worker"):
        made.start_worker()


def greet(made: QuickWorld) -> None:
    for number in range(20):
        body = customer(number)
        line = http.client.HTTPConnection("127.0.0.1", made.web_port, timeout=ANSWER_SECONDS)
        headers = {"Content-Type": "application/json", SIGNATURE: sign(SECRET, body)}
        line.request("POST", "/intake/till/customer", body, headers)
        assert line.getresponse().status == 200
        line.close()


def disturbed(made: QuickWorld, victims: Sequence[str], prefix: str) -> list[Sender]:
    """Send while these are killed one after the other; returns the senders when all is quiet."""
    dice = random.Random(DRAWN_WITH)
    stopping = threading.Event()
    senders = [Sender(made.web_port, f"{prefix}{n}", stopping) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    for victim in victims:
        await_acknowledged(made, senders)  # a kill tells nothing while nothing is
        clock.sleep(dice.uniform(SHORTEST_LIFE, LONGEST_LIFE))
        kill_and_start(made, victim)
    clock.sleep(LONGEST_LIFE)
    stopping.set()
    for sender in senders:
        sender.join(ANSWER_SECONDS * 2)
    return senders


def await_acknowledged(made: QuickWorld, senders: Sequence[Sender]) -> None:
    told = sum(len(sender.acknowledged) for sender in senders)
    deadline = clock.monotonic() + AGAIN_SECONDS
    while sum(len(sender.acknowledged) for sender in senders) == told:
        answers = [dict(sender.answers) for sender in senders]
        assert clock.monotonic() < deadline, f"nothing is acknowledged: {answers}; {made.logs()}"
        clock.sleep(0.02)


def nothing_lost(
    made: QuickWorld, senders: Sequence[Sender], victims: Sequence[str], promise: Keeper
) -> None:
    acknowledged = {one for sender in senders for one in sender.acknowledged}
    assert len(acknowledged) > 50, made.logs()

    def at_rest() -> bool:
        if not made.running("worker"):
            made.start_worker()
        try:
            waiting = made.ask("SELECT count(*) FROM arrivals WHERE state = 'new'")[0][0]
            moving = made.ask("SELECT count(*) FROM runs WHERE state IN ('ready', 'waiting')")[0][0]
        except psycopg.OperationalError:
            return False
        return waiting == 0 and moving == 0

    await_that(f"everything has ended; {made.logs()[-3000:]}", at_rest, REST_SECONDS)
    states = dict(made.ask("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'"))  # type: ignore[call-overload]
    lost = sorted(acknowledged - set(states))
    kills, of_database = len(victims), list(victims).count("postmaster")
    what = f"{kills - of_database} kill -9 of intake and worker, {of_database} of the postmaster"
    told = f"{len(lost)} of {len(acknowledged):,} acknowledged"
    promise("P1", f"{what}: lost", told, "0", kept=not lost)
    assert {states[one] for one in acknowledged} == {"recorded"}
    keys = made.ask(
        "SELECT r.source_key FROM documents c JOIN records r USING (record_type, record_key) "
        "WHERE c.stream = 'entry' AND c.state = 'present'"
    )
    assert acknowledged <= {str(key) for (key,) in keys}, "acknowledged, and not in the ledger"


def test_five_kills_and_two_of_the_postmaster_lose_nothing(
    quick: QuickWorld, promise: Keeper
) -> None:
    greet(quick)
    victims = ["web", "worker", "postmaster", "web", "postmaster", "worker", "web"]
    nothing_lost(quick, disturbed(quick, victims, "few"), victims, promise)


@pytest.mark.promises
@pytest.mark.timeout(3_600)
def test_p1_five_hundred_kills_and_a_hundred_of_the_postmaster(
    quick: QuickWorld, promise: Keeper
) -> None:
    greet(quick)
    dice = random.Random(DRAWN_WITH)
    victims = ["web"] * 250 + ["worker"] * 250 + ["postmaster"] * 100
    dice.shuffle(victims)
    nothing_lost(quick, disturbed(quick, victims, "many"), victims, promise)
