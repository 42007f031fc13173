"""P4: not a cent is lost in allocation, conversion or rounding.

Each rule is held against an oracle of whole fractions: the functions of `finance/`, and what an
expression of a mapping makes of the same amounts in SQL. What counts is cents: how many minor units
the results differ from what they must be, over all examples.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.promises.figures import Keeper
from tests.rules.shapes import leaf, outbound
from tieout.engine.lookups import Lookups
from tieout.finance.allocation import allocate
from tieout.finance.conversion import EcbRates, convert
from tieout.finance.currency import CURRENT_CODES, currency
from tieout.finance.money import Money, round_money, total
from tieout.rules.compile import compile_mapping
from tieout.rules.mapping import Row
from tieout.rules.runner import Runner
from tieout.rules.spec import FieldType
from tieout.store.database import Connection

FEW, MANY = 150, 20_000
COUNTS = [FEW, pytest.param(MANY, marks=pytest.mark.promises)]
DRAWN_WITH = 20_000
ROWS_TOGETHER = 1_000

RATES = EcbRates.bundled()
FIRST_DAY, LAST_DAY = dt.date(2020, 7, 1), dt.date(2022, 5, 31)
QUOTED = ("EUR", "USD", "GBP", "SEK", "CHF", "NOK", "DKK", "PLN", "JPY", "BRL")

CODES = st.sampled_from(CURRENT_CODES)
UNITS = st.integers(min_value=-(10**15), max_value=10**15)
WEIGHTS = st.lists(
    st.one_of(st.integers(0, 10**9), st.decimals(min_value=0, max_value=10**6, places=6)),
    min_size=1,
    max_size=25,
)
FINE = st.decimals(min_value=-(10**12), max_value=10**12, places=6)
DAYS = st.dates(FIRST_DAY, LAST_DAY)


def places_of(code: str) -> int:
    return currency(code).minor_units


def half_away(exact: Fraction, places: int) -> int:
    """The oracle: minor units, by integers alone; a half goes away from zero."""
    scaled = abs(exact) * 10**places
    units, rest = divmod(scaled.numerator, scaled.denominator)
    units += 2 * rest >= scaled.denominator
    return units if exact >= 0 else -units


def cents(amount: Decimal, places: int) -> Fraction:
    return Fraction(amount) * 10**places


def quoted(code: str, day: dt.date) -> Fraction:
    return Fraction(1) if code == "EUR" else Fraction(RATES.rate(code, day).value)


def allocated(units: int, weights: list[int | Decimal], code: str) -> Fraction:
    """Cents that the parts of an allocation differ from the whole, and beyond one unit each."""
    assume(any(weights))
    parts = allocate(Money.from_minor(units, code), weights)
    whole = sum(map(Fraction, weights))
    lost = abs(cents(total(parts, code).amount, places_of(code)) - units)
    for part, weight in zip(parts, weights, strict=True):
        off = abs(part.minor() - units * Fraction(weight) / whole)
        lost += off if off >= 1 or (not weight and part) else 0
    return lost


def rounded(amount: Decimal, code: str) -> Fraction:
    places = places_of(code)
    return abs(cents(round_money(amount, code), places) - half_away(Fraction(amount), places))


def converted(units: int, source: str, target: str, day: dt.date) -> Fraction:
    money = Money.from_minor(units, source)
    exact = Fraction(money.amount) * quoted(target, day) / quoted(source, day)
    found = convert(money, target, day, RATES).money.amount
    return abs(cents(found, places_of(target)) - half_away(exact, places_of(target)))


QUOTES = st.sampled_from(QUOTED)
RULES: dict[str, tuple[Callable[..., Fraction], tuple[st.SearchStrategy[object], ...]]] = {
    "allocations": (allocated, (UNITS, WEIGHTS, CODES)),
    "roundings": (rounded, (FINE, CODES)),
    "conversions": (converted, (UNITS, QUOTES, QUOTES, DAYS)),
}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.timeout(900)
def test_no_cent_is_lost(rule: str, count: int, promise: Keeper) -> None:
    lost, strategies = RULES[rule]
    tried = 0

    @settings(max_examples=count, deadline=None, database=None)
    @given(st.tuples(*strategies))
    def hold(drawn: tuple[object, ...]) -> None:
        nonlocal tried
        missing = lost(*drawn)
        tried += 1
        assert missing == 0, f"{missing} cents in {drawn}"

    told = "0"
    try:
        hold()
    except AssertionError as found:
        told = str(found).splitlines()[0]
    promise("P4", f"{tried:,} {rule}: cents lost", told, "0", kept=told == "0" and tried >= count)


def drawn_rows(count: int) -> list[dict[str, str]]:
    """Amounts with a price list's decimals, currencies and days."""
    dice = random.Random(DRAWN_WITH)
    days = (LAST_DAY - FIRST_DAY).days
    return [
        {
            "amount": str(Decimal(dice.randrange(-(10**16), 10**16)).scaleb(-6)),
            "parts": str(dice.randrange(1, 10_000)),
            "source": dice.choice(QUOTED),
            "target": dice.choice(QUOTED),
            "day": str(FIRST_DAY + dt.timedelta(days=dice.randrange(days))),
        }
        for _ in range(count)
    ]


