"""A small landscape between two event streams: orders of a shop become events of finance."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "landscape.yaml": "landscape: events\ntitle: Events in, events out\n",
    "policies/legal_entities.yaml": """\
legal_entities:
  - {legal_entity: MAIN, title: Main, time_zone: UTC, calendar: calendar, base_currency: EUR}
""",
    "systems/events.yaml": """\
system: shop
connector: nats
title: Orders of the shop
steward: revenue-operations
streams: [order]
interfaces:
  order:
    title: An order that was placed
    key: number
    fields:
      number: {type: text, required: true}
      total: {type: amount, required: true}
      currency: {type: text, required: true}
    options:
      stream: SHOP
      subject: shop.order.>
      types: shop.order.placed.v1
---
system: finance
connector: nats
title: Events of finance
steward: finance-systems
interfaces:
  invoice:
    title: An invoice that was posted
    key: number
    fields:
      number: {type: text, required: true}
      amount: {type: amount, required: true}
      currency: {type: text, required: true}
    options:
      stream: FINANCE
      subject: finance.invoice
      publishes: finance.invoice.posted.v1
      source: events
""",
    "records/sale.yaml": """\
record: sale
title: A sale
steward: revenue-operations
fields:
  number: {type: text, required: true}
  legal_entity: {type: text, required: true}
  currency: {type: text, required: true}
  total: {type: amount, money_in: currency, required: true}
owned:
  shop: [number, legal_entity, currency, total]
""",
    "mappings/sale.yaml": """\
mapping: order_to_sale
from: shop.order
to: sale
version: 1
key: number
fields:
  number: number
  legal_entity: "'MAIN'"
  currency: currency
  total: total
---
mapping: sale_to_event
from: sale
to: finance.invoice
version: 1
fields:
  number: number
  amount: total
  currency: currency
""",
    "flows/sales.yaml": """\
flow: sales
steward: finance-systems
starts: {on: shop.order, when: "total > 0"}
steps:
  - {write: sale, to: finance, as: sale_to_event, on_change: update, on_leave: case}
""",
}
ENVIRONMENT = """\
environment: local
systems:
  shop:
    settings: {{servers: "{url}"}}
    timeout: 5 seconds
    poll: 1 second
  finance:
    settings: {{servers: "{url}"}}
    timeout: 5 seconds
"""


def write_landscape(folder: Path, url: str) -> Path:
    """The landscape in `folder`, its one environment `local` at this server."""
    for name, text in {**FILES, "environments/local.yaml": ENVIRONMENT.format(url=url)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
