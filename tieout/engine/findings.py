"""What is not as it should be, right now: read from the database, judged by the landscape."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tieout import clock
from tieout.finance.period import FiscalCalendar
from tieout.landscape.schema import FlowSpec, Landscape
from tieout.rules.service_level import Books, deadlines
from tieout.store import measures, workers
from tieout.store.alerts import Finding
from tieout.store.database import Connection
from tieout.store.measures import Moved, OutcomeCount, Waiting

RATE_SECONDS = 600.0
LEAST_RECEIVED = 100
LEAST_ATTEMPTS = 20
NO_WORKER_SECONDS = 20.0
MOST_SAMPLES = 200
GOOD = frozenset(("Written", "AlreadyThere", "Accepted", "Busy", "agrees"))


@dataclass
class Rates:
    """Counters of the last ten minutes: rates are differences. Bounded."""

    samples: deque[tuple[float, dict[tuple[str, str], int]]] = field(
        default_factory=lambda: deque(maxlen=MOST_SAMPLES)
    )

    def grown(self, counters: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        """How much each counter grew within RATE_SECONDS; takes note of where they stand now."""
        now = clock.monotonic()
        while self.samples and now - self.samples[0][0] > RATE_SECONDS:
            self.samples.popleft()
        self.samples.append((now, counters))
        first = self.samples[0][1]
        return {key: count - first.get(key, 0) for key, count in counters.items()}


def look(
    connection: Connection, landscape: Landscape, targets: list[tuple[str, str]], rates: Rates
) -> list[Finding]:
    """Everything that is not as it should be, in one consistent look."""
    waiting = measures.waiting(connection)
    found: list[Finding] = []
    for flow in landscape.flows.values():
        found += _freshness(connection, flow, waiting)
        found += _completeness(connection, landscape, flow)
    found += _workers(connection, landscape)
    found += _queues(connection, landscape, targets)
    found += _cases(connection, landscape)
    found += _rates(connection, landscape, rates)
    found += _audit(connection, landscape)
    return found


def _freshness(connection: Connection, flow: FlowSpec, waiting: list[Waiting]) -> Iterator[Finding]:
    within = flow.fresh_within_seconds
    if within is None:
        return
    now = clock.now()
    oldest = oldest_of(connection, flow, waiting)
    if oldest is None or (now - oldest).total_seconds() <= within:
        return
    yield Finding(
        f"slo fresh {flow.name}",
        "slo",
        f"flow {flow.name}: the oldest thing under way is {words(now - oldest)} old; it promises "
        f"{words(dt.timedelta(seconds=within))}",
        "See the flow's runs in the console and `tieout doctor`: a worker, or a system, stands.",
        flow.steward,
        urgent=True,
    )


def oldest_of(connection: Connection, flow: FlowSpec, waiting: list[Waiting]) -> dt.datetime | None:
    """When the oldest thing came in that this flow has not brought to its end and that waits for
    nobody: an arrival, a hint, or what a moving run works on."""
    began = [
        one.oldest for one in waiting if (one.system, one.stream) == (flow.system, flow.stream)
    ]
    moving = measures.fresh(connection, flow.name).oldest
    return min([*began, *([moving] if moving is not None else [])], default=None)


def _completeness(
    connection: Connection, landscape: Landscape, flow: FlowSpec
) -> Iterator[Finding]:
    if flow.complete_by is None:
        return
    now = clock.now()
    for entity in landscape.legal_entities.values():
        calendar = landscape.calendars[entity.calendar]
        books = Books(
            FiscalCalendar(calendar.pattern, calendar.year_starts),
            entity.time_zone,
            calendar.holidays,
        )
        for one in deadlines(flow.complete_by, books, now):
            left = measures.unfinished_in(
                connection, flow.name, entity.code, one.period or None, one.at
            )
            if left:
                what = f"period {one.period}" if one.period else "this forecast cycle"
                yield Finding(
                    f"slo complete {flow.name} {entity.code} {one.period or one.at.date()}",
                    "slo",
                    f"flow {flow.name}, {entity.code}: {left} run(s) of {what} are not complete; "
                    f"promised: {flow.complete_by.words}, over since {words(now - one.at)}",
                    "`tieout cases` says who must act; what is held counts too.",
                    flow.steward,
                    urgent=True,
                )


def _workers(connection: Connection, landscape: Landscape) -> Iterator[Finding]:
    most = landscape.alerts.hung_worker_seconds
    now = clock.now()
    if workers.turning(connection, max(most, NO_WORKER_SECONDS)) == 0:
        yield Finding(
            "worker none",
            "worker",
            "no worker turns: nothing is read, written or proved",
            "`tieout doctor` says what runs; `tieout up` starts what is missing.",
            "platform",
            urgent=True,
        )
    for one in workers.seen(connection):
        still = now - one.moved_at
        if one.stopped_at is None and one.lives and still.total_seconds() > most and one.held:
            yield Finding(
                f"worker hung {one.holder}",
                "worker",
                f"worker {one.pid} on {one.host} holds {one.held} lease(s) and has stood still for "
                f"{words(still)}, in '{one.stage}'",
                "Its leases go to others when they expire. If it stays so, end it by its pid.",
                "platform",
                urgent=True,
            )


def _queues(
    connection: Connection, landscape: Landscape, targets: list[tuple[str, str]]
) -> Iterator[Finding]:
    depth: dict[str, int] = {}
    for one in measures.queues(connection, targets):
        if one.state == "planned":
            depth[one.system] = depth.get(one.system, 0) + one.count
    for system, count in depth.items():
        if count > landscape.alerts.queue_depth:
            yield Finding(
                f"queue {system}",
                "queue",
                f"{count:,} dispatches wait for {system}",
                "See whether the system is slow or paused; more workers help only if it is not.",
                landscape.systems[system].steward if system in landscape.systems else "platform",
            )


def _cases(connection: Connection, landscape: Landscape) -> Iterator[Finding]:
    counts: dict[str, int] = {}
    oldest: dict[str, dt.datetime] = {}
    for one in measures.cases(connection):
        counts[one.owner] = counts.get(one.owner, 0) + one.count
        oldest[one.owner] = min(one.oldest, oldest.get(one.owner, one.oldest))
    now, policy = clock.now(), landscape.alerts
    for owner, count in counts.items():
        age = now - oldest[owner]
        if count > policy.cases_open or age.total_seconds() > policy.case_age_seconds:
            yield Finding(
                f"cases {owner}",
                "cases",
                f"{owner} has {count:,} open case(s), the oldest for {words(age)}",
                "`tieout cases` lists them with what to do next.",
                owner,
            )


def _rates(connection: Connection, landscape: Landscape, rates: Rates) -> Iterator[Finding]:
    grown = rates.grown({**_received(measures.moved(connection)), **_tried(connection)})
    policy = landscape.alerts
    for (kind, of), all_of in sorted(grown.items()):
        if kind == "received" and all_of >= LEAST_RECEIVED:
            repeated = grown.get(("repeated", of), 0)
            if 100 * repeated > policy.duplicates_percent * all_of:
                yield Finding(
                    f"duplicates {of}",
                    "errors",
                    f"{repeated:,} of {all_of:,} rows that {of} sent lately were repeats",
                    "Nothing is doubled. See why the sender repeats: slow answers, a loop.",
                    "platform",
                )
        if kind == "tried" and all_of >= LEAST_ATTEMPTS:
            failed = grown.get(("failed", of), 0)
            if 100 * failed > policy.errors_percent * all_of:
                yield Finding(
                    f"errors {of}",
                    "errors",
                    f"{failed:,} of {all_of:,} attempts at {of} did not succeed lately",
                    "`tieout cases` and `tieout doctor` say what the system answers.",
                    landscape.systems[of].steward if of in landscape.systems else "platform",
                )


def _received(moved: list[Moved]) -> dict[tuple[str, str], int]:
    """Rows that each stream received, repeats included, and the repeats among them."""
    found: dict[tuple[str, str], int] = {}
    for one in moved:
        if one.hop == "received":
            found["received", one.flow] = found.get(("received", one.flow), 0) + one.count
            if one.bucket == "duplicate":
                found["repeated", one.flow] = one.count
    return found


def _tried(connection: Connection) -> dict[tuple[str, str], int]:
    outcomes: list[OutcomeCount] = measures.outcomes(connection)
    found: dict[tuple[str, str], int] = {}
    for one in outcomes:
        if one.kind == "send":
            found["tried", one.system] = found.get(("tried", one.system), 0) + one.count
            if one.outcome not in GOOD:
                found["failed", one.system] = found.get(("failed", one.system), 0) + one.count
    return found


def _audit(connection: Connection, landscape: Landscape) -> Iterator[Finding]:
    since = measures.unsealed_since(connection)
    if since is None:
        return
    age = clock.now() - since
    if age.total_seconds() > landscape.alerts.unsealed_audit_seconds:
        yield Finding(
            "audit unsealed",
            "audit",
            f"the audit log has not been sealed for {words(age)}",
            "`tieout audit seal` says what is in the way.",
            "auditor",
        )


def silent(connection: Connection, landscape: Landscape) -> dict[str, dt.timedelta]:
    """Systems that are polled and have given no answer for longer than they may."""
    now = clock.now()
    answers = measures.last_answers(connection)
    began = measures.first_start(connection)
    found = {}
    for name, system in landscape.systems.items():
        since = answers.get(name, began)
        if system.streams and since is not None:
            age = now - since
            if age.total_seconds() > landscape.alerts.silent_system_seconds:
                found[name] = age
    return found


def words(age: dt.timedelta) -> str:
    """An age as people say it, in its two largest units: 3 h 12 min."""
    seconds = max(0, int(age.total_seconds()))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size or (unit == "s" and not parts):
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts[:2])
