"""The troubles of the demo: planted by a fixed seed, met by everybody, mended one by one.

Before the deals are won: an unknown currency, a total its lines do not add up to, a deal dated into
a closed period, a customer that is not visible yet. While work goes on: 429 with Retry-After, lost
requests and lost replies at the ERP, duplicated and re-ordered webhooks (the environment's options
for the emulated CRM). Afterwards: an order amended after it was invoiced, one cancelled, and the
missing customer turns up.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from tieout import clock
from tieout.ports.http import Request
from tieout.ports.transport import http_transport
from tieout.rehearsal.northwind.crm import Crm, CrmRefused
from tieout.rehearsal.northwind.deals import Deal, Northwind

UNKNOWN_CURRENCY = "UKP"
CLOSED_DAY = dt.date(2020, 6, 30)
WRONG_BY = Decimal("100.00")

NETSUITE_FAULTS: tuple[Mapping[str, object], ...] = (
    {
        "kind": "busy",
        "rate": 0.02,
        "seconds": 1,
        "most": 6,
        "methods": ["PUT", "POST"],
        "path": "/record/v1/",
    },
    {
        "kind": "lost_reply",
        "rate": 0.02,
        "most": 7,
        "methods": ["PUT", "POST"],
        "path": "/record/v1/",
    },
    {
        "kind": "lost_request",
        "rate": 0.02,
        "most": 8,
        "methods": ["PUT", "POST"],
        "path": "/record/v1/",
    },
    {  # order 10770: the one whose life the documentation tells
        "kind": "lost_reply",
        "rate": 1.0,
        "most": 1,
        "methods": ["PUT"],
        "path": "salesOrder-00600000000008RAAQ",
    },
)


@dataclass(frozen=True, slots=True)
class Incidents:
    """Which deals meet what; order numbers."""

    unknown_currency: str
    wrong_total: str
    closed_period: str
    amended: str
    cancelled: str
    late_customer: str  # the customer's code
    late_deals: tuple[str, ...]


def choose(northwind: Northwind, seed: int) -> Incidents:
    """Draw the unlucky deals; the same seed draws the same ones."""
    dice = random.Random(seed)
    by_customer: dict[str, list[Deal]] = {}
    for deal in northwind.deals:
        by_customer.setdefault(deal.customer.code, []).append(deal)
    few = sorted(code for code, deals in by_customer.items() if len(deals) <= 4)
    late = dice.choice(few)
    others = sorted(d.number for d in northwind.deals if d.customer.code != late)
    pounds = sorted(
        d.number
        for d in northwind.deals
        if d.customer.code != late and d.customer.currency == "GBP"
    )
    currency = dice.choice(pounds or others)
    total, period, amended, cancelled = dice.sample([n for n in others if n != currency], 4)
    return Incidents(
        unknown_currency=currency,
        wrong_total=total,
        closed_period=period,
        amended=amended,
        cancelled=cancelled,
        late_customer=late,
        late_deals=tuple(deal.number for deal in by_customer[late]),
    )


def plant(crm: Crm, incidents: Incidents, deals: Mapping[str, str]) -> None:
    """Do the damage that is there before the deals are won."""
    _change(crm, deals[incidents.unknown_currency], CurrencyIsoCode=UNKNOWN_CURRENCY)
    _change(crm, deals[incidents.closed_period], CloseDate=CLOSED_DAY.isoformat())
    wrong = deals[incidents.wrong_total]
    crm.behind("Opportunity", wrong, {"Amount": _amount(crm, wrong) + WRONG_BY})
    crm.behind("Account", account_id(crm, incidents.late_customer), {"IsDeleted": True})


def plant_faults(erp_url: str, seed: int) -> None:
    """Let the emulated ERP be slow to serve, and lose requests and replies, by the seed."""
    _control(erp_url, "PUT", "faults", {"seed": seed, "faults": list(NETSUITE_FAULTS)})


def heal_faults(erp_url: str) -> None:
    """The ERP behaves again."""
    _control(erp_url, "PUT", "faults", {"seed": 0, "faults": []})


def faults_met(erp_url: str) -> dict[str, int]:
    """How often each planted fault was met, by kind."""
    met = json.loads(_control(erp_url, "GET", "met", None))
    by_kind: Counter[str] = Counter()
    for label, times in met.items():
        by_kind[str(label).partition(":")[2]] += int(times)
    return dict(by_kind)


def customer_appears(crm: Crm, incidents: Incidents) -> None:
    """The missing customer becomes visible, as a row changed just now."""
    crm.behind(
        "Account",
        account_id(crm, incidents.late_customer, gone=True),
        {"IsDeleted": False, "SystemModstamp": _vendor_time(clock.now())},
    )


def amend(crm: Crm, incidents: Incidents, deals: Mapping[str, str]) -> None:
    """One more unit of the first line, after the order was invoiced."""
    rows = crm.query(
        "SELECT Id, Quantity FROM OpportunityLineItem WHERE OpportunityId = "
        f"'{deals[incidents.amended]}' ORDER BY SortOrder"
    )
    quantity = Decimal(str(rows[0]["Quantity"])) + 1
    crm.change("OpportunityLineItem", [{"id": rows[0]["Id"], "Quantity": quantity}], _silent)


def cancel(crm: Crm, incidents: Incidents, deals: Mapping[str, str]) -> None:
    """A won deal falls through after all."""
    _change(crm, deals[incidents.cancelled], StageName="Closed Lost")


def mend(crm: Crm, incidents: Incidents, deals: Mapping[str, str]) -> None:
    """What the owners of the cases do in the CRM: the right total, a date in an open period."""
    wrong = deals[incidents.wrong_total]
    crm.behind("Opportunity", wrong, {"Amount": _amount(crm, wrong) - WRONG_BY})
    _change(crm, wrong, Name="Corrected by sales operations")
    _change(crm, deals[incidents.closed_period], CloseDate="2020-07-01")


def account_id(crm: Crm, code: str, *, gone: bool = False) -> str:
    """The CRM's id of a customer. Raises CrmRefused when there is none."""
    if gone:
        rows = [row for row in crm.table("Account") if row["AccountNumber"] == code]
    else:
        rows = crm.query(f"SELECT Id FROM Account WHERE AccountNumber = '{code}'")
    if not rows:
        raise CrmRefused(f"no account {code}")
    return str(rows[0]["Id"])


def _amount(crm: Crm, deal_id: str) -> Decimal:
    rows = crm.query(f"SELECT Amount FROM Opportunity WHERE Id = '{deal_id}'")
    return Decimal(str(rows[0]["Amount"]))


def _change(crm: Crm, deal_id: str, **values: object) -> None:
    crm.change("Opportunity", [{"id": deal_id, **values}], _silent)


def _silent(_: int) -> None:
    """Nobody watches single rows."""


def _vendor_time(instant: dt.datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}+0000"


def _control(url: str, method: str, control: str, body: object) -> bytes:
    payload = json.dumps(body).encode() if body is not None else b""
    answer = http_transport([url])(Request(method, f"{url}/_emulator/{control}", {}, payload))
    if answer.status not in {200, 204}:
        raise CrmRefused(f"{url}/_emulator/{control}: {answer.text()}")
    return answer.body
