import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.period import (
    BadCalendar,
    FiscalCalendar,
    NoPeriod,
    accounting_date,
    period_of,
)

WEEKS = ("4-4-5", "4-5-4", "5-4-4", "13-period")
ANY_START = ("01-01", "04-06", "07-01", "12-28")
WEEK_START = (
    "sunday nearest 02-01",
    "monday nearest 01-01",
    "saturday nearest 12-31",
    "after last saturday of 09",
    "after last friday of 12",
    "after last sunday of 06",
)
CALENDARS = [FiscalCalendar("calendar", start) for start in ANY_START] + [
    FiscalCalendar(pattern, start) for pattern in WEEKS for start in ANY_START + WEEK_START
]
ONE = dt.timedelta(days=1)
NRF = FiscalCalendar("4-5-4", "sunday nearest 02-01")


@given(st.sampled_from(CALENDARS), st.dates(dt.date(1902, 1, 1), dt.date(2197, 12, 31)))
def test_every_date_is_in_exactly_one_period(calendar: FiscalCalendar, date: dt.date) -> None:
    found = period_of(date, calendar)
    years = (found.fiscal_year - 1, found.fiscal_year, found.fiscal_year + 1)
    holding = [one for year in years for one in calendar.periods(year) if date in one]
    assert holding == [found]
    assert calendar.period_named(found.name) == found
    assert calendar.before(calendar.after(found)) == found


@given(st.sampled_from(CALENDARS), st.integers(1901, 2198))
def test_periods_tile_the_year(calendar: FiscalCalendar, fiscal_year: int) -> None:
    periods = calendar.periods(fiscal_year)
    assert len(periods) == (13 if calendar.pattern == "13-period" else 12)
    assert periods[0].start == calendar.first_day(fiscal_year)
    assert periods[-1].end + ONE == calendar.periods(fiscal_year + 1)[0].start
    for earlier, later in itertools.pairwise(periods):
        assert earlier.end + ONE == later.start
    assert [one.number for one in periods] == list(range(1, len(periods) + 1))
    assert all(one.days > 0 for one in periods)
    days = sum(one.days for one in periods)
    if calendar.year_starts in WEEK_START:
        assert days in (364, 371)
    else:
        assert days in (365, 366)


@pytest.mark.parametrize(
    ("pattern", "weeks"), [("4-4-5", [4, 4, 5]), ("4-5-4", [4, 5, 4]), ("5-4-4", [5, 4, 4])]
)
def test_the_weeks_of_a_quarter(pattern: str, weeks: list[int]) -> None:
    periods = FiscalCalendar(pattern, "sunday nearest 02-01").periods(2021)
    assert [one.days // 7 for one in periods] == weeks * 4


def test_the_retail_calendar_as_the_federation_publishes_it() -> None:
    """National Retail Federation 4-5-4: 2023 has a 53rd week and ends on 3 February 2024."""
    assert NRF.first_day(2021) == dt.date(2021, 1, 31)
    assert (NRF.first_day(2023), NRF.last_day(2023)) == (dt.date(2023, 1, 29), dt.date(2024, 2, 3))
    assert [one.days // 7 for one in NRF.periods(2023)] == [4, 5, 4] * 3 + [4, 5, 5]
    assert NRF.period_of(dt.date(2024, 2, 3)).name == "FY2023-P12"
    assert NRF.period_of(dt.date(2024, 2, 4)).name == "FY2024-P01"


def test_a_year_that_ends_on_the_last_saturday_of_september() -> None:
    calendar = FiscalCalendar("4-4-5", "after last saturday of 09")
    assert (calendar.first_day(2021), calendar.last_day(2021)) == (
        dt.date(2020, 9, 27),
        dt.date(2021, 9, 25),
    )
    assert calendar.last_day(2023) == dt.date(2023, 9, 30)
    assert sum(one.days for one in calendar.periods(2023)) == 53 * 7


def test_calendar_months_and_leap_years() -> None:
    months = FiscalCalendar("calendar")
    assert months.period_of(dt.date(2020, 2, 29)).name == "2020-02"
    assert [months.period_named(name).days for name in ("2020-02", "2021-02", "1900-02")] == [
        29,
        28,
        28,
    ]
    fixed = FiscalCalendar("4-4-5", "01-01")
    assert [fixed.periods(year)[-1].days for year in (2020, 2021)] == [37, 36]
    april = FiscalCalendar("calendar", "04-06")
    first = april.period_of(dt.date(2021, 5, 5))
    assert (first.name, first.start, first.end) == (
        "FY2021-P01",
        dt.date(2021, 4, 6),
        dt.date(2021, 5, 5),
    )
    assert FiscalCalendar("calendar", "07-01").period_of(dt.date(2020, 7, 1)).name == "FY2021-P01"


@pytest.mark.parametrize(
    ("pattern", "starts", "words"),
    [
        ("4-4-4", "01-01", "no calendar pattern"),
        ("calendar", "01-31", "use 01-28"),
        ("calendar", "sunday nearest 02-01", "months start on a date"),
        ("4-4-5", "02-29", "not a day of every year"),
        ("4-4-5", "13-01", "not a day of every year"),
        ("4-4-5", "someday nearest 02-01", "says no first day"),
        ("4-4-5", "after last saturday of 13", "says no first day"),
        ("4-4-5", "1-1", "says no first day"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused(pattern: str, starts: str, words: str) -> None:
    with pytest.raises(BadCalendar, match=words):
        FiscalCalendar(pattern, starts)


@pytest.mark.parametrize("name", ["2021-13", "2021-00", "FY2021-P03", "2021-3", "", "1800-01"])
def test_a_name_that_is_no_period_is_refused(name: str) -> None:
    with pytest.raises(NoPeriod):
        FiscalCalendar("calendar").period_named(name)


def test_dates_out_of_range_and_instants_are_refused() -> None:
    months = FiscalCalendar("calendar")
    for date in (dt.date.min, dt.date.max):
        with pytest.raises(NoPeriod, match="outside"):
            months.period_of(date)
    with pytest.raises(NoPeriod, match="accounting date"):
        months.period_of(dt.datetime(2021, 1, 1, tzinfo=dt.UTC))


def test_the_accounting_date_is_the_date_in_the_legal_entitys_zone() -> None:
    instant = dt.datetime(2021, 3, 31, 22, 30, tzinfo=dt.UTC)
    assert accounting_date(instant, "Europe/Berlin") == dt.date(2021, 4, 1)
    assert accounting_date(instant, "Europe/London") == dt.date(2021, 3, 31)
    assert accounting_date(instant, "America/New_York") == dt.date(2021, 3, 31)
    winter = dt.datetime(2021, 1, 31, 22, 30, tzinfo=dt.UTC)
    assert accounting_date(winter, "Europe/Berlin") == dt.date(2021, 1, 31)
    naive = instant.replace(tzinfo=None)
    with pytest.raises(ValueError, match="no time zone"):
        accounting_date(naive, "UTC")
    for name in ("Mars/Olympus", "", "../etc/passwd"):
        with pytest.raises(ValueError, match="is no time zone"):
            accounting_date(instant, name)
