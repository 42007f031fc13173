"""Deadlines: when a wait becomes a case, when that case changes hands, when a run looks by itself.

Everything is computed from when the run came to the step, so that no timer is kept anywhere.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass

from tieout.engine.planner import StepResult
from tieout.finance.business_days import business_days_after
from tieout.landscape.schema import Landscape, StepSpec

# What a run read without a lock may have changed before its wait was stored: one look soon after
# sees it. From then on events wake it; looks for safety come as late again as it waited already:
# also for whoever took longer than that second look to commit what is waited for.
SECOND_LOOK_SECONDS = 5.0
FIRST_SAFETY_LOOK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a step is late, and when it is late for somebody higher; None: never."""

    first: dt.datetime | None = None
    second: dt.datetime | None = None

    def late(self, now: dt.datetime) -> int:
        """0: in time; 1: a case; 2: its case belongs to whom it escalates to."""
        return sum(one is not None and one <= now for one in (self.first, self.second))

    def next(self, now: dt.datetime) -> dt.datetime | None:
        return next((one for one in (self.first, self.second) if one and one > now), None)


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """When people of a legal entity work: Monday to Friday in its zone, its calendar's holidays
    left out."""

    zone: zoneinfo.ZoneInfo
    holidays: frozenset[dt.date]

    def after(self, moment: dt.datetime, count: int) -> dt.datetime:
        """The same time of day, `count` working days later."""
        return business_days_after(moment, count, self.zone, self.holidays)


def deadline(step: StepSpec, since: dt.datetime, books: WorkingDays) -> Deadline:
    """The deadlines of a step at which a run has been since then."""
    if step.within_business_days is not None:
        days = step.within_business_days
        first = books.after(since, days)
        second = books.after(since, 2 * days)
    elif step.within_seconds is not None:
        first = since + dt.timedelta(seconds=step.within_seconds)
        second = since + dt.timedelta(seconds=2 * step.within_seconds)
    else:
        return Deadline()
    return Deadline(first, second if step.escalate else None)


def working_days(landscape: Landscape, legal_entity: str) -> WorkingDays:
    """The working days of a legal entity; in UTC and without holidays for one not known."""
    entity = landscape.legal_entities.get(legal_entity)
    if entity is None:
        return WorkingDays(zoneinfo.ZoneInfo("UTC"), frozenset())
    calendar = landscape.calendars.get(entity.calendar)
    holidays = calendar.holidays if calendar is not None else frozenset()
    return WorkingDays(zoneinfo.ZoneInfo(entity.time_zone), holidays)


def looks_at(
    result: StepResult, due: Deadline, since: dt.datetime, now: dt.datetime, *, fresh: bool
) -> dt.datetime | None:
    """When the run looks again by itself. `fresh`: this wait is not stored yet, for the run came by
    an event, or is new at this step, or waits for something else than before."""
    times = [result.due_at, due.next(now)]
    unlocked = bool(result.records or result.events)
    if fresh and unlocked:
        times.append(now + dt.timedelta(seconds=SECOND_LOOK_SECONDS))
    elif unlocked or not (result.held or result.paused):
        waited = max(FIRST_SAFETY_LOOK_SECONDS, (now - since).total_seconds())
        times.append(now + dt.timedelta(seconds=waited))
    return min((one for one in times if one is not None), default=None)