def expected(row: dict[str, str]) -> dict[str, int]:
    """What an expression must make of a row, in minor units."""
    amount, source, target = Fraction(row["amount"]), row["source"], row["target"]
    day, places = dt.date.fromisoformat(row["day"]), places_of(source)
    paid = Fraction(half_away(amount, places), 10**places)
    other = paid * quoted(target, day) / quoted(source, day)
    return {
        "rounded": half_away(amount, places) * 10 ** (2 - places),
        "share": half_away(amount / int(row["parts"]), 2),
        "other": half_away(other, places_of(target)) * 10 ** (2 - places_of(target)),
    }


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.timeout(900)
def test_no_cent_is_lost_in_an_expression(count: int, promise: Keeper) -> None:
    """What mappings do: DuckDB's exact decimals, held against the same oracle."""
    own = "round_to(amount, minor_units(source))"
    fields = {
        "rounded": leaf(own),
        "share": leaf("divide(amount, parts, 2)"),
        "other": leaf(f"round_to(convert({own}, source, target, day), minor_units(target))"),
    }
    kinds = {"amount": "amount", "parts": "integer", "source": "text", "target": "text"}
    types = [FieldType(name, kind) for name, kind in {**kinds, "day": "date"}.items()]
    mapping = compile_mapping(outbound(fields), types, None, system="")
    rows, lost, first = drawn_rows(count), Fraction(0), ""
    with Runner() as runner:
        for start in range(0, count, ROWS_TOGETHER):
            some = rows[start : start + ROWS_TOGETHER]
            lookups = Lookups(cast(Connection, None), {}, RATES)  # nothing is asked of the store
            result = mapping.run(
                runner,
                [Row(n, f"k{n}", json.dumps(one), f"s{n}") for n, one in enumerate(some)],
                lookups,
            )
            assert result.errors == []
            assert len(result.mapped) == len(some)
            for one in result.mapped:
                body, must = json.loads(one.body), expected(some[one.row_id])
                off = sum(abs(cents(Decimal(body[name]), 2) - must[name]) for name in must)
                first = first or (f" (first: {some[one.row_id]}: {body}, {must})" if off else "")
                lost += off
    what = f"{count:,} amounts rounded, divided and converted in SQL: cents lost"
    promise("P4", what, f"{lost}{first}", "0", kept=lost == 0)


def test_a_share_that_is_rounded_by_itself_is_noticed(
    monkeypatch: pytest.MonkeyPatch, promise: Keeper
) -> None:
    """The test's own proof: each part rounded alone does not sum to the whole."""

    def alone(whole: Money, weights: list[int | Decimal]) -> list[Money]:
        every = sum(map(Fraction, weights))
        shares = [whole.minor() * Fraction(one) / every for one in weights]
        return [Money.from_minor(half_away(one, 0), whole.currency) for one in shares]

    monkeypatch.setitem(globals(), "allocate", alone)
    with pytest.raises(AssertionError, match="cents in"):
        test_no_cent_is_lost("allocations", FEW, promise)
