"""The people of a rehearsal: what they make is right, and where it is not it says so."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.rehearsal.connector import corner
from tests.rehearsal.test_people_corpus import corpus_of, shipped
from tieout import clock
from tieout.engine.compiled import Compiled
from tieout.landscape.schema import Landscape
from tieout.ports.connector import InboundCall
from tieout.ports.http import Request, Response
from tieout.rehearsal.corpus import Corpus
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.people import BREAKING, People
from tieout.rehearsal.rowmaking import MOST_AMOUNT, number_of, values
from tieout.rehearsal.scene import Deed
from tieout.rehearsal.trying import Trial
from tieout.rehearsal.twins.base import Applied, Effect, Twin, Unplayable
from tieout.rehearsal.twins.casting import twin_of
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.world import SeededWorld
from tieout.rules.lookups import NoLookups
from tieout.rules.runner import Runner

STARTS_AT = dt.datetime(2028, 2, 28, 22, 0, tzinfo=dt.UTC)
OFTEN: Mapping[str, float] = {name: fault.most_rate for name, fault in MENU.items()}
NAMES = ("corner", "quote_to_cash", "record_sync")


def known(name: str) -> tuple[Landscape, Compiled]:
    return corner() if name == "corner" else shipped(name)


@contextlib.contextmanager
def people(
    name: str = "corner",
    seed: int = 1,
    rates: Mapping[str, float] = OFTEN,
    twins: Mapping[str, Twin] | None = None,
    corpus: Corpus | None = None,
) -> Iterator[tuple[People, SeededWorld]]:
    """People in a landscape whose systems are played by understudies, if not by `twins`."""
    landscape, compiled = known(name)
    world = SeededWorld(str(seed), STARTS_AT)
    with clock.world(world):
        played = twins or {
            one: Understudy(one, compiled.connectors[one]) for one in landscape.systems
        }
        yield (
            People(
                corpus or corpus_of(name),
                played,
                random.Random(seed),
                rates,
                now=lambda: world.true_time,
            ),
            world,
        )


def a_day(name: str = "corner", seed: int = 1, rates: Mapping[str, float] = OFTEN) -> People:
    """A day of work, with everything settled at its end."""
    with people(name, seed, rates) as (made, world):
        for _ in range(6):
            assert made.burst(20) >= 20
            made.between_pages()
            world.sleep(3_600)
        made.settle()
        return made


def judged(name: str, deeds: Sequence[Deed]) -> list[tuple[Deed, bool]]:
    """Every row that somebody saved, and whether the landscape's rules find it good."""
    _, compiled = known(name)
    found: list[tuple[Deed, bool]] = []
    with Runner() as runner:
        for (system, stream), mapping in compiled.inbound.items():
            controls = compiled.controls.get(mapping.spec.target)
            trial = Trial(mapping, controls, runner, NoLookups())
            some = [
                (one, one.row)
                for one in deeds
                if (one.system, one.stream) == (system, stream) and one.row is not None
            ]
            verdicts = trial.judge([row for _, row in some])
            found += [
                (one, good is not None) for (one, _), good in zip(some, verdicts, strict=True)
            ]
    return found


def last_words(deeds: Sequence[Deed]) -> dict[tuple[str, str, str], Deed]:
    return {(one.system, one.stream, one.key): one for one in deeds}


# --- what the rows are -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_good_passes_every_rule_and_what_is_broken_fails_one(name: str, seed: int) -> None:
    """Sums hold after any change, codes are known, days are days; and no fault is one in name
    only: the landscape's own mappings and controls say so."""
    found = judged(name, a_day(name, seed).deeds)
    assert len(found) > 100
    assert {one.broken for one, _ in found} == {"", *BREAKING}
    assert [one for one, good in found if good == bool(one.broken)] == []


def test_an_emulated_system_is_worked_in_as_well() -> None:
    """It makes ids of its own, counts for itself, and asks for fields that no mapping reads."""
    landscape, compiled = known("quote_to_cash")
    at = landscape.environments["demo"]["salesforce"]
    deeds: list[Deed] = []
    for seed in range(3):
        twin, _ = twin_of(
            "salesforce",
            landscape.systems["salesforce"],
            compiled.connectors["salesforce"],
            at,
            folder=landscape.folder,
        )
        with people("quote_to_cash", seed, twins={"salesforce": twin}) as (made, world):
            for _ in range(4):
                made.burst(20)
                world.sleep(60)
            made.settle()
            assert made.left_out == []
            deeds += made.deeds
    found = judged("quote_to_cash", deeds)
    assert {one.stream for one, _ in found} == {"Account", "Product2", "Opportunity"}
    assert any(one.broken for one, _ in found)
    assert [one for one, good in found if good == bool(one.broken)] == []


