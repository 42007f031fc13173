"""No secret of a system is in the database, the log, a trace or an alert after a run in which the
system itself repeats them in its answers."""

from __future__ import annotations

import io

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.engine.house import House
from tieout.engine import telemetry
from tieout.engine.logs import quiet, start_logs
from tieout.engine.pulse import PulseTeller
from tieout.engine.watchdog import Watchdog
from tieout.engine.worker import Worker
from tieout.ports.secrets import resolve


def everything_stored(home: House) -> str:
    tables = home.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' "
        "AND table_type = 'BASE TABLE'"
    )
    assert len(tables) > 30
    return "\n".join(str(home.rows(f'SELECT t::text FROM "{name}" t')) for (name,) in tables)


def test_no_secret_is_anywhere_after_a_run(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        resolve(key, reference)
        for spec in [home.landscape.environments["demo"]["netsuite"]]
        for key, reference in spec.secrets.items()
    }
    assert len(secrets) >= 2
    said, spans = io.StringIO(), InMemorySpanExporter()
    monkeypatch.setenv("TIEOUT_LOG", "debug")
    start_logs("test", said)
    telemetry.start_tracing("test", spans)
    body = f'{{"o:errorDetails": [{{"detail": "bad {" ".join(sorted(secrets))}"}}]}}'.encode()
    try:
        for status in (400, 401, 403, 500):
            home.lines["netsuite"].plant("", "record/v1", status=status, body=body)
        account, product = home.seller.account(), home.seller.product()
        home.seller.deal("1", account, product)
        left = 60

        def stopping() -> bool:
            nonlocal left
            left -= 1
            home.clock.sleep(2)
            return left <= 0

        home.close_life(home.engine)
        Worker(home.engine).run(stopping, lambda done: None)
        PulseTeller(home.engine).now("end")
        home.clock.sleep(86_400 * 6)
        Watchdog(home.landscape.folder, home.database).look()
    finally:
        telemetry.stop_tracing()
        quiet()
    stored = everything_stored(home)
    traced = "".join(one.to_json() for one in spans.get_finished_spans())
    assert "•••" in stored, "the vendor's words are kept, what they gave away is not"
    for where in (stored, said.getvalue(), traced):
        assert where
        assert [one for one in secrets if one in where] == []
