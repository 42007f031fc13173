"""Fiscal periods: which period of whose calendar an accounting date falls in.

A calendar is a pattern and a rule for the first day of its year. Dates are inclusive on both sides;
every date is in exactly one period, and the periods of a year tile it without a gap.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo
from dataclasses import dataclass
from typing import Final

PATTERNS: Final = ("calendar", "4-4-5", "4-5-4", "5-4-4", "13-period")
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199

_WEEKS: Final[dict[str, tuple[int, ...]]] = {
    "4-4-5": (4, 4, 5) * 4,
    "4-5-4": (4, 5, 4) * 4,
    "5-4-4": (5, 4, 4) * 4,
    "13-period": (4,) * 13,
}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FIXED: Final = re.compile(r"(\d\d)-(\d\d)")
_NEAREST: Final = re.compile(rf"({'|'.join(_WEEKDAYS)}) nearest (\d\d)-(\d\d)")
_AFTER_LAST: Final = re.compile(rf"after last ({'|'.join(_WEEKDAYS)}) of (\d\d)")
_NAME: Final = re.compile(r"(?:FY(\d{4})-P(\d\d)|(\d{4})-(\d\d))")


class BadCalendar(ValueError):
    """A calendar that cannot be: the message says what is wrong and what may stand there."""


class NoPeriod(ValueError):
    """A date or a name that is in no period of the calendar."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """One fiscal period, `start` and `end` inclusive; periods sort by time.

    `name` is `2021-03` in the calendar year that starts on 1 January, else `FY2021-P03`.
    """

    start: dt.date
    end: dt.date
    name: str
    fiscal_year: int
    number: int

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def __contains__(self, date: dt.date) -> bool:
        return self.start <= date <= self.end

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FiscalCalendar:
    """A pattern and the rule for the first day of the year, which is one of

    - `MM-DD`: that day every year (day 1 to 28 for months). In a week pattern the last period
      takes the one or two days beyond 52 weeks;
    - `sunday nearest MM-DD`: the weekday at most three days before or after that day (the retail
      calendar is `sunday nearest 02-01`); some years have a 53rd week, and the last period has it;
    - `after last saturday of MM`: the day after it; 53rd week as above.

    A fiscal year is named by the calendar year it starts in when MM-DD (or the month after MM)
    is before July, else by the next one. Raises BadCalendar.
    """

    pattern: str
    year_starts: str = "01-01"

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise BadCalendar(f"no calendar pattern {self.pattern!r}: {', '.join(PATTERNS)}")
        month, day, _ = self._anchor()
        if self.pattern == "calendar":
            if _FIXED.fullmatch(self.year_starts) is None:
                raise BadCalendar(f"months start on a date, MM-DD, not on {self.year_starts!r}")
            if day > 28:
                raise BadCalendar(f"{self.year_starts}: not every month has a day {day}; use 01-28")
        try:
            dt.date(2001, month, day)
        except ValueError as problem:
            raise BadCalendar(f"{self.year_starts!r} is not a day of every year") from problem

    def _anchor(self) -> tuple[int, int, int]:
        """Nominal month and day of the year's start, and its weekday (-1: whichever)."""
        if fixed := _FIXED.fullmatch(self.year_starts):
            return int(fixed[1]), int(fixed[2]), -1
        if nearest := _NEAREST.fullmatch(self.year_starts):
            return int(nearest[2]), int(nearest[3]), _WEEKDAYS.index(nearest[1])
        last = _AFTER_LAST.fullmatch(self.year_starts)
        if last and 1 <= int(last[2]) <= 12:
            return int(last[2]) % 12 + 1, 1, (_WEEKDAYS.index(last[1]) + 1) % 7
        raise BadCalendar(
            f"{self.year_starts!r} says no first day: write MM-DD, 'sunday nearest MM-DD' "
            "or 'after last saturday of MM'"
        )

    def first_day(self, fiscal_year: int) -> dt.date:
        """The first day of a fiscal year."""
        month, day, weekday = self._anchor()
        nominal = dt.date(fiscal_year - (1 if month >= 7 else 0), month, day)
        if weekday < 0:
            return nominal
        # Nearest: three days back, then forward to the weekday. After the last: six days back.
        back = 3 if _NEAREST.fullmatch(self.year_starts) else 6
        earliest = nominal - dt.timedelta(days=back)
        return earliest + dt.timedelta(days=(weekday - earliest.weekday()) % 7)

    def last_day(self, fiscal_year: int) -> dt.date:
        """The last day of a fiscal year."""
        return self.first_day(fiscal_year + 1) - dt.timedelta(days=1)

    def periods(self, fiscal_year: int) -> tuple[Period, ...]:
        """The periods of a fiscal year in order: 12, or 13. Raises NoPeriod outside 1900-2199."""
        if not FIRST_YEAR <= fiscal_year <= LAST_YEAR:
            raise NoPeriod(f"year {fiscal_year} is outside {FIRST_YEAR} to {LAST_YEAR}")
        return _periods(self, fiscal_year)

    def period_of(self, date: dt.date) -> Period:
        """The one period that holds `date`. Raises NoPeriod outside the years 1900-2199."""
        if isinstance(date, dt.datetime):
            raise NoPeriod(f"{date} is an instant: take its accounting date in a time zone first")
        for fiscal_year in (date.year, date.year + 1, date.year - 1):
            if not FIRST_YEAR <= fiscal_year <= LAST_YEAR:
                continue
            if self.first_day(fiscal_year) <= date <= self.last_day(fiscal_year):
                return next(one for one in self.periods(fiscal_year) if date in one)
        raise NoPeriod(f"{date} is outside the years {FIRST_YEAR} to {LAST_YEAR}")

    def period_named(self, name: str) -> Period:
        """The period of a name like `2021-03` or `FY2021-P03`. Raises NoPeriod."""
        found = _NAME.fullmatch(name)
        if found:
            fiscal_year, number = int(found[1] or found[3]), int(found[2] or found[4])
            for one in self.periods(fiscal_year):
                if one.number == number and one.name == name:
                    return one
        example = self.periods(2021)[2].name
        raise NoPeriod(f"{name!r} is no period of this calendar; its periods look like {example}")

    def after(self, period: Period) -> Period:
        """The period that follows."""
        return self.period_of(period.end + dt.timedelta(days=1))

    def before(self, period: Period) -> Period:
        """The period that precedes."""
        return self.period_of(period.start - dt.timedelta(days=1))


