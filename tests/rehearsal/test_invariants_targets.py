"""The promises as code find what is planted in a target; orders of the same events end alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from tests.conftest import fresh_database
from tests.rehearsal.invariants_world import Shown, World, busy_day, invoice, posting, world
from tieout.rehearsal.invariants import ALL, end_state_digest
from tieout.rehearsal.twins.base import Applied, Effect
from tieout.store.embedded import Embedded


@pytest.fixture(scope="module")
def made(cluster: Embedded) -> Iterator[World]:
    with fresh_database(cluster) as url, world(url) as one:
        busy_day(one)
        yield one


def entry(twins: dict[str, Shown], reference: str) -> Effect:
    return next(one for one in twins["books"].shown if one.reference == reference)


def done(twins: dict[str, Shown], reference: str) -> list[Applied]:
    return [one for one in twins["books"].done if one.reference == reference]


def words(made: World, promise: str, twins: dict[str, Shown], **more: object) -> list[str]:
    with made.planting() as connection:
        scene = made.scene(connection, twins=twins, **more)  # type: ignore[arg-type]
        return [f"{one.words}: {', '.join(one.keys)}" for one in ALL[promise].check(scene)]


def test_a_document_that_is_there_twice_is_found_at_once(made: World) -> None:
    twins = made.twins()
    twins["books"].shown.append(dataclasses.replace(entry(twins, "entry-N0"), target_id="entry-99"))
    twice = ["a document is in effect twice in its target: books entry-N0"]
    assert words(made, "P2", twins, phase="during") == twice
    assert words(made, "P2", twins) == twice


def test_what_a_restore_brought_back_was_not_posted_twice(made: World) -> None:
    """Found by seed 1626: the reversal of a receipt was lost with a restore, and the receipt that
    took its place stood beside it."""
    twins = made.twins()
    back = dataclasses.replace(entry(twins, "entry-N0"), target_id="entry-99")
    twins["books"].shown.append(back)
    twice = ["a document is in effect twice in its target: books entry-N0"]
    assert words(made, "P2", twins, phase="during", struck={"restore": 1}) == twice
    twins["books"].done.append(Applied("entry", "entry-N0", "void", "", "entry-99"))
    assert words(made, "P2", twins, phase="during", struck={"restore": 1}) == []
    assert words(made, "P2", twins, phase="during") == twice, "nothing was restored"


def test_a_document_that_nobody_sent_is_found(made: World) -> None:
    twins = made.twins()
    twins["books"].shown.append(Effect("entry", "entry-X", "entry-99", True, {}))
    assert words(made, "P2", twins, phase="during") == [
        "a document is in a target, and nothing of ours sent it: books entry-X"
    ]


def test_what_takes_a_document_back_is_no_document_of_a_stranger(made: World) -> None:
    twins = made.twins()
    twins["books"].shown.append(Effect("credit", "entry-D-credit", "entry-99", True, {}))
    assert words(made, "P2", twins) == []


def test_a_document_that_was_dropped_is_found_unless_its_target_was_restored(made: World) -> None:
    twins = made.twins()
    twins["books"].shown.remove(entry(twins, "entry-N0"))
    dropped = ["a document that we have proven is not in its target: books entry-N0"]
    assert words(made, "P2", twins) == dropped
    assert words(made, "P2", twins, struck={"restore": 1}) == []
    for one in done(twins, "entry-N0"):
        twins["books"].done.remove(one)
    assert words(made, "P2", twins, struck={"restore": 1}) == dropped


def test_another_amount_or_date_than_was_proven_is_found(made: World) -> None:
    twins = made.twins()
    there = entry(twins, "entry-N0")
    place = twins["books"].shown.index(there)
    twins["books"].shown[place] = dataclasses.replace(there, facts={**there.facts, "total": "0.01"})
    assert words(made, "P2", twins) == [
        "a document says something else than what we have proven: books entry-N0"
    ]
    (told,) = words(made, "P4", twins)
    assert told.startswith("a target holds other money than we have proven: books entry SOUTH")
    twins["books"].shown[place] = dataclasses.replace(
        there, facts={**there.facts, "date": "2031-01-01"}
    )
    moved = ["a document was dated otherwise than it was meant: books entry-N0"]
    compiled = posting(made.loop.context.compiled)
    assert words(made, "P10", twins, compiled=compiled) == moved
    assert words(made, "P10", twins) == []  # entries do not post in the landscape as it is


def test_money_that_is_gone_from_a_target_is_found(made: World) -> None:
    twins = made.twins()
    twins["books"].shown.remove(entry(twins, "entry-N0"))
    (told,) = words(made, "P4", twins)
    assert told.endswith("and nothing: ")


def test_what_took_effect_in_a_closed_period_is_found(made: World) -> None:
    twins = made.twins()
    (one,) = done(twins, "entry-N0")
    twins["books"].done[twins["books"].done.index(one)] = dataclasses.replace(one, closed=True)
    compiled = posting(made.loop.context.compiled)
    assert words(made, "P10", twins, phase="during", compiled=compiled) == [
        "something was posted into a period that was closed: books entry-N0"
    ]


def test_an_older_effect_after_a_newer_one_is_found(made: World) -> None:
    twins = made.twins()
    first, _ = done(twins, "entry-N1")
    twins["books"].done.append(first)
    inverted = ["an older version of a record took effect after a newer one: books entry-N1"]
    assert words(made, "P3", twins, phase="during") == inverted


def test_the_order_is_seen_by_facts_where_digests_are_hidden(made: World) -> None:
    twins = made.twins()
    shown = {one.digest: one for one in made.books.applied if one.stream == "entry"}
    with made.planting() as connection:
        bodies = dict(connection.execute("SELECT digest, body FROM intents").fetchall())
    hidden = [
        dataclasses.replace(one, digest="", facts=_facts(bodies[one.digest]))
        for one in shown.values()
        if one.action != "void"
    ]
    twins["books"].done = hidden
    assert words(made, "P3", twins) == []
    first = next(one for one in hidden if one.reference == "entry-N1")
    twins["books"].done = [*hidden, first]
    assert words(made, "P3", twins) == [
        "an older version of a record took effect after a newer one: books entry-N1"
    ]


def _facts(body: str) -> dict[str, str]:
    said = json.loads(body)
    return {name: str(said[name]) for name in ("total", "currency", "date")}


def test_a_second_post_to_a_target_without_memory_is_found(cluster: Embedded) -> None:
    with fresh_database(cluster) as url, world(url, "C") as made:
        busy_day(made)
        twins = made.twins()
        assert words(made, "P2", twins) == []
        (one,) = done(twins, "entry-N0")
        twins["books"].done.append(one)
        told = (
            "a write left again for a target that cannot recognise a repeat, "
            "and nobody had looked whether the first had arrived: books entry-N0"
        )
        assert words(made, "P2", twins, phase="during") == [told]
        with made.planting() as connection:
            connection.execute(
                "UPDATE dispatch_states SET attempts = 2 WHERE dispatch_id = "
                "(SELECT dispatch_id FROM intents WHERE reference = 'entry-N0')"
            )
            scene = made.scene(connection, "during")
            assert told.startswith(ALL["P2"].check(scene)[0].words)
            connection.execute(
                "INSERT INTO cases (fingerprint, reason, control, words, next_action, owner, "
                "state, dispatch_id, opened_at, last_at, closed_because) "
                "SELECT 'x', 'in_doubt', 'x', 'x', 'x', 'x', 'closed', dispatch_id, "
                "tieout_now(), tieout_now(), 'a person looked: it is not there' "
                "FROM intents WHERE reference = 'entry-N0'"
            )
            assert ALL["P2"].check(made.scene(connection, "during")) == []


def test_other_orders_of_the_same_events_come_to_the_same_digest(cluster: Embedded) -> None:
    """One till says everything in its order; the other says the new first, the old late, and much
    of it twice, so that documents are made in another order and get other numbers."""
    events = [invoice(f"N{key}", version, 7 * key) for key in range(3) for version in (1, 2)]
    for one in events:
        one["total"], one["lines"] = f"{one['version']}.00", []
        one["lines"] = [
            {"line": 1, "product": "P1", "quantity": 1, "price": "1", "amount": one["total"]}
        ]
    ends = []
    for order in (events, [*reversed(events), *events[:3]]):
        with fresh_database(cluster) as url, world(url) as made:
            made.customers(20)
            for one in order:
                made.say("invoice", one)
                made.loop.turn()
            made.loop.run()
            with made.planting() as connection:
                ends.append(end_state_digest(made.scene(connection)))
    assert ends[0] == ends[1]
