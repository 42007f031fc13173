"""Exact decimal numbers: reading dirty text, rounding, and the one way to write them down.

Every amount in the product passes through here on its way in and out, so the rules are few and
stated: nothing binary, nothing silently rounded, nothing longer than 38 digits (the widest exact
number that DuckDB, PostgreSQL and the vendors' APIs all carry).
"""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

MOST_DIGITS: Final = 38
MOST_TEXT: Final = 200  # characters; a longer "number" is not one

# Rounding modes under names a controller uses. HALF_AWAY is the house rule: a half goes away
# from zero, so that a credit note mirrors its invoice to the cent.
HALF_AWAY: Final = decimal.ROUND_HALF_UP
HALF_EVEN: Final = decimal.ROUND_HALF_EVEN
DOWN: Final = decimal.ROUND_DOWN
REFUSE: Final = "REFUSE"  # losing a digit is an error

_ROUNDINGS: Final = (HALF_AWAY, HALF_EVEN, DOWN, REFUSE)
_EXACT: Final = (decimal.Inexact, decimal.InvalidOperation, decimal.Overflow, decimal.Underflow)
_NOT_PLAIN: Final = re.compile("[^-.0-9]").search
_GROUPED = r"\d{1,3}(?:%s\d{3})+"


class BadAmount(ValueError):
    """Text or a value that is no exact amount; the message says what was found and why it fails."""


def exact_context() -> decimal.Context:
    """A context in which a sum or product of two amounts is exact, or raises `Inexact`."""
    return decimal.Context(prec=4 * MOST_DIGITS, rounding=HALF_AWAY, traps=list(_EXACT))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_decimal(value: object, what: str = "an amount") -> Decimal:
    """`value` if it is a finite `Decimal` of at most 38 digits before and after the point together.

    Raises BadAmount otherwise; a float is named as such because it is the common mistake.
    """
    if isinstance(value, float):
        raise BadAmount(
            f"{_shown(value)} is a float: a binary number cannot hold cents exactly. "
            f"Give {what} as a Decimal or as text"
        )
    if not isinstance(value, Decimal):
        raise BadAmount(f"{_shown(value)} is {type(value).__name__}, not a Decimal")
    if not value.is_finite():
        raise BadAmount(f"{value} is not a number that money can be")
    if _digit_count(value) > MOST_DIGITS:
        raise BadAmount(
            f"{_shown(str(value))} needs more than {MOST_DIGITS} digits: "
            "no system on the way can carry it exactly"
        )
    return value


