"""Files to a warehouse, with everything: `python -m benchmarks.record_sync [--json] [--records N]`.

The example landscape `record_sync` on 200,000 generated invoices of three lines: arrival, dedupe,
validation, crosswalks, controls, record version, dispatch, delivery into PostgreSQL, read-back
proof, totals, audit; by `--workers` worker processes, timed from the moment the file is in the
folder until the last proof. In the same run, into the same server: a plain DuckDB-to-COPY load of
the same rows, without any control. `ratio` is our time divided by that one's; `replay_ratio` the
time for the same file once more (its cursor forgotten) divided by the first. `correct` says that
headers, lines, totals and rejects are exactly what the data's maker knows. `--peers` also measures
dlt (its usual way: dicts with nested lines, merge), installed into benchmarks/.peers.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import record_sync_peers as peers
from benchmarks.invoices import write_all
from benchmarks.record_sync_target import fresh_database, make_tables, server, wrong
from tieout import clock
from tieout.engine.rest import progress
from tieout.landscape.examples import example
from tieout.store import database

MOST_SECONDS = 3_600.0
LOOK_SECONDS = 0.5
STOP_SECONDS = 60.0
OURS, REFERENCE = "tieout_sync", "reference"


@dataclass(frozen=True, slots=True)
class Stage:
    """A landscape ready to run: its folder, the inbox it reads, its own database and the target."""

    folder: Path
    inbox: Path
    url: str
    target: str


def stage(home: Path, data: Path, own: str, target: str) -> Stage:
    """The example landscape with 20,000 customers and an environment of its own."""
    folder, inbox = home / "landscape", home / "inbox"
    shutil.copytree(example("record_sync"), folder)
    inbox.mkdir()
    with (
        (data / "customers.csv").open(newline="") as given,
        (folder / "crosswalks" / "customer_number.csv").open("w", newline="") as made,
    ):
        rows = csv.reader(given)
        next(rows)
        writer = csv.writer(made)
        writer.writerow(("code", "value", "valid_from", "valid_to", "note"))
        writer.writerows((code, value, "", "", "") for code, value in rows)
    for path in (folder / "environments").glob("*.yaml"):
        path.unlink()
    with psycopg.connect(target) as connection:
        info = connection.info
        host, port, name = info.host, info.port, info.dbname
        user, password = info.user, info.password
    place = f"postgresql:///{name}?host={host}&port={port}"
    if not host.startswith("/"):
        place = f"postgresql://{host}:{port}/{name}"
    (home / "user").write_text(user)
    (home / "password").write_text(password or "none")
    (folder / "environments" / "bench.yaml").write_text(
        "environment: bench\nsystems:\n"
        f"  billing:\n    settings: {{folder: {inbox}}}\n    poll: 1 second\n"
        f"  warehouse:\n    settings: {{url: '{place}', schema: {OURS}}}\n"
        f"    secrets: {{user: 'file:{home}/user', password: 'file:{home}/password'}}\n"
        "    timeout: 60 seconds\n"
    )
    database.prepare(own, "record_sync")
    return Stage(folder, inbox, own, target)


@contextlib.contextmanager
def working(ready: Stage, workers: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes, stopped by their pids."""
    log = (ready.folder.parent / "workers.log").open("ab")
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tieout.cli", "worker"),
                *("--landscape", str(ready.folder), "--environment", "bench"),
            ],
            env={**os.environ, "TIEOUT_DATABASE_URL": ready.url},
            stdout=log,
            stderr=log,
        )
        for _ in range(workers)
    ]
    try:
        yield children
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        log.close()


def most_mib(child: subprocess.Popen[bytes]) -> int:
    """The most memory a process has had resident, in MiB; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{child.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) // 1024 if found else 0
    return 0


def wait_for_rest(
    ready: Stage, children: list[subprocess.Popen[bytes]], size: int, started: float
) -> tuple[float, dict[str, Any]]:
    """Seconds until the file is read to its end and nothing is left to do, and what was counted.
    Raises RuntimeError when a worker ends or time is over."""
    with psycopg.connect(ready.url, autocommit=True) as connection:
        connection.execute("SET ROLE tieout_app")
        connection.execute("SET tieout.legal_entities = '*'")
        while clock.monotonic() - started < MOST_SECONDS:
            if any(child.poll() is not None for child in children):
                raise RuntimeError((ready.folder.parent / "workers.log").read_text()[-4000:])
            row = connection.execute("SELECT cursor FROM stream_cursors").fetchone()
            if row is not None and json.loads(row[0]).get("offset") == size:
                told = progress(connection)
                if told.at_rest:
                    # Looking takes its time: the last proof says when the work was done.
                    ended = connection.execute(
                        "SELECT extract(epoch FROM greatest(max(read_at), "
                        "(SELECT read_at FROM stream_cursors))) FROM proofs"
                    ).fetchone()
                    assert ended is not None
                    at = clock.now().timestamp() - float(ended[0])
                    counted = {"proofs": told.proofs, "repeats": told.repeats}
                    return clock.monotonic() - started - at, counted
            clock.sleep(LOOK_SECONDS)
    raise RuntimeError(f"not at rest after {MOST_SECONDS:.0f} s")


def rejected(ready: Stage) -> dict[str, int]:
    """How many arrivals have a case, by the reasons of the data's maker."""
    with psycopg.connect(ready.url, autocommit=True) as connection:
        connection.execute("SET tieout.legal_entities = '*'")
        found = connection.execute(
            "SELECT CASE WHEN field = 'customer' THEN 'unknown_customer' "
            "WHEN field = 'currency' THEN 'bad_currency' "
            "WHEN control IN ('lines_add_up', 'line_amount_follows', 'tax_adds_up') "
            "THEN 'lines_mismatch' ELSE concat_ws(' ', reason, control, field) END AS why, "
            "count(DISTINCT source_key) FROM cases WHERE state = 'open' GROUP BY why"
        ).fetchall()
    return {str(why): int(count) for why, count in found}


