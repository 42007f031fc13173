"""Two sides compared: every difference is a break, and order never matters."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tieout.rules.matching import ZERO, Comparison, Side, Stake, compare

Row = tuple[str, str, Decimal]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["EUR", "USD"]),
        st.sampled_from("abcde"),
        st.decimals(-1000, 1000, places=2),
    ),
    max_size=12,
)


def side(name: str, rows: list[Row]) -> Side:
    made = Side(name)
    for group, key, amount in rows:
        made.add((group,), key, amount)
    return made


def compared(left: list[Row], right: list[Row], **stakes: Stake) -> Comparison:
    return compare(side("left", left), side("right", right), Decimal("0.00"), stakes)


def row(key: str, amount: str) -> Row:
    return ("EUR", key, Decimal(amount))


def test_each_kind_of_break_is_named() -> None:
    found = compared(
        [row("a", "1"), row("b", "2"), row("d", "5")], [row("b", "3"), row("c", "4"), row("d", "5")]
    )
    assert [(one.key, one.kind, one.difference) for one in found.breaks] == [
        ("a", "missing_right", Decimal(1)),
        ("b", "amount", Decimal(-1)),
        ("c", "missing_left", Decimal(-4)),
    ]
    assert not found.agrees


def test_a_key_that_is_there_twice_is_a_break() -> None:
    found = compared([row("a", "10")], [row("a", "10"), row("a", "10")])
    assert [(one.kind, one.difference) for one in found.breaks] == [("amount", Decimal(-10))]


def test_a_case_explains_only_the_money_it_is_about() -> None:
    left, right = [row("a", "10"), row("b", "7")], [row("b", "7")]
    assert compared(left, right, a=Stake(1, Decimal(10))).explained
    assert not compared(left, right, a=Stake(1, Decimal(9))).explained
    assert not compared(left, right, b=Stake(1, Decimal(10))).explained
    assert not compared([*left, row("c", "1")], right, a=Stake(1, Decimal(10))).explained


@given(ROWS, ROWS, st.integers())
def test_the_result_does_not_depend_on_the_order_of_rows(
    left: list[Row], right: list[Row], seed: int
) -> None:
    shuffled_left, shuffled_right = list(left), list(right)
    Random(seed).shuffle(shuffled_left)
    Random(seed + 1).shuffle(shuffled_right)
    assert compared(left, right) == compared(shuffled_left, shuffled_right)


@given(ROWS, ROWS)
def test_the_breaks_add_up_to_the_difference(left: list[Row], right: list[Row]) -> None:
    found = compared(left, right)
    total = sum((one[2] for one in left), ZERO) - sum((one[2] for one in right), ZERO)
    assert found.difference == total
    assert sum((one.difference for one in found.breaks), ZERO) + found.within == total
    assert found.agrees == (side("l", left).amounts == side("l", right).amounts)
