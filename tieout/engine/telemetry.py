"""Counts and traces of this process. Traces cost nothing unless OTEL_* asks for them.

A span per stage of a tick and per call to a system. Spans of the same record find each other
without anything being stored: the trace that a record belongs to is derived from its key, and each
span that touches it links there. So arrival, record, dispatch and proof are one chain across any
number of workers. Source: W3C Trace Context; OpenTelemetry specification, links between spans.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.store.workers import bucket

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, Tracer

INTAKE = "intake"  # the kind of what webhooks came to; their flow is the stream
MOST_KEYS = 32  # business keys and links on one span
MOST_KEY_LENGTH = 128
ASKED_BY = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)

Calls = Mapping[tuple[str, str, int], tuple[int, int]]
Outcomes = Mapping[tuple[str, str, str, str], int]


class Tally:
    """What this process counted since it last said so. Shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._outcomes: dict[tuple[str, str, str, str], int] = {}

    def call(self, system: str, answer: str, milliseconds: int) -> None:
        """One call to a system was answered: good, refused, failed; or it was not: none."""
        key = (system, answer, bucket(milliseconds))
        with self._lock:
            calls, sum_milliseconds = self._calls.get(key, (0, 0))
            self._calls[key] = (calls + 1, sum_milliseconds + milliseconds)

    def outcomes(self, system: str, kind: str, came: Sequence[tuple[str, str]]) -> None:
        """Attempts of one call: (flow, outcome) each. `kind`: send, follow, look, or INTAKE."""
        with self._lock:
            for flow, outcome in came:
                key = (system, flow, kind, outcome)
                self._outcomes[key] = self._outcomes.get(key, 0) + 1

    def take(self) -> tuple[Calls, Outcomes]:
        """Everything counted since the last time; it starts again at nothing."""
        with self._lock:
            calls, outcomes = self._calls, self._outcomes
            self._calls, self._outcomes = {}, {}
        return calls, outcomes

    def give_back(self, calls: Calls, outcomes: Outcomes) -> None:
        """What was taken could not be written: it counts again."""
        with self._lock:
            for call, (times, milliseconds) in calls.items():
                before = self._calls.get(call, (0, 0))
                self._calls[call] = (before[0] + times, before[1] + milliseconds)
            for outcome, count in outcomes.items():
                self._outcomes[outcome] = self._outcomes.get(outcome, 0) + count


TALLY = Tally()
_tracer: Tracer | None = None


def answer_of(status: int | None) -> str:
    """The kind of an answer: good, refused (4xx), failed (5xx), none."""
    if status is None:
        return "none"
    return "good" if status < 400 else "refused" if status < 500 else "failed"


def watched(transport: Transport, system: str) -> Transport:
    """The same transport, its calls counted and traced. No URL's query and no body is kept."""

    def send(request: Request) -> Response:
        began = clock.monotonic()
        status: int | None = None
        with span(f"{request.method} {system}", {"system": system}) as attributes:
            try:
                answer = transport(request)
                status = answer.status
                attributes["http.response.status_code"] = status
                return answer
            except NoAnswer:
                attributes["error.type"] = "no answer"
                raise
            finally:
                TALLY.call(system, answer_of(status), int((clock.monotonic() - began) * 1000))

    return send


def start_tracing(process: str, exporter: SpanExporter | None = None) -> bool:
    """Trace from now on if OTEL_* says where to (or into `exporter`); False: nobody asked."""
    global _tracer
    asked = any(os.environ.get(name, "none") not in ("", "none") for name in ASKED_BY)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if exporter is None and (off or not asked):
        return False
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or f"tieout-{process}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("tieout")
    return True


def stop_tracing() -> None:
    """Trace no more; what was collected has been or will be sent by the exporter."""
    global _tracer
    _tracer = None


@contextlib.contextmanager
def span(
    name: str,
    attributes: Mapping[str, object] | None = None,
    keys: Callable[[], Sequence[str]] | None = None,
) -> Iterator[dict[str, object]]:
    """A span around the enclosed work; what is put into the yielded table becomes its attributes.

    `keys` gives the keys of the records it is about, and is asked only when somebody traces: the
    first MOST_KEYS are attributes and links.
    """
    more: dict[str, object] = {}
    if _tracer is None:
        yield more
        return
    told_keys = keys() if keys is not None else ()
    told = {
        f"tieout.{key}" if "." not in key else key: value
        for key, value in (attributes or {}).items()
    }
    if told_keys:
        told["tieout.keys"] = [one[:MOST_KEY_LENGTH] for one in told_keys[:MOST_KEYS]]
        told["tieout.keys_count"] = len(told_keys)
    with _tracer.start_as_current_span(
        name,
        attributes=told,  # type: ignore[arg-type]
        links=_links(told_keys),
        record_exception=False,  # its text may hold a payload
    ) as current:
        try:
            yield more
        finally:
            for key, value in more.items():
                current.set_attribute(key, value)  # type: ignore[arg-type]


def trace_of(key: str) -> tuple[int, int]:
    """The trace and span number that a business key stands for, the same in every process."""
    digest = hashlib.sha256(f"tieout record {key}".encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


def traceparent(key: str) -> str:
    """The same as a W3C traceparent header, for who wants to look a record's spans up."""
    trace, first = trace_of(key)
    return f"00-{trace:032x}-{first:016x}-01"


def _links(keys: Sequence[str]) -> list[Link]:
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    found = []
    for key in keys[:MOST_KEYS]:
        trace, first = trace_of(key)
        where = SpanContext(trace, first, is_remote=True, trace_flags=TraceFlags(1))
        found.append(Link(where, {"tieout.key": key[:MOST_KEY_LENGTH]}))
    return found
