"""Seeds a second: `python -m benchmarks.rehearsal [--json] [--seeds 60] [--jobs 2]`.

Plays seeds of the corner landscape (`tests/rehearsal/landscape`: two sources, three targets of
grades A, B and C, approvals, accounting periods), each with at least a hundred events and the
faults that it draws, to the last look at every promise. `ratio` is seeds a second divided by the
bar of two. `held`: no promise broke.
"""

from __future__ import annotations

import argparse
import json
import sys

from tests.rehearsal.corner_players import corner_players
from tieout import clock
from tieout.rehearsal.faults import chosen
from tieout.rehearsal.script import draw

BAR = 2.0


def measure(seeds: int, jobs: int) -> dict[str, object]:
    scripts = [draw(seed, chosen("")) for seed in range(seeds)]
    with corner_players(jobs) as players:
        began = clock.monotonic()
        verdicts = players.play_all(scripts, seeds)
        seconds = clock.monotonic() - began
    rate = len(verdicts) / seconds
    return {
        "benchmark": "rehearsal",
        "seeds": len(verdicts),
        "jobs": jobs,
        "seconds": round(seconds, 1),
        "seeds_per_second": round(rate, 2),
        "events_per_seed": round(sum(one.events for one in verdicts) / len(verdicts)),
        "ticks_per_seed": round(sum(one.ticks for one in verdicts) / len(verdicts)),
        "held": all(one.held for one in verdicts),
        "broken": [one.script.seed for one in verdicts if not one.held],
        "ratio": round(rate / BAR, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    found = measure(asked.seeds, asked.jobs)
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>20}  {value}" for name, value in found.items()))
    sys.exit(0 if found["held"] else 1)


if __name__ == "__main__":
    main()
