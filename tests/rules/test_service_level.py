"""Promises by the fiscal calendar and the forecast cycle: what the words mean."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.period import FiscalCalendar
from tieout.rules.service_level import (
    BadServiceLevel,
    Books,
    complete_by,
    deadlines,
    is_business_day,
)

MONTHS = Books(FiscalCalendar("calendar"), "Europe/Amsterdam")
WEEKS = Books(FiscalCalendar("4-4-5", "sunday nearest 02-01"), "America/New_York")


def over(words: str, now: dt.datetime, books: Books = MONTHS) -> dict[str, str]:
    return {one.period: one.at.isoformat() for one in deadlines(complete_by(words), books, now)}


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[arg-type]


def test_one_business_day_before_the_close() -> None:
    # March 2026 ends on a Tuesday; the Monday before ends at midnight in Amsterdam (summer time).
    words = "period close - 1 business day"
    assert "2026-03" not in over(words, utc(2026, 3, 30, 21, 59))
    assert over(words, utc(2026, 3, 30, 22))["2026-03"] == "2026-03-30T22:00:00+00:00"


def test_a_weekend_and_a_holiday_are_no_business_days() -> None:
    # May 2026 ends on a Sunday; Friday the 29th is the last business day, Thursday one before.
    assert over("period close at 17:00", utc(2026, 6, 2))["2026-05"] == "2026-05-29T15:00:00+00:00"
    off = Books(MONTHS.calendar, MONTHS.time_zone, frozenset({dt.date(2026, 5, 29)}))
    closed = over("period close at 17:00", utc(2026, 6, 2), off)
    assert closed["2026-05"] == "2026-05-28T15:00:00+00:00"
    after = over("period close + 3 business days at 12:00", utc(2026, 6, 4))
    assert after["2026-05"] == "2026-06-03T10:00:00+00:00"


def test_a_week_calendar_closes_with_its_weeks() -> None:
    found = over("period close", utc(2026, 3, 2), WEEKS)
    # FY2026 begins on Sunday 2026-02-01; its first period is four weeks, to Saturday 02-28.
    assert found["FY2026-P01"] == "2026-02-28T05:00:00+00:00"  # the end of Friday in New York


def test_a_monthly_forecast_cycle() -> None:
    words = "forecast cycle monthly on day 25 at 18:00"
    # 25 January 2026 is a Sunday: the Friday before.
    assert over(words, utc(2026, 1, 26)) == {"": "2026-01-23T17:00:00+00:00"}
    assert over(words, utc(2026, 2, 20)) == {"": "2026-01-23T17:00:00+00:00"}
    assert over("forecast cycle monthly on day 31", utc(2026, 3, 1)) == {
        "": "2026-02-27T23:00:00+00:00"
    }


def test_a_weekly_forecast_cycle() -> None:
    words = "forecast cycle weekly on friday at 12:00"
    assert over(words, utc(2026, 3, 6, 10, 59)) == {"": "2026-02-27T11:00:00+00:00"}
    assert over(words, utc(2026, 3, 6, 11)) == {"": "2026-03-06T11:00:00+00:00"}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "tomorrow",
        "period close - 1 day",
        "period close - 61 business days",
        "period close at 24:00",
        "forecast cycle monthly on day 32",
        "forecast cycle monthly on day 0",
        "forecast cycle weekly on caturday",
    ],
)
def test_other_words_promise_nothing(words: str) -> None:
    with pytest.raises(BadServiceLevel):
        complete_by(words)


@given(
    st.sampled_from(
        [
            "period close",
            "period close - 2 business days",
            "period close + 5 business days at 09:30",
            "forecast cycle monthly on day 29",
            "forecast cycle weekly on sunday",
        ]
    ),
    st.integers(978_307_200, 4_070_908_800).map(lambda at: dt.datetime.fromtimestamp(at, dt.UTC)),
    st.sampled_from([MONTHS, WEEKS]),
)
def test_deadlines_are_over_sorted_and_never_come_back(
    words: str, now: dt.datetime, books: Books
) -> None:
    promise = complete_by(words)
    found = deadlines(promise, books, now)
    assert found, "there is always an earlier one"
    assert all(one.at <= now for one in found)
    assert [one.at for one in found] == sorted(one.at for one in found)
    later = deadlines(promise, books, now + dt.timedelta(days=1))
    assert later[-1].at >= found[-1].at


@given(st.dates(dt.date(2001, 1, 1), dt.date(2099, 1, 1)))
def test_business_days(day: dt.date) -> None:
    assert is_business_day(day, MONTHS) == (day.strftime("%a") not in {"Sat", "Sun"})
