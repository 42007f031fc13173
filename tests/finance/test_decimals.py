import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.decimals import (
    DOWN,
    HALF_AWAY,
    HALF_EVEN,
    REFUSE,
    BadAmount,
    canonical_decimal,
    half_away_units,
    parse_amount,
    round_decimal,
)

NUMBERS = st.decimals(
    min_value=-(10**20), max_value=10**20, places=8, allow_nan=False, allow_infinity=False
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.80000019", "9.80"),
        (".0000", "0.00"),
        ("-.00", "0.00"),
        ("2.675", "2.68"),
        ("-2.675", "-2.68"),
        (" +5 ", "5.00"),
        ("5.", "5.00"),
        ("0000012.5", "12.50"),
        (7, "7.00"),
        (Decimal("1E+2"), "100.00"),
    ],
)
def test_dirty_input_is_read_and_rounded_half_away(text: object, expected: str) -> None:
    assert str(parse_amount(text, places=2)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,234.56", "no group separator"),
        ("1 234", "no group separator"),
        ("(12.50)", "accounting negative"),
        ("12.50-", "accounting negative"),
        ("1E+05", "exponent"),
        ("NaN", "not a number"),
        ("-Infinity", "not a number"),
        (Decimal("NaN"), "not a number"),
        (Decimal("Infinity"), "not a number"),
        ("", "empty"),
        ("   ", "empty"),
        (".", "not a decimal"),
        ("EUR 5", "not a decimal"),
        ("٣", "not a decimal"),
        ("1_000", "not a decimal"),
        ("9" * 39, "38 digits"),
        ("0." + "1" * 39, "38 digits"),
        (Decimal("1E+38"), "38 digits"),
        (Decimal("1E-39"), "38 digits"),
        (10**38, "38 digits"),
        ("1" * 201, "longer than 200"),
        (9.8, "float"),
        (True, "true or false"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(text: object, words: str) -> None:
    with pytest.raises(BadAmount, match=words):
        parse_amount(text)


def test_separators_and_negatives_are_read_only_where_stated() -> None:
    assert parse_amount("1,234,567.50", group_separator=",") == Decimal("1234567.50")
    german = parse_amount(
        "1.234,5-", group_separator=".", decimal_separator=",", accounting_negatives=True
    )
    assert german == Decimal("-1234.5")
    assert parse_amount("(12.50)", accounting_negatives=True) == Decimal("-12.50")
    assert parse_amount("1.5E+3", exponents=True) == Decimal(1500)
    for text in ("1,23.50", "12,34", "1234,567", ",123"):
        with pytest.raises(BadAmount):
            parse_amount(text, group_separator=",")
    for text in ("(-5)", "-5-", "(5", "5)", "()", "-", "((5))"):
        with pytest.raises(BadAmount):
            parse_amount(text, accounting_negatives=True)
    with pytest.raises(BadAmount, match="told apart"):
        parse_amount("1.000", group_separator=".")
    with pytest.raises(BadAmount, match="38 digits"):
        parse_amount("1E+999", exponents=True)


@pytest.mark.parametrize(
    ("rounding", "expected"), [(HALF_AWAY, "0.13"), (HALF_EVEN, "0.12"), (DOWN, "0.12")]
)
def test_the_rounding_is_the_one_stated(rounding: str, expected: str) -> None:
    assert str(round_decimal(Decimal("0.125"), 2, rounding)) == expected


def test_refuse_loses_no_digit_and_an_unknown_rounding_is_named() -> None:
    assert round_decimal(Decimal("1.2300"), 2, REFUSE) == Decimal("1.23")
    with pytest.raises(BadAmount, match="may not be rounded"):
        round_decimal(Decimal("1.231"), 2, REFUSE)
    with pytest.raises(BadAmount, match="unknown rounding"):
        round_decimal(Decimal(1), 2, "sideways")
    with pytest.raises(BadAmount, match="38 digits"):
        round_decimal(Decimal("9" * 38), 2)


@given(NUMBERS, st.integers(min_value=0, max_value=6))
def test_rounding_agrees_with_the_fraction_oracle(value: Decimal, places: int) -> None:
    rounded = round_decimal(value, places)
    assert Fraction(rounded) * 10**places == half_away_units(Fraction(value), places)
    assert abs(Fraction(rounded) - Fraction(value)) <= Fraction(1, 2 * 10**places)
    assert round_decimal(-value, places) == -rounded


@given(NUMBERS, st.integers(min_value=0, max_value=6))
def test_canonical_text_reads_back_and_is_the_same_for_equal_numbers(
    value: Decimal, least_places: int
) -> None:
    text = canonical_decimal(value, least_places)
    assert parse_amount(text) == value
    assert canonical_decimal(parse_amount(text), least_places) == text
    assert canonical_decimal(value.normalize(), least_places) == text
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text)
    assert len(text.partition(".")[2]) >= least_places


@pytest.mark.parametrize(
    ("value", "least_places", "expected"),
    [
        ("1E+3", 2, "1000.00"),
        ("-0.000", 2, "0.00"),
        ("9.800", 0, "9.8"),
        ("9.8125", 2, "9.8125"),
        ("1E-5", 0, "0.00001"),
        ("100", 0, "100"),
        ("-0.10", 0, "-0.1"),
    ],
)
def test_canonical_text_by_example(value: str, least_places: int, expected: str) -> None:
    assert canonical_decimal(Decimal(value), least_places) == expected


@given(st.one_of(st.text(max_size=30), st.text("0123456789.,+-() eE", max_size=12)))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    """The oracle: an optional sign, ASCII digits, at most one point, at least one digit."""
    plain = text.strip()
    if re.fullmatch(r"[+-]?(?=.*[0-9])[0-9]*\.?[0-9]*", plain):
        assert Fraction(parse_amount(text)) == Fraction(Decimal(plain))
    else:
        with pytest.raises(BadAmount):
            parse_amount(text)
