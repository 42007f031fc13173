"""Logs never hold a payload or a secret; spans find each other by the record's key."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.engine.house import House
from tieout.engine import telemetry
from tieout.engine.logs import BadLogLevel, event, quiet, start_logs
from tieout.ports.http import NoAnswer, Request, Response

CANARY = "canary-5e1f"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    assert telemetry.start_tracing("test", exporter)
    yield exporter
    telemetry.stop_tracing()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.delenv("TIEOUT_LOG", raising=False)
    stream = io.StringIO()
    start_logs("test", stream)
    yield stream
    quiet()


def test_an_event_is_one_line_of_json(said: io.StringIO) -> None:
    event("resolved", stream="Opportunity", count=12, key="006A")
    event("seen", level="debug", count=1)
    (line,) = said.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["count"]) == ("resolved", "info", 12)
    assert (told["process"], told["key"]) == ("test", "006A")


def test_the_canary_never_reaches_a_log(said: io.StringIO) -> None:
    event(
        "tick",
        payload=CANARY,
        body=CANARY,
        client_secret=CANARY,
        access_token=CANARY,
        document={"name": CANARY},
        raw=CANARY.encode(),
        rows=[{"x": CANARY}],
        error=ValueError(CANARY),
    )
    assert said.getvalue().count("\n") == 1
    assert CANARY not in said.getvalue()


def test_where_nobody_starts_a_log_only_trouble_is_said_beside_the_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event("tick", count=3)
    event("collect", level="debug", count=3)
    event("lease lost", level="warning", times=1)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "lease lost" in said.err


def test_a_level_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_LOG", "loud")
    with pytest.raises(BadLogLevel, match="debug, info, warning, error"):
        start_logs("test", io.StringIO())


def test_spans_of_one_record_are_linked_in_every_process(spans: InMemorySpanExporter) -> None:
    with telemetry.span("send", {"system": "netsuite"}, keys=lambda: ["R1", "R2"]):
        pass
    with telemetry.span("confirm", {"system": "netsuite"}, keys=lambda: ["R1"]):
        pass
    send, confirm = spans.get_finished_spans()
    assert send.attributes is not None
    assert send.attributes["tieout.keys"] == ("R1", "R2")
    assert send.attributes["tieout.system"] == "netsuite"
    first = send.links[0].context
    assert first.trace_id == confirm.links[0].context.trace_id
    assert first.trace_id != send.links[1].context.trace_id
    assert telemetry.traceparent("R1") == f"00-{first.trace_id:032x}-{first.span_id:016x}-01"


def test_keys_on_a_span_are_bounded(spans: InMemorySpanExporter) -> None:
    with telemetry.span("send", keys=lambda: [f"R{number}" for number in range(1000)]):
        pass
    (one,) = spans.get_finished_spans()
    assert one.attributes is not None
    assert one.attributes["tieout.keys_count"] == 1000
    assert len(one.links) == telemetry.MOST_KEYS


def test_calls_are_counted_and_traced_without_their_secrets(spans: InMemorySpanExporter) -> None:
    telemetry.TALLY.take()

    def line(request: Request) -> Response:
        if "lost" in request.url:
            raise NoAnswer("cut")
        return Response(429 if "busy" in request.url else 200)

    send = telemetry.watched(line, "netsuite")
    send(Request("GET", f"https://x.example/a?token={CANARY}", {"Authorization": CANARY}))
    send(Request("POST", "https://x.example/busy"))
    with pytest.raises(NoAnswer):
        send(Request("POST", "https://x.example/lost"))
    calls, _ = telemetry.TALLY.take()
    assert {key[:2]: count for key, (count, _) in calls.items()} == {
        ("netsuite", "good"): 1,
        ("netsuite", "refused"): 1,
        ("netsuite", "none"): 1,
    }
    assert telemetry.TALLY.take() == ({}, {})
    told = [one.to_json() for one in spans.get_finished_spans()]
    assert len(told) == 3
    assert CANARY not in "".join(told)


@pytest.mark.parametrize("name", ["arrive", "resolve", "send", "look"])
def test_every_hop_is_traced_by_the_key_of_its_record(
    home: House, spans: InMemorySpanExporter, name: str
) -> None:
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product)
    home.run()
    traced = {
        key
        for one in spans.get_finished_spans()
        if one.name == name and one.attributes is not None
        for key in one.attributes.get("tieout.keys", ())  # type: ignore[union-attr]
    }
    written = name in {"send", "look"}
    whose = "documents" if written else "record_heads"
    records = {key for (key,) in home.rows(f"SELECT record_key FROM {whose}")}
    assert records
    assert records <= traced
    if name == "send":  # also in the threads that call
        named = {one.context.span_id for one in spans.get_finished_spans() if one.name == name}
        calls = [one for one in spans.get_finished_spans() if one.name.startswith("POST netsuite")]
        assert {one.parent.span_id for one in calls if one.parent is not None} & named


def test_without_otel_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry.ASKED_BY:
        monkeypatch.delenv(name, raising=False)
    assert not telemetry.start_tracing("test")
    with telemetry.span("send", keys=lambda: pytest.fail("nobody asked for keys")) as more:
        assert more == {}
