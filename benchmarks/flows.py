"""Runs of five steps: `python -m benchmarks.flows [--json] [--runs N]`.

The five are ensure (its customer is proved in the ledger), require (a rule), write (an entry, sent
by HTTP, read back and proved), call (a function of the landscape) and write (a receipt that needs
the entry's id, sent and proved as well). Arrivals are in the database before the clock starts; it
stops when the last run is complete. All of it is measured: mapping, controls, audit leaves, both
calls over HTTP and both read-backs, by one worker process and by two.

The reference, in the same run on a fresh server of the same kind, is the least that any durable
workflow must do: five steps of a run, each a row of its own, each committed before the next
(`floor`), by as many processes. `ratio` is our rate with two workers divided by the floor's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.loopback.load import CUSTOMERS, customer, invoice
from benchmarks.loopback.world import World, world
from tieout import clock
from tieout.store import arrivals, embedded
from tieout.store.arrivals import Incoming
from tieout.store.database import Database

FIVE_STEPS = Path(__file__).parent / "loopback" / "five_steps"
STEPS = 5
AIM = 2_000
PAGE = 2_000
MOST_SECONDS = 600.0
WARM_RUNS = 500
COMPLETE = "SELECT count(*) FROM runs WHERE state = 'complete'"
_FLOOR = """
DROP TABLE IF EXISTS bare_steps;
CREATE TABLE bare_steps (run_id integer, step_no integer, result text NOT NULL,
                         done_at timestamptz NOT NULL, PRIMARY KEY (run_id, step_no));
"""


@dataclass
class FiveSteps(World):
    """The measuring landscape with a flow of five steps; its workers are started when told."""

    def start_target(self) -> None:
        shutil.copytree(FIVE_STEPS, self.folder, dirs_exist_ok=True)
        super().start_target()


def put(made: World, stream: str, bodies: Sequence[tuple[str, bytes]]) -> None:
    """Arrivals, as the intake stores them, in one transaction: the workers see all or nothing."""
    with Database(made.url) as database, database.transaction() as connection:
        for start in range(0, len(bodies), PAGE):
            rows = [
                Incoming.storable(key, "1", body.decode())
                for key, body in bodies[start : start + PAGE]
            ]
            arrivals.store_page(connection, "till", stream, rows, received_by="webhook")
        connection.execute("SELECT pg_notify('tieout_work', 'webhook')")


def number(made: World, query: str) -> int:
    return int(str(made.ask(query)[0][0]))


def await_that(made: World, query: str, wanted: int, every: float = 0.05) -> None:
    """Until a query counts to this. Raises TimeoutError with what the processes said."""
    deadline = clock.monotonic() + MOST_SECONDS
    while number(made, query) != wanted:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"{query}: {number(made, query)}, not {wanted}; {made.logs()}")
        clock.sleep(every)


def ours(runs: int, workers: int) -> float:
    """Runs a second, from the commit of the arrivals until the last run is complete."""
    with world(workers, FiveSteps) as made:
        some = [(f"C{one}", customer(one)) for one in range(CUSTOMERS)]
        put(made, "customer", some)
        await_that(made, "SELECT count(*) FROM record_heads", CUSTOMERS)
        held = "SELECT count(DISTINCT holder) FROM leases WHERE name LIKE 'partition:%%'"
        await_that(made, held, workers)
        warm = [(f"w-{one}", invoice(f"w-{one}", one)) for one in range(WARM_RUNS)]
        put(made, "invoice", warm)
        await_that(made, COMPLETE, WARM_RUNS)
        many = [(f"e-{one}", invoice(f"e-{one}", one)) for one in range(runs)]
        put(made, "invoice", many)
        started = clock.monotonic()
        await_that(made, COMPLETE, WARM_RUNS + runs)
        seconds = clock.monotonic() - started
        proved = number(made, "SELECT count(*) FROM documents WHERE state = 'present'")
        if proved != CUSTOMERS + 2 * (WARM_RUNS + runs):
            raise ValueError(f"{proved} documents are proved, not two for each run")
        return runs / seconds


def floor(url: str, runs: int, workers: int) -> float:
    """Runs a second of five committed rows each, by as many processes with a connection each."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FLOOR.encode())
    context = mp.get_context("spawn")
    ready, told = context.Barrier(workers), context.Queue()
    shares = [range(me, runs, workers) for me in range(workers)]
    crew = [context.Process(target=_bare, args=(url, share, ready, told)) for share in shares]
    for one in crew:
        one.start()
    answers = [told.get(timeout=MOST_SECONDS) for _ in crew]
    for one in crew:
        one.join()
    seconds: float = max(end for _, end in answers) - min(began for began, _ in answers)
    return runs / seconds


def _bare(url: str, some: range, ready: Barrier, told: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        ready.wait()
        began = clock.monotonic()
        for run_id in some:
            for step_no in range(STEPS):
                connection.execute(
                    "INSERT INTO bare_steps VALUES (%s, %s, %s, %s)",
                    (run_id, step_no, "done", clock.now()),
                )
        told.put((began, clock.monotonic()))


def measure(runs: int, floor_runs: int) -> dict[str, object]:
    one, two = ours(runs, 1), ours(runs, 2)
    folder = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    folder.chmod(0o755)
    try:
        server = embedded.start(folder)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bare")
        url = server.url("bare")
        bare_one, bare_two = floor(url, floor_runs, 1), floor(url, floor_runs, 2)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "benchmark": "flows",
        "runs": runs,
        "processors": os.cpu_count(),
        "runs_per_second": {"1": round(one), "2": round(two)},
        "floor_runs_per_second": {"1": round(bare_one), "2": round(bare_two)},
        "ratio": round(two / bare_two, 2),
        "aim": AIM,
        "meets_aim": max(one, two) >= AIM,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument(
        "--runs", type=int, default=20_000, help="of ours, for each count of workers"
    )
    parser.add_argument("--floor-runs", type=int, default=1_000)
    asked = parser.parse_args()
    found = measure(asked.runs, asked.floor_runs)
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
