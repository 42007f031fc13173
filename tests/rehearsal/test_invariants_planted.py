"""The promises as code find what is planted in the database of a world that was good."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Literal, NamedTuple

import pytest

from tests.conftest import fresh_database
from tests.rehearsal.invariants_world import World, busy_day, world
from tieout.ports.connector import Item, Received
from tieout.rehearsal.invariants import ALL, end_state_digest
from tieout.rehearsal.invariants.p5_recomputed import recomputed
from tieout.rehearsal.scene import Deed, Told
from tieout.store.embedded import Embedded


@pytest.fixture(scope="module")
def made(cluster: Embedded) -> Iterator[World]:
    with fresh_database(cluster) as url, world(url) as one:
        busy_day(one)
        yield one


class Planted(NamedTuple):
    """A trouble in SQL, and what must be said of it: words, and a key."""

    promise: str
    phase: Literal["during", "rest"]
    sql: str
    words: str
    key: str = ""


N1 = "source_key = 'N1'"
RECORD = f"(SELECT record_key FROM record_heads WHERE {N1})"
ENTRY = f"(SELECT document_id FROM documents WHERE stream = 'entry' AND record_key = {RECORD})"
LAST = f"(SELECT max(dispatch_id) FROM intents WHERE document_id = {ENTRY})"

PLANTED = [
    Planted("P1", "during", f"DELETE FROM arrival_keys WHERE {N1}", "not in the register", "N1"),
    Planted(
        "P1",
        "during",
        f"DELETE FROM payloads WHERE arrival_id IN (SELECT arrival_id FROM arrivals WHERE {N1})",
        "its text is nowhere",
        "N1",
    ),
    Planted(
        "P1",
        "rest",
        "UPDATE payloads SET payload = '{}' "
        f"WHERE arrival_id IN (SELECT arrival_id FROM arrivals WHERE {N1})",
        "never arrived",
        "N1",
    ),
    Planted(
        "P2",
        "during",
        f"UPDATE dispatch_states SET attempts = 0 WHERE document_id = {ENTRY}",
        "nothing of ours sent it",
        "entry-N1",
    ),
    Planted(
        "P2",
        "rest",
        f"UPDATE documents SET state = 'voided' WHERE document_id = {ENTRY}",
        "hold to be without",
        "entry-N1",
    ),
    Planted(
        "P2",
        "rest",
        f"UPDATE documents SET state = 'absent' WHERE document_id = {ENTRY}",
        "a run is complete, and its document is not present",
        "books.entry",
    ),
    Planted(
        "P3",
        "during",
        f"UPDATE records SET source_version = '0' WHERE {N1} AND version = 2",
        "older version of its row",
        "N1",
    ),
    Planted(
        "P3",
        "during",
        f"UPDATE intents SET digest = 'other' WHERE dispatch_id = {LAST}",
        "no dispatch of ours says",
        "entry-N1",
    ),
    Planted(
        "P3", "rest", f"UPDATE runs SET state = 'ready' WHERE record_key = {RECORD}", "stands still"
    ),
    Planted(
        "P3",
        "rest",
        f"UPDATE dispatch_states SET state = 'planned' WHERE dispatch_id = {LAST}",
        "stands still",
        "entry-N1",
    ),
    Planted("P4", "rest", f"DELETE FROM arrivals WHERE {N1}", "not what lies in the buckets: till"),
    Planted(
        "P4", "rest", f"UPDATE records SET amount = amount + 0.01 WHERE {N1}", "lies in the buckets"
    ),
    Planted(
        "P4",
        "rest",
        f"UPDATE records SET legal_entity = 'NORTH', period = '2031-01' WHERE {N1}",
        "NORTH 2031-01 EUR",
    ),
    Planted(
        "P4",
        "during",
        f"UPDATE intents SET amount = amount + 0.01 WHERE dispatch_id = {LAST}",
        "other money than its record",
        "entry-N1",
    ),
    Planted(
        "P4",
        "during",
        "UPDATE totals SET count = count + 1 WHERE bucket = 'recorded'",
        "control totals",
    ),
    Planted(
        "P5",
        "rest",
        f"UPDATE records SET body = replace(body, 'posted', 'Posted') WHERE {N1}",
        "does not come out of what was received",
        "N1",
    ),
    Planted(
        "P5",
        "rest",
        "UPDATE records SET body = replace(body, 'posted', 'Posted') "
        "WHERE source_key = 'D' AND NOT in_scope",
        "does not come out of what was received",
        "D",
    ),
    Planted(
        "P5",
        "rest",
        f"UPDATE intents SET body = replace(body, 'EUR', 'USD') WHERE dispatch_id = {LAST}",
        "does not come out of its record",
        "entry-N1",
    ),
    Planted(
        "P5",
        "rest",
        f"UPDATE intents SET rate_ids = '{{made-up}}' WHERE dispatch_id = {LAST}",
        "does not come out of its record",
        "entry-N1",
    ),
    Planted(
        "P5",
        "rest",
        "UPDATE intents SET body = body || ' ' WHERE action = 'void'",
        "does not come out of its record",
        "entry-D",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE arrivals SET state = 'new' WHERE {N1}",
        "never worked on",
        "till.invoice N1",
    ),
    Planted(
        "P7",
        "rest",
        "UPDATE cases SET state = 'closed' WHERE source_key = 'U'",
        "an arrival is held",
        "till.invoice U",
    ),
    Planted("P7", "rest", "UPDATE cases SET owner = ''", "an arrival is held", "till.invoice U"),
    Planted("P7", "rest", "UPDATE cases SET next_action = ''", "what to do", "U"),
    Planted("P7", "during", "UPDATE cases SET state = 'closed'", "an arrival is held", "U"),
    Planted(
        "P7",
        "during",
        f"UPDATE dispatch_states SET state = 'rejected' WHERE dispatch_id = {LAST}",
        "never said no",
        "entry-N1",
    ),
    Planted("P7", "during", "UPDATE proofs SET verdict = 'differs'", "no proof agrees", "N1"),
    Planted(
        "P7",
        "during",
        "UPDATE cases SET reason = 'flow', words = 'this run cannot go on: a fault of ours', "
        f"run_id = (SELECT run_id FROM runs WHERE record_key = {RECORD})",
        "nobody foresaw",
    ),
    Planted(
        "P7",
        "rest",
        "INSERT INTO hints VALUES ('till', 'invoice', 'N1', tieout_now(), 1)",
        "read again",
        "till.invoice N1",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE arrivals SET record_version = 9 WHERE {N1}",
        "nothing is recorded of it",
        "till.invoice N1",
    ),
    Planted(
        "P7",
        "rest",
        f"DELETE FROM runs WHERE record_key = {RECORD}",
        "no flow runs for it",
        "till.invoice N1",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE runs SET state = 'held', ended_at = NULL WHERE record_key = {RECORD}",
        "a run is held",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE runs SET state = 'waiting', ended_at = NULL, waits_for = 'x' "
        f"WHERE record_key = {RECORD}",
        "nothing will end its wait",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE runs SET ended_at = NULL WHERE record_key = {RECORD}",
        "does not say when",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE dispatch_states SET state = 'in_doubt' WHERE dispatch_id = {LAST}",
        "in doubt",
        "entry-N1",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE dispatch_states SET state = 'unknown' WHERE dispatch_id = {LAST}",
        "nothing moves any more",
        "entry-N1",
    ),
    Planted(
        "P7",
        "rest",
        f"UPDATE documents SET refused_intent = 'create/x' WHERE document_id = {ENTRY}",
        "refused a document",
        "entry-N1",
    ),
    Planted(
        "P9",
        "rest",
        "UPDATE record_heads SET version = 1 WHERE source_key = 'N1'",
        "not what the newest word",
        "till.invoice N1",
    ),
    Planted(
        "P9",
        "rest",
        "UPDATE record_heads SET in_scope = true WHERE source_key IN ('D', 'N3')",
        "its record is in scope",
        "till.invoice N3",
    ),
    Planted(
        "P9",
        "rest",
        f"UPDATE runs SET record_version = 1 WHERE record_key = {RECORD}",
        "did not run with the newest version",
        "bookings till.invoice N1",
    ),
    Planted(
        "P9",
        "rest",
        f"UPDATE documents SET state = 'absent' WHERE document_id = {ENTRY}",
        "its document is not present",
        "books.entry",
    ),
    Planted(
        "P9",
        "rest",
        "UPDATE documents SET state = 'present' WHERE reference = 'entry-D'",
        "its document is still present",
        "entry-D",
    ),
]


@pytest.mark.parametrize(
    "one", PLANTED, ids=[f"{one.promise} {nth}" for nth, one in enumerate(PLANTED)]
)
def test_what_is_planted_is_found(made: World, one: Planted) -> None:
    with made.planting() as connection:
        assert connection.execute(one.sql.encode()).rowcount > 0
        found = ALL[one.promise].check(made.scene(connection, one.phase))
    told = [each for each in found if one.words in each.words]
    assert told, found
    assert all(each.promise == one.promise for each in found)
    assert one.key in " ".join(key for each in told for key in each.keys), told


def test_a_webhook_that_was_acknowledged_and_not_kept_is_found(made: World) -> None:
    item = Item("N9", "1", '{"id": "N9"}')
    never = Told("till", "invoice", b"", dt.datetime.now(dt.UTC), Received((item,)))
    hint = Told("till", "invoice", b"", never.at, Received(hints=(("invoice", "N8"),)))
    with made.planting() as connection:
        scene = dataclasses.replace(
            made.scene(connection, "during"), told=[*made.told, never, hint], worked_out={}
        )
        found = ALL["P1"].check(scene)
        assert [one.keys for one in found] == [("till.invoice N9",), ("till.invoice N8",)]
        connection.execute("INSERT INTO hints VALUES ('till', 'invoice', 'N8', tieout_now(), 1)")
        scene.worked_out.clear()
        assert [one.keys for one in ALL["P1"].check(scene)] == [("till.invoice N9",)]


def test_a_row_that_people_changed_and_that_never_came_is_found(made: World) -> None:
    deed = next(one for one in made.deeds if one.key == "N0" and one.row is not None)
    assert deed.row is not None
    newer = dataclasses.replace(deed, row={**deed.row, "total": "1.00"})
    twins = made.twins()
    twins["till"].made["invoice"]["N0"] = newer.row or {}
    with made.planting() as connection:
        scene = dataclasses.replace(
            made.scene(connection, twins=twins), deeds=[*made.deeds, newer], worked_out={}
        )
        assert [one.keys for one in ALL["P1"].check(scene)] == [("till.invoice N0",)]


def test_a_row_that_is_gone_and_whose_record_is_not_is_found(made: World) -> None:
    gone = Deed("till", "invoice", "N0", dt.datetime.now(dt.UTC), None)
    twins = made.twins()
    del twins["till"].made["invoice"]["N0"]
    with made.planting() as connection:
        scene = dataclasses.replace(
            made.scene(connection, twins=twins), deeds=[*made.deeds, gone], worked_out={}
        )
        found = ALL["P9"].check(scene)
    assert {one.words.partition(",")[0] for one in found} == {
        "a row is gone or out of scope",
        "a record left its scope",
    }


def test_what_another_landscape_made_is_counted_and_not_held_to_be_wrong(made: World) -> None:
    with made.planting() as connection:
        whole = recomputed(made.scene(connection))
        connection.execute("UPDATE intents SET landscape_hash = 'older', body = 'x'")
        connection.execute("UPDATE records SET landscape_hash = 'older', body = '{}'")
        scene = made.scene(connection)
        other = recomputed(scene)
        found = ALL["P5"].check(scene)
    assert whole.another_landscape == 0
    assert whole.links_moved == 0
    assert whole.records > 30
    assert whole.dispatches > 6
    assert other.another_landscape >= whole.records + whole.dispatches - 2
    assert [one.keys for one in found] == []


def test_the_digest_of_the_end_state_sees_records_and_documents(made: World) -> None:
    with made.planting() as connection:
        before = end_state_digest(made.scene(connection))
        assert end_state_digest(made.scene(connection)) == before
        twins = made.twins()
        twins["books"].shown = [
            dataclasses.replace(one, facts={**one.facts, "total": "0.01"})
            for one in twins["books"].shown
        ]
        assert end_state_digest(made.scene(connection, twins=twins)) != before
        connection.execute(
            b"UPDATE records SET body = replace(body, 'posted', 'Posted') "
            b"WHERE source_key = 'N1' AND version = 2"
        )
        assert end_state_digest(made.scene(connection)) != before


def test_a_row_that_we_write_back_to_is_still_what_people_made_of_it(made: World) -> None:
    """Our own write moves its version on, and is no reason to look away."""
    twins = made.twins()
    row = {**twins["till"].made["invoice"]["N0"], "version": 99}
    twins["till"].made["invoice"]["N0"] = row
    with made.planting() as connection:
        connection.execute(
            b"UPDATE records SET body = replace(body, 'posted', 'Posted') WHERE source_key = 'N0'"
        )
        found = ALL["P9"].check(made.scene(connection, twins=twins))
    assert [one.keys for one in found] == [("till.invoice N0",)]
