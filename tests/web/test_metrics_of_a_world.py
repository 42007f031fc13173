"""Every metric of the reference gets its value from a world at work, and none is made up."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.house import House, house
from tests.web.conftest import served
from tests.web.test_intake import ADDRESS, OURS, THEIRS, message
from tieout.engine.pulse import PulseTeller, tell_counts
from tieout.engine.telemetry import TALLY
from tieout.engine.watchdog import Watchdog
from tieout.web.app import create_app
from tieout.web.metrics import METRICS

Scraped = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    TALLY.take()
    with house(database_url) as made:
        yield made
    TALLY.take()


def scrape(client: httpx.Client) -> Scraped:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    found: Scraped = {}
    for family in text_string_to_metric_families(answer.text):
        for one in family.samples:
            found.setdefault(one.name, []).append((dict(one.labels), one.value))
    return found


@pytest.fixture
def scraped(home: House) -> Scraped:
    """Deals that went through, one that is held, one under way to a system that is too busy, one
    that was only just told of; forged webhooks; a worker that moves no more, and a watchdog."""
    pulse = PulseTeller(home.engine)
    pulse.ticks, pulse.tick_seconds = 7, 0.25
    account, product = home.seller.account(), home.seller.product()
    first = home.seller.deal("1", account, product)
    home.seller.deal("2", account, product, CurrencyIsoCode="XXX")
    home.run()
    home.lines["netsuite"].plant(
        "", "record/v1", "PUT", times=10**6, status=429, headers={"Retry-After": "86400"}
    )
    home.seller.deal("3", account, product)
    home.go_on(1)
    home.go_on(1)
    with served(create_app(home.engine)) as address, httpx.Client(base_url=address) as client:
        for organization in (OURS, OURS, THEIRS):
            client.post(ADDRESS, content=message(organization, first))
        client.post("/intake/nobody/Anything", content=b"{}")
    pulse.now("dispatch")
    home.clock.sleep(3_600)
    Watchdog(home.landscape.folder, home.database).look()
    with served(create_app(home.engine)) as address, httpx.Client(base_url=address) as client:
        return scrape(client)


def test_every_metric_gets_a_value(scraped: Scraped) -> None:
    for one in METRICS:
        name = f"{one.name}_count" if one.kind == "histogram" else one.name
        values = [value for _, value in scraped.get(name, [])]
        assert values, f"{one.name} has no sample"
        assert max(values) > 0, f"{one.name} is never more than 0"


def value(scraped: Scraped, name: str, **labels: str) -> float:
    return sum(count for told, count in scraped[name] if labels.items() <= told.items())


def test_the_values_are_what_happened(scraped: Scraped, home: House) -> None:
    assert value(scraped, "tieout_intake_total", answer="accepted") == 2
    assert value(scraped, "tieout_intake_total", answer="not_genuine") == 1
    strangers = {"system": "", "stream": "", "answer": "unknown_address"}
    assert (strangers, 1.0) in scraped["tieout_intake_total"]
    sent = home.one("SELECT count(*) FROM attempts WHERE kind = 'send'")
    assert value(scraped, "tieout_attempts_total", kind="send") == sent
    assert value(scraped, "tieout_attempts_total", kind="send", outcome="Busy") >= 1
    calls = sum(len(line.calls) for line in home.lines.values())
    assert value(scraped, "tieout_call_seconds_count") == calls
    assert value(scraped, "tieout_waiting", of="hints") == 1
    assert value(scraped, "tieout_lag_seconds", of="hints") > 3_500
    assert value(scraped, "tieout_unowned", kind="hint") == 1, "asked an hour ago, and no worker"
    assert value(scraped, "tieout_queue", system="netsuite", state="planned") >= 1
    assert ({"system": "netsuite", "state": "busy"}, 0.0) in scraped["tieout_system_open"]
    late = value(scraped, "tieout_flow_age_seconds", flow="quote_to_cash")
    assert late > value(scraped, "tieout_flow_promise_seconds", flow="quote_to_cash")
    assert value(scraped, "tieout_workers", state="still") == 1
    assert value(scraped, "tieout_alerts", kind="slo") == 1
    assert value(scraped, "tieout_alerts", kind="worker") == 2


def test_counts_outlive_a_database_that_is_away(home: House) -> None:
    TALLY.outcomes("salesforce", "intake", [("Opportunity", "accepted")])
    home.database.close()
    assert not tell_counts(home.database)
    _, outcomes = TALLY.take()
    assert outcomes == {("salesforce", "Opportunity", "intake", "accepted"): 1}