def ours(ready: Stage, data: Path, workers: int, truth: dict[str, Any]) -> dict[str, Any]:
    """The file through the landscape, then the same file once more."""
    waiting = ready.inbox / ".invoices.part"
    shutil.copy(data / "invoices.jsonl", waiting)
    size = waiting.stat().st_size
    with working(ready, workers) as children:
        _wait_for_leases(ready, children)
        started = clock.monotonic()
        waiting.rename(ready.inbox / "invoices.jsonl")
        first, counted = wait_for_rest(ready, children, size, started)
        mistakes = wrong(ready.target, OURS, truth)
        if rejected(ready) != truth["rejects"]:
            mistakes.append(f"rejects: {rejected(ready)} and not {truth['rejects']}")
        with psycopg.connect(ready.url, autocommit=True) as connection:
            connection.execute("DELETE FROM stream_cursors")
        started = clock.monotonic()
        again, recounted = wait_for_rest(ready, children, size, started)
        mistakes += wrong(ready.target, OURS, truth)
        if recounted["repeats"] - counted["repeats"] != truth["records"]:
            mistakes.append(f"repeats of the replay: {recounted} after {counted}")
        if recounted["proofs"] != counted["proofs"]:
            mistakes.append(f"the replay wrote: {recounted} after {counted}")
        memory = max(most_mib(child) for child in children)
    return {
        "seconds": round(first, 2),
        "records_per_second": round(truth["records"] / first),
        "replay_seconds": round(again, 2),
        "replay_ratio": round(again / first, 2),
        "worker_mib": memory,
        "correct": not mistakes,
        "mistakes": mistakes[:10],
    }


def _wait_for_leases(ready: Stage, children: list[subprocess.Popen[bytes]]) -> None:
    """Until every worker is up: the time of a start is not the time of a sync."""
    deadline = clock.monotonic() + STOP_SECONDS
    with psycopg.connect(ready.url, autocommit=True) as connection:
        while clock.monotonic() < deadline:
            row = connection.execute("SELECT count(DISTINCT holder) FROM leases").fetchone()
            if row is not None and row[0] >= len(children):
                return
            if any(child.poll() is not None for child in children):
                break
            clock.sleep(LOOK_SECONDS)
    raise RuntimeError((ready.folder.parent / "workers.log").read_text()[-4000:])


def measure(records: int, workers: int, with_peers: bool) -> dict[str, Any]:
    """Both, and the peers, one after the other in the same minutes on the same server."""
    with tempfile.TemporaryDirectory(prefix="tieout-bench-") as temporary, server() as host:
        home = Path(temporary)
        data = home / "data"
        truth = write_all(data, records)
        with fresh_database(host) as target, fresh_database(host) as own:
            for schema in (REFERENCE, OURS):
                make_tables(target, schema)
            plain = peers.plain(data, target, REFERENCE)
            plain_wrong = wrong(target, REFERENCE, truth)
            ready = stage(home, data, own, target)
            found = ours(ready, data, workers, truth)
            others: dict[str, Any] = {}
            if with_peers:
                dlt = peers.dlt(data, target, home)
                others = {"dlt_seconds": round(dlt, 2)}
                others["dlt_ratio"] = round(dlt / found["seconds"], 2)
    return {
        "benchmark": "record_sync",
        "records": truth["records"],
        "workers": workers,
        "reference_seconds": round(plain, 2),
        "reference_correct": not plain_wrong,
        **found,
        "ratio": round(found["seconds"] / plain, 2),
        **others,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2, 4))
    parser.add_argument("--peers", action="store_true", help="measure dlt too")
    asked = parser.parse_args()
    found = measure(asked.records, asked.workers, asked.peers)
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>28}  {value}" for name, value in found.items()))
    sys.exit(0 if found["correct"] else 1)


if __name__ == "__main__":
    main()
