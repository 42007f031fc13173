"""/metrics in Prometheus' text form, read from PostgreSQL: any number of workers is covered.

Every metric is declared in METRICS, once, with its kind, labels and meaning; the reference page is
compared with it. Labels are names that the landscape or the code knows, so their number is bounded.
A look is kept for CACHE_SECONDS: whoever scrapes more often is told the same again.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.findings import oldest_of
from tieout.engine.telemetry import INTAKE
from tieout.landscape.schema import Landscape
from tieout.store import alerts, measures, workers
from tieout.store.database import Connection
from tieout.store.measures import CallTimes

CACHE_SECONDS = 5.0
UNOWNED_SECONDS = 3_600.0
MOST_UNOWNED = 1_000

Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric: its name in full, its kind, its labels, what it says."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    says: str


METRICS = (
    Declared(
        "tieout_waiting",
        "gauge",
        ("of", "system", "stream"),
        "Arrivals not settled yet and hints not fetched yet (estimated beyond 20,000)",
    ),
    Declared(
        "tieout_lag_seconds", "gauge", ("of", "system", "stream"), "Age of the oldest of them"
    ),
    Declared(
        "tieout_queue",
        "gauge",
        ("system", "state", "lane"),
        "Open dispatches; planned ones by lane (estimated beyond 20,000 in a stream and lane)",
    ),
    Declared(
        "tieout_rows_total",
        "counter",
        ("flow", "hop", "bucket"),
        "Rows that landed in a bucket of a hop: received, duplicate (a webhook again), recorded, "
        "superseded (overtaken by a newer version, or late), posted and so on",
    ),
    Declared("tieout_held", "gauge", ("flow",), "Arrivals of a stream or flow held by a case"),
    Declared(
        "tieout_attempts_total",
        "counter",
        ("system", "flow", "kind", "outcome"),
        "Attempts by what they came to; kind is send, follow or look",
    ),
    Declared(
        "tieout_intake_total",
        "counter",
        ("system", "stream", "answer"),
        "Webhooks by what they came to: accepted (committed), not_genuine, unreadable, full and so "
        "on; how many rows of them were new is in tieout_rows_total",
    ),
    Declared(
        "tieout_call_seconds",
        "histogram",
        ("system", "answer"),
        "Time of calls to a system, or of work over its line (a database, a broker, a folder); "
        "answer is good, refused (4xx), failed (5xx, or an error over a line) or none",
    ),
    Declared(
        "tieout_last_answer_seconds",
        "gauge",
        ("system",),
        "How long ago a system last gave any answer",
    ),
    Declared(
        "tieout_flow_age_seconds",
        "gauge",
        ("flow",),
        "Age of the oldest thing that a flow has under way and that waits for nobody; 0: none",
    ),
    Declared("tieout_flow_promise_seconds", "gauge", ("flow",), "Its slo's fresh_within"),
    Declared(
        "tieout_runs",
        "gauge",
        ("flow", "state"),
        "Unfinished runs, moving or held (counted to 20,000)",
    ),
    Declared("tieout_cases", "gauge", ("reason", "owner", "currency"), "Open cases"),
    Declared(
        "tieout_cases_amount",
        "gauge",
        ("reason", "owner", "currency"),
        "Amount at stake in open cases; approximate, for dashboards, never for books",
    ),
    Declared(
        "tieout_case_age_seconds",
        "gauge",
        ("reason", "owner", "currency"),
        "Age of the oldest open case",
    ),
    Declared(
        "tieout_unowned",
        "gauge",
        ("kind",),
        "What is not at its end and nobody's case though it has not moved for an hour: 0 is "
        "promised",
    ),
    Declared(
        "tieout_leases", "gauge", ("state",), "Leases known, held, and held beyond their time"
    ),
    Declared("tieout_workers", "gauge", ("state",), "Workers that turn, stand still, or are gone"),
    Declared("tieout_worker_ticks", "gauge", ("host", "pid"), "Ticks of a worker that lives"),
    Declared(
        "tieout_worker_still_seconds",
        "gauge",
        ("host", "pid"),
        "How long its work has not got on; a call gets on until its time limit",
    ),
    Declared("tieout_worker_tick_seconds", "gauge", ("host", "pid"), "Length of its last tick"),
    Declared("tieout_worker_memory_bytes", "gauge", ("host", "pid"), "Memory it holds"),
    Declared(
        "tieout_system_open",
        "gauge",
        ("system", "state"),
        "1 if the system may be called, 0 while its door is shut; state says why",
    ),
    Declared(
        "tieout_audit_unsealed_seconds",
        "gauge",
        (),
        "Age of the oldest audit batch that is not sealed; 0: all are",
    ),
    Declared("tieout_alerts", "gauge", ("kind",), "Open alerts of the watchdog"),
)
_BY_NAME = {one.name: one for one in METRICS}


class Measured(Collector):
    """Reads everything when asked, in one transaction."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterable[Metric]:
        with self._context.database.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return [
                *self._record_plane(connection),
                *_systems(connection, self._context.landscape),
                *_machine(connection),
            ]

    def _record_plane(self, connection: Connection) -> Iterator[Metric]:
        landscape, now = self._context.landscape, clock.now()
        waiting = measures.waiting(connection)
        keys = [((one.of, one.system, one.stream), one) for one in waiting]
        yield _family("tieout_waiting", [(key, one.count) for key, one in keys])
        yield _family("tieout_lag_seconds", [(key, _age(now, one.oldest)) for key, one in keys])
        targets = sorted(self._context.compiled.streams)
        yield _family(
            "tieout_queue",
            [
                ((one.system, one.state, one.lane), one.count)
                for one in measures.queues(connection, targets)
            ],
        )
        moved = measures.moved(connection)
        yield _family(
            "tieout_rows_total",
            [((one.flow, one.hop, one.bucket), one.count) for one in moved if one.bucket != "held"],
        )
        yield _family(
            "tieout_held", [((one.flow,), one.count) for one in moved if one.bucket == "held"]
        )
        ages, promises, runs = [], [], []
        for flow in landscape.flows.values():
            oldest = oldest_of(connection, flow, waiting)
            ages.append(((flow.name,), _age(now, oldest)))
            if flow.fresh_within_seconds is not None:
                promises.append(((flow.name,), flow.fresh_within_seconds))
            stands = measures.fresh(connection, flow.name)
            runs += [((flow.name, "moving"), stands.moving), ((flow.name, "held"), stands.held)]
        yield _family("tieout_flow_age_seconds", ages)
        yield _family("tieout_flow_promise_seconds", promises)
        yield _family("tieout_runs", runs)
        yield from _cases(connection, now)
        before = now - dt.timedelta(seconds=UNOWNED_SECONDS)
        lost = [one.kind for one in measures.unowned(connection, before, MOST_UNOWNED)]
        kinds = ("arrival", "hint", "run", "dispatch", "case")
        yield _family("tieout_unowned", [((kind,), lost.count(kind)) for kind in kinds])


