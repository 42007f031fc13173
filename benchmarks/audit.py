"""What sealing costs: `python -m benchmarks.audit [--json] [--batches N] [--leaves N]`.

The same transactions (record versions with their audit leaves, as `resolve` writes them) are
committed by several writers three times, each time into a fresh database: without any audit, with
leaves and roots only, and with a sealer beside that seals and signs all the time. `ratio` is the
rate with the sealer divided by the rate with leaves only; `audit_ratio` that with everything
divided by that without audit. Then the whole log is sealed in one go and verified.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psycopg
from psycopg import sql

from tieout import clock
from tieout.finance.digest import digest_bytes
from tieout.store import audit, audit_checkpoints, database, embedded, evidence, records
from tieout.store.audit_keys import public_keys, public_path
from tieout.store.audit_verify import verify
from tieout.store.database import Connection, Database
from tieout.store.records import Record

SEAL_PAUSE_SECONDS = 0.25
LANDSCAPE = "bench"


def made(writer: int, batch: int, leaves: int) -> list[Record]:
    """The record versions of one transaction."""
    found = []
    for number in range(leaves):
        name = f"{writer}.{batch}.{number}"
        lines = ",".join(f'{{"amount":"{line}.10","product":"P{line}"}}' for line in range(3))
        body = f'{{"currency":"EUR","lines":[{lines}],"number":"SO-{name}"}}'
        content = digest_bytes(body.encode())
        found.append(
            Record(
                "sales_order", content[:32], 1, body, content, True, "crm", "Order", name, "1",
                number, "orders", 1, "h", "NWDE", "EUR", Decimal("30.30"), None, "2026-03", "won",
            )
        )  # fmt: skip
    return found


def write(connection: Connection, rows: list[Record], audited: bool) -> None:
    records.add(connection, rows)
    if audited:
        audit.record(connection, "worker", "resolve", evidence.of_records(rows))


def rate(
    url: str, writers: int, batches: int, leaves: int, *, audited: bool, beside: Callable[[], None]
) -> float:
    """Record versions a second over all writers, while `beside` runs again and again."""
    ready = [[made(w, b, leaves) for b in range(batches)] for w in range(writers)]
    over = threading.Event()

    def run(mine: list[list[Record]]) -> None:
        with Database(url, most_connections=1) as own:
            for rows in mine:
                with own.transaction() as connection:
                    write(connection, rows, audited)

    def keep_on() -> None:
        while not over.is_set():
            beside()
            clock.sleep(SEAL_PAUSE_SECONDS)

    threads = [threading.Thread(target=run, args=(mine,)) for mine in ready]
    helper = threading.Thread(target=keep_on)
    started = clock.monotonic()
    helper.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = clock.monotonic() - started
    over.set()
    helper.join()
    return writers * batches * leaves / seconds


def nothing() -> None:
    """No sealer beside."""


def measure(writers: int, batches: int, leaves: int, rounds: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    folder.chmod(0o755)
    try:
        server = embedded.start(folder)
        rates: dict[str, list[float]] = {"none": [], "leaves": [], "sealed": []}
        for turn in range(rounds):
            for name, found in rates.items():
                url = fresh(server, f"bench_{name}_{turn}")
                with Database(url) as opened:
                    state = folder / f"{name}_{turn}"

                    def seal(opened: Database = opened, state: Path = state) -> None:
                        audit_checkpoints.seal_all(opened, state, LANDSCAPE, "sealer")

                    beside = seal if name == "sealed" else nothing
                    found.append(
                        rate(url, writers, batches, leaves, audited=name != "none", beside=beside)
                    )
        last = folder / "whole"
        url = server.url(f"bench_leaves_{rounds - 1}")
        with Database(url) as opened:
            started = clock.monotonic()
            sealed = audit_checkpoints.seal_all(opened, last, LANDSCAPE, "sealer")
            sealing = clock.monotonic() - started
            started = clock.monotonic()
            with opened.transaction() as connection:
                keys = public_keys(public_path(last))
                verdict = verify(connection, audit_checkpoints.folder_of(last), keys)
            verifying = clock.monotonic() - started
        if verdict.found:
            raise ValueError(f"a clean log was found changed: {verdict.findings[0]}")
        best = {name: max(found) for name, found in rates.items()}
        return {
            "benchmark": "audit",
            "writers": writers,
            "batches": writers * batches,
            "leaves_per_batch": leaves,
            "records_per_second_without_audit": round(best["none"]),
            "records_per_second_with_leaves": round(best["leaves"]),
            "records_per_second_sealed": round(best["sealed"]),
            "ratio": round(best["sealed"] / best["leaves"], 3),
            "audit_ratio": round(best["sealed"] / best["none"], 3),
            "sealed_batches_per_second": round(sealed.added / sealing),
            "verified_leaves_per_second": round(verdict.leaves / verifying),
        }
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def fresh(server: embedded.Embedded, name: str) -> str:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    database.prepare(server.url(name), LANDSCAPE)
    return server.url(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--batches", type=int, default=150, help="transactions of each writer")
    parser.add_argument("--leaves", type=int, default=20, help="record versions in each")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    asked = parser.parse_args()
    found = measure(asked.writers, asked.batches, asked.leaves, asked.rounds)
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>36}  {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
