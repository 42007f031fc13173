"""An understudy does what the real connector's streams declare: by grade, strike by strike."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.rehearsal.understudies import (
    CUSTOMER,
    IN_FLIGHT_SECONDS,
    KEY_LIFETIME_SECONDS,
    LAG_SECONDS,
    STREAMS,
    Following,
    Plain,
    UnderstudyHooks,
    Whole,
    entry,
    find,
    once,
    pair,
)
from tieout import clock
from tieout.finance.digest import digest_bytes
from tieout.finance.outcome import (
    AlreadyThere,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports import connector as ports
from tieout.ports.connector import NotGenuine, Stream, Write, document_text
from tieout.ports.errors import CursorExpired
from tieout.ports.opening import open_session
from tieout.rehearsal.contract import failing, reading, writing
from tieout.rehearsal.line import Line
from tieout.rehearsal.twins.base import Twin, Unplayable
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector
from tieout.rehearsal.world import SeededWorld

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def world() -> Iterator[SeededWorld]:
    with clock.world(SeededWorld("understudy", START)) as made:
        assert isinstance(made, SeededWorld)
        yield made


# --- the contract of every connector ------------------------------------------------------------

WRITE_CASES = [
    (case, STREAMS[f"entry_{grade}"])
    for grade in "ABC"
    for case in (
        *(writing.CASES if grade == "A" else ()),
        *(writing.CASES_OF_GRADE_A if grade == "A" else ()),
        *((writing.amounts_are_exact, writing.a_change_is_read_back) if grade == "A" else ()),
        *((writing.a_void_is_read_back,) if grade == "A" else ()),
        *((failing.a_lost_reply_is_unknown_and_found,) if grade == "A" else ()),
        *((failing.a_lost_request_is_unknown_and_not_found,) if grade != "C" else ()),
        failing.busy_with_a_wait,
        failing.busy_without_a_wait,
        failing.a_server_error_is_no_answer,
        failing.a_system_that_is_down_is_an_outage,
        failing.a_web_page_is_unknown,
        failing.half_an_answer_is_unknown,
    )
]
READ_CASES = [
    reading.cursor_resumes_anywhere,
    reading.later_rows_are_seen,
    reading.fetch_tells_what_is_gone,
    reading.unknown_fields_are_tolerated,
    reading.a_web_page_is_not_an_answer,
    reading.half_an_answer_is_not_an_answer,
    reading.busy_is_told,
    reading.a_server_error_is_no_answer,
    reading.a_lost_reply_is_no_answer,
    reading.a_system_that_is_down_is_an_outage,
    reading.numbers_are_exact,
]


@pytest.mark.parametrize(("case", "stream"), WRITE_CASES)
def test_writing_keeps_the_contract(case: Callable[[Any, Stream], None], stream: Stream) -> None:
    case(UnderstudyHooks(), stream)


@pytest.mark.parametrize("case", READ_CASES)
def test_reading_keeps_the_contract(case: Callable[[Any, Stream], None]) -> None:
    case(UnderstudyHooks(), CUSTOMER)


def test_it_is_a_twin_and_a_connector_with_the_capabilities_of_the_real_one() -> None:
    twin: Twin = Understudy("books", Plain())
    assert twin.system == "books"
    plain, whole, following = map(UnderstudyConnector, (Plain(), Whole(), Following()))
    assert isinstance(plain, ports.Connector)
    assert isinstance(plain, ports.Reads)
    assert isinstance(plain, ports.Receives)
    assert isinstance(plain, ports.Writes)
    assert isinstance(plain, ports.Finds)
    for protocol, able in (
        (ports.Sweeps, whole),
        (ports.HasPeriods, whole),
        (ports.Follows, following),
    ):
        assert isinstance(able, protocol)
        assert not isinstance(plain, protocol)
    assert not plain.settings
    assert not plain.secrets


# --- grades -------------------------------------------------------------------------------------


def test_grade_a_refuses_a_second_document_with_the_same_reference_for_ever(
    world: SeededWorld,
) -> None:
    twin, connector, at = pair()
    assert isinstance(once(connector, at, "entry_A", entry(1)), Written)
    world.sleep(10 * 86_400)
    again = once(connector, at, "entry_A", replace(entry(1), write_key="another"))
    assert isinstance(again, AlreadyThere)
    assert again.target_id == twin.effects()[0].target_id
    once(connector, at, "entry_A", entry(1, action="void"))
    assert isinstance(once(connector, at, "entry_A", entry(1, revision=2)), AlreadyThere)
    assert [(one.reference, one.alive) for one in twin.effects()] == [("entry-1", False)]


def test_grade_b_answers_a_known_key_again_and_makes_a_double_after_it_has_expired(
    world: SeededWorld,
) -> None:
    twin, connector, at = pair()
    first = once(connector, at, "entry_B", entry(1))
    world.sleep(KEY_LIFETIME_SECONDS - 1)
    assert once(connector, at, "entry_B", entry(1)) == first
    assert len(twin.effects()) == 1
    world.sleep(1.1)
    assert isinstance(once(connector, at, "entry_B", entry(1)), Written)
    assert len(twin.effects()) == 2, "B: whoever is too late is not protected"


def test_grade_b_is_found_by_reference_after_its_lag_and_by_id_at_once(world: SeededWorld) -> None:
    twin, connector, at = pair()
    written = once(connector, at, "entry_B", entry(1))
    assert isinstance(written, Written)
    assert find(connector, at, "entry_B", entry(1)) is None
    assert find(connector, at, "entry_B", entry(1, target_id=written.target_id)) is not None
    assert LAG_SECONDS < IN_FLIGHT_SECONDS
    world.sleep(LAG_SECONDS)
    found = find(connector, at, "entry_B", entry(1))
    assert found is not None
    assert found.facts == {"amount": "10.00", "day": "2026-02-14"}
    assert twin.effects()[0].target_id == found.target_id


def test_what_came_late_is_shown_as_late_as_it_came_however_late_anybody_looks(
    world: SeededWorld,
) -> None:
    twin, connector, _ = pair()
    late = IN_FLIGHT_SECONDS - LAG_SECONDS
    line = Line(twin, random.Random(1), {"late_apply": 0.999999}, late_seconds=late)
    at = open_session("books", connector, {}, {}, [], transport=line)
    assert isinstance(once(connector, at, "entry_B", entry(1)), Unknown)
    line.quiet = True
    world.sleep(IN_FLIGHT_SECONDS)
    assert find(connector, at, "entry_B", entry(1)) is not None, "the declared bound is kept"


def test_grade_c_makes_a_new_document_each_time_found_only_by_its_id() -> None:
    twin, connector, at = pair()
    first = once(connector, at, "entry_C", entry(1))
    second = once(connector, at, "entry_C", entry(1))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert first.target_id != second.target_id
    assert [one.reference for one in twin.effects()] == ["entry-1", "entry-1"]
    assert find(connector, at, "entry_C", entry(1)) is None
    assert find(connector, at, "entry_C", entry(1, target_id=second.target_id)) is not None


@pytest.mark.parametrize("grade", ["A", "B", "C"])
def test_a_document_is_changed_voided_and_deleted(grade: str, world: SeededWorld) -> None:
    stream = f"entry_{grade}"
    twin, connector, at = pair()
    made = once(connector, at, stream, entry(1))
    gone = once(connector, at, stream, entry(2))
    assert isinstance(made, Written)
    assert isinstance(gone, Written)
    change = entry(1, "12.50", "change", target_id=made.target_id)
    void = entry(1, "12.50", "void", target_id=made.target_id)
    delete = entry(2, action="delete", target_id=gone.target_id)
    assert isinstance(once(connector, at, stream, change), Written)
    shown = find(connector, at, stream, change)
    assert shown is not None
    assert shown.facts["amount"] == "12.50"
    assert find(connector, at, stream, void) is None
    assert isinstance(once(connector, at, stream, void), Written)
    assert isinstance(once(connector, at, stream, replace(void, write_key="x")), AlreadyThere)
    assert find(connector, at, stream, void) is not None
    assert isinstance(once(connector, at, stream, delete), Written)
    assert find(connector, at, stream, delete) is not None
    assert [(one.reference, one.alive) for one in twin.effects()] == [
        ("entry-1", False),
        ("entry-2", False),
    ]
    assert [one.action for one in twin.applied()] == [
        "create",
        "create",
        "change",
        "void",
        "delete",
    ]
    said = digest_bytes(document_text(change.document).encode())
    assert twin.applied()[2].digest == said


def test_what_is_not_there_cannot_be_changed() -> None:
    twin, connector, at = pair()
    outcome = once(connector, at, "entry_A", entry(7, action="change"))
    assert isinstance(outcome, Rejected)
    assert not twin.applied()


def test_a_row_of_its_own_can_be_written_back_to_and_keeps_it_when_people_change_it() -> None:
    twin, connector, at = pair()
    key = twin.put("entry_A", {"amount": "1.00", "day": "2026-01-01"})
    back = Write("k", f"entry_A-{key}", "change", {"amount": "2.00"}, target_id=key)
    before = twin.rows("entry_A")[key]["version"]
    assert isinstance(once(connector, at, "entry_A", back), Written)
    row = twin.rows("entry_A")[key]
    assert row["amount"] == "2.00"
    assert row["version"] != before
    twin.put("entry_A", {"id": key, "day": "2026-01-02"})
    assert twin.rows("entry_A")[key] == {**row, "day": "2026-01-02", "version": 3}
    twin.remove("entry_A", key)
    assert isinstance(once(connector, at, "entry_A", replace(back, write_key="l")), Rejected)
    assert [one.alive for one in twin.effects()] == [False]


# --- reading ------------------------------------------------------------------------------------


def test_pages_are_small_and_a_row_that_moves_while_they_are_read_is_met() -> None:
    twin, connector, at = pair()
    keys = [twin.put("customer", {"name": f"Customer {one}"}) for one in range(12)]
    first = connector.read(at, "customer", "")
    assert first.more
    twin.put("customer", {"id": keys[0], "name": "Moved"})
    seen, cursor, more = list(first.items), first.cursor, True
    for _ in range(10):
        page = connector.read(at, "customer", cursor)
        seen += page.items
        cursor, more = page.cursor, page.more
        if not more:
            break
    assert not more
    newest = {one.key: json.loads(one.payload)["name"] for one in seen}
    assert set(newest) == set(keys)
    assert newest[keys[0]] == "Moved"
    assert [one.version for one in seen] == sorted(one.version for one in seen)


def test_a_new_reading_overlaps_and_shows_what_was_deleted() -> None:
    twin, connector, at = pair()
    keys = [twin.put("customer", {"name": f"Customer {one}"}) for one in range(4)]
    page = connector.read(at, "customer", "")
    assert not page.more
    twin.remove("customer", keys[0])
    later = connector.read(at, "customer", page.cursor)
    assert {one.key: one.deleted for one in later.items} == {
        keys[1]: False,
        keys[2]: False,
        keys[3]: False,
        keys[0]: True,
    }
    assert keys[0] not in twin.rows("customer")
    with pytest.raises(Unplayable):
        twin.remove("customer", keys[0])


def test_marks_are_the_keys_and_versions_of_the_reading() -> None:
    twin, connector, at = pair()
    for one in range(60):
        twin.put("customer", {"name": f"Customer {one}"})
    met: list[tuple[str, str]] = []
    after, more = "", True
    for _ in range(5):
        page = connector.marks(at, "customer", LONG_AGO, after)
        met += [(one.key, one.version) for one in page.marks]
        after, more = page.after, page.more
        if not more:
            break
    assert not more
    items = connector.fetch(at, "customer", list(twin.rows("customer")))
    assert sorted(met) == sorted((one.key, one.version) for one in items)
    assert not connector.marks(at, "customer", START + dt.timedelta(days=1), "").marks


def test_a_feed_that_forgot_says_so_and_begins_anew() -> None:
    twin, connector, at = pair()
    twin.put("customer", {"name": "One"})
    cursor = connector.read(at, "customer", "").cursor
    twin.forget("customer")
    with pytest.raises(CursorExpired):
        connector.read(at, "customer", cursor)
    assert len(connector.read(at, "customer", "").items) == 1


def test_documents_that_were_written_are_rows_too() -> None:
    _, connector, at = pair()
    written = once(connector, at, "entry_A", entry(1))
    assert isinstance(written, Written)
    (item,) = connector.read(at, "entry_A", "").items
    assert item.key == written.target_id
    assert json.loads(item.payload)["amount"] == "10.00"


def test_amounts_are_told_as_they_were_put() -> None:
    twin, connector, at = pair()
    key = twin.put("customer", {"limit": Decimal("12345678901234567.89")})
    (item,) = connector.fetch(at, "customer", [key])
    assert json.loads(item.payload)["limit"] == "12345678901234567.89"


def test_webhooks_carry_whole_rows_where_they_were_asked_for() -> None:
    twin, connector, _ = pair()
    key = twin.put("customer", {"name": "One"})
    twin.put("entry_A", {"amount": "1.00"})
    (call,) = twin.calls()
    assert not twin.calls()
    (item,) = connector.receive(call).items
    assert (call.stream, item.key) == ("customer", key)
    assert json.loads(item.payload)["name"] == "One"
    with pytest.raises(NotGenuine):
        connector.receive(replace(call, body=call.body.replace(b"One", b"Two")))
    quiet, _, _ = pair(hooks=())
    quiet.put("customer", {"name": "One"})
    assert not quiet.calls()
