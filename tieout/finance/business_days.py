"""Business days: Monday to Friday in a legal entity's time zone, its holidays left out.

Pure calendar arithmetic; which days are holidays is for the caller to say.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Collection

MOST_DAYS = 3_660  # days walked over at most: ten years
_FRIDAY = 4


class NoBusinessDay(ValueError):
    """The calendar leaves no working day within MOST_DAYS."""


def is_business_day(day: dt.date, holidays: Collection[dt.date] = ()) -> bool:
    """Whether people work on that day."""
    return day.weekday() <= _FRIDAY and day not in holidays


def add_business_days(day: dt.date, count: int, holidays: Collection[dt.date] = ()) -> dt.date:
    """The working day that is `count` (1 or more) working days after `day`; Friday and two are
    Tuesday, Saturday and one are Monday. Raises NoBusinessDay."""
    left = count
    for _ in range(MOST_DAYS):
        if left <= 0:
            return day
        day += dt.timedelta(days=1)
        left -= is_business_day(day, holidays)
    raise NoBusinessDay(f"{count} business days are not to be had within {MOST_DAYS} days")


def business_days_after(
    moment: dt.datetime,
    count: int,
    zone: zoneinfo.ZoneInfo,
    holidays: Collection[dt.date] = (),
) -> dt.datetime:
    """The same time of day, `count` working days later, in UTC."""
    local = moment.astimezone(zone)
    day = add_business_days(local.date(), count, holidays)
    return dt.datetime.combine(day, local.time(), zone).astimezone(dt.UTC)


def start_of_day(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """When that day begins there, in UTC."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