def _cases(connection: Connection, now: dt.datetime) -> Iterator[Metric]:
    groups = [((one.reason, one.owner, one.currency), one) for one in measures.cases(connection)]
    yield _family("tieout_cases", [(key, one.count) for key, one in groups])
    amounts = [(key, float(one.amount)) for key, one in groups]  # a gauge is never booked
    yield _family("tieout_cases_amount", amounts)
    yield _family("tieout_case_age_seconds", [(key, _age(now, one.oldest)) for key, one in groups])


def _systems(connection: Connection, landscape: Landscape) -> Iterator[Metric]:
    now = clock.now()
    counted = measures.outcomes(connection)
    yield _family(
        "tieout_attempts_total",
        [
            ((one.system, one.flow, one.kind, one.outcome), one.count)
            for one in counted
            if one.kind != INTAKE
        ],
    )
    yield _family(
        "tieout_intake_total",
        [((one.system, one.flow, one.outcome), one.count) for one in counted if one.kind == INTAKE],
    )
    yield _latency(measures.call_times(connection))
    yield _family(
        "tieout_last_answer_seconds",
        [((name,), _age(now, at)) for name, at in measures.last_answers(connection).items()],
    )
    doors = dict.fromkeys(landscape.systems, "open")  # who was never in trouble has no row
    doors |= {one.system: one.state for one in measures.systems(connection)}
    yield _family(
        "tieout_system_open",
        [
            ((system, state), state in ("open", "half_open"))
            for system, state in sorted(doors.items())
        ],
    )


