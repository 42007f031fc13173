"""The demo with one more step: an event says that the ERP was seen to hold the invoice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.nats_server import Server, server
from tests.engine.house import House, house
from tieout.engine.opening import load_checked
from tieout.landscape.examples import example

SYSTEM = """\
system: events
connector: nats
steward: finance-systems
interfaces:
  invoice:
    title: An invoice that the ERP holds
    key: number
    fields:
      number: {type: text, required: true}
      amount: {type: amount, required: true}
      currency: {type: text, required: true}
      posted_on: {type: date, required: true}
    options:
      stream: FINANCE
      subject: finance.invoice
      publishes: finance.invoice.posted.v1
      publishes_void: finance.invoice.voided.v1
      source: quote_to_cash
"""
MAPPING = """\
mapping: invoice_to_event
from: sales_order
to: events.invoice
version: 1
dated: ordered_on
fields:
  number: number
  amount: total
  currency: currency
  posted_on: ordered_on
"""
STEP = """\
  - {write: sales_order, to: events, as: invoice_to_event, on_change: update, on_leave: undo}
  - {write: sales_order, to: anaplan,"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "jetstream") as made:
        made.stream("FINANCE", "finance.>")
        yield made


@pytest.fixture
def home(tmp_path: Path, broker: Server, database_url: str) -> Iterator[House]:
    copy = tmp_path / "landscape"
    shutil.copytree(example("quote_to_cash"), copy, ignore=shutil.ignore_patterns("data"))
    (copy / "systems" / "events.yaml").write_text(SYSTEM)
    (copy / "mappings" / "invoice_to_event.yaml").write_text(MAPPING)
    flow = copy / "flows" / "quote_to_cash.yaml"
    flow.write_text(flow.read_text().replace("  - {write: sales_order, to: anaplan,", STEP))
    demo = copy / "environments" / "demo.yaml"
    entry = f'  events: {{settings: {{servers: "{broker.url}"}}, timeout: 5 seconds}}\n'
    demo.write_text(f"{demo.read_text().rstrip()}\n{entry}")
    with house(database_url, load_checked(copy)) as made:
        yield made
        made.engine.close()


def said(broker: Server) -> list[tuple[str, str, str]]:
    events = [json.loads(message.data) for message in broker.messages("FINANCE")]
    return [(one["type"], one["data"]["number"], one["data"]["amount"]) for one in events]


def test_the_event_follows_the_proof_and_a_cancellation_says_so_too(
    home: House, broker: Server
) -> None:
    seen: list[int] = []
    home.lines["netsuite"].watchers.append(lambda request: seen.append(len(said(broker))))
    deal = home.seller.deal("70001", home.seller.account(), home.seller.product())
    home.run()
    assert set(seen) == {0}  # the ERP was written and looked at before anything was said
    assert said(broker) == [("finance.invoice.posted.v1", "70001", "20.00")]
    assert home.open_cases() == []
    home.seller.change("Opportunity", deal, StageName="Closed Lost")
    home.run()
    assert [kind for kind, _, _ in said(broker)] == [
        "finance.invoice.posted.v1",
        "finance.invoice.voided.v1",
    ]
