"""From webhook to proof: `python -m benchmarks.latency [--json] [--rates 1,50,…] [--seconds 20]`.

A signed webhook with a whole invoice is committed, acknowledged, mapped (crosswalk, references,
lines, a control), written to an HTTP ledger on this machine and read back. Latency counts from the
instant at which the open-loop generator meant to send: to the invoice's arrival at the ledger
(*delivered*) and to the read-back that the proof names (*proof*: its commit follows in the same
transaction, whose instant is taken from the database). Beside each rate, in the same run, the
floor: a bare receiver that inserts into PostgreSQL before its answer, forwards to the same ledger,
and updates afterwards; `ratio` is our delivered p50 divided by the floor's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence

from benchmarks.loopback.load import CUSTOMERS, customer
from benchmarks.loopback.world import World, free_port, world
from tieout import clock

DRAIN_SECONDS = 60.0
WARM_RATE, WARM_SECONDS = 20.0, 3.0
BAR = {"delivered_p50": 12.0, "delivered_p99": 50.0, "proof_p50": 25.0, "proof_p99": 80.0}
Told = Mapping[str, tuple[int, int, int]]
"""By reference: scheduled, acknowledged (nanoseconds), status."""


def load(made: World, url: str, rate: float, seconds: float, prefix: str) -> Told:
    """Run the generator to its end."""
    arguments = ["--rate", str(rate), "--seconds", str(seconds), "--prefix", prefix]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loopback.load", url, *arguments],
        env=made.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return {key: (one[0], one[1], one[2]) for key, one in json.loads(done.stdout).items()}


def seen(made: World) -> Mapping[str, tuple[int, int]]:
    """By reference: first arrival at the ledger in nanoseconds, how often it came."""
    with urllib.request.urlopen(f"{made.target}/seen", timeout=30) as answer:
        return {key: (one[0], one[1]) for key, one in json.loads(answer.read()).items()}


def proved(made: World, prefix: str) -> dict[str, tuple[str, int]]:
    """By source key: the entry's reference, and when its proof was recorded, in nanoseconds."""
    rows = made.ask(
        "SELECT r.source_key, min(c.reference), (extract(epoch FROM min(p.read_at)) * 1000000000)"
        "::bigint FROM proofs p JOIN documents c USING (document_id) "
        "JOIN records r ON r.record_type = c.record_type AND r.record_key = c.record_key "
        "WHERE p.verdict = 'agrees' AND c.stream = 'entry' AND starts_with(r.source_key, %s) "
        "GROUP BY 1",
        prefix + "-",
    )
    return {str(key): (str(reference), int(str(at))) for key, reference, at in rows}


def await_proofs(made: World, count: int, prefix: str) -> None:
    """Until everything is proved, at most DRAIN_SECONDS; what is missing then counts as lost."""
    deadline = clock.monotonic() + DRAIN_SECONDS
    while clock.monotonic() < deadline and len(proved(made, prefix)) < count:
        clock.sleep(0.5)


def quantiles(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The median and the 99th percentile in milliseconds."""
    if not values:
        return None, None
    ordered = sorted(values)
    return (
        round(statistics.median(ordered), 2),
        round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
    )


def ours(made: World, rate: float, seconds: float, prefix: str) -> dict[str, object]:
    """One rate through the whole product."""
    told = load(made, f"{made.intake}/invoice", rate, seconds, prefix)
    accepted = {key: one for key, one in told.items() if one[2] == 200}
    await_proofs(made, len(accepted), prefix)
    came, proofs = seen(made), proved(made, prefix)
    arrived = {key: came[one[0]] for key, one in proofs.items() if one[0] in came}
    both = [(key, one[0]) for key, one in accepted.items() if key in arrived]
    delivered = [(arrived[key][0] - scheduled) / 1e6 for key, scheduled in both]
    proof = [(proofs[key][1] - scheduled) / 1e6 for key, scheduled in both]
    acknowledged = [(one[1] - one[0]) / 1e6 for one in accepted.values()]
    found: dict[str, object] = {
        "rate": rate,
        "sent": len(told),
        "refused": len(told) - len(accepted),
    }
    for name, values in (("ack", acknowledged), ("delivered", delivered), ("proof", proof)):
        found[f"{name}_p50"], found[f"{name}_p99"] = quantiles(values)
    found["lost"] = len(accepted) - len(proofs)
    found["doubled"] = sum(1 for _, times in arrived.values() if times > 1)
    return found


def floor(made: World, port: int, rate: float, seconds: float, prefix: str) -> dict[str, object]:
    """The same rate through the bare receiver, into the same ledger."""
    told = load(made, f"http://127.0.0.1:{port}/invoice", rate, seconds, prefix)
    deadline = clock.monotonic() + DRAIN_SECONDS
    while len([key for key in seen(made) if key in told]) < len(told):
        if clock.monotonic() > deadline:
            break
        clock.sleep(0.2)
    came = seen(made)
    values = [(came[key][0] - one[0]) / 1e6 for key, one in told.items() if key in came]
    p50, p99 = quantiles(values)
    return {"floor_p50": p50, "floor_p99": p99, "floor_lost": len(told) - len(values)}


def measure(rates: Sequence[float], seconds: float) -> dict[str, object]:
    results = []
    with world() as made:
        greet(made)
        load(made, f"{made.intake}/invoice", WARM_RATE, WARM_SECONDS, "warm")
        await_proofs(made, int(WARM_RATE * WARM_SECONDS), "warm")
        port = free_port()
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.loopback.floor", str(port), f"{made.target}/entry"],
            env=made.environment(),
        ) as bare:
            try:
                for number, rate in enumerate(rates):
                    one = ours(made, rate, seconds, f"e{number}")
                    one |= floor(made, port, rate, seconds, f"f{number}")
                    mine, theirs = one["delivered_p50"], one["floor_p50"]
                    if isinstance(mine, float) and isinstance(theirs, float):
                        one["ratio"] = round(mine / theirs, 2)
                    results.append(one)
                    print(json.dumps(one), file=sys.stderr)
            finally:
                bare.terminate()
    at_50 = next((one for one in results if one["rate"] == 50), None)
    return {
        "benchmark": "latency",
        "seconds": seconds,
        "processors": os.cpu_count(),
        "rates": results,
        "ratio": at_50.get("ratio") if at_50 else None,
        "bar": BAR,
        "meets_bar": at_50 is not None and all(meets(at_50, name) for name in BAR),
    }


def meets(one: Mapping[str, object], name: str) -> bool:
    value = one[name]
    whole = one["lost"] == 0 and one["doubled"] == 0 and one["refused"] == 0
    return whole and isinstance(value, float) and value <= BAR[name]


def greet(made: World) -> None:
    """The customers are there before the first invoice, as in life."""
    from benchmarks.loopback.connector import SIGNATURE, sign
    from benchmarks.loopback.world import SECRET

    for number in range(CUSTOMERS):
        body = customer(number)
        headers = {"Content-Type": "application/json", SIGNATURE: sign(SECRET, body)}
        request = urllib.request.Request(f"{made.intake}/customer", body, headers)
        with urllib.request.urlopen(request, timeout=30):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--rates", default="1,50,200,1000", help="events a second")
    parser.add_argument("--seconds", type=float, default=20, help="for each rate")
    asked = parser.parse_args()
    found = measure([float(one) for one in asked.rates.split(",")], asked.seconds)
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
