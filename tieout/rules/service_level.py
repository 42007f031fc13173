"""By when a flow's work must be complete: the fiscal calendar and the forecast cycle as promises.

    period close - 1 business day          period close + 3 business days at 17:00
    forecast cycle monthly on day 25       forecast cycle weekly on friday at 12:00

A period closes with its last day, in the legal entity's calendar and time zone. A business day is
Monday to Friday and no holiday of the calendar. A cycle's day that is no business day means the
business day before it. Without `at`, the whole day may be used. Pure.
"""

from __future__ import annotations

import calendar as months
import datetime as dt
import re
import zoneinfo
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from tieout.finance.period import FiscalCalendar, Period

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_BUSINESS_DAYS = 60
PERIODS_BACK = 3  # how long a promise that was broken is still looked at
HOW_TO_WRITE = (
    'Write "period close - 1 business day" or "forecast cycle monthly on day 25" '
    'or "forecast cycle weekly on friday"; " at 17:00" may follow'
)

_AT = r"(?: at (?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d))?"
_CLOSE = re.compile(rf"period close(?: (?P<sign>[-+]) (?P<days>\d{{1,2}}) business days?)?{_AT}")
_MONTHLY = re.compile(rf"forecast cycle monthly on day (?P<day>\d{{1,2}}){_AT}")
_WEEKLY = re.compile(rf"forecast cycle weekly on (?P<weekday>{'|'.join(WEEKDAYS)}){_AT}")


class BadServiceLevel(ValueError):
    """Words that promise nothing we know. Says how to write it."""


@dataclass(frozen=True, slots=True)
class CompleteBy:
    """A promise. close: `days` business days from a period's last day; monthly: `days` is the day
    of the month; weekly: `days` is the weekday, Monday 0."""

    words: str
    kind: Literal["close", "monthly", "weekly"]
    days: int
    at: dt.time | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant by which work must be complete; `period` is "" for a forecast cycle: then it is
    about everything that came before."""

    period: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Books:
    """Whose calendar it is."""

    calendar: FiscalCalendar
    time_zone: str
    holidays: Set[dt.date] = frozenset()


def complete_by(words: str) -> CompleteBy:
    """The promise in these words. Raises BadServiceLevel."""
    text = " ".join(words.split())
    if found := _CLOSE.fullmatch(text):
        days = int(found["days"] or 0)
        if days > MOST_BUSINESS_DAYS:
            raise BadServiceLevel(f"at most {MOST_BUSINESS_DAYS} business days from a close")
        return CompleteBy(text, "close", -days if found["sign"] == "-" else days, _at(found))
    if found := _MONTHLY.fullmatch(text):
        day = int(found["day"])
        if not 1 <= day <= 31:
            raise BadServiceLevel(f"a month has no day {day}")
        return CompleteBy(text, "monthly", day, _at(found))
    if found := _WEEKLY.fullmatch(text):
        return CompleteBy(text, "weekly", WEEKDAYS.index(found["weekday"]), _at(found))
    raise BadServiceLevel(f"'{words}' is no time to be complete by. {HOW_TO_WRITE}")


def _at(found: re.Match[str]) -> dt.time | None:
    return dt.time(int(found["hour"]), int(found["minute"])) if found["hour"] else None


def deadlines(promise: CompleteBy, books: Books, now: dt.datetime) -> list[Deadline]:
    """The deadlines that are over at `now` and still looked at, newest last: those of the last
    PERIODS_BACK periods, or the newest one of a cycle."""
    zone = zoneinfo.ZoneInfo(books.time_zone)
    today = now.astimezone(zone).date()
    if promise.kind == "close":
        found = [
            Deadline(
                period.name, _instant(_shifted(period.end, promise.days, books), promise, zone)
            )
            for period in _periods_around(books.calendar, today)
        ]
        return [one for one in found if one.at <= now]
    days = [
        _business_day_before(day, books)
        for day in (
            _monthly(today, promise.days) if promise.kind == "monthly" else _weekly(today, promise)
        )
    ]
    over = [one for one in (_instant(day, promise, zone) for day in days) if one <= now]
    return [Deadline("", max(over))] if over else []


def _periods_around(calendar: FiscalCalendar, today: dt.date) -> list[Period]:
    """The last periods, the present one and the next: a close may be promised before the end."""
    present = calendar.period_of(today)
    found = [present]
    for _ in range(PERIODS_BACK):
        found.insert(0, calendar.before(found[0]))
    return [*found, calendar.after(present)]


def _monthly(today: dt.date, day: int) -> list[dt.date]:
    before = today.replace(day=1) - dt.timedelta(days=1)
    return [
        one.replace(day=min(day, months.monthrange(one.year, one.month)[1]))
        for one in (before, today)
    ]


def _weekly(today: dt.date, promise: CompleteBy) -> list[dt.date]:
    last = today - dt.timedelta(days=(today.weekday() - promise.days) % 7)
    return [last - dt.timedelta(days=7), last]


def is_business_day(day: dt.date, books: Books) -> bool:
    """Monday to Friday, and no holiday."""
    return day.weekday() < 5 and day not in books.holidays


def _business_day_before(day: dt.date, books: Books) -> dt.date:
    """The day itself if it is a business day, else the last one before it."""
    while not is_business_day(day, books):
        day -= dt.timedelta(days=1)
    return day


def _shifted(day: dt.date, business_days: int, books: Books) -> dt.date:
    """So many business days after (or before) a day; 0 is the last business day up to it."""
    if business_days == 0:
        return _business_day_before(day, books)
    step = dt.timedelta(days=1 if business_days > 0 else -1)
    left = abs(business_days)
    while left:
        day += step
        left -= is_business_day(day, books)
    return day


def _instant(day: dt.date, promise: CompleteBy, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """The instant in that zone; without a time the day's end."""
    if promise.at is not None:
        return dt.datetime.combine(day, promise.at, zone).astimezone(dt.UTC)
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
