"""A worker to be frozen: holds a lease, beats, and works in short transactions until it is fenced.

`python -m tests.store.frozen_worker URL`; says `has` once it works and `fenced` or `cut off` when
it finds out that it lost its lease.
"""

from __future__ import annotations

import sys

import psycopg

from tieout import clock
from tieout.store import leases
from tieout.store.database import Database
from tieout.store.leases import LeaseLost

MOST_TURNS = 6_000
TURN_SECONDS = 0.02


def main(url: str) -> None:
    leases.LEASE_SECONDS = 1.0
    holder = clock.new_id()
    with Database(url) as database, psycopg.connect(url, autocommit=True) as life:
        leases.live(life, holder)
        with database.transaction() as connection:
            held = leases.take(connection, ["partition:1"], holder)

        def beat() -> None:
            with database.transaction() as connection:
                leases.renew(connection, holder)

        stop = clock.every(0.2, beat)
        print("has", flush=True)
        try:
            for _ in range(MOST_TURNS):
                with database.transaction() as connection:
                    leases.hold(connection, held, holder)
                    connection.execute(
                        "INSERT INTO actions (at, actor, verb, detail) VALUES (%s, %s, 'w', '')",
                        (clock.now(), str(holder)),
                    )
                clock.sleep(TURN_SECONDS)
        except LeaseLost:
            print("fenced", flush=True)
        except psycopg.OperationalError:
            print("cut off", flush=True)
        finally:
            stop()


if __name__ == "__main__":
    main(sys.argv[1])
