from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.currency import CURRENT_CODES, UnknownCurrency, currency
from tieout.finance.money import (
    REFUSE,
    BadAmount,
    CurrencyMismatch,
    Money,
    canonical_amount,
    round_money,
    total,
)

AMOUNTS = st.decimals(
    min_value=-(10**22), max_value=10**22, places=6, allow_nan=False, allow_infinity=False
)
CODES = st.sampled_from(CURRENT_CODES)


@given(AMOUNTS, AMOUNTS, CODES)
def test_sums_and_differences_are_exact(left: Decimal, right: Decimal, code: str) -> None:
    one, two = Money(left, code), Money(right, code)
    assert Fraction((one + two).amount) == Fraction(left) + Fraction(right)
    assert one + two - two == one
    assert one - two == -(two - one)
    assert (one < two) == (left < right)
    assert (one >= two) == (left >= right)
    assert hash(one) == hash(Money(left.normalize(), code))


@given(st.lists(AMOUNTS, max_size=30), CODES)
def test_a_total_does_not_depend_on_the_order(amounts: list[Decimal], code: str) -> None:
    parts = [Money(amount, code) for amount in amounts]
    assert total(parts, code) == total(parts[::-1], code)
    assert Fraction(total(parts, code).amount) == sum(map(Fraction, amounts))


@given(st.integers(min_value=-(10**20), max_value=10**20), CODES)
def test_minor_units_go_there_and_back(count: int, code: str) -> None:
    money = Money.from_minor(count, code)
    assert money.minor() == count
    assert money.rounded() == money
    assert Money.of(money.text(), code) == money
    assert len(money.text().partition(".")[2]) == currency(code).minor_units


@given(AMOUNTS, CODES)
def test_rounding_moves_by_at_most_half_a_minor_unit(amount: Decimal, code: str) -> None:
    rounded = Fraction(round_money(amount, code))
    unit = Fraction(1, 10 ** currency(code).minor_units)
    assert abs(rounded - Fraction(amount)) <= unit / 2
    assert (rounded / unit).denominator == 1


def test_two_currencies_never_meet() -> None:
    euro, dollar = Money.of("1.00", "EUR"), Money.of("1.00", "USD")
    assert euro != dollar
    for meet in (
        lambda: euro + dollar,
        lambda: euro - dollar,
        lambda: euro < dollar,
        lambda: euro <= dollar,
        lambda: euro > dollar,
        lambda: euro >= dollar,
    ):
        with pytest.raises(CurrencyMismatch, match="convert one of them first"):
            meet()
    with pytest.raises(CurrencyMismatch):
        total([euro, dollar], "EUR")
    with pytest.raises(BadAmount, match="only with money"):
        euro + Decimal(1)


@pytest.mark.parametrize("amount", [1.5, 1, "1", True, Decimal("NaN"), Decimal("1E+40")])
def test_only_an_exact_decimal_is_an_amount(amount: object) -> None:
    with pytest.raises(BadAmount):
        Money(amount, "EUR")


def test_a_sum_too_long_to_carry_is_refused_not_rounded() -> None:
    largest = Money(Decimal("9" * 38), "EUR")
    with pytest.raises(BadAmount, match="38 digits"):
        largest + Money.of("1", "EUR")


def test_the_text_and_json_forms() -> None:
    assert str(Money.of("5", "JPY")) == "5 JPY"
    assert str(Money.from_minor(1250, "KWD")) == "1.250 KWD"
    assert Money.of("9.8125", "EUR").json() == {"amount": "9.8125", "currency": "EUR"}
    assert canonical_amount(Decimal("7")) == "7.00"
    assert canonical_amount(Decimal("7"), "JPY") == "7"


def test_times_is_exact_and_minor_refuses_what_cannot_be_paid() -> None:
    price = Money.of("9.8125", "EUR").times(Decimal("3"))
    assert price.amount == Decimal("29.4375")
    with pytest.raises(BadAmount, match="may not be rounded"):
        price.minor()
    assert price.rounded().minor() == 2944
    assert Money.of("29.4400", "EUR").rounded(REFUSE).text() == "29.44"
    with pytest.raises(BadAmount, match="float"):
        price.times(1.5)


def test_an_unknown_currency_is_refused_at_birth() -> None:
    with pytest.raises(UnknownCurrency):
        Money(Decimal(1), "EURO")
