"""The yardstick of the record sync benchmark: the same rows by plain SQL, without any control.

DuckDB reads, checks and maps the file to CSV; COPY and INSERT … ON CONFLICT load it. No arrival is
kept, nothing is versioned, proved or recorded. `python -m benchmarks.record_sync_reference FOLDER
URL SCHEMA` is run as a process of its own, like any tool that somebody would use instead.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import duckdb
import psycopg
from psycopg import sql

from benchmarks.invoices import CURRENCIES, STATUS

HEADER = (
    "invoice_id", "version", "customer_id", "currency", "status", "issue_date", "due_date",
    "period", "subtotal", "tax", "total", "updated_at",
)  # fmt: skip
COPY_BYTES = 1 << 20
AMOUNT = "DECIMAL(18,2)"


def shape(folder: Path, into: Path) -> None:
    """Read and check the file; write headers, lines and rejects as CSV."""
    statuses = ", ".join(f"'{one}': '{other}'" for one, other in STATUS.items())
    currencies = ", ".join(f"'{one}'" for one in CURRENCIES)
    line = f'STRUCT("no" INTEGER, sku VARCHAR, description VARCHAR, qty {AMOUNT}, '
    line += f"unit_price {AMOUNT}, amount {AMOUNT})[]"
    columns = {
        **dict.fromkeys(("id", "customer", "currency", "status"), "VARCHAR"),
        **dict.fromkeys(("issue_date", "due_date"), "DATE"),
        **dict.fromkeys(("subtotal", "tax", "total"), AMOUNT),
        "version": "INTEGER",
        "updated_at": "TIMESTAMPTZ",
        "lines": line,
    }
    with duckdb.connect() as database:
        database.execute(
            f"""
            CREATE TABLE known AS
              SELECT * FROM read_csv('{folder}/customers.csv', header = true);
            CREATE TABLE raw AS SELECT row_number() OVER () AS n, * FROM read_json(
              '{folder}/invoices.jsonl', format = 'newline_delimited', columns = {columns});
            CREATE TABLE line AS SELECT n, id, unnest(lines, recursive := true) FROM raw;
            CREATE TABLE sums AS SELECT n, sum(amount) AS amount,
              bool_and(qty * unit_price = amount) AS follows FROM line GROUP BY n;
            CREATE TABLE judged AS SELECT raw.*, known.customer_id,
              MAP {{{statuses}}}[status] AS state,
              CASE WHEN currency NOT IN ({currencies}) THEN 'bad_currency'
                   WHEN known.customer_id IS NULL THEN 'unknown_customer'
                   WHEN state IS NULL THEN 'bad_status'
                   WHEN NOT sums.follows OR sums.amount <> subtotal OR subtotal + tax <> total
                   THEN 'lines_mismatch' END AS reason
              FROM raw LEFT JOIN known ON customer = external_id JOIN sums USING (n);
            CREATE TABLE winner AS SELECT arg_max(n, version) AS n FROM judged
              WHERE reason IS NULL GROUP BY id;
            COPY (SELECT id, version, customer_id, currency, state, issue_date, due_date,
                    strftime(issue_date, '%Y-%m'), subtotal, tax, total, updated_at
                  FROM judged SEMI JOIN winner USING (n)) TO '{into}/invoice.csv' (HEADER false);
            COPY (SELECT id, "no", sku, description, qty, unit_price, amount
                  FROM line SEMI JOIN winner USING (n)) TO '{into}/invoice_line.csv' (HEADER false);
            COPY (SELECT n, id, reason FROM judged WHERE reason IS NOT NULL)
              TO '{into}/reject.csv' (HEADER false);
            """
        )


def load(into: Path, url: str, schema: str) -> None:
    """COPY into staging tables, merge, replace the lines of what was updated: one transaction."""
    place = sql.Identifier(schema)
    update = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in HEADER[1:]
    )
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for table in ("invoice", "invoice_line", "reject"):
            staged = sql.Identifier(f"staged_{table}")
            cursor.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}.{}) ON COMMIT DROP").format(
                    staged, place, sql.Identifier(table)
                )
            )
            with (
                cursor.copy(sql.SQL("COPY {} FROM STDIN CSV").format(staged)) as copy,
                (into / f"{table}.csv").open("rb") as file,
            ):
                while part := file.read(COPY_BYTES):
                    copy.write(part)
        cursor.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE put ON COMMIT DROP AS WITH put AS (INSERT INTO {0}.invoice "
                "AS t SELECT * FROM staged_invoice ON CONFLICT (invoice_id) DO UPDATE SET {1} "
                "WHERE t.version < excluded.version RETURNING invoice_id, t.xmax = 0 AS fresh) "
                "SELECT * FROM put"
            ).format(place, update)
        )
        for statement in (
            "DELETE FROM {0}.invoice_line WHERE invoice_id IN "
            "(SELECT invoice_id FROM put WHERE NOT fresh)",
            "INSERT INTO {0}.invoice_line SELECT l.* FROM staged_invoice_line l "
            "JOIN put USING (invoice_id)",
            "INSERT INTO {0}.reject SELECT * FROM staged_reject ON CONFLICT DO NOTHING",
        ):
            cursor.execute(sql.SQL(statement).format(place))


def main() -> None:
    folder, url, schema = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    with tempfile.TemporaryDirectory() as into:
        shape(folder, Path(into))
        load(Path(into), url, schema)


if __name__ == "__main__":
    main()
