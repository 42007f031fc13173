"""Any id of any system finds its record, whole, bounded, and only what one may see."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from tests.web import story
from tieout.store.database import Database
from tieout.store.life import MOST_MATCHES, life_of
from tieout.store.life_parts import MOST_ARRIVALS, flat
from tieout.store.life_seen import Life
from tieout.store.plain import plain


@pytest.fixture
def told(database: Database) -> Database:
    story.tell(database)
    return database


def _lives(database: Database, any_id: str, entities: tuple[str, ...] | None = None) -> list[Life]:
    with database.transaction(entities) as connection:
        return life_of(connection, any_id)


def _number(database: Database, query: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(query, (story.key_of(3),)).fetchone()
    assert row is not None
    return int(row[0])


def test_every_kind_of_id_finds_the_same_record(told: Database) -> None:
    key = story.key_of(3)
    source = story.opportunity(3)
    target = _number(told, "SELECT target_id FROM documents WHERE record_key = %s LIMIT 1")
    asked = [
        key,
        source,
        "10250",
        "SO1003",
        "so1003",
        "INV503",
        str(target),
        f"salesOrder-{source}",
        f"invoice-{source}-VOID",
        f"invoice-{source}-R2",
        f"netsuite/salesOrder/{key}/1",
        f"record:{key}",
        f"arrival:{_number(told, 'SELECT max(arrival_id) FROM arrivals WHERE record_key = %s')}",
        f"run:{_number(told, 'SELECT run_id FROM runs WHERE record_key = %s')}",
        f"dispatch:{_number(told, 'SELECT dispatch_id FROM dispatches WHERE record_key = %s')}",
        f"document:{_number(told, 'SELECT max(document_id) FROM documents WHERE record_key = %s')}",
        "  SO1003\n",
    ]
    for any_id in asked:
        assert [one.record_key for one in _lives(told, any_id)] == [key], any_id


def test_a_life_is_whole_and_in_order(told: Database) -> None:
    (life,) = _lives(told, "SO1003")
    assert life.title == "Sales order 10250"
    assert [one.version for one in life.versions] == [1, 2]
    changed = {one.field: (one.before, one.after) for one in life.versions[1].changes}
    assert changed["total"] == ("1752.05", "2000.00")
    assert set(changed) == {"total", "lines.1.amount", "lines.2.amount"}
    assert [one.received_by for one in life.arrivals] == ["webhook", "poll"]
    first = life.dispatches[0]
    assert [(one.kind, one.outcome) for one in first.attempts] == [
        ("send", "Unknown"),
        ("look", "not applied"),
        ("send", "Written"),
    ]
    assert first.number == "SO1003"
    assert [(one.name, one.agrees) for one in first.proofs[0].facts] == [
        ("amount", True),
        ("currency", True),
        ("date", True),
    ]
    assert {one.system for one in life.xrefs} == {"salesforce", "netsuite"}
    assert life.runs[0].state == "complete"
    assert life.left_out == ()


def test_a_repeat_is_counted_not_listed(told: Database) -> None:
    (life,) = _lives(told, story.opportunity(4))
    assert [one.times for one in life.arrivals] == [2]


def test_a_row_that_never_became_a_record_is_found_with_its_case(told: Database) -> None:
    for any_id in (story.opportunity(40), story.key_of(40), "case:2"):
        (life,) = _lives(told, any_id)
        assert life.versions == ()
        assert [one.state for one in life.arrivals] == ["held"]
        assert [one.value for one in life.cases] == ["UKP"]


def test_what_is_unknown_or_odd_finds_nothing_and_harms_nothing(told: Database) -> None:
    for any_id in (
        "",
        "   ",
        "no such id",
        "'; DROP TABLE cases; --",
        "%",
        "case:",
        "case:x",
        "case:99999999999999999999999",
        "run:-1",
        "\x00",
        "a" * 10_000,
    ):
        assert _lives(told, any_id) == []


def test_another_legal_entitys_record_is_not_shown(told: Database) -> None:
    assert [one.title for one in _lives(told, "SO1003", ("NWUK",))] == ["Sales order 10250"]
    assert _lives(told, "SO1003", ("NWEU",)) == []
    assert _lives(told, "10250", ()) == []


def test_many_matches_and_long_lives_are_bounded_and_say_so(told: Database) -> None:
    with told.transaction() as connection:
        connection.execute(
            "INSERT INTO links SELECT 'netsuite', 'stream' || n, '77', 'sales_order', record_key, "
            "'', %s FROM (SELECT record_key, row_number() OVER (ORDER BY record_key) AS n "
            "FROM record_heads) AS heads",
            (dt.datetime(2026, 1, 1, tzinfo=dt.UTC),),
        )
        for version in range(MOST_ARRIVALS + 5):
            story.arrive(connection, 1, f"w{version}", f'{{"n":{version}}}', "poll")
    assert len(_lives(told, "77")) == MOST_MATCHES
    (life,) = _lives(told, story.opportunity(1))
    assert len(life.arrivals) == MOST_ARRIVALS
    assert life.left_out == (f"only the newest {MOST_ARRIVALS} arrivals are shown",)


def test_the_search_uses_an_index_for_every_place(told: Database) -> None:
    from tieout.store.life_search import _ANYWHERE, spellings

    with told.transaction() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        rows = connection.execute(
            f"EXPLAIN (FORMAT TEXT) {_ANYWHERE}", {"ids": spellings("SO1003")}
        ).fetchall()
    scanned = [str(row[0]).strip() for row in rows if "Seq Scan" in str(row[0])]
    assert scanned == []


def test_a_read_model_as_json_keeps_money_exact_and_refuses_floats(told: Database) -> None:
    (life,) = _lives(told, "SO1003")
    text = json.dumps(plain(life))
    assert '"amount": "2000.00"' in text
    assert plain(Decimal("1E+3")) == "1000"
    instant = dt.datetime(2026, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert plain(instant) == "2026-01-01T00:00:00Z"
    with pytest.raises(TypeError, match="float"):
        plain({"amount": 0.1})


def test_a_body_is_flattened_by_path() -> None:
    assert flat({"a": {"b": None}, "lines": [{"x": "1"}, {"x": True}]}) == {
        "a.b": "",
        "lines.1.x": "1",
        "lines.2.x": "true",
    }
