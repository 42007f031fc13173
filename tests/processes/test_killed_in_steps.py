"""kill -9 of a real worker at every verb, in the midst of its transaction and just after it: the
next worker finishes what was begun, once."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from itertools import product
from typing import cast

from benchmarks.flows import FiveSteps, await_that, number, put
from benchmarks.loopback.load import customer, invoice
from benchmarks.loopback.world import world
from tieout import clock
from tieout.store import approvals
from tieout.store.database import Database

VERBS = ("ensure", "require", "approve", "write", "wait", "call")
POINTS = [*product(VERBS, ("in", "committed"))]
MOST_SECONDS = 90.0
FLOW = "flows/bookings.yaml"
CALL = "  - {call: too_large"
MORE = """  - {approve: invoice, by: operator}
  - {wait: 1 second}
"""


@dataclass
class EveryVerb(FiveSteps):
    """Its flow has a step of every verb; its workers die where they are told to."""

    def start_target(self) -> None:
        super().start_target()
        path = self.folder / FLOW
        text = path.read_text(encoding="utf-8")
        assert CALL in text
        path.write_text(text.replace(CALL, MORE + CALL), encoding="utf-8")

    def start_dying(self, verb: str, point: str) -> None:
        arguments = ["worker", "--landscape", str(self.folder), "--environment", "bench"]
        self._start(f"{verb} {point}", ["tests.processes.dying_worker", verb, point, *arguments])


def agree(made: EveryVerb) -> None:
    """A person says yes to whatever is asked by now."""
    with Database(made.url) as database, database.transaction() as connection:
        for one in approvals.asked(connection):
            approvals.decide(connection, one, "approved", "omar", "seen")


def dies(made: EveryVerb, verb: str, point: str) -> None:
    """Start a worker and wait until it has died at the named point."""
    name = f"{verb} {point}"
    made.start_dying(verb, point)
    deadline = clock.monotonic() + MOST_SECONDS
    while made.running(name):
        assert clock.monotonic() < deadline, f"{name}: it lives; {made.logs()}"
        agree(made)
        clock.sleep(0.1)
    assert made.processes.pop(name).returncode == -9, made.logs()


def seen(made: EveryVerb) -> dict[str, int]:
    """How often each entry came to the ledger."""
    with urllib.request.urlopen(f"{made.target}/seen", timeout=30) as answer:
        found = cast(dict[str, list[int]], json.load(answer))
    return {reference: times for reference, (_, times) in found.items()}


def test_a_worker_killed_at_any_verb_leaves_nothing_undone_and_nothing_twice() -> None:
    with world(0, EveryVerb) as made:
        assert isinstance(made, EveryVerb)
        for at, (verb, point) in enumerate(POINTS):
            put(made, "customer", [(f"C{at}", customer(at))])
            put(made, "invoice", [(f"e-{at}", invoice(f"e-{at}", at))])
            dies(made, verb, point)
        made.start_worker()
        deadline = clock.monotonic() + MOST_SECONDS
        complete = "SELECT count(*) FROM runs WHERE state = 'complete'"
        while number(made, complete) < len(POINTS):
            assert clock.monotonic() < deadline, (made.ask("SELECT * FROM runs"), made.logs())
            agree(made)
            clock.sleep(0.1)
        await_that(made, "SELECT count(*) FROM dispatches WHERE state <> 'proved'", 0)
        entries = {f"entry-e-{at}": 1 for at in range(len(POINTS))}
        assert seen(made) == entries, "every entry was sent, and sent once"
        written = made.ask("SELECT stream, count(*) FROM documents GROUP BY 1 ORDER BY 1")
        many = len(POINTS)
        assert written == [("account", many), ("entry", many), ("receipt", many)]
        asked = made.ask("SELECT state, count(*), count(DISTINCT run_id) FROM approvals GROUP BY 1")
        assert asked == [("approved", many, many)], "everyone was asked once"
        steps = made.ask(
            "SELECT step, count(*), count(DISTINCT run_id) FROM run_steps WHERE state = 'done' "
            "GROUP BY 1"
        )
        assert {(count, runs) for _, count, runs in steps} == {(many, many)}
        assert len(steps) == len(VERBS) + 1
        assert made.ask("SELECT reason FROM cases WHERE state = 'open'") == []
