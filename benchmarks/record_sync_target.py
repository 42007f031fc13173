"""The tables that the record sync benchmark fills, and the judge of what stands in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tieout import clock
from tieout.landscape.examples import example
from tieout.store import embedded

SERVER = "TIEOUT_BENCH_URL"  # a server whose user may make databases and roles
SYSTEM_SERVER = "postgresql:///postgres?host=/var/run/postgresql"

HEADERS = """
SELECT count(*), coalesce(sum(('x' || substr(md5(concat_ws('|', invoice_id, version, customer_id,
  currency, status, to_char(issue_date, 'YYYY-MM-DD'), to_char(due_date, 'YYYY-MM-DD'), period,
  subtotal, tax, total)), 1, 8))::bit(32)::bigint), 0) FROM {}.invoice
"""
LINES = """
SELECT count(*), coalesce(sum(('x' || substr(md5(concat_ws('|', invoice_id, line_no, sku,
  description, trim_scale(qty), unit_price::numeric(18,2), amount)), 1, 8))::bit(32)::bigint), 0)
FROM {}.invoice_line
"""
TOTALS = "SELECT currency, sum(total)::text FROM {}.invoice GROUP BY currency"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of a server: the one that is named, the system's own, else an embedded one."""
    for url in (os.environ.get(SERVER, ""), SYSTEM_SERVER):
        with contextlib.suppress(psycopg.OperationalError):
            if url:
                with psycopg.connect(url, connect_timeout=3):
                    pass
                yield url
                return
    folder = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    folder.chmod(0o755)
    try:
        yield embedded.start(folder).url("postgres")
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """A new database on the server, dropped afterwards; its address."""
    name = f"tieout_bench_{clock.new_id().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            info = connection.info
            password = {"password": info.password} if info.password else {}
            yield _url(info.host, info.port, info.user, name, **password)
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _url(host: str, port: int, user: str, name: str, password: str = "") -> str:
    make_conninfo(host=host, port=port, user=user, dbname=name)  # refuses what libpq would
    secret = f":{password}" if password else ""
    if host.startswith("/"):
        return f"postgresql:///{name}?host={host}&port={port}&user={user}"
    return f"postgresql://{user}{secret}@{host}:{port}/{name}"


def make_tables(url: str, schema: str) -> None:
    """The example's tables in a schema of their own, empty."""
    tables = (example("record_sync") / "data" / "tables.sql").read_text()
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
        connection.execute(tables.encode())
        connection.execute("CREATE TABLE reject (row bigint PRIMARY KEY, id text, reason text)")


def wrong(url: str, schema: str, truth: Mapping[str, Any]) -> list[str]:
    """What stands in the tables and should not, or the other way round; empty: all is right."""
    place = sql.Identifier(schema)
    with psycopg.connect(url) as connection:
        found = {
            "invoices": connection.execute(sql.SQL(HEADERS).format(place)).fetchone(),
            "lines": connection.execute(sql.SQL(LINES).format(place)).fetchone(),
        }
        totals: dict[str, str] = dict(connection.execute(sql.SQL(TOTALS).format(place)).fetchall())
    meant = {
        "invoices": (truth["invoices"], int(truth["header_hash"])),
        "lines": (truth["lines"], int(truth["line_hash"])),
    }
    told = [
        f"{name}: {row} and not {meant[name]}"
        for name, row in found.items()
        if row is None or (row[0], int(row[1])) != meant[name]
    ]
    if totals != truth["totals"]:
        told.append(f"totals: {totals} and not {truth['totals']}")
    return told
