"""How work is claimed (DESIGN D2b): `python -m benchmarks.claiming [--json] [--rows N]`.

The same waiting rows are worked off by 1, 2 and 4 processes in four ways, on cold keys (each row
has its own) and hot ones (all rows share a few). A worker claims up to a hundred rows in one
committed transaction, calls the system (a pause), and notes the effects in a second one. An
*inversion* is an effect that came after a later one of the same key. `ratio` is the rate of the
lease with its cursor divided by that of SKIP LOCKED, on cold keys with the most workers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import shutil
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tieout import clock
from tieout.store import embedded

WAYS = ("lease", "lease_cursor", "skip_locked", "head_of_key")
PARTITIONS = 16
CLAIM = 100
CALL_SECONDS = 0.002
HOT_KEYS = 12
MOST_EMPTY_LOOKS = 200_000

_TABLES = """
CREATE TABLE work (id bigint PRIMARY KEY, key integer NOT NULL, partition_no integer NOT NULL,
                   state smallint NOT NULL DEFAULT 0, body text NOT NULL);
CREATE TABLE effects (seq bigint GENERATED ALWAYS AS IDENTITY, id bigint, key integer);
CREATE TABLE lease (partition_no integer PRIMARY KEY, holder integer NOT NULL, epoch bigint);
CREATE INDEX work_waiting ON work (id) WHERE state = 0;
CREATE INDEX work_by_partition ON work (partition_no, id) WHERE state = 0;
CREATE INDEX work_open_by_key ON work (key, id) WHERE state < 2;
"""

_FENCE = "SELECT count(*) FROM (SELECT FROM lease WHERE holder = %(me)s FOR KEY SHARE) AS held"
_TAKE = "UPDATE work w SET state = 1 FROM ({}) AS c WHERE w.id = c.id RETURNING w.id, w.key"
CLAIMS = {
    "lease": _TAKE.format(
        "SELECT id FROM work WHERE state = 0 AND partition_no = ANY(%(mine)s) "
        "ORDER BY id LIMIT %(most)s"
    ),
    "lease_cursor": _TAKE.format(
        "SELECT c.id FROM unnest(%(mine)s::int[], %(cursors)s::bigint[]) AS p (no, cursor), "
        "LATERAL (SELECT id FROM work WHERE state = 0 AND partition_no = p.no AND id > p.cursor "
        "ORDER BY id LIMIT %(most)s) AS c ORDER BY c.id LIMIT %(most)s"
    ),
    "skip_locked": _TAKE.format(
        "SELECT id FROM work WHERE state = 0 ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED"
    ),
    "head_of_key": _TAKE.format(
        "SELECT id FROM work o WHERE state = 0 AND NOT EXISTS (SELECT FROM work e "
        "WHERE e.key = o.key AND e.id < o.id AND e.state < 2) "
        "ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED"
    ),
}


def fill(url: str, rows: int, hot: bool, workers: int) -> None:
    """Waiting rows and who holds which partition."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES.encode())
        connection.execute(
            "INSERT INTO work (id, key, partition_no, body) SELECT n, k, k %% %(parts)s, "
            "repeat('x', 200) FROM generate_series(1, %(rows)s) AS n, "
            "LATERAL (SELECT CASE WHEN %(hot)s THEN n %% %(keys)s ELSE n END AS k) AS chosen",
            {"rows": rows, "hot": hot, "keys": HOT_KEYS, "parts": PARTITIONS},
        )
        connection.execute(
            "INSERT INTO lease SELECT n, n %% %s, 1 FROM generate_series(0, %s) AS n",
            (workers, PARTITIONS - 1),
        )
        connection.execute("VACUUM ANALYZE work")


