"""How fast a backlog drains: `python -m benchmarks.backlog [--json] [--deep 1000000]`.

Invoices wait as planned dispatches before the shut door of an HTTP ledger on this machine; the door
opens, and proofs are counted: writes that were sent, read back and found to agree. One worker
drains 10,000 of them, again and again; 1, 2 and 4 workers drain at 100,000; one worker drains at
1,000,000, all in one database and in that order. A rate is proofs a second between the first and
the last committed batch of a window, by the times that the proofs themselves carry. `ratio` is the
rate at the deepest backlog divided by that at the shallowest. `correct`: everything proved once,
with agreement, and in the ledger once; `mistakes` names what is not. `runs_ready`: runs whose entry
is proved and that have not gone on yet, since their flow is held back while much waits.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

from benchmarks.loopback.waiting import (
    any_waits,
    facts,
    mistakes,
    multiply,
    open_door,
    seed,
    shut,
    waiting,
)
from benchmarks.loopback.world import World, world
from tieout import clock

SEEDS = 200
MOST_WARM_SECONDS = 3.0
LOOK_SECONDS = 0.5
MOST_ROUNDS = 12
START_SECONDS = 60.0
MOST_DRAIN_SECONDS = 120.0
BAR = 0.9

_STREAK = """
SELECT coalesce(sum(n), 0), coalesce(extract(epoch FROM max(read_at) - min(read_at)), 0),
       coalesce((array_agg(n ORDER BY read_at))[1], 0)
FROM (SELECT read_at, count(*) AS n FROM proofs WHERE read_at >= %s AND verdict = 'agrees'
      GROUP BY read_at) AS batches
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """Proofs after the first batch of a window, and the seconds from it to the last."""

    proofs: int = 0
    seconds: float = 0.0

    def __add__(self, other: Drained) -> Drained:
        return Drained(self.proofs + other.proofs, self.seconds + other.seconds)

    @property
    def rate(self) -> float:
        return self.proofs / self.seconds if self.seconds else 0.0


class Bench:
    """A world with a shut door, and a backlog that is filled up before every window."""

    def __init__(self, made: World) -> None:
        self.made = made
        self.fills = 0

    def fill(self, depth: int) -> float:
        """Fill up to this depth; returns the seconds it took."""
        started = clock.monotonic()
        shut(self.made)
        missing = depth - waiting(self.made)
        if missing > 0:
            self.fills += 1
            multiply(self.made, missing, f"deep{self.fills}")
        return clock.monotonic() - started

    def start(self, workers: int) -> list[str]:
        """Workers that have their leases and wait before the door."""
        names = [f"worker-{number + 1}" for number in range(workers)]
        for name in names:
            self.made.start_worker(name)
        deadline = clock.monotonic() + START_SECONDS
        while self._holders() < workers:
            if clock.monotonic() > deadline:
                raise TimeoutError(f"workers without leases; {self.made.logs()}")
            clock.sleep(LOOK_SECONDS)
        return names

    def _holders(self) -> int:
        rows = self.made.ask(
            "SELECT count(DISTINCT holder) FROM leases WHERE starts_with(name, 'partition:')"
        )
        return int(str(rows[0][0]))

    def stop(self, names: list[str]) -> None:
        shut(self.made)
        for name in names:
            self.made.finish(name)

    def window(self, seconds: float, warm: float, names: list[str]) -> Drained:
        """What is proved from `warm` seconds after the door opened until `seconds` later, or until
        nothing waits. Raises RuntimeError when a worker ends."""
        open_door(self.made)
        clock.sleep(warm)
        since = self.made.ask("SELECT clock_timestamp()")[0][0]
        deadline = clock.monotonic() + seconds
        while clock.monotonic() < deadline and any_waits(self.made):
            clock.sleep(LOOK_SECONDS)
            if not all(self.made.running(name) for name in names):
                raise RuntimeError(f"a worker ended; {self.made.logs()}")
        row = self.made.ask(_STREAK, since)[0]
        counted, took, first = (float(str(one)) for one in row)
        return Drained(int(counted - first), took)


def shallow(bench: Bench, depth: int, seconds: float) -> Drained:
    """One worker drains this depth to the end, as often as it takes to have worked for `seconds`;
    the first time only warms it up."""
    bench.fill(depth)
    names = bench.start(1)
    found = Drained()
    for number in range(MOST_ROUNDS):
        bench.fill(depth)
        drained = bench.window(MOST_DRAIN_SECONDS, 0.0, names)
        if number:
            found += drained
        if found.seconds >= seconds:
            break
    bench.stop(names)
    return found


def deep(bench: Bench, workers: int, seconds: float) -> Drained:
    """So many workers drain what waits for `seconds`."""
    names = bench.start(workers)
    found = bench.window(seconds, min(MOST_WARM_SECONDS, seconds / 4), names)
    bench.stop(names)
    return found


def measure(few: int, middle: int, many: int, seconds: float) -> dict[str, object]:
    with world() as made:
        seed(made, min(SEEDS, few))
        bench = Bench(made)
        first = shallow(bench, few, seconds)
        by_workers = {}
        for workers in (1, 2, 4):
            bench.fill(middle)
            by_workers[workers] = deep(bench, workers, seconds)
        filled = bench.fill(many)
        last = deep(bench, 1, seconds)
        left = waiting(made)
        ready = made.ask("SELECT count(*) FROM runs WHERE state = 'ready'")[0][0]
        wrong = mistakes(made)
        wrong += [
            f"drained in {one.seconds:.1f} s: too short to tell a rate; make the backlog deeper"
            for one in (first, *by_workers.values(), last)
            if one.seconds < seconds / 4
        ]
        machine = facts(made)
    ratio = last.rate / first.rate if first.rate else 0.0
    return {
        "benchmark": "backlog",
        **machine,
        "few": few,
        "few_per_second": round(first.rate),
        "few_proofs": first.proofs,
        "middle": middle,
        "middle_per_second_by_workers": {
            str(workers): round(one.rate) for workers, one in by_workers.items()
        },
        "many": many,
        "many_per_second": round(last.rate),
        "many_proofs": last.proofs,
        "many_left": left,
        "runs_ready": ready,
        "many_fill_seconds": round(filled, 1),
        "ratio": round(ratio, 3),
        "bar": BAR,
        "meets_bar": ratio >= BAR and not wrong,
        "correct": not wrong,
        "mistakes": wrong[:10],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--few", type=int, default=10_000, help="the shallow backlog")
    parser.add_argument("--middle", type=int, default=100_000, help="drained by 1, 2, 4 workers")
    parser.add_argument("--deep", type=int, default=1_000_000, help="the deep backlog")
    parser.add_argument("--seconds", type=float, default=12, help="of each window")
    asked = parser.parse_args()
    found = measure(asked.few, asked.middle, asked.deep, asked.seconds)
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))
    sys.exit(0 if found["correct"] else 1)


if __name__ == "__main__":
    main()
