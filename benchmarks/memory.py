"""What a deep backlog costs a worker in memory: `python -m benchmarks.memory [--json]`.

One worker carries a few invoices from webhook arrival to proof (`--few`, 10,000), idles, and then
finds `--deep` (1,000,000) arrivals that nobody has resolved, stored by the product's own intake; it
works on them for `--seconds`, or with `--until-drained` to the end. Sizes are the most the process
ever had resident (VmHWM of /proc), in MiB; `growth_mib` is what the deep backlog added to what the
few took, `ratio` the one divided by the other. `correct`: everything proved once, with agreement,
and in the ledger once. Linux only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import psycopg

from benchmarks.latency import await_proofs, greet, load
from benchmarks.loopback.load import invoice
from benchmarks.loopback.waiting import facts, mistakes
from benchmarks.loopback.world import World, world
from tieout import clock
from tieout.engine.taking_in import VERSION_DIGITS
from tieout.store import arrivals
from tieout.store.arrivals import Incoming

WORKER = "worker"
WARM_RATE = 50.0
PAGE = 10_000
LOOK_SECONDS = 1.0
MOST_DRAIN_SECONDS = 3_600.0
IDLE_LOOKS = 3
BAR_MIB = 50.0


def resident(made: World, name: str = "VmHWM") -> float:
    """What the worker has resident now (VmRSS) or had at most (VmHWM), in MiB."""
    status = Path(f"/proc/{made.processes[WORKER].pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError(f"this system does not tell {name} of a process")
    return int(found[1]) / 1024


def store(made: World, count: int, prefix: str) -> float:
    """So many invoices as the intake stores them, in one transaction; returns its seconds."""
    started = clock.monotonic()
    version = "1".zfill(VERSION_DIGITS)
    with psycopg.connect(made.url) as connection:
        connection.execute("SET LOCAL tieout.legal_entities = '*'")
        for first in range(0, count, PAGE):
            rows = [
                Incoming.storable(key, version, invoice(key, number).decode())
                for number in range(first, min(first + PAGE, count))
                for key in (f"{prefix}-{number}",)
            ]
            arrivals.store_page(connection, "till", "invoice", rows, received_by="webhook")
        connection.execute("ANALYZE arrivals, arrival_keys, payloads")
    return clock.monotonic() - started


def work(made: World, seconds: float) -> tuple[int, list[float]]:
    """Let the worker work for so long, or until nothing is left to do; returns how many arrivals
    wait then, and what was resident at every look. Raises RuntimeError when the worker ends."""
    deadline = clock.monotonic() + seconds
    sizes: list[float] = []
    idle = 0
    while clock.monotonic() < deadline and idle < IDLE_LOOKS:
        clock.sleep(LOOK_SECONDS)
        if not made.running(WORKER):
            raise RuntimeError(f"the worker ended; {made.logs()}")
        sizes.append(resident(made, "VmRSS"))
        idle = 0 if _moving(made) else idle + 1
    left = made.ask("SELECT count(*) FROM arrivals WHERE state = 'new'")[0][0]
    return int(str(left)), sizes


def _moving(made: World) -> bool:
    """Whether anything is left to do: the youngest are looked at first, since a million must not be
    counted while somebody works on them."""
    rows = made.ask(
        "SELECT (SELECT arrival_id FROM arrivals WHERE state = 'new' "
        "ORDER BY arrival_id DESC LIMIT 1) IS NOT NULL "
        "OR EXISTS (SELECT FROM dispatch_states WHERE system = 'books' AND state IN "
        "('planned', 'sending', 'accepted', 'unknown', 'written')) "
        "OR EXISTS (SELECT FROM runs WHERE state = 'ready')"
    )
    return bool(rows[0][0])


def measure(few: int, many: int, seconds: float) -> dict[str, object]:
    with world() as made:
        greet(made)
        load(made, f"{made.intake}/invoice", WARM_RATE, 2, "warm")
        await_proofs(made, int(WARM_RATE * 2), "warm")
        made.finish("web")
        store(made, few, "few")
        left, _ = work(made, MOST_DRAIN_SECONDS)
        if left:
            raise RuntimeError(f"{left} of the few still wait; {made.logs()}")
        first, first_rests = resident(made), resident(made, "VmRSS")
        stored = store(made, many, "many")
        started = clock.monotonic()
        left, sizes = work(made, seconds)
        took = clock.monotonic() - started
        peak = resident(made)
        made.finish(WORKER)
        wrong = mistakes(made)
        if left == many:
            wrong.append("the worker resolved nothing of the deep backlog")
        machine = facts(made)
    growth = peak - first
    return {
        "benchmark": "memory",
        **machine,
        "few": few,
        "few_mib": round(first, 1),
        "few_resting_mib": round(first_rests, 1),
        "many": many,
        "many_mib": round(peak, 1),
        "many_mib_over_time": [round(one) for one in sizes[:: max(1, len(sizes) // 10)]],
        "store_seconds": round(stored, 1),
        "seconds": round(took, 1),
        "resolved": many - left,
        "growth_mib": round(growth, 1),
        "ratio": round(peak / first, 3),
        "bar_mib": BAR_MIB,
        "meets_bar": growth <= BAR_MIB and not wrong,
        "correct": not wrong,
        "mistakes": wrong[:10],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--few", type=int, default=10_000, help="carried first, to warm up")
    parser.add_argument("--deep", type=int, default=1_000_000, help="arrivals that then wait")
    parser.add_argument("--seconds", type=float, default=60, help="of work on the deep backlog")
    parser.add_argument("--until-drained", action="store_true", help="work until nothing waits")
    asked = parser.parse_args()
    seconds = MOST_DRAIN_SECONDS if asked.until_drained else asked.seconds
    found = measure(asked.few, asked.deep, seconds)
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))
    sys.exit(0 if found["correct"] else 1)


if __name__ == "__main__":
    main()
