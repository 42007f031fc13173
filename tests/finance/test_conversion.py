import csv
import datetime as dt
import io
import zipfile
from decimal import Decimal
from fractions import Fraction
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.conversion import EcbRates, NoRate, Rate, convert, rate_id
from tieout.finance.currency import UnknownCurrency, currency
from tieout.finance.decimals import BadAmount
from tieout.finance.money import Money

RATES = EcbRates.bundled()
DAYS = st.dates(dt.date(2020, 7, 1), dt.date(2022, 5, 31))
CODES = st.sampled_from(["EUR", "USD", "GBP", "SEK", "CHF", "NOK", "DKK", "PLN", "JPY", "BRL"])
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=2)


def value_of(code: str, day: dt.date) -> Fraction:
    return Fraction(1) if code == "EUR" else Fraction(RATES.rate(code, day).value)


def unit_of(code: str) -> Fraction:
    return Fraction(1, 10 ** currency(code).minor_units)


@given(AMOUNTS, CODES, CODES, DAYS)
def test_a_conversion_is_exact_up_to_one_rounding(
    amount: Decimal, source: str, target: str, day: dt.date
) -> None:
    converted = convert(Money(amount, source), target, day, RATES)
    exact = Fraction(amount) * value_of(target, day) / value_of(source, day)
    off = abs(Fraction(converted.money.amount) - exact)
    assert off <= unit_of(target) / 2
    if off == unit_of(target) / 2:
        assert abs(Fraction(converted.money.amount)) > abs(exact)  # a half goes away from zero
    assert converted.money.currency == target
    assert converted.money == converted.money.rounded()
    assert convert(Money(-amount, source), target, day, RATES).money == -converted.money


@given(AMOUNTS, CODES, DAYS)
def test_there_and_back_stays_within_the_bound(amount: Decimal, code: str, day: dt.date) -> None:
    """Half a unit lost going out is worth unit / rate in euro; half a cent is lost coming back."""
    there = convert(Money(amount, "EUR"), code, day, RATES).money
    back = convert(there, "EUR", day, RATES).money
    bound = unit_of(code) / 2 / value_of(code, day) + unit_of("EUR") / 2
    assert abs(Fraction(back.amount) - Fraction(amount)) <= bound
    if unit_of(code) <= value_of(code, day) * unit_of("EUR"):
        assert bound <= unit_of("EUR")


@given(CODES, CODES, DAYS)
def test_the_rates_used_are_named(source: str, target: str, day: dt.date) -> None:
    used = convert(Money.of("1", source), target, day, RATES).rates
    expected = [code for code in (source, target) if code != "EUR" and source != target]
    assert [rate.quote for rate in used] == expected
    for rate in used:
        assert dt.timedelta(0) <= day - rate.date <= dt.timedelta(days=7)
        assert rate.rate_id == f"ecb:EUR/{rate.quote}:{rate.date}:spot"


def test_known_figures() -> None:
    converted = convert(Money.of("440.00", "USD"), "GBP", dt.date(2021, 3, 4), RATES)
    assert str(converted.money) == "315.43 GBP"
    assert converted.rate_id == "ecb:EUR/USD:2021-03-04:spot+ecb:EUR/GBP:2021-03-04:spot"
    same = convert(Money.of("12.345", "EUR"), "EUR", dt.date(2021, 3, 4), RATES)
    assert str(same.money) == "12.35 EUR"
    assert same.rate_id == ""


def test_a_product_with_a_rounded_cross_rate_would_be_wrong() -> None:
    """The reason for one exact step: the rounded cross rate misses by more than a cent."""
    day, amount = dt.date(2021, 3, 4), Decimal("98765432.10")
    cross = (RATES.rate("GBP", day).value / RATES.rate("USD", day).value).quantize(Decimal("1E-6"))
    exact = convert(Money(amount, "USD"), "GBP", day, RATES).money.amount
    assert abs(exact - amount * cross) > Decimal("1.00")


