"""/metrics: what is declared is served, told in the reference, and cheap."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docs.pages import ROOT
from tests.web.conftest import served
from tieout import clock
from tieout.engine.context import Context
from tieout.store import measures, workers
from tieout.store.alerts import Finding, keep
from tieout.store.workers import Pulse
from tieout.web.app import create_app
from tieout.web.metrics import METRICS

PAGE = ROOT / "docs" / "reference" / "metrics.md"


@pytest.fixture
def scraped(told: Context) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample by metric, over a console with a history in it and a worker beside."""
    pulse = Pulse(told.holder, "host", 42, "hash", clock.now(), 7, "flow", 16, 0.01, 1_000_000)
    with told.database.transaction() as connection:
        came = ("netsuite", "quote_to_cash", "send", "Written")
        workers.say(connection, pulse, {("netsuite", "good", 25): (3, 40)}, {came: 5})
        workers.count(connection, {("netsuite", "good", workers.ANY): (1, 40_000)}, {came: 2})
        keep(connection, [Finding("a", "slo", "late", "look", "omar", True)])
    with served(create_app(told)) as address, httpx.Client(base_url=address) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for one in family.samples:
            found.setdefault(one.name, []).append((dict(one.labels), one.value))
    return found


def test_what_is_served_is_what_is_declared(
    scraped: dict[str, list[tuple[dict[str, str], float]]],
) -> None:
    declared = {one.name: one for one in METRICS}
    for name, samples in scraped.items():
        base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in declared else name
        labels = set(declared[base].labels)
        for told, _ in samples:
            assert set(told) - {"le"} == labels, name


def test_the_reference_tells_exactly_these() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    page = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert page == {one.name: (one.kind, one.labels) for one in METRICS}


def test_numbers_are_those_of_the_database(
    scraped: dict[str, list[tuple[dict[str, str], float]]], told: Context
) -> None:
    attempts = {"system": "netsuite", "flow": "quote_to_cash", "kind": "send", "outcome": "Written"}
    assert (attempts, 7.0) in scraped["tieout_attempts_total"]
    within = {row["le"]: value for row, value in scraped["tieout_call_seconds_bucket"]}
    assert (within["0.01"], within["0.025"], within["30"], within["+Inf"]) == (0, 3, 3, 4)
    assert scraped["tieout_call_seconds_sum"][0][1] == pytest.approx(40.04)
    assert scraped["tieout_alerts"] == [({"kind": "slo"}, 1.0)]
    with told.database.transaction() as connection:
        open_cases = measures.cases(connection)
    assert sum(value for _, value in scraped["tieout_cases"]) == sum(o.count for o in open_cases)
    assert open_cases


def test_the_number_of_lines_is_bounded(
    scraped: dict[str, list[tuple[dict[str, str], float]]],
) -> None:
    assert sum(map(len, scraped.values())) < 20 * measures.MOST_CELLS
