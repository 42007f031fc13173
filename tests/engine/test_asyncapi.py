"""The AsyncAPI document is valid by the official schema, and our events are valid by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.connectors.nats_landscape import write_landscape
from tieout.connectors.nats.publishing import event_of
from tieout.connectors.nats.streams import event_stream
from tieout.engine.asyncapi import asyncapi
from tieout.engine.opening import connectors_of, load_checked
from tieout.landscape.examples import example
from tieout.ports.connector import Document, Write

OFFICIAL = Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.schema.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_landscape(tmp_path / "landscape", "nats://127.0.0.1:4222")


def document_of(folder: Path, environment: str = "local") -> Any:
    landscape, _ = load_checked(folder)
    return asyncapi(landscape, connectors_of(landscape), environment)


def is_valid(document: Any) -> bool:
    official = Draft7Validator(json.loads(OFFICIAL.read_text()))
    assert [error.message for error in official.iter_errors(document)] == []
    return True


def test_it_is_valid_and_names_what_is_sent_and_received(folder: Path) -> None:
    document = document_of(folder)
    assert is_valid(document)
    assert {name: one["action"] for name, one in document["operations"].items()} == {
        "send.finance.invoice": "send",
        "receive.shop.order": "receive",
    }
    assert document["channels"]["finance.invoice"]["address"] == "finance.invoice.{reference}"
    assert document["servers"]["shop"] == {"host": "127.0.0.1:4222", "protocol": "nats"}


def test_every_reference_inside_leads_somewhere(folder: Path) -> None:
    document = document_of(folder)
    for operation in document["operations"].values():
        for one in (operation["channel"], *operation["messages"]):
            found: Any = document
            for step in one["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            assert found


def test_an_event_that_we_publish_fits_its_message(folder: Path) -> None:
    landscape, _ = load_checked(folder)
    stream = event_stream(landscape.systems["finance"].interfaces["invoice"])
    message = document_of(folder)["channels"]["finance.invoice"]["messages"]
    rule = Draft7Validator(message["finance.invoice.posted.v1"]["payload"])
    text = '{"amount":"10.00","currency":"EUR","number":"O1"}'
    event = event_of(stream, Write("k/1", "O1", "create", Document(text)))
    said = json.loads(event.structured())
    assert list(rule.iter_errors(said)) == []
    assert list(rule.iter_errors({**said, "data": {**said["data"], "amount": 10.0}}))
    assert list(rule.iter_errors({**said, "type": "finance.invoice.voided.v1"}))


def test_binary_mode_has_its_attributes_in_headers(folder: Path) -> None:
    systems = folder / "systems" / "events.yaml"
    text = systems.read_text()
    systems.write_text(text.replace("source: events", "source: events\n      envelope: binary"))
    document = document_of(folder)
    assert is_valid(document)
    message = document["channels"]["finance.invoice"]["messages"]["finance.invoice.posted.v1"]
    assert message["contentType"] == "application/json"
    assert "ce-type" in message["headers"]["required"]


def test_no_server_is_named_without_an_environment(folder: Path) -> None:
    document = document_of(folder, "")
    assert is_valid(document)
    assert "servers" not in document


def test_a_landscape_without_events_is_valid_too() -> None:
    document = document_of(example("quote_to_cash"), "")
    assert is_valid(document)
    assert document["channels"] == {}
