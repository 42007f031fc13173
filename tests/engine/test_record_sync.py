"""The record sync example through the real engine: files in, rows out, read back, cases left."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

from tieout.engine.opening import open_context
from tieout.engine.worker import lease_names, tick
from tieout.landscape.examples import example
from tieout.store import leases

MOST_TICKS = 30


def test_files_reach_the_warehouse_and_a_stranger_becomes_a_case(
    database_url: str, tmp_path: Path
) -> None:
    source = example("record_sync")
    folder, inbox = tmp_path / "landscape", tmp_path / "inbox"
    shutil.copytree(source, folder)
    inbox.mkdir()
    shutil.copy(source / "data" / "invoices-1.jsonl", inbox)
    with psycopg.connect(database_url, autocommit=True) as target:
        info = target.info
        target.execute("CREATE SCHEMA warehouse")
        target.execute("SET search_path TO warehouse")
        target.execute((source / "data" / "tables.sql").read_bytes())
        (tmp_path / "user").write_text(info.user)
        url = f"postgresql:///{info.dbname}?host={info.host}&port={info.port}"
        (folder / "environments" / "local.yaml").write_text(
            "environment: local\nsystems:\n"
            f"  billing: {{settings: {{folder: {inbox}}}}}\n"
            f"  warehouse:\n    settings: {{url: '{url}', schema: warehouse}}\n"
            f"    secrets: {{user: 'file:{tmp_path}/user'}}\n"
        )
        with (
            open_context(folder, "local", database_url, actor="test") as context,
            context.database.listening("tieout_work") as ears,
        ):
            leases.live(ears, context.holder)
            with context.database.transaction() as connection:
                names, state = lease_names(context), context.landscape.content_hash
                context.leases = leases.take(connection, names, context.holder, state)
            for _ in range(MOST_TICKS):
                if not tick(context).busy:
                    break
        rows = target.execute(
            "SELECT invoice_id, version, total::text, status, count(line_no) FROM invoice "
            "LEFT JOIN invoice_line USING (invoice_id) GROUP BY invoice_id ORDER BY invoice_id"
        ).fetchall()
        assert rows == [
            ("INV-00000001", 2, "238.00", "SETTLED", 1),
            ("INV-00000002", 1, "9800.00", "SETTLED", 1),
        ]
        target.execute("SET tieout.legal_entities = '*'")
        cases = target.execute(
            "SELECT field, value, source_key FROM public.cases WHERE state = 'open'"
        ).fetchall()
        assert cases == [("customer", "CRM-999999", "INV-00000003")]
