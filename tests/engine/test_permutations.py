"""P9: duplicates, re-ordering and lateness do not change the end state.

Random sets of events come in random orders, cut into loads between which the engine works, with
thirty in a hundred delivered more than once, late copies of old versions among them. All orders of
all sets run side by side in one world, told apart by a prefix of their keys; in the end every order
of a set must have come to the same records and the same ledger entries.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from tests.engine.loopback import Loopback, customers, invoice_row, loopback
from tests.promises.figures import Keeper
from tieout.finance.digest import canonical_json, digest_bytes

DRAWN_WITH = 20_261_121
KEYS = 3
MOST_VERSIONS = 12  # two digits: version 10 comes after version 9, not before version 2
LOADS = 3
DUPLICATE_SHARE = 0.3

Event = tuple[str, int, int]
"""An invoice's key, its version, and the number that decides its content."""


def event_set(dice: random.Random) -> list[Event]:
    """Some versions of some invoices; one content for each version."""
    found = []
    for key in range(KEYS):
        versions = dice.sample(range(1, MOST_VERSIONS + 1), dice.randint(1, 5))
        found += [(f"I{key}", version, dice.randrange(1_000)) for version in versions]
    return found


def order(events: Sequence[Event], dice: random.Random) -> list[Event]:
    """The events shuffled, with duplicates anywhere after or before the first copy."""
    copies = [one for one in events if dice.random() < DUPLICATE_SHARE]
    shuffled = [*events, *copies]
    dice.shuffle(shuffled)
    return shuffled


def calls_of(prefix: str, events: Sequence[Event], dice: random.Random) -> list[Any]:
    """Webhooks of one order; its customers come in any place, too. An invoice keeps its customer:
    an account that a version once needed rightly stays, and not every order needs that version."""
    calls = []
    for key, version, number in events:
        row = invoice_row(prefix, key, version, number)
        row["customer"] = f"{prefix}C{key.removeprefix('I')}"
        calls.append(("invoice", json.dumps(row).encode()))
    for one in customers(prefix, range(KEYS)):
        calls.insert(dice.randrange(len(calls) + 1), one)
    return calls


def end_states(loop: Loopback) -> dict[str, str]:
    """A hash of what each order came to, by its prefix: newest records, and what is booked."""
    newest = loop.rows(
        "SELECT DISTINCT ON (record_type, record_key) source_key, record_type, body, in_scope "
        "FROM records ORDER BY record_type, record_key, version DESC"
    )
    entries = loop.rows(
        "SELECT r.source_key, c.stream, c.reference, c.state FROM documents c JOIN record_heads h "
        "USING (record_type, record_key) JOIN records r ON r.record_type = h.record_type "
        "AND r.record_key = h.record_key AND r.version = h.version"
    )
    found: dict[str, list[object]] = defaultdict(list)
    for key, kind, body, in_scope in newest:
        prefix, _, name = str(key).rpartition("/")
        shown = {k: v for k, v in json.loads(body).items() if k not in ("customer", "number")}
        found[prefix].append(["record", kind, name, shown, in_scope])
    for key, stream, reference, state in entries:
        prefix, _, name = str(key).rpartition("/")
        row = dict(loop.ledger.rows[stream].get(reference, {}))
        row.pop("account", None)
        found[prefix].append(["entry", stream, name, state, row])
    return {
        prefix: digest_bytes(canonical_json(sorted(parts, key=repr)))
        for prefix, parts in found.items()
    }


def check(database_url: str, sets: int, orders: int, promise: Keeper) -> None:
    dice = random.Random(DRAWN_WITH)
    with loopback(database_url) as loop:
        loads: list[list[tuple[str, bytes]]] = [[] for _ in range(LOADS)]
        for nth in range(sets):
            events = event_set(dice)
            for turn in range(orders):
                calls = calls_of(f"{nth}-{turn}/", order(events, dice), dice)
                cuts = sorted(dice.randrange(len(calls) + 1) for _ in range(LOADS - 1))
                borders = [0, *cuts, len(calls)]
                for number in range(LOADS):
                    loads[number] += calls[borders[number] : borders[number + 1]]
        for load in loads:
            # Not whole orders one after the other: their events come mixed, as in life.
            for start in range(0, len(load), 400):
                loop.deliver(*load[start : start + 400])
            loop.turn(3)
        loop.run()
        states = end_states(loop)
        assert len(states) == sets * orders
        ends = {nth: {states[f"{nth}-{turn}"] for turn in range(orders)} for nth in range(sets)}
        torn = [nth for nth, hashes in ends.items() if len(hashes) != 1]
        what = f"{sets} sets of events in {orders} orders, 30 % duplicates: sets with two ends"
        told = f"{len(torn)} {torn[:5] or ''}".strip()
        promise("P9", what, told, "0", kept=not torn)
        assert loop.rows("SELECT count(*) FROM cases WHERE state = 'open'") == [(0,)]
        assert loop.rows("SELECT count(*) FROM runs WHERE state <> 'complete'") == [(0,)]


def test_every_order_of_the_same_events_comes_to_the_same_end(
    database_url: str, promise: Keeper
) -> None:
    check(database_url, 20, 5, promise)


@pytest.mark.promises
@pytest.mark.timeout(1_800)
def test_p9_every_order_of_the_same_events_comes_to_the_same_end(
    database_url: str, promise: Keeper
) -> None:
    check(database_url, 200, 10, promise)


def test_a_stale_copy_in_a_later_load_does_not_overwrite_a_newer_version(
    database_url: str,
) -> None:
    with loopback(database_url) as loop:
        old, new = (invoice_row("s/", "A", version, 40 + version) for version in (9, 10))
        loop.deliver(*customers("s/", [9, 10]), ("invoice", json.dumps(new).encode()))
        loop.run()
        loop.deliver(("invoice", json.dumps(old).encode()))
        loop.run()
        states = loop.rows("SELECT source_version, state FROM arrivals WHERE stream = 'invoice'")
        assert sorted(str(state) for _, state in states) == ["recorded", "superseded"]
        assert loop.rows("SELECT max(version) FROM records WHERE record_type = 'invoice'") == [(1,)]
        (entry,) = loop.ledger.rows["entry"].values()
        assert entry["total"] == new["total"]
