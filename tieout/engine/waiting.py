"""wait: for a length of time, until a date of the record, or for a record that refers to it.

Nothing waits in memory: the run has the moment in its row, or the event in run_waits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.deadlines import WorkingDays, working_days
from tieout.engine.planner import StepResult
from tieout.engine.step_values import computed
from tieout.engine.steps import references
from tieout.engine.work import Step, Work, of_run
from tieout.finance.business_days import (
    add_business_days,
    start_of_day,
)
from tieout.landscape.schema import StepSpec
from tieout.landscape.step_values import referring_field
from tieout.store import awaited, documents, runs
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.documents import Document
from tieout.store.records import Record
from tieout.store.runs import Run


def wait(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """Passed when the time is there or the event has happened; the run is paused meanwhile."""
    if step.spec.wait == "event":
        return _for_event(work, step, group)
    now = clock.now()
    days, results = computed(work, step, group)
    came = runs.came_to(work.connection, step.number, step.spec.name, group)
    own = work.of_runs(step.flow, group)
    for run in group:
        if run.run_id in results:
            continue
        books = working_days(work.context.landscape, run.legal_entity)
        day = days.get(run.run_id)
        if step.spec.date and not isinstance(day, str):
            results[run.run_id] = _no_date(run, own[run.record_key], step)
            continue
        try:
            over = _over(step.spec, day, came.get(run.run_id, now), books)
        except (ValueError, OverflowError):  # before year 1, after 9999, infinity
            results[run.run_id] = _no_date(run, own[run.record_key], step, str(day))
            continue
        results[run.run_id] = (
            StepResult(passed=True, result=f"waited until {over.isoformat(timespec='seconds')}")
            if over <= now
            else StepResult(
                paused=True,
                starts=True,
                due_at=over,
                waits_for=f"{over.astimezone(books.zone):%Y-%m-%d %H:%M} ({books.zone.key})",
            )
        )
    return results


def _over(step: StepSpec, day: object, since: dt.datetime, books: WorkingDays) -> dt.datetime:
    """When the wait is over: counted from the record's own date where the step names one, else
    from when the run came to the step. Raises ValueError, OverflowError: no calendar has the day.
    """
    if isinstance(day, str):
        return start_of_day(_day_after(step, dt.date.fromisoformat(day), books), books.zone)
    if step.wait_business_days is not None:
        return books.after(since, step.wait_business_days)
    return since + dt.timedelta(seconds=step.wait_seconds or 0.0)


def _day_after(step: StepSpec, day: dt.date, books: WorkingDays) -> dt.date:
    """The day on which the wait is over, counted from the record's own date."""
    if step.wait_business_days is not None:
        return add_business_days(day, step.wait_business_days, books.holidays)
    seconds = dt.timedelta(seconds=step.wait_seconds or 0.0)
    return day + dt.timedelta(days=seconds.days + (seconds.seconds > 0))


def _no_date(run: Run, record: Record, step: Step, day: str = "") -> StepResult:
    case = NewCase(
        reason="wait",
        control=step.spec.name,
        owner=step.flow.steward,
        words=f"'{step.spec.date}' gives {day or 'no date'}"
        + (", a day that no calendar reaches" if day else " to wait for"),
        next_action="Set the date at the source; the record goes on by itself.",
        field=step.spec.date,
        value=day,
        place=str(step.spec.place),
    )
    return StepResult(
        held=True,
        waits_for=f"a date in {step.spec.date}",
        cases=(of_run(case, run, record),),
    )


def _for_event(work: Work, step: Step, group: Sequence[Run]) -> dict[int, StepResult]:
    """A record of the awaited type names the run's own; where a system is stated, that record's
    document is proved there."""
    spec = step.spec
    field = referring_field(step.flow, spec, work.context.landscape)
    keys = [run.record_key for run in group]
    found = _that_refer(work, spec, field, keys)
    proved = _documents(work, spec, sorted({key for some in found.values() for key in some}))
    results: dict[int, StepResult] = {}
    for run in group:
        some = found.get(run.record_key, [])
        there = [key for key in some if not spec.system or _present(proved.get(key))]
        if there:
            results[run.run_id] = StepResult(passed=True, result=f"{spec.record_type} {there[0]}")
            continue
        under_way = [proved[key].document_id for key in some if key in proved]
        results[run.run_id] = StepResult(
            paused=True,
            waits_for=f"a {spec.record_type} that refers to it"
            + (f", proved in {spec.system}" if spec.system else ""),
            documents=tuple(under_way),
            # Those that nobody has put on the register of documents yet: that wakes it, too.
            records=tuple(_named(spec.record_type, key) for key in some if key not in proved),
            events=(event(spec.record_type, field, run.record_key),),
        )
    return results


def _that_refer(
    work: Work, spec: StepSpec, field: str, keys: Sequence[str]
) -> Mapping[str, list[str]]:
    """By key, the records that refer to it as they stand now: one that was corrected to name
    another counts only there."""
    noted = awaited.referring(work.connection, spec.record_type, field, keys)
    newest = work.newest(spec.record_type, sorted({one for some in noted.values() for one in some}))
    return {
        key: [one for one in some if key in references(newest[one].body, [field])]
        for key, some in noted.items()
    }


def _documents(work: Work, spec: StepSpec, record_keys: Sequence[str]) -> Mapping[str, Document]:
    """Their documents in the stated system, locked, so that a proof cannot slip by."""
    if not spec.system or not record_keys:
        return {}
    system, _, stream = spec.system.partition(".")
    return documents.known(work.connection, system, stream, spec.record_type, record_keys)


def _present(document: Document | None) -> bool:
    return document is not None and document.state == "present"


def _named(record_type: str, record_key: str) -> str:
    """A record that is waited for, as run_waits names it."""
    return f"{record_type}/{record_key}"


def event(record_type: str, field: str, refers_to: str) -> str:
    """What a run waits for, as run_waits names it."""
    return f"{record_type}.{field}/{refers_to}"


def records_came(context: Context, connection: Connection, new: Sequence[Record]) -> None:
    """Wake whoever waits for these records, or for what they refer to. Called by whoever stores
    them, in the same transaction."""
    runs.wake(connection, "record", [_named(one.record_type, one.record_key) for one in new])
    seen = [
        (key, one.record_type, field, one.record_key)
        for one in new
        for field in context.compiled.awaited.get(one.record_type, ())
        for key in references(one.body, [field])
    ]
    if seen:
        awaited.note(connection, seen)
        runs.wake(connection, "event", [event(kind, field, key) for key, kind, field, _ in seen])
