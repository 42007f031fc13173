"""What a database must get right beyond the contract: poison rows, versions, slices, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.connectors.postgresql_server import TABLES, Server, Tenant, running
from tests.connectors.test_postgresql_contract import INVOICE, invoice
from tieout.connectors.postgresql import CONNECTOR as UNDECLARED
from tieout.connectors.postgresql.errors import ERRORS, outcome_of
from tieout.connectors.postgresql.signin import parameters
from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Document, Write
from tieout.ports.http import NoAnswer
from tieout.ports.opening import open_session
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import BadLandscape

CONNECTOR = UNDECLARED.declared(
    {"invoice": replace(INVOICE, options={**INVOICE.options, "writes_per_call": "5000"})}
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def tenant(server: Server) -> Iterator[Tenant]:
    with server.tenant() as made:
        yield made


@pytest.fixture
def at(tenant: Tenant) -> Iterator[Session]:
    opened = session(tenant)
    yield opened
    opened.close()


def session(tenant: Tenant, timeout_seconds: float = 5.0) -> Session:
    return open_session(
        "warehouse",
        CONNECTOR,
        {"url": tenant.url, "schema": tenant.schema},
        {"user": tenant.server.user, "password": tenant.server.password},
        [tenant.url],
        timeout_seconds=timeout_seconds,
    )


def write(at: Session, writes: Sequence[Write]) -> list[Outcome]:
    return list(CONNECTOR.write(at, "invoice", writes))


def shown(at: Session, one: Write) -> dict[str, str] | None:
    found = CONNECTOR.find(at, "invoice", [one])[one.write_key]
    return found.facts if found is not None else None


def test_poison_rows_fail_alone_and_name_their_field(at: Session, tenant: Tenant) -> None:
    writes = [invoice(f"I{n:03}", "1.00") for n in range(200)]
    poison: dict[int, tuple[dict[str, object], str]] = {
        0: ({"issued": "2026-02-31"}, "issued"),
        77: ({"total": "1" * 40}, "total"),
        78: ({"currency": None}, "currency"),
        150: ({"currency": "XXX"}, ""),
        199: ({"nobody": "1"}, ""),
    }
    for place, (more, _) in poison.items():
        writes[place] = invoice(f"I{place:03}", "1.00", **more)
    outcomes = write(at, writes)
    for place, outcome in enumerate(outcomes):
        if place not in poison:
            assert isinstance(outcome, Written), (place, outcome)
            continue
        assert isinstance(outcome, Rejected), (place, outcome)
        assert outcome.detail.field == poison[place][1], outcome
        assert outcome.detail.next_action
    assert tenant.ask("SELECT count(*)::int FROM invoice") == [(195,)]
    assert tenant.ask("SELECT count(*)::int FROM invoice_line") == [(195,)]


def test_an_older_version_never_overwrites_a_newer_one(at: Session) -> None:
    newer = invoice("I1", "20.00", version=2)
    assert isinstance(write(at, [newer])[0], Written)
    late = write(at, [invoice("I1", "10.00", "5.00", version=1)])[0]
    assert isinstance(late, AlreadyThere)
    facts = shown(at, newer)
    assert facts is not None
    assert (facts["version"], facts["lines"]) == ("2", "1")


def test_lines_are_replaced_as_a_slice(at: Session, tenant: Tenant) -> None:
    write(at, [invoice("I1", "1.00", "2.00", "3.00"), invoice("I2", "7.00", "8.00")])
    write(at, [invoice("I1", "9.00", version=2)])
    rows = tenant.ask(
        "SELECT invoice_id, line, trim_scale(amount)::text FROM invoice_line ORDER BY 1, 2"
    )
    assert rows == [("I1", 1, "9"), ("I2", 1, "7"), ("I2", 2, "8")]
    write(at, [invoice("I2", version=2)])
    assert tenant.ask("SELECT invoice_id FROM invoice_line") == [("I1",)]


def test_two_writes_of_one_key_in_a_call_are_applied_in_order(at: Session) -> None:
    writes = [invoice("I1", "1.00"), invoice("I2", "1.00"), invoice("I1", "2.00", version=2)]
    assert all(isinstance(one, Written) for one in write(at, writes))
    facts = shown(at, writes[2])
    assert facts is not None
    assert facts["version"] == "2"


def test_a_deleted_row_is_gone_with_its_lines(at: Session, tenant: Tenant) -> None:
    made = invoice("I1", "1.00", "2.00")
    gone = replace(made, write_key="k2", action="delete")
    write(at, [made])
    assert shown(at, gone) is None
    assert isinstance(write(at, [gone])[0], Written)
    assert shown(at, gone) == dict(CONNECTOR.meant("invoice", gone))
    assert tenant.ask("SELECT count(*)::int FROM invoice_line") == [(0,)]


def test_a_row_that_is_not_there_cannot_be_voided(at: Session) -> None:
    void = replace(invoice("nobody", "1.00"), action="void")
    assert isinstance(write(at, [void])[0], Rejected)


def test_text_with_every_awkward_character_comes_through(at: Session, tenant: Tenant) -> None:
    awkward = 'tab\t, line\nbreak\r, back\\slash, \\N, "quotes", \u00a0, é, 😀'
    made = invoice("I1", "1.00", status=awkward)
    assert isinstance(write(at, [made])[0], Written)
    assert tenant.ask("SELECT status FROM invoice") == [(awkward,)]
    facts = shown(at, made)
    assert facts is not None
    assert facts["status"] == awkward
    assert isinstance(write(at, [invoice("I2", "1.00", status="nul\x00")])[0], Rejected)


def test_a_partitioned_table_works_the_same(server: Server) -> None:
    parts = TABLES.replace(
        "changed_at timestamptz NOT NULL);",
        "changed_at timestamptz NOT NULL) PARTITION BY HASH (invoice_id);"
        "CREATE TABLE part PARTITION OF invoice FOR VALUES WITH (MODULUS 1, REMAINDER 0);",
    )
    assert parts != TABLES
    with server.tenant(parts) as tenant:
        at = session(tenant)
        write(at, [invoice("I1", "1.00", "2.00")])
        write(at, [invoice("I1", "3.00", version=2)])
        assert tenant.ask("SELECT count(*)::int FROM invoice_line") == [(1,)]
        at.close()


def test_a_missing_column_is_drift_for_all(server: Server) -> None:
    with server.tenant(TABLES.replace("status text", "state text")) as tenant:
        at = session(tenant)
        outcomes = write(at, [invoice("I1", "1.00"), invoice("I2", "1.00")])
        assert all(isinstance(one, Drift) for one in outcomes), outcomes
        health = CONNECTOR.check(at)
        assert not health.well
        assert "status" in health.words
        at.close()


def test_a_table_that_could_double_a_row_is_ill(server: Server) -> None:
    loose = TABLES.replace("invoice_id text PRIMARY KEY", "invoice_id text")
    with server.tenant(loose) as tenant:
        at = session(tenant)
        health = CONNECTOR.check(at)
        assert not health.well
        assert "unique" in health.words
        at.close()


def test_a_table_that_somebody_locked_is_busy_and_nothing_is_applied(tenant: Tenant) -> None:
    at = session(tenant, timeout_seconds=1.0)
    with psycopg.connect(tenant.server.url) as other:
        other.execute(f"LOCK TABLE {tenant.schema}.invoice".encode())
        outcome = write(at, [invoice("I1", "1.00")])[0]
        assert isinstance(outcome, Busy), outcome
    assert tenant.ask("SELECT count(*)::int FROM invoice") == [(0,)]
    at.close()


def test_a_server_that_ends_our_session_is_an_outage(at: Session, tenant: Tenant) -> None:
    write(at, [invoice("I1", "1.00")])
    tenant.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tieout'"
    )
    assert isinstance(write(at, [invoice("I2", "1.00")])[0], Outage)
    assert isinstance(write(at, [invoice("I2", "1.00")])[0], Written)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("40001", Busy),
        ("40P01", Busy),
        ("55P03", Busy),
        ("57014", Busy),
        ("53300", Busy),
        ("57P01", Outage),
        ("57P03", Outage),
        ("25006", Outage),
        ("53100", Outage),
        ("XX000", Outage),
        ("28P01", Denied),
        ("42501", Denied),
        ("42P01", Drift),
        ("42703", Drift),
        ("3F000", Drift),
        ("23505", Rejected),
        ("23514", Rejected),
        ("22P02", Rejected),
        ("P0001", Rejected),
        ("99999", Unknown),
    ],
)
def test_every_class_of_error_has_its_outcome(state: str, kind: type[Any]) -> None:
    assert isinstance(ERRORS.classify(None, state, f"{state} words of the server"), kind)
    made = psycopg.errors.lookup(state) if state != "99999" else psycopg.Error
    error = made("words of the server")
    if error.sqlstate:
        assert isinstance(outcome_of(error), kind)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db.example:5433/w",
        "postgresql://u:p@db.example/w",
        "postgresql://db.example/w?sslmode=disable",
        "postgresql://db.example,elsewhere/w",
        "postgresql://db.example/",
        "http://db.example/w",
        "postgresql://db.example:port/w",
    ],
)
def test_only_the_named_address_is_reached(url: str) -> None:
    allowed = ["postgresql://db.example:5432/w"]
    with pytest.raises(SignInFailed):
        parameters({"url": url}, {"user": "u"}, allowed)


def test_another_machine_is_only_reached_encrypted() -> None:
    url = "postgresql://db.example/w"
    told = parameters({"url": url}, {"user": "u"}, [url])
    assert (told["sslmode"], told["sslrootcert"]) == ("verify-full", "system")
    with pytest.raises(SignInFailed, match="unencrypted"):
        parameters({"url": url, "sslmode": "prefer"}, {"user": "u"}, [url])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tabel": "x"}, "unknown option"),
        ({"void": "status"}, "is voided by"),
        ({"facts": "changed_at"}, "compares 'changed_at'"),
        ({"read_only": "yes"}, "neither read nor written"),
        ({"table": "t" * 64}, "63 bytes"),
        ({"line_number": "nr"}, "numbers its 'lines'"),
    ],
)
def test_a_wrong_interface_is_refused(options: dict[str, str], what: str) -> None:
    wrong: InterfaceSpec = replace(INVOICE, options=options)
    with pytest.raises(BadLandscape, match=what):
        UNDECLARED.declared({"invoice": wrong})


@pytest.mark.parametrize("document", [{}, {"invoice_id": ""}, {"invoice_id": None}])
def test_what_the_mapping_leaves_out_is_identified_by_our_reference(
    at: Session, tenant: Tenant, document: dict[str, object]
) -> None:
    kept = {k: v for k, v in invoice("x", "1.00").document.items() if k != "invoice_id"}
    for made in (
        Write("k1", "invoice-4711", "create", {**kept, **document}),
        Write("k2", "invoice-4711", "create", Document(json.dumps({**kept, **document}))),
    ):
        assert write(at, [made]) == [Written("invoice-4711")]
        assert shown(at, made)
    assert tenant.ask("SELECT invoice_id FROM invoice") == [("invoice-4711",)]


def test_a_server_that_falls_silent_holds_nobody(tenant: Tenant) -> None:
    at = session(tenant, timeout_seconds=1.0)
    write(at, [invoice("I1", "1.00")])
    tenant.emulator.mute = True
    outcome = write(at, [invoice("I2", "1.00")])[0]
    assert isinstance(outcome, Outage), outcome
    tenant.emulator.mute = False
    assert isinstance(write(at, [invoice("I2", "1.00")])[0], Written)
    tenant.emulator.mute = True
    with pytest.raises(NoAnswer):
        CONNECTOR.find(at, "invoice", [invoice("I2", "1.00")])
    at.close()
