from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tieout.finance.allocation import (
    CannotAllocate,
    allocate,
    allocate_decimal,
    allocate_evenly,
    allocate_units,
    smallest_part,
)
from tieout.finance.currency import CURRENT_CODES
from tieout.finance.money import BadAmount, Money, total

WEIGHTS = st.lists(
    st.one_of(
        st.integers(min_value=0, max_value=10**9),
        st.decimals(min_value=0, max_value=10**9, places=6),
    ),
    min_size=1,
    max_size=25,
)
UNITS = st.integers(min_value=-(10**18), max_value=10**18)


@given(UNITS, WEIGHTS, st.sampled_from(CURRENT_CODES))
def test_the_parts_sum_to_the_whole(units: int, weights: list[int | Decimal], code: str) -> None:
    assume(any(weights))
    whole = Money.from_minor(units, code)
    assert total(allocate(whole, weights), code) == whole


@given(UNITS, WEIGHTS)
def test_each_part_is_within_one_unit_of_its_share(
    units: int, weights: list[int | Decimal]
) -> None:
    assume(any(weights))
    sum_of_weights = sum(map(Fraction, weights))
    for part, weight in zip(allocate_units(units, weights), weights, strict=True):
        assert abs(part - units * Fraction(weight) / sum_of_weights) < 1
        assert weight != 0 or part == 0


@given(UNITS, WEIGHTS)
def test_a_credit_note_mirrors_its_invoice(units: int, weights: list[int | Decimal]) -> None:
    assume(any(weights))
    assert allocate_units(-units, weights) == [-part for part in allocate_units(units, weights)]


@given(UNITS, st.data())
def test_the_order_of_unequal_lines_does_not_matter(units: int, data: st.DataObject) -> None:
    """Without ties a line gets the same part wherever it stands; ties go to the lowest line."""
    weights = data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True))
    assume(any(weights))
    whole = sum(weights)
    remainders = [abs(units) * weight % whole for weight in weights]
    assume(len(set(remainders)) == len(remainders))
    order = data.draw(st.permutations(range(len(weights))))
    straight = allocate_units(units, weights)
    shuffled = allocate_units(units, [weights[at] for at in order])
    assert shuffled == [straight[at] for at in order]


@given(UNITS, st.lists(st.integers(0, 100), min_size=1, max_size=12), st.integers(1, 1000))
def test_only_the_proportion_of_weights_matters(
    units: int, weights: list[int], factor: int
) -> None:
    assume(any(weights))
    assert allocate_units(units, weights) == allocate_units(units, [w * factor for w in weights])


@given(UNITS, st.lists(st.integers(0, 5), min_size=2, max_size=12), st.data())
def test_permuted_lines_get_permuted_parts_up_to_ties(
    units: int, weights: list[int], data: st.DataObject
) -> None:
    assume(any(weights))
    order = data.draw(st.permutations(weights))
    straight = sorted(zip(weights, allocate_units(units, weights), strict=True))
    shuffled = sorted(zip(order, allocate_units(units, order), strict=True))
    same_remainders = len({abs(units) * weight % sum(weights) for weight in set(weights)})
    assume(same_remainders == len(set(weights)))
    assert straight == shuffled


def test_ties_go_to_the_lowest_line_and_zero_weight_gets_zero() -> None:
    assert [part.text() for part in allocate(Money.of("100.00", "EUR"), [1, 0, 1, 1])] == [
        "33.34",
        "0.00",
        "33.33",
        "33.33",
    ]
    assert allocate_units(2, [1, 1, 1]) == [1, 1, 0]
    assert allocate_units(-2, [1, 1, 1]) == [-1, -1, 0]
    assert allocate_units(10, [Decimal("0.1"), Decimal("0.7"), Decimal("0.2")]) == [1, 7, 2]
    assert [part.amount for part in allocate_evenly(Money.of("5", "JPY"), 3)] == [2, 2, 1]
    assert allocate_decimal(Decimal("1.000"), [1, 2], 3) == [Decimal("0.333"), Decimal("0.667")]
    assert smallest_part("KWD") == Money.of("0.001", "KWD")


@pytest.mark.parametrize(
    ("units", "weights", "words"),
    [
        (1, [], "no line"),
        (1, [0, 0], "every weight is zero"),
        (1, [1, -1], "line 2 is negative"),
        (1, [1.5], "line 1 is 1.5"),
        (1, [True], "line 1 is True"),
        (1, [Decimal("NaN")], "line 1"),
    ],
)
def test_what_cannot_be_split_is_refused(units: int, weights: list[int], words: str) -> None:
    with pytest.raises(CannotAllocate, match=words):
        allocate_units(units, weights)


def test_an_amount_finer_than_its_minor_units_is_rounded_first_by_somebody_else() -> None:
    with pytest.raises(BadAmount, match="may not be rounded"):
        allocate(Money.of("1.005", "EUR"), [1])
    with pytest.raises(BadAmount, match="round it first"):
        allocate_decimal(Decimal("0.1234"), [1], 3)
    assert allocate_units(0, [0, 0]) == [0, 0]