def _machine(connection: Connection) -> Iterator[Metric]:
    now = clock.now()
    held = measures.leases(connection)
    yield _family(
        "tieout_leases",
        [(("known",), held.known), (("held",), held.held), (("expired",), held.expired)],
    )
    seen = [one for one in workers.seen(connection) if one.stopped_at is None]
    still = [one for one in seen if _age(now, one.moved_at) > 30.0]
    turning = sum(one.lives and one not in still for one in seen)
    stand = sum(one.lives for one in still)
    yield _family(
        "tieout_workers",
        [
            (("turning",), turning),
            (("still",), stand),
            (("gone",), len(seen) - turning - stand),
        ],
    )
    alive = [((one.host, str(one.pid)), one) for one in seen if one.lives]
    yield _family("tieout_worker_ticks", [(key, one.ticks) for key, one in alive])
    yield _family(
        "tieout_worker_still_seconds", [(key, _age(now, one.moved_at)) for key, one in alive]
    )
    yield _family("tieout_worker_tick_seconds", [(key, one.tick_seconds) for key, one in alive])
    yield _family("tieout_worker_memory_bytes", [(key, one.memory_bytes) for key, one in alive])
    since = measures.unsealed_since(connection)
    yield _family("tieout_audit_unsealed_seconds", [((), _age(now, since))])
    kinds = [one.kind for one in alerts.read(connection)]
    yield _family("tieout_alerts", [((kind,), kinds.count(kind)) for kind in sorted(set(kinds))])


def _family(name: str, samples: Iterable[Sample]) -> Metric:
    """A metric as METRICS declares it."""
    declared = _BY_NAME[name]
    kind = GaugeMetricFamily if declared.kind == "gauge" else CounterMetricFamily
    family = kind(name, declared.says, labels=declared.labels)
    for labels, value in samples:
        family.add_metric(list(labels), float(value))
    return family


def _latency(rows: list[CallTimes]) -> Metric:
    declared = _BY_NAME["tieout_call_seconds"]
    family = HistogramMetricFamily(declared.name, declared.says, labels=declared.labels)
    for key in sorted({(one.system, one.answer) for one in rows}):
        mine = {one.most_milliseconds: one for one in rows if (one.system, one.answer) == key}
        calls, buckets = 0, []
        for edge in (*workers.EDGES_MILLISECONDS, workers.ANY):
            calls += mine[edge].calls if edge in mine else 0
            buckets.append(("+Inf" if edge == workers.ANY else f"{edge / 1000:g}", float(calls)))
        seconds = sum(one.milliseconds for one in mine.values()) / 1000
        family.add_metric(list(key), buckets, seconds)
    return family


def _age(now: dt.datetime, since: dt.datetime | None) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def router(context: Context) -> APIRouter:
    """GET /metrics."""
    routes = APIRouter()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Declares(context))
    lock = threading.Lock()
    kept: list[tuple[float, bytes]] = []

    @routes.get("/metrics")
    def metrics() -> Response:
        with lock:  # one look at a time, whoever asks
            if not kept or clock.monotonic() - kept[0][0] > CACHE_SECONDS:
                kept[:] = [(clock.monotonic(), generate_latest(registry))]
            return Response(kept[0][1], media_type=CONTENT_TYPE_LATEST)

    return routes


class _Declares(Measured):
    """Registering asks what there will be: told from METRICS, not from the database."""

    def describe(self) -> Iterable[Metric]:
        return [Metric(one.name.removesuffix("_total"), one.says, one.kind) for one in METRICS]