def test_a_day_without_rates_takes_the_last_published_day_and_keeps_its_date() -> None:
    saturday = RATES.rate("USD", dt.date(2021, 3, 6))
    assert (saturday.date, saturday.value) == (dt.date(2021, 3, 5), Decimal("1.1938"))
    table = EcbRates.from_csv(["Date,USD,", "2021-01-10,1.20,", "2021-01-01,N/A,"])
    assert table.rate("USD", dt.date(2021, 1, 17)).date == dt.date(2021, 1, 10)
    with pytest.raises(NoRate, match="7 days before"):
        table.rate("USD", dt.date(2021, 1, 18))
    with pytest.raises(NoRate):
        table.rate("USD", dt.date(2021, 1, 9))


def test_every_value_is_the_decimal_of_the_published_file() -> None:
    packed = resources.files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    text = zipfile.ZipFile(io.BytesIO(packed)).read("eurofxref-hist.csv").decode()
    checked = 0
    for row in csv.DictReader(io.StringIO(text)):
        if row["Date"].startswith(("2020", "2021", "2022")):
            for code in ("USD", "GBP", "SEK", "BRL", "MXN"):
                found = RATES.rate(code, dt.date.fromisoformat(row["Date"]))
                assert (str(found.value), found.date.isoformat()) == (row[code], row["Date"])
                checked += 1
    assert checked > 3000


def test_the_average_is_the_mean_of_the_published_days_of_the_month() -> None:
    table = EcbRates.from_csv(
        ["Date,USD,", "2021-02-02,1.1,", "2021-02-01,1.0,", "2021-01-29,9.0,", "2021-02-03,1.3,"]
    )
    partly = table.rate("USD", dt.date(2021, 2, 2), "average")
    whole = table.rate("USD", dt.date(2021, 2, 10), "average")
    assert partly.value == Decimal("1.05")
    assert str(whole.value) == "1.1333333333"
    assert whole.rate_id == "ecb:EUR/USD:2021-02-03:average"
    with pytest.raises(NoRate):
        table.rate("USD", dt.date(2021, 3, 2), "average")


@pytest.mark.parametrize(
    ("code", "day"), [("RUB", dt.date(2022, 3, 31)), ("ISK", dt.date(2008, 12, 31))]
)
def test_a_month_in_which_publishing_ended_has_no_average(code: str, day: dt.date) -> None:
    """One day of March is not March: the ECB suspended the rouble on 2 March 2022."""
    with pytest.raises(NoRate, match="7 days before"):
        RATES.rate(code, day, "average")
    assert RATES.rate("RUB", dt.date(2022, 3, 8), "average").value == Decimal("117.201")


def test_what_has_no_rate_says_so() -> None:
    with pytest.raises(NoRate, match="publishes no rate for CLF"):
        RATES.rate("CLF", dt.date(2021, 3, 4))
    with pytest.raises(UnknownCurrency):
        convert(Money.of("1", "EUR"), "ZZZ", dt.date(2021, 3, 4), RATES)
    with pytest.raises(NoRate):
        convert(Money.of("1", "EUR"), "USD", dt.date(1998, 12, 31), RATES)


@pytest.mark.parametrize("value", ["0", "-1.5"])
def test_a_rate_is_above_zero(value: str) -> None:
    day = dt.date(2021, 1, 1)
    name = rate_id("desk", "EUR", "USD", day, "closing")
    with pytest.raises(BadAmount, match="desk:EUR/USD:2021-01-01:closing"):
        Rate(name, "desk", "closing", "EUR", "USD", day, Decimal(value))


@pytest.mark.parametrize("lines", [[], ["USD,Date"], ["Date,USD,", "2021-01-01,1.2e3,"]])
def test_a_file_that_is_not_the_ecbs_is_refused(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="ECB rate"):
        EcbRates.from_csv(lines)