def _digit_count(value: Decimal) -> int:
    """Digits the plain notation needs, leading zeros of a fraction included."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if not any(digits):
        return max(1, -exponent)
    if exponent >= 0:
        return len(digits) + exponent
    return max(len(digits), -exponent)


def round_decimal(value: Decimal, places: int, rounding: str = HALF_AWAY) -> Decimal:
    """`value` with exactly `places` decimal places.

    Raises BadAmount when `rounding` is REFUSE and a digit other than zero would be lost, and when
    the result needs more than 38 digits.
    """
    if rounding not in _ROUNDINGS:
        raise BadAmount(f"unknown rounding {rounding!r}: use one of {', '.join(_ROUNDINGS)}")
    checked = check_decimal(value)
    mode = DOWN if rounding == REFUSE else rounding
    context = decimal.Context(prec=4 * MOST_DIGITS)
    rounded = checked.quantize(Decimal((0, (1,), -places)), rounding=mode, context=context)
    if rounding == REFUSE and rounded != checked:
        raise BadAmount(f"{checked} has more than {places} decimal places and may not be rounded")
    return check_decimal(rounded if rounded else abs(rounded))


def half_away_units(exact: Fraction, places: int) -> int:
    """`exact` as a count of units of `places` decimal places, a half going away from zero."""
    scaled = abs(exact) * Fraction(10) ** places
    units: int = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return -units if exact < 0 else units


def canonical_decimal(value: Decimal, least_places: int = 0) -> str:
    """The one text of a number: equal numbers give equal text, whatever their trailing zeros.

    The rule: plain notation (never an exponent), a dot, a digit before it, trailing zeros removed
    down to `least_places` decimal places and added up to it, no plus sign, no negative zero.
    Amounts are written with `least_places` 2 or the currency's own minor units
    (`Money.text`), quantities and rates with 0. Raises BadAmount for what is no finite number of
    at most 38 digits.
    """
    text = str(value)
    if type(value) is not Decimal or len(text) > MOST_DIGITS or _NOT_PLAIN(text):
        text = format(check_decimal(value), "f")  # every amount that is usual is plain already
    whole, _, fraction = text.removeprefix("-").partition(".")
    fraction = fraction.rstrip("0").ljust(least_places, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def parse_amount(
    source: object,
    *,
    places: int | None = None,
    rounding: str = HALF_AWAY,
    group_separator: str = "",
    decimal_separator: str = ".",
    accounting_negatives: bool = False,
    exponents: bool = False,
) -> Decimal:
    """An exact decimal from what a system or a file calls an amount (text, int or Decimal).

    `places` rounds to that many decimal places by `rounding` (HALF_AWAY by default; REFUSE makes
    a lost digit an error); None keeps every digit. The rules for text:

    - blanks around it are ignored; `.5`, `5.`, `+5` and `-5` are read;
    - group separators are refused unless `group_separator` states them, and then they must stand
      every three digits: `1,234.56` read with the wrong separator would be a thousandfold error;
    - `accounting_negatives` lets `(12.50)` and `12.50-` mean minus 12.50;
    - `exponents` lets `1.5E+3` be read; without it an exponent is taken for a spreadsheet's damage;
    - NaN, Infinity, currency signs, digits of other scripts and more than 38 digits are refused.

    Raises BadAmount, whose text says what was found and why it is no amount.
    """
    if isinstance(source, bool):
        raise BadAmount(f"{source} is true or false, not an amount")
    if isinstance(source, int):
        if abs(source) >= 10**MOST_DIGITS:
            raise BadAmount(f"a whole number of more than {MOST_DIGITS} digits is no amount")
        value = Decimal(source)
    elif isinstance(source, str):
        text = _plain(source, group_separator, decimal_separator, accounting_negatives, exponents)
        value = Decimal(text)
    else:
        value = check_decimal(source)
    value = check_decimal(value)
    if places is not None:
        return round_decimal(value, places, rounding)
    return value if value else abs(value)


def _plain(source: str, group: str, point: str, accounting_negatives: bool, exponents: bool) -> str:
    """Text that `Decimal` reads the way the caller meant, or BadAmount."""
    if point not in (".", ",") or group == point or len(group) > 1:
        raise BadAmount(f"separators {group!r} and {point!r} cannot be told apart")
    text = source.strip()
    if not text:
        raise BadAmount("the text is empty: an absent amount is not zero")
    if len(text) > MOST_TEXT:
        raise BadAmount(f"{_shown(text)} is longer than {MOST_TEXT} characters")
    negative = False
    if accounting_negatives:
        bracketed = text.startswith("(") and text.endswith(")")
        negative = bracketed or (text.endswith("-") and text[0] not in "+-(")
        text = text[1:-1].strip() if bracketed else text.removesuffix("-") if negative else text
        if negative and text[:1] in ("+", "-"):
            raise BadAmount(f"{_shown(source)} has two signs")
    whole = rf"(?:\d+|{_GROUPED % re.escape(group)})" if group else r"\d+"
    number = rf"[+-]?(?:{whole}(?:{re.escape(point)}\d*)?|{re.escape(point)}\d+)"
    exponent = r"(?:[eE][+-]?\d{1,3})?" if exponents else ""
    if re.fullmatch(number + exponent, text, re.ASCII) is None:
        raise BadAmount(f"{_shown(source)} {_why(text, group, point)}")
    if group:
        text = text.replace(group, "")
    return ("-" if negative else "") + text.replace(point, ".")


def _why(text: str, group: str, point: str) -> str:
    """What a person should know about text that is no amount."""
    if text.lower().lstrip("+-") in ("nan", "snan", "inf", "infinity"):
        return "is not a number that money can be"
    if re.fullmatch(r"[+-]?[\d.,]+[eE][+-]?\d+", text, re.ASCII):
        return (
            "has an exponent: a spreadsheet may have damaged it; allow exponents if they are meant"
        )
    if re.fullmatch(r"\(.*\)|[\d.,]+-", text, re.ASCII):
        return "is an accounting negative: allow accounting negatives if they are meant"
    if re.fullmatch(r"[+-]?[\d.,' \u00a0\u202f]+", text, re.ASCII) and re.search(r"\d", text):
        stated = f"{group!r} every three digits" if group else "no group separator"
        return f"does not fit the stated form ({stated}, {point!r} before the decimals)"
    return "is not a decimal number"