@pytest.mark.parametrize("name", NAMES)
def test_amounts_are_modest_and_exact(name: str) -> None:
    corpus = corpus_of(name)
    amounts = [
        number
        for deed in a_day(name).deeds
        for path in corpus.kinds[deed.system, deed.stream].anatomy.amounts
        for value in values(deed.row, path)
        if (number := number_of(value)) is not None and not deed.broken
    ]
    assert len(set(amounts)) > 30
    assert max(amounts) <= MOST_AMOUNT
    assert not any(isinstance(one, float) for one in amounts)


def test_people_do_all_sorts_of_things() -> None:
    rows: dict[str, list[Mapping[str, object] | None]] = {}
    for seed in range(3):
        for deed in a_day(seed=seed, rates={}).deeds:
            assert deed.broken == ""
            if deed.stream == "invoice":
                rows.setdefault(f"{seed} {deed.key}", []).append(deed.row)
    seen: Counter[str] = Counter()
    for told in rows.values():
        for before, after in pairwise(told):
            assert before is not None  # nobody changes what is deleted
            if after is None:
                seen["deleted"] += 1
                continue
            moved = {one for one in after if after[one] != before.get(one)} - {"version"}
            if not moved:
                seen["saved as it was"] += 1
            seen.update(moved)
            lines = [one["lines"] for one in (before, after)]
            seen["lines"] += len(str(lines[0])) != len(str(lines[1]))
    assert {"total", "date", "status", "lines", "deleted", "saved as it was"} <= set(seen)


def test_rows_refer_to_rows_that_are_there() -> None:
    """In the end; and some children come before their parents."""
    early = 0
    for seed in range(4):
        deeds = a_day(seed=seed).deeds
        first: dict[tuple[str, str, str], int] = {}
        for number, one in enumerate(deeds):
            first.setdefault((one.system, one.stream, one.key), number)
        last = last_words(deeds)
        for number, one in enumerate(deeds):
            if one.stream not in ("invoice", "payment") or one.row is None or one.broken:
                continue
            parent = (
                ("shop", "customer", str(one.row["customer"]))
                if one.stream == "invoice"
                else ("till", "member", str(one.row["card"]))
            )
            early += first[parent] > number
            if last[one.system, one.stream, one.key].row is not None:
                assert last[parent].row is not None
    assert early > 0


def test_parents_have_the_codes_of_their_children() -> None:
    """A sale of the northern branch is to a customer of the northern branch, in its currency."""
    deeds = a_day(rates={}).deeds
    customers = {one.key: one.row for one in deeds if one.stream == "customer" and one.row}
    invoices = [one.row for one in deeds if one.stream == "invoice" and one.row]
    assert len({(one["branch"], one["currency"]) for one in invoices}) > 3
    for one in invoices:
        customer = customers[str(one["customer"])]
        assert (one["branch"], one["currency"]) == (customer["branch"], customer["currency"])


# --- what is broken ------------------------------------------------------------------------------


def test_in_the_end_a_row_is_good_or_left_for_a_person() -> None:
    left = mended = 0
    for seed in range(6):
        deeds = a_day(seed=seed).deeds
        broken = {(one.system, one.stream, one.key) for one in deeds if one.broken}
        last = last_words(deeds)
        left += sum(bool(last[one].broken) for one in broken)
        mended += sum(not last[one].broken for one in broken)
    assert left > 0
    assert mended > left


def test_settling_twice_changes_nothing() -> None:
    with people(seed=3) as (made, _):
        made.burst(100)
        made.settle()
        assert made.settle() == 0


def test_without_rates_nothing_is_broken_and_nothing_struck() -> None:
    made = a_day(rates={})
    assert {one.broken for one in made.deeds} == {""}
    assert made.struck == Counter()


def test_one_fault_less_changes_nothing_about_the_others() -> None:
    """As shrinking does it: the deeds are the same, and each other fault strikes the same rows."""

    def broken(rates: Mapping[str, float]) -> list[tuple[str, str, str]]:
        with people(seed=5, rates=rates) as (made, _):
            made.burst(60)
            return [(one.stream, one.key, one.broken) for one in made.deeds if one.broken]

    both = broken({"unknown_code": 0.1, "poison": 0.0, "drift": 0.0, "moving_pages": 0.9})
    assert both == broken({"unknown_code": 0.1})
    assert both != []


def test_rows_move_between_two_pages() -> None:
    with people(rates={"moving_pages": 1.0}) as (made, _):
        assert made.between_pages() == 0  # there is nothing yet
        made.burst(20)
        before = len(made.deeds)
        moved = made.between_pages()
        assert 1 <= moved <= 3
        assert len(made.deeds) == before + moved
        assert made.struck["moving_pages"] == 1
    with people(rates={}) as (made, _):
        made.burst(20)
        assert made.between_pages() == 0