@functools.lru_cache(maxsize=1024)
def _periods(calendar: FiscalCalendar, fiscal_year: int) -> tuple[Period, ...]:
    starts = _starts(calendar, fiscal_year)
    ends = [start - dt.timedelta(days=1) for start in starts[1:]]
    ends.append(calendar.last_day(fiscal_year))
    plain = calendar.pattern == "calendar" and calendar.year_starts == "01-01"
    form = "{0:04d}-{1:02d}" if plain else "FY{0:04d}-P{1:02d}"
    return tuple(
        Period(start, end, form.format(fiscal_year, number), fiscal_year, number)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    )


def _starts(calendar: FiscalCalendar, fiscal_year: int) -> list[dt.date]:
    first = calendar.first_day(fiscal_year)
    if calendar.pattern == "calendar":
        months = [first.month - 1 + at for at in range(12)]
        return [dt.date(first.year + m // 12, m % 12 + 1, first.day) for m in months]
    starts = [first]
    for weeks in _WEEKS[calendar.pattern][:-1]:
        starts.append(starts[-1] + dt.timedelta(weeks=weeks))
    return starts


def period_of(date: dt.date, calendar: FiscalCalendar) -> Period:
    """The one period of `calendar` that holds `date`. Raises NoPeriod."""
    return calendar.period_of(date)


def accounting_date(instant: dt.datetime, time_zone: str) -> dt.date:
    """The date an instant has in a legal entity's books: its date in that IANA time zone.

    Raises ValueError for an instant without a zone, or a zone that is not in the tz database.
    """
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise ValueError(
            f"{instant.isoformat()} has no time zone: its date depends on who reads it"
        )
    try:
        zone = zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise ValueError(
            f"{time_zone!r} is no time zone: write an IANA name like Europe/Berlin"
        ) from problem
    return instant.astimezone(zone).date()