def work(url: str, way: str, me: int, workers: int, ready: Barrier, told: Any) -> None:
    """One worker, until nothing waits; tells when it began and ended, and its looks in vain."""
    mine = [number for number in range(PARTITIONS) if number % workers == me]
    cursors = dict.fromkeys(mine, 0)
    vain = 0
    with psycopg.connect(url, autocommit=True) as connection:
        ready.wait()
        began = clock.monotonic()
        for _ in range(MOST_EMPTY_LOOKS):
            with connection.transaction():
                if way.startswith("lease"):
                    connection.execute(_FENCE, {"me": me})
                claimed = connection.execute(
                    CLAIMS[way].encode(),
                    {"mine": mine, "cursors": list(cursors.values()), "most": CLAIM},
                ).fetchall()
            if not claimed:
                if not _waiting(connection, way, mine):
                    break
                vain += 1
                clock.sleep(CALL_SECONDS / 2)
                continue
            clock.sleep(CALL_SECONDS)
            with connection.transaction():
                if way.startswith("lease"):
                    connection.execute(_FENCE, {"me": me})
                _note(connection, sorted(claimed))
            for number, key in claimed:
                cursors[key % PARTITIONS] = max(cursors.get(key % PARTITIONS, 0), number)
        told.put((began, clock.monotonic(), vain))


def _waiting(connection: psycopg.Connection[Any], way: str, mine: list[int]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM work WHERE state = 0 AND (%s OR partition_no = ANY(%s)))",
        (not way.startswith("lease"), mine),
    ).fetchone()
    return bool(row and row[0])


def _note(connection: psycopg.Connection[Any], claimed: list[tuple[int, int]]) -> None:
    ids, keys = [one[0] for one in claimed], [one[1] for one in claimed]
    connection.execute(
        "INSERT INTO effects (id, key) SELECT * FROM unnest(%s::bigint[], %s::int[]) "
        "AS t (id, key) ORDER BY t.id",
        (ids, keys),
    )
    connection.execute("UPDATE work SET state = 2 WHERE id = ANY(%s)", (ids,))


def one_run(server: embedded.Embedded, way: str, rows: int, hot: bool, workers: int) -> Any:
    """Records a second, inversions and looks in vain of one way."""
    name = f"claim_{way}_{int(hot)}_{workers}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = server.url(name)
    fill(url, rows, hot, workers)
    context = mp.get_context("spawn")
    ready, told = context.Barrier(workers), context.Queue()
    crew = [
        context.Process(target=work, args=(url, way, me, workers, ready, told))
        for me in range(workers)
    ]
    for one in crew:
        one.start()
    answers = [told.get(timeout=300) for _ in crew]
    for one in crew:
        one.join()
    seconds = max(end for _, end, _ in answers) - min(began for began, _, _ in answers)
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE id < before) FROM (SELECT id, max(id) OVER "
            "(PARTITION BY key ORDER BY seq ROWS UNBOUNDED PRECEDING) AS before FROM effects) AS x"
        ).fetchone()
    if row is None or row[0] != rows:
        raise ValueError(f"{way}: {row} effects instead of {rows}")
    return {
        "way": way,
        "keys": "hot" if hot else "cold",
        "workers": workers,
        "records_per_second": round(rows / seconds),
        "inversions": int(row[1]),
        "looks_in_vain": sum(vain for _, _, vain in answers),
    }


def measure(rows: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    folder.chmod(0o755)
    try:
        server = embedded.start(folder)
        runs = [
            one_run(server, way, rows, hot, workers)
            for hot in (False, True)
            for workers in (1, 2, 4)
            for way in WAYS
        ]
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    most = {
        one["way"]: one["records_per_second"]
        for one in runs
        if one["workers"] == 4 and one["keys"] == "cold"
    }
    return {
        "benchmark": "claiming",
        "rows": rows,
        "call_milliseconds": CALL_SECONDS * 1000,
        "runs": runs,
        "ratio": round(most["lease_cursor"] / most["skip_locked"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--rows", type=int, default=12_000)
    arguments = parser.parse_args()
    found = measure(arguments.rows)
    if arguments.json:
        print(json.dumps(found))
        return
    for one in found["runs"]:  # type: ignore[attr-defined]
        print(
            f"{one['keys']:5} {one['workers']} workers {one['way']:13} "
            f"{one['records_per_second']:>8,}/s {one['inversions']:>6,} inversions "
            f"{one['looks_in_vain']:>6,} looks in vain"
        )


if __name__ == "__main__":
    main()
