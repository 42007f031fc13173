"""Many that wait, made of a few: a deep backlog in minutes, with rows as the product makes them.

`seed` sends some invoices through the real pipeline while the door to the ledger is shut, so that
each of them waits as a planned dispatch, and keeps their rows. `multiply` copies them in SQL under
new keys and ids: arrival, record, document, intent, its state, run and steps; digests, keys and
partitions are what the product would have made of the new keys. Audit leaves and control totals of
what came before the dispatch are not copied: nothing that drains a backlog reads them.
"""

from __future__ import annotations

import os
import platform

import psycopg
from psycopg import sql

from benchmarks.latency import await_proofs, greet, load, seen
from benchmarks.loopback.world import World
from tieout import clock
from tieout.finance.digest import record_key
from tieout.store.arrivals import partition_of

RATE = 100.0
SETTLE_SECONDS = 60.0
LOOK_SECONDS = 0.1
PREFIX = "seed"

# Which rows belong to a waiting invoice: the table, and the column it is found by.
_TABLES = {
    "arrivals": "arrival_id",
    "arrival_keys": "arrival_id",
    "payloads": "arrival_id",
    "records": "record_key",
    "record_heads": "record_key",
    "documents": "document_id",
    "intents": "dispatch_id",
    "dispatch_states": "dispatch_id",
    "runs": "run_id",
    "run_steps": "run_id",
}
_KEYED = {"reference", "waits_for", "number", "body", "payload"}  # texts that name the source key
_SAME_NAME = {
    *("arrival_id", "document_id", "dispatch_id", "run_id"),
    *("source_key", "record_key", "partition_no"),
}
_SHA = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"

_WAITING = """
CREATE SCHEMA bench;
CREATE TABLE bench.waiting AS
SELECT row_number() OVER (ORDER BY s.dispatch_id) - 1 AS nth, r.source_key, r.record_key,
       r.arrival_id, s.document_id, s.dispatch_id, u.run_id, p.payload, r.body
FROM dispatch_states s
JOIN intents i USING (dispatch_id)
JOIN records r ON (r.record_type, r.record_key, r.version)
                = (i.record_type, i.record_key, i.record_version)
JOIN runs u ON u.record_key = r.record_key AND u.waits_document = s.document_id
JOIN payloads p ON p.arrival_id = r.arrival_id
WHERE s.state = 'planned' AND s.stream = 'entry'
"""
_COPIES = f"""
CREATE TEMP TABLE copies ON COMMIT DROP AS
SELECT w.source_key, w.record_key, w.partition_no,
       nextval(pg_get_serial_sequence('arrivals', 'arrival_id')) AS arrival_id,
       nextval(pg_get_serial_sequence('documents', 'document_id')) AS document_id,
       nextval(pg_get_serial_sequence('intents', 'dispatch_id')) AS dispatch_id,
       nextval(pg_get_serial_sequence('runs', 'run_id')) AS run_id,
       {_SHA.format("'+' || replace(t.payload, t.source_key, w.source_key)")} AS arrival_digest,
       {_SHA.format("replace(t.body, t.source_key, w.source_key)")} AS record_digest,
       t.source_key AS old_source_key, t.record_key AS old_record_key,
       t.arrival_id AS old_arrival_id, t.document_id AS old_document_id,
       t.dispatch_id AS old_dispatch_id, t.run_id AS old_run_id
FROM (SELECT * FROM wanted ORDER BY n) AS w JOIN bench.waiting t ON t.nth = w.n %% %s
"""
_CHECK = f"""
SELECT count(*) FROM bench.waiting w JOIN arrivals a USING (arrival_id)
JOIN records r ON r.record_key = w.record_key
WHERE a.digest <> {_SHA.format("'+' || w.payload")} OR r.digest <> {_SHA.format("w.body")}
"""


