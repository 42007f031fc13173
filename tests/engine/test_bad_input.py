"""Bad input: a clear rejection or a case, in bounded time, and nothing else affected."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.engine.loopback import Loopback, customers, invoice_row, loopback
from tieout.engine.collect import keep
from tieout.engine.taking_in import store
from tieout.ports.connector import Item, NotGenuine, Received, Unreadable

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=900_000))


def row(**changes: Any) -> bytes:
    """A good invoice with some fields replaced."""
    return json.dumps({**invoice_row("", "BAD", 1, 7), **changes}).encode()


def line(**changes: Any) -> list[dict[str, Any]]:
    """The good invoice's lines, the first one changed."""
    first, *others = invoice_row("", "BAD", 1, 7)["lines"]
    return [{**first, **changes}, *others]


def raw(old: str, new: str) -> bytes:
    """The good invoice's text with a piece replaced, for what no JSON writer would write."""
    text = row().decode()
    assert old in text
    return text.replace(old, new, 1).encode()


TOTAL = f'"total": "{invoice_row("", "BAD", 1, 7)["total"]}"'

REJECTED = {
    "nothing": b"",
    "no JSON": b"id=BAD&version=1",
    "half a document": row()[:200],
    "two documents": row() + row(),
    "a list": b"[" + row() + b"]",
    "a number": b"7",
    "not UTF-8": row().replace(b"xxxx", b"\xff\xfe\x00x", 1),
    "a BOM": b"\xef\xbb\xbf" + row(),
    "nested beyond measure": b'{"id": "BAD", "version": 1, "x": ' + b"[" * 200_000,
    "nested and closed": b'{"id": "BAD", "version": 1, "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "a NUL byte in a text": row().replace(b"xxxx", b"x\x00xx", 1),
    "no key": raw('"id": "BAD"', '"name": "BAD"'),
    "a key that is no text": row(id=7),
    "a version beyond measure": raw('"version": 1', '"version": 1e400'),
    "a version that is a text": row(version="newest"),
    "half a surrogate pair": raw('"customer": "C7"', '"customer": "C\\ud800"'),
}

HELD = {
    "a total beyond every decimal": row(total="9" * 60 + ".00"),
    "an exponent beyond every decimal": raw(TOTAL, '"total": 1e400'),
    "a total that is no number": row(total="12,50"),
    "infinity as a text": row(total="Infinity"),
    "a list where an amount belongs": row(total=[1, 2]),
    "the year 0": row(date="0000-01-15"),
    "the thirtieth of February": row(date="2026-02-30"),
    "a date of five digits": row(date="12026-01-15"),
    "a quantity beyond measure": row(lines=line(quantity="1e300")),
    "lines that do not add up": row(total="1.00"),
    "a line that is no object": row(lines=["one", "two"]),
    "lines that are no list": row(lines="three lines"),
    "an unknown region": row(region="south of nowhere"),
    "an escaped NUL": row(status="posted", customer="C\x00"),
    "an amount written twice": raw('"status"', '"total": "1.00", "status"'),
}

TAKEN = {
    "a field nobody knows, of 900,000 characters": row(note=LONG),
    "a key of 900 characters": row(id=LONG[:900]),
    "a million digits where nobody reads them": row(note="1" * 900_000),
}


@pytest.fixture
def loop(database_url: str) -> Iterator[Loopback]:
    with loopback(database_url) as made:
        yield made


def good(key: str) -> tuple[str, bytes]:
    return "invoice", json.dumps(invoice_row("", key, 1, 8)).encode()


@pytest.mark.parametrize("what", REJECTED)
def test_what_nobody_can_read_is_refused_with_a_reason(loop: Loopback, what: str) -> None:
    with pytest.raises((Unreadable, NotGenuine)) as refused:
        loop.understand("invoice", REJECTED[what])
    assert len(str(refused.value)) < 500, "a reason, not the body again"


def test_every_bad_row_becomes_a_case_and_the_good_ones_in_its_batch_go_through(
    loop: Loopback,
) -> None:
    calls = [good("GOOD1")]
    for nth, body in enumerate(HELD.values()):
        calls.append(("invoice", body.replace(b'"id": "BAD"', f'"id": "BAD{nth}"'.encode(), 1)))
    loop.deliver(*customers("", [7, 8]), *calls, good("GOOD2"))
    loop.run()
    states = dict(loop.rows("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'"))
    assert (states.pop("GOOD1"), states.pop("GOOD2")) == ("recorded", "recorded")
    named = dict(zip((f"BAD{nth}" for nth in range(len(HELD))), HELD, strict=True))
    assert {named[key]: state for key, state in states.items()} == dict.fromkeys(HELD, "held")
    cases = loop.rows(
        "SELECT source_key, words, next_action, owner FROM cases WHERE state = 'open'"
    )
    assert {named[key] for key, *_ in cases} == set(HELD)
    for _, words, next_action, owner in cases:
        assert words
        assert next_action
        assert owner
        assert len(words) < 2_000
    assert len(loop.ledger.rows["entry"]) == 2


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_only_odd_is_taken_as_it_is(loop: Loopback, what: str) -> None:
    loop.deliver(*customers("", [7, 8]), ("invoice", TAKEN[what]), good("GOOD"))
    loop.run()
    states = loop.rows("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'")
    assert {state for _, state in states} == {"recorded"}
    assert len(loop.ledger.rows["entry"]) == 2


def test_negative_quantities_add_up_like_any_other(loop: Loopback) -> None:
    """A return: whether it may be posted is a control's business, not the reader's."""
    minus = [{**one, "quantity": -1, "amount": "-5.00"} for one in line()]
    loop.deliver(*customers("", [7]), ("invoice", row(lines=minus, total="-15.00")))
    loop.run()
    (entry,) = loop.ledger.rows["entry"].values()
    assert entry["total"] == "-15.00"


def test_a_key_that_no_index_holds_takes_no_other_row_with_it(loop: Loopback) -> None:
    """Through a poll, where one page is one commit: it is told apart by its digest."""
    bodies = [row().decode(), json.dumps(invoice_row("", "GOOD", 1, 8))]
    keys = [LONG[:100_000], LONG[:100_001], "GOOD"]
    items = [
        Item(keys[0], "1", bodies[0]),
        Item(keys[1], "1", bodies[0]),
        Item("GOOD", "1", bodies[1]),
    ]
    loop.deliver(*customers("", [7, 8]))
    for _ in range(2):  # and a repeat of it is a repeat
        store(loop.context, "till", "invoice", items, "poll", "7", ())
    loop.run()
    states = dict(loop.rows("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'"))
    assert states.pop("GOOD") == "recorded"
    assert len(states) == 2
    assert all(len(key) < 200 and key.startswith(LONG[:100]) for key in states)


def test_received_hints_of_strange_streams_are_nobodys_business(loop: Loopback) -> None:
    taken = loop.understand(*good("A"))
    odd = Received(hints=(("invoice\x00", "x"), ("nowhere", "y")))
    with loop.context.database.transaction() as connection:
        keep(loop.context, connection, [taken, replace(taken, received=odd)])
    assert loop.rows("SELECT count(*) FROM hints") == [(0,)]
    assert loop.rows("SELECT count(*) FROM arrivals") == [(1,)]
