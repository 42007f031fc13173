"""The database is fit for use, nobody edits the past, and nobody sees another's books."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tieout.store import database as store
from tieout.store.database import Database, DatabaseUnfit

EVIDENCE = (
    "audit_batches",
    "actions",
    "proofs",
    "attempts",
    "payloads",
    "intents",
    "records",
    "landscape_versions",
    "landscape_identity",
    "rates_used",
    "schema_migrations",
)
LASTING = (
    "arrivals",
    "arrival_keys",
    "record_heads",
    "documents",
    "links",
    "dispatch_states",
    "write_keys",
    "cases",
    "tie_outs",
    "breaks",
)
GUARDED = (
    "arrivals",
    "records",
    "documents",
    "intents",
    "dispatch_states",
    "attempts",
    "proofs",
    "runs",
    "cases",
    "totals",
    "breaks",
)


def owner(url: str, statement: str, *values: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), values)


def named(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def test_preparing_twice_changes_nothing(database_url: str) -> None:
    assert store.prepare(database_url, "test") == []


@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous_commit", "off"), ("synchronous_commit", "local")]
)
def test_a_database_that_may_forget_is_refused(database_url: str, setting: str, value: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(named(database_url)), sql.Identifier(setting), sql.Literal(value)
            )
        )
    if value == "off":
        with pytest.raises(DatabaseUnfit, match="synchronous_commit = off"):
            store.prepare(database_url, "test")
    else:
        store.prepare(database_url, "test")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_forget_is_refused(database_url: str, setting: str) -> None:
    """The server's own setting, changed by a reload and put back."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        try:
            connection.execute(
                sql.SQL("ALTER SYSTEM SET {} = 'off'").format(sql.Identifier(setting))
            )
            connection.execute("SELECT pg_reload_conf()")
            _until(connection, setting, "off")
            with pytest.raises(DatabaseUnfit, match=f"{setting} = off"):
                store.prepare(database_url, "test")
        finally:
            connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(setting)))
            connection.execute("SELECT pg_reload_conf()")
            _until(connection, setting, "on")


def _until(connection: psycopg.Connection[tuple[object, ...]], setting: str, value: str) -> None:
    """Wait until the reload has reached a fresh connection, at most five seconds."""
    url = connection.info.dsn
    for _ in range(100):
        with psycopg.connect(url) as fresh:
            row = fresh.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        if row == (value,):
            return
        connection.execute("SELECT pg_sleep(0.05)")
    raise AssertionError(f"{setting} did not become {value}")


def test_another_landscapes_database_is_refused(database_url: str) -> None:
    with pytest.raises(DatabaseUnfit, match="belongs to the landscape 'test', not to 'other'"):
        store.prepare(database_url, "other")


def test_a_newer_schema_is_refused(database_url: str) -> None:
    owner(database_url, "INSERT INTO schema_migrations VALUES ('9999_new.sql', 'x', now())")
    with pytest.raises(DatabaseUnfit, match=r"9999_new\.sql.*upgrade this one"):
        store.prepare(database_url, "test")


def test_a_changed_migration_is_refused(database_url: str) -> None:
    owner(database_url, "UPDATE schema_migrations SET digest = 'x' WHERE name LIKE '0001%%'")
    with pytest.raises(DatabaseUnfit, match="was changed after it ran here"):
        store.prepare(database_url, "test")


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(DatabaseUnfit, match="does not answer") as refused:
        store.prepare("postgresql://me:hunter2@127.0.0.1:1/x", "test")
    assert "hunter2" not in str(refused.value)


def refused(database: Database, statement: str) -> bool:
    try:
        with database.transaction() as connection:
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_application_edits_no_evidence(database: Database) -> None:
    for table in EVIDENCE:
        assert refused(database, f"DELETE FROM {table}"), table
        with database.transaction() as connection:
            column = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
                "AND attidentity = '' AND attgenerated = '' AND NOT attisdropped "
                "ORDER BY attnum DESC LIMIT 1",
                (table,),
            ).fetchone()
        assert column is not None
        assert refused(database, f"UPDATE {table} SET {column[0]} = {column[0]}"), table
    for table in LASTING:
        assert refused(database, f"DELETE FROM {table}"), table


def test_the_auditor_only_reads(database_url: str) -> None:
    with Database(database_url, role="tieout_audit") as auditor:
        for table in (*EVIDENCE, *LASTING):
            assert refused(auditor, f"DELETE FROM {table}"), table
            with auditor.transaction() as connection:
                connection.execute(f"SELECT count(*) FROM {table}".encode())


def fill(database_url: str, table: str, entities: tuple[str, ...]) -> None:
    """One row per legal entity; every other column gets something of its type."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s "
            "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' "
            "AND column_name <> 'legal_entity'",
            (table,),
        ).fetchall()
        checks = {
            "arrivals": {"state": "new"},
            "documents": {"state": "absent"},
            "intents": {"action": "create"},
            "dispatch_states": {"state": "proved"},
            "runs": {"state": "ready", "mode": "forward"},
            "cases": {"state": "open"},
            "proofs": {"verdict": "agrees"},
        }.get(table, {})
        kinds = {"text": "'{e}'", "timestamp with time zone": "now()", "boolean": "true"}
        for number, entity in enumerate(entities):
            values = [
                f"'{checks[name]}'"
                if name in checks
                else kinds.get(kind, str(number)).format(e=entity or "none")
                for name, kind in columns
            ]
            names = ", ".join([*(name for name, _ in columns), "legal_entity"])
            connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({', '.join(values)}, %s)".encode(),
                (entity,),
            )


@pytest.mark.parametrize("table", GUARDED)
def test_a_session_for_one_legal_entity_sees_no_other(
    database_url: str, database: Database, table: str
) -> None:
    fill(database_url, table, ("NWEU", "NWUK", ""))

    def seen(*entities: str) -> set[str]:
        with database.transaction(list(entities)) as connection:
            rows = connection.execute(f"SELECT legal_entity FROM {table}".encode()).fetchall()
        return {str(row[0]) for row in rows}

    assert seen("NWEU") == {"NWEU"}
    assert seen("NWEU", "NWUK") == {"NWEU", "NWUK"}
    assert seen("NWEU,NWUK") == {"NWEU", "NWUK"}, "a list is a list however it is written"
    with database.transaction() as connection:
        count = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert count == (3,), "the engine sees all of them"


def test_a_person_without_legal_entities_sees_nothing_attributed(
    database_url: str, database: Database
) -> None:
    fill(database_url, "cases", ("NWEU", "NWUK", ""))
    with database.transaction([]) as connection:
        rows = connection.execute("SELECT legal_entity FROM cases").fetchall()
    assert [row[0] for row in rows if row[0]] == []
    with (
        database.transaction(["NWEU"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO totals VALUES ('f', 'h', 'b', 'NWUK', '', '', 1, 1)")
