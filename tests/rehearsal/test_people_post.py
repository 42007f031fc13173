"""The post brings everything in the end: late, twice, in another order, or at the second try."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from tieout.ports.connector import InboundCall
from tieout.rehearsal.post import BENDING, Letter, Post
from tieout.rehearsal.twins.base import Twin

STARTS_AT = dt.datetime(2028, 2, 28, 22, 0, tzinfo=dt.UTC)


class Sender:
    """A twin that does nothing but call."""

    def __init__(self) -> None:
        self.sent: list[InboundCall] = []
        self._due: list[InboundCall] = []

    def send(self, count: int) -> None:
        for _ in range(count):
            call = InboundCall("payment", {}, str(len(self.sent)).encode())
            self.sent.append(call)
            self._due.append(call)

    def calls(self) -> Sequence[InboundCall]:
        due, self._due = self._due, []
        return due


class Street:
    """A post between a sender and us, and a clock that is turned."""

    def __init__(self, rates: Mapping[str, float], seed: int = 1) -> None:
        self.at = STARTS_AT
        self.sender = Sender()
        twins = {"till": cast(Twin, self.sender)}
        self.post = Post(twins, random.Random(seed), rates, now=lambda: self.at)
        self.came: list[int] = []

    def deliver(self, *, all_of_them: bool = False) -> list[Letter]:
        letters = self.post.due(all_of_them=all_of_them)
        for system, call in letters:
            self.post.acknowledged(system, call)
            self.came.append(int(call.body))
        return letters

    def a_day(self, letters: int = 60) -> None:
        for _ in range(letters):
            self.sender.send(1)
            self.deliver()
            self.at += dt.timedelta(seconds=2)


def test_a_good_post_brings_everything_once_in_order_and_at_once() -> None:
    street = Street({})
    street.a_day()
    assert street.came == list(range(60))
    assert street.post.waiting == 0
    assert street.post.struck == Counter()


@pytest.mark.parametrize("seed", range(5))
def test_everything_arrives_in_the_end(seed: int) -> None:
    street = Street(dict.fromkeys(BENDING, 0.5), seed)
    street.a_day()
    assert set(street.came) != set(range(60))
    street.deliver(all_of_them=True)
    assert set(street.came) == set(range(60))
    assert street.post.waiting == 0
    assert all(street.post.struck[name] > 10 for name in BENDING)


def test_it_also_arrives_when_only_time_goes_by() -> None:
    street = Street(dict.fromkeys(BENDING, 0.5))
    street.a_day()
    street.at += dt.timedelta(hours=1)
    street.deliver()
    assert set(street.came) == set(range(60))
    assert street.post.waiting == 0


@pytest.mark.parametrize(
    ("fault", "twice", "in_order"),
    [
        ("duplicate", True, False),
        ("delay", False, False),
        ("reorder", False, False),
        ("lost_event", False, False),
    ],
)
def test_what_each_fault_does(fault: str, twice: bool, in_order: bool) -> None:
    street = Street({fault: 0.5})
    street.a_day()
    street.at += dt.timedelta(hours=1)
    street.deliver()
    assert (len(street.came) > 60) is twice
    assert (street.came == sorted(street.came)) is in_order
    assert set(street.post.struck) == {fault}
    assert len(street.came) == 60 + street.post.struck["duplicate"]


def test_one_fault_less_changes_nothing_about_the_others() -> None:
    both = Street({"duplicate": 0.3, "delay": 0.3})
    one = Street({"delay": 0.3})
    both.a_day()
    one.a_day()
    assert both.post.struck["delay"] == one.post.struck["delay"] > 0


def test_what_is_not_acknowledged_comes_again() -> None:
    street = Street({})
    street.sender.send(1)
    ((system, call),) = street.post.due()
    assert street.post.waiting == 1  # its sender has not heard from us
    street.post.again(system, call)
    assert street.deliver() == []
    assert street.post.waiting == 1
    street.at += dt.timedelta(minutes=5)
    assert street.deliver() == [(system, call)]
    assert street.post.waiting == 0


def test_when_the_faults_are_over_nothing_is_bent_any_more() -> None:
    street = Street(dict.fromkeys(BENDING, 1.0))
    street.sender.send(20)
    street.deliver(all_of_them=True)
    assert street.came == list(range(20))
    assert street.post.struck == Counter()