# --- the systems -------------------------------------------------------------------------------


class Stubborn:
    """A system that gives rows ids of its own, keeps everything, and refuses what `refuses` names:
    a stream, or a row that has no plain value somewhere."""

    strikes: frozenset[str] = frozenset()

    def __init__(self, system: str, refuses: str = "") -> None:
        self.system = system
        self.refuses = refuses
        self.kept: dict[str, dict[str, Mapping[str, object]]] = {}

    def put(self, stream: str, row: Mapping[str, object]) -> str:
        if stream == self.refuses:
            raise Unplayable(f"{self.system} makes no {stream}")
        if any(isinstance(one, dict) for one in row.values()):
            raise Unplayable(f"{self.system} holds texts only")
        rows = self.kept.setdefault(stream, {})
        name = {"customer": "id", "invoice": "id", "product": "sku"}[stream]
        key = str(row[name]) if row[name] in rows else f"{self.system}-{stream}-{len(rows) + 900}"
        rows[key] = {**row, name: key}
        return key

    def remove(self, stream: str, key: str) -> None:
        raise Unplayable(f"{self.system} deletes nothing")

    def rows(self, stream: str) -> Mapping[str, Mapping[str, object]]:
        return self.kept.get(stream, {})

    def calls(self) -> Sequence[InboundCall]:
        return ()

    def handle(self, request: Request) -> Response:
        raise AssertionError("nobody calls here")

    def effects(self) -> Sequence[Effect]:
        return ()

    def applied(self) -> Sequence[Applied]:
        return ()

    def strike(self, fault: str, dice: random.Random) -> str:
        return ""

    def heal(self) -> None:
        self.refuses = ""


def test_ids_that_a_system_makes_are_the_ones_referred_to() -> None:
    with people(twins={"shop": Stubborn("shop")}) as (made, _):
        made.burst(120)
        made.settle()
    keys = [one.key for one in made.deeds if one.stream == "customer"]
    rows = [one.row for one in made.deeds if one.stream == "invoice" and one.row and not one.broken]
    assert {one.system for one in made.deeds} == {"shop"}  # nobody plays the till
    assert rows
    assert all(key.startswith("shop-customer-9") for key in keys)
    assert all(str(one["customer"]) in keys for one in rows)
    assert len(set(keys)) < len(keys)  # and one is changed under the id that it got


def test_what_a_system_keeps_is_not_deleted_and_what_it_cannot_hold_not_put() -> None:
    with people(twins={"shop": Stubborn("shop")}, rates={"drift": 0.5}) as (made, _):
        made.burst(120)
    assert all(one.row is not None for one in made.deeds)
    drifted = [one.row for one in made.deeds if one.broken == "drift"]
    assert drifted  # under another name, that it can
    assert made.struck["drift"] == len(drifted)
    assert made.left_out == []


def test_a_stream_that_a_system_does_not_let_anybody_make_is_left_out_and_told() -> None:
    with people(twins={"shop": Stubborn("shop", refuses="customer")}) as (made, _):
        made.burst(120)
    assert {one.stream for one in made.deeds} == {"product"}
    assert made.left_out == [
        "shop.customer: shop makes no customer",
        "shop.invoice: its rows refer to shop.customer, which cannot be made",
    ]


def test_where_nothing_can_be_made_nothing_is_done() -> None:
    with people(corpus=Corpus({}, ("billing.invoice: no test gives a good row",))) as (made, _):
        assert made.burst(10) == 0
        assert made.settle() == 0
    assert made.left_out == ["billing.invoice: no test gives a good row"]


# --- the same again ------------------------------------------------------------------------------


def deeds_digest(name: str, seed: int) -> str:
    """All that happens in a seed, in one line."""
    made = a_day(name, seed)
    return hashlib.sha256(repr((made.deeds, made.struck)).encode()).hexdigest()


def test_the_same_seed_does_the_same_in_another_process() -> None:
    """Also where texts have other hashes."""
    names = ("corner", "quote_to_cash")
    program = (
        "from tests.rehearsal.test_people import deeds_digest\n"
        f"print(*[deeds_digest(one, 11) for one in {names!r}])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == [deeds_digest(one, 11) for one in names]


def test_another_seed_does_something_else() -> None:
    assert deeds_digest("corner", 1) != deeds_digest("corner", 2)


def test_amounts_are_decimals_before_any_system_takes_them() -> None:
    row = corpus_of("corner").kinds["shop", "invoice"].templates[0].row
    assert row["total"] == Decimal("266.00")
    assert all(isinstance(one, Decimal) for one in values(row, ("lines", "amount")))