def facts(made: World) -> dict[str, object]:
    """The machine and the versions that figures belong to."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "postgresql": str(made.ask("SHOW server_version")[0][0]),
    }


def shut(made: World) -> None:
    """Let nothing leave to the ledger, as if it had told us to wait."""
    _door(made, "busy", "1 day")


def open_door(made: World) -> None:
    """From now on dispatches leave."""
    _door(made, "open", "0 days")


def _door(made: World, state: str, long: str) -> None:
    made.ask(
        "INSERT INTO system_states (system, state, until, changed_at) VALUES ('books', %s, "
        "clock_timestamp() + %s::interval, clock_timestamp()) ON CONFLICT (system) DO UPDATE "
        "SET state = excluded.state, until = excluded.until, room = NULL, probe_until = NULL, "
        "probe_by = NULL RETURNING 1",
        state,
        long,
    )


def seed(made: World, count: int) -> None:
    """Customers in the ledger, some invoices all the way, then `count` that wait before the shut
    door; web and worker end. Raises TimeoutError when they do not come to wait."""
    greet(made)
    load(made, f"{made.intake}/invoice", RATE, 1, "warm")
    await_proofs(made, int(RATE), "warm")
    shut(made)
    load(made, f"{made.intake}/invoice", RATE, count / RATE, PREFIX)
    deadline = clock.monotonic() + SETTLE_SECONDS
    while waiting(made) < count:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"only {waiting(made)} of {count} wait; {made.logs()}")
        clock.sleep(LOOK_SECONDS)
    made.finish("worker")
    made.finish("web")
    with psycopg.connect(made.url) as connection:
        connection.execute(_WAITING.encode())
        for table, column in _TABLES.items():
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} AS SELECT * FROM {} WHERE {column} IN "
                    "(SELECT {column} FROM bench.waiting)"
                ).format(
                    sql.Identifier("bench", table),
                    sql.Identifier(table),
                    column=sql.Identifier(column),
                )
            )
        wrong = connection.execute(_CHECK.encode()).fetchone()
        if wrong is None or wrong[0]:
            raise ValueError("digests are made otherwise by now: this module must follow")


def waiting(made: World) -> int:
    """Entries that are planned and have not left."""
    rows = made.ask(
        "SELECT count(*) FROM dispatch_states WHERE system = 'books' AND stream = 'entry' "
        "AND state = 'planned'"
    )
    return int(str(rows[0][0]))


def any_waits(made: World) -> bool:
    """Whether the youngest entries wait still; to count a million would slow down what drains."""
    rows = made.ask(
        "SELECT 1 FROM dispatch_states WHERE system = 'books' AND stream = 'entry' "
        "AND lane = 'standard' AND state = 'planned' ORDER BY dispatch_id DESC LIMIT 1"
    )
    return bool(rows)


def multiply(made: World, count: int, prefix: str) -> None:
    """So many more that wait, in one transaction; then vacuumed, analysed and checkpointed, as the
    server itself would have done while they came in."""
    with psycopg.connect(made.url) as connection:
        connection.execute("SET LOCAL work_mem = '256MB'")
        connection.execute(
            "CREATE TEMP TABLE wanted (n bigint, source_key text, record_key text, "
            "partition_no smallint) ON COMMIT DROP"
        )
        with connection.cursor().copy("COPY wanted FROM STDIN") as rows:
            for number in range(count):
                key = f"{prefix}-{number}"
                made_of = record_key("invoice", "till", key)
                rows.write_row((number, key, made_of, partition_of(f"till|{key}")))
        row = connection.execute("SELECT count(*) FROM bench.waiting").fetchone()
        connection.execute(_COPIES.encode(), (row[0] if row else 0,))
        connection.execute("ANALYZE copies")
        for table, column in _TABLES.items():
            _copy(connection, table, column)
    with psycopg.connect(made.url, autocommit=True) as connection:
        connection.execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}".encode())
        connection.execute("CHECKPOINT")


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str, column: str) -> None:
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (table,),
    ).fetchall()
    columns = [str(name) for (name,) in names]
    connection.execute(
        sql.SQL(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM copies c "
            "JOIN {} t ON t.{} = c.{} ORDER BY c.dispatch_id"
        ).format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.Identifier(name) for name in columns),
            sql.SQL(", ").join(sql.SQL(_value(table, name)) for name in columns),
            sql.Identifier("bench", table),
            sql.Identifier(column),
            sql.Identifier(f"old_{column}"),
        )
    )


def _value(table: str, column: str) -> str:
    """What stands in a column of a copy."""
    if column in _SAME_NAME:
        # An ensured step is about a customer's document, which is not copied.
        if table == "run_steps" and column == "document_id":
            return (
                "CASE WHEN t.document_id = c.old_document_id THEN c.document_id "
                "ELSE t.document_id END"
            )
        return f"c.{column}"
    if column == "open_dispatch":
        return "c.dispatch_id"
    if column == "waits_document":
        return "c.document_id"
    if table == "runs" and column == "due_at":  # the look for safety is not due at once
        return "clock_timestamp() + (t.due_at - t.waits_since)"
    if column == "write_key":
        return "replace(t.write_key, c.old_record_key, c.record_key)"
    if column in _KEYED:
        return f"replace(t.{column}, c.old_source_key, c.source_key)"
    if column == "digest" and table in {"arrivals", "arrival_keys"}:
        return "c.arrival_digest"
    if column == "digest" and table in {"records", "record_heads"}:
        return "c.record_digest"
    return f"t.{column}"


def mistakes(made: World) -> list[str]:
    """What is wrong with what was drained, once no worker runs: every entry proved once, every
    proof agreed, the ledger has each of them and nothing else, each once. Empty: all is right."""
    told = []
    rows = made.ask(
        "SELECT c.reference, count(*), bool_and(p.verdict = 'agrees'), c.state FROM proofs p "
        "JOIN documents c USING (document_id) WHERE c.stream = 'entry' GROUP BY 1, 4"
    )
    proved = {str(reference) for reference, *_ in rows}
    for reference, times, agrees, state in rows:
        if (times, agrees, state) != (1, True, "present"):
            told.append(f"{reference}: {times} proofs, all agree: {agrees}, it is {state}")
    came = seen(made)
    told += [f"{one} came {times} times" for one, (_, times) in came.items() if times != 1]
    told += [f"{one} is in the ledger and not proved" for one in came.keys() - proved]
    told += [f"{one} is proved and not in the ledger" for one in proved - came.keys()]
    cases = made.ask("SELECT reason, words FROM cases WHERE state = 'open' LIMIT 5")
    told += [f"case: {reason}: {words}" for reason, words in cases]
    posted = made.ask(
        "SELECT coalesce(sum(count), 0) FROM totals WHERE hop = 'books.entry' AND bucket = 'posted'"
    )
    if int(str(posted[0][0])) != len(proved):
        told.append(f"the total says {posted[0][0]} posted, there are {len(proved)} proofs")
    return told
