"""kill -9 and freezing of a real worker at the points that have names: whatever is half done there,
a successor finishes, and the end is that of a run which nobody disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.loopback.load import customer, invoice
from benchmarks.loopback.world import world
from tests.processes.amendments import SPAN
from tests.processes.commands import await_that
from tests.processes.quick_world import SHORT_LEASE_SECONDS, QuickWorld, post
from tieout import clock
from tieout.rehearsal.invariants.recount import recount

DRAWN_WITH = 8_800
WAVES = 2  # of each round
NEW_INVOICES = 3  # of each wave
CUSTOMERS_APART = 20  # invoices whose numbers are so far apart have the same customer
ENDS_SECONDS = 20.0
REST_SECONDS = 60.0
# How often, at the most, a worker waits for a point on its way through a round: so often it comes
# there surely. A wave has a customer whom nobody knows, so that there are two calls, one for the
# account and one for the entries, each with a look after it; a worker that waits for work begins
# transactions too.
OFTEN = {
    "before_begin": 20,
    "inside": 20,
    "before_commit": 20,
    "after_commit": 20,
    "before_send": 4 * WAVES,
    "after_send": 4 * WAVES,
    "after_reply": 4 * WAVES,
    "before_local_commit": 2 * WAVES,
}
LEFT = (
    "SELECT (SELECT count(*) FROM arrivals WHERE state = 'new'), "
    "(SELECT count(*) FROM runs WHERE state <> 'complete'), "
    "(SELECT count(*) FROM cases WHERE state = 'open'), "
    "(SELECT count(*) FROM dispatches WHERE state NOT IN ('proved', 'superseded'))"
)
END = {
    # Only the newest version of each: what piled up while nobody lived may have been overtaken.
    "arrivals": "SELECT DISTINCT ON (stream, source_key) stream, source_key, source_version, state "
    "FROM arrivals ORDER BY stream, source_key, source_version DESC",
    "records": "SELECT h.record_type, r.source_key, h.digest, h.in_scope "
    "FROM record_heads h JOIN records r USING (record_type, record_key, version)",
    "documents": "SELECT stream, reference, state FROM documents",
    "proofs": "SELECT d.stream, d.reference, p.verdict, p.found FROM proofs p "
    "JOIN documents d USING (document_id) "
    "WHERE p.proof_id IN (SELECT max(proof_id) FROM proofs GROUP BY document_id)",
}

Found = dict[str, list[str]]
"""What the tables and the ledger hold, by name; each row as text, sorted."""


@dataclass
class Endings(QuickWorld):
    """Its workers end, or stand still, at named points."""

    lease_seconds: float = SHORT_LEASE_SECONDS

    def start_ending(self, point: str, nth: int, how: signal.Signals) -> str:
        """Returns the name of the process."""
        name = f"{point}-{nth}"
        arguments = ["worker", "--landscape", str(self.folder), "--environment", "bench"]
        self._start(name, ["tests.processes.dying_worker", point, str(nth), how.name, *arguments])
        return name

    def await_ended(self, name: str, *, or_at_rest: bool = False) -> None:
        def ended() -> bool:
            return not self.running(name) or (or_at_rest and self.at_rest())

        await_that(f"{name} has ended; {self.logs()}", ended, ENDS_SECONDS)

    def stands_still(self, name: str) -> bool:
        status = Path(f"/proc/{self.pids[name]}/stat").read_text(encoding="utf-8")
        return status.rpartition(") ")[2].startswith("T")

    def said(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(encoding="utf-8")

    def deliver(self, wave: int) -> None:
        """A new customer with its invoices, and an amendment of one of the wave before."""
        rows = [("customer", customer(wave))]
        for one in range(NEW_INVOICES):
            number = wave + one * CUSTOMERS_APART
            rows.append(("invoice", invoice(f"n{wave}-{one}", number)))
        if wave:
            amended = invoice(f"n{wave - 1}-0", wave - 1 + SPAN, version=2)
            rows.append(("invoice", amended))
        for stream, body in rows:
            assert post(self.web_port, stream, body) == 200

    def at_rest(self) -> bool:
        return self.ask(LEFT) == [(0, 0, 0, 0)]

    def end(self) -> Found:
        """Everything that must not depend on who died when."""
        assert self.ledger is not None
        assert recount(self.ask) == []
        found = {name: sorted(map(str, self.ask(query))) for name, query in END.items()}
        for kind, rows in self.ledger.rows.items():
            found[f"ledger {kind}"] = sorted(map(str, rows.items()))
        return found

    def assert_in_order(self) -> None:
        """No version came to the ledger twice, none after a newer one."""
        assert self.ledger is not None
        for reference, story in self.ledger.story.items():
            wave, _, one = reference.removeprefix("entry-n").partition("-")
            number = int(wave) + int(one) * CUSTOMERS_APART
            versions = [total_of(number), total_of(number + SPAN)]
            came = [total for _, total in story]
            assert came in (versions, versions[:1], versions[1:]), (reference, came)


def total_of(number: int) -> str:
    return str(json.loads(invoice("", number))["total"])


@contextlib.contextmanager
def endings() -> Iterator[Endings]:
    """A world without a worker."""
    with world(0, Endings) as made:
        assert isinstance(made, Endings)
        yield made


@pytest.fixture(scope="module")
def undisturbed() -> list[Found]:
    """The end after each wave when nobody dies."""
    found = []
    with endings() as made:
        made.start("worker")
        for wave in range(WAVES * len(clock.POINTS)):
            made.deliver(wave)
            await_that("at rest", made.at_rest, REST_SECONDS)
            found.append(made.end())
    return found


def assert_same(found: Found, wanted: Found) -> None:
    for name, rows in wanted.items():
        assert found[name] == rows, name


def test_a_worker_killed_at_any_named_point_changes_nothing(undisturbed: list[Found]) -> None:
    dice = random.Random(DRAWN_WITH)
    drawn = [(point, dice.randint(1, OFTEN[point])) for point in clock.POINTS]
    dice.shuffle(drawn)
    print(f"drawn with {DRAWN_WITH}: {drawn}")
    with endings() as made:
        for at, (point, nth) in enumerate(drawn):
            name = made.start_ending(point, nth, signal.SIGKILL)
            for wave in range(at * WAVES, (at + 1) * WAVES):
                made.deliver(wave)
                made.await_ended(name, or_at_rest=True)
            made.await_ended(name)
        made.start("worker")
        await_that(f"the last finishes; {made.logs()}", made.at_rest, REST_SECONDS)
        made.assert_in_order()
        assert_same(made.end(), undisturbed[-1])


def test_a_worker_frozen_at_a_named_point_beyond_its_lease_is_fenced(
    undisturbed: list[Found],
) -> None:
    """It has sent something and is about to say what came of it, when it is too late."""
    with endings() as made:
        made.start("worker")  # asks the sources, so that the next does not: it only sends
        made.deliver(0)
        await_that("the first is at rest", made.at_rest, REST_SECONDS)
        for wave, point in enumerate(("after_reply", "before_local_commit"), start=1):
            made.kill("worker")
            nth = random.Random(f"{DRAWN_WITH} {point}").randint(1, OFTEN[point] // WAVES)
            print(f"drawn with {DRAWN_WITH}: {point} {nth}")
            zombie = freeze(made, wave, point, nth)
            made.kill(zombie)
        made.assert_in_order()
        assert_same(made.end(), undisturbed[2])


def freeze(made: Endings, wave: int, point: str, nth: int) -> str:
    """Let a worker stand still there until another has done everything, and wake up then."""
    zombie = made.start_ending(point, nth, signal.SIGSTOP)
    made.deliver(wave)
    await_that("it stands still", lambda: made.stands_still(zombie), ENDS_SECONDS)
    cut_off = made.ask("SELECT dispatch_id FROM dispatches WHERE state = 'sending' ORDER BY 1")
    assert cut_off, "it was frozen between sending and telling"
    try:
        made.start("worker")
        await_that(f"another finishes; {made.logs()}", made.at_rest, REST_SECONDS)
        assert made.stands_still(zombie)
        before = made.end(), told(made)
    finally:
        os.kill(made.pids[zombie], signal.SIGCONT)
    await_that("it is fenced", lambda: "lease lost" in made.said(zombie), REST_SECONDS)
    assert (made.end(), told(made)) == before, "it changed nothing"
    in_doubt = made.ask(
        "SELECT dispatch_id FROM attempts WHERE outcome = 'Unknown' AND code = 'WORKER_LOST' "
        "AND dispatch_id = ANY(%s) ORDER BY 1",
        [one for (one,) in cut_off],
    )
    assert in_doubt == cut_off, "what it was sending is in doubt until it is looked up"
    assert made.running(zombie), "it lives on, and works by the leases it has now"
    return zombie


def told(made: Endings) -> list[tuple[object, ...]]:
    """Everything that was ever said of a call."""
    return made.ask("SELECT * FROM attempts ORDER BY attempt_id")
