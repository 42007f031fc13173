"""Arrivals: stored before anyone is told, counted when they repeat."""

from __future__ import annotations

import datetime as dt

import pytest

from tieout.store import arrivals
from tieout.store.arrivals import Incoming, Stored
from tieout.store.database import Database

ONE = Incoming("a", "v1", '{"n": 1}')
TWO = Incoming("b", "v1", '{"n": 2}')


def store(database: Database, *rows: Incoming, **more: object) -> Stored:
    with database.transaction() as connection:
        return arrivals.store_page(
            connection,
            "crm",
            "Account",
            rows,
            received_by="poll",
            read_now=True,
            cursor=str(more.get("cursor", "c")),
        )


def store_and_die(database: Database) -> None:
    with database.transaction() as connection:
        arrivals.store_page(connection, "crm", "Account", [TWO], received_by="poll", cursor="next")
        raise KeyboardInterrupt


def kept(database: Database) -> list[tuple[str, str]]:
    with database.transaction() as connection:
        return [
            (one.source_key, one.source_version)
            for one in arrivals.new_arrivals(connection, range(arrivals.PARTITIONS), 100)
        ]


def test_a_repeat_is_counted_not_stored(database: Database) -> None:
    assert store(database, ONE, TWO, ONE) == Stored(new=2, repeated=1)
    assert store(database, ONE) == Stored(new=0, repeated=1)
    assert kept(database) == [("a", "v1"), ("b", "v1")]
    with database.transaction() as connection:
        times = connection.execute("SELECT times FROM arrival_keys ORDER BY source_key").fetchall()
    assert times == [(3,), (1,)]


def test_the_same_version_with_other_content_is_no_repeat(database: Database) -> None:
    store(database, ONE)
    assert store(database, Incoming("a", "v1", '{"n": 9}')).new == 1
    assert store(database, Incoming("a", "v1", '{"n": 1}', deleted=True)).new == 1


def test_arrivals_keep_the_order_in_which_they_were_read(database: Database) -> None:
    names = [f"k{number:03}" for number in range(200)][::-1]
    store(database, *(Incoming(name, "v", "{}") for name in names))
    assert [key for key, _ in kept(database)][:100] == names[:100]


def test_rows_and_cursor_commit_together_or_not_at_all(database: Database) -> None:
    store(database, ONE, cursor="first")
    with pytest.raises(KeyboardInterrupt):
        store_and_die(database)
    with database.transaction() as connection:
        assert arrivals.cursor_of(connection, "crm", "Account") == "first"
    assert kept(database) == [("a", "v1")]


def test_a_row_seen_gone_that_shows_again_as_it_was_is_back(database: Database) -> None:
    store(database, ONE)
    store(database, Incoming("a", "gone:2026-01-01", "{}", deleted=True))
    assert store(database, ONE) == Stored(new=1, repeated=0), "it was gone and is back"
    assert store(database, ONE) == Stored(new=0, repeated=1), "now it is a repeat again"


def test_a_late_copy_of_a_webhook_does_not_bring_a_row_back(database: Database) -> None:
    store(database, ONE)
    store(database, Incoming("a", "gone:2026-01-01", "{}", deleted=True))
    with database.transaction() as connection:
        late = arrivals.store_page(connection, "crm", "Account", [ONE], received_by="webhook")
    assert late == Stored(new=0, repeated=1)


def test_a_hint_that_comes_while_its_row_is_fetched_stays(database: Database) -> None:
    hint = [("Account", "a"), ("Account", "a"), ("Account", "b")]
    with database.transaction() as connection:
        arrivals.store_hints(connection, "crm", hint)
        seen = arrivals.hinted(connection, "crm", "Account", 10)
    assert sorted(key for key, _ in seen) == ["a", "b"]
    with database.transaction() as connection:
        arrivals.store_hints(connection, "crm", [("Account", "a")])  # it changed once more
    with database.transaction() as connection:
        arrivals.store_page(
            connection, "crm", "Account", [ONE, TWO], received_by="webhook", settles=seen
        )
        left = arrivals.hinted(connection, "crm", "Account", 10)
    assert [key for key, _ in left] == ["a"]


def test_a_hint_is_settled_by_what_was_asked_whatever_another_host_thinks_the_time_is(
    database: Database,
) -> None:
    """The intake's clock may be ahead of the worker's."""
    with database.transaction() as connection:
        arrivals.store_hints(connection, "crm", [("Account", "a")])
        connection.execute("UPDATE hints SET asked_at = asked_at + interval '1 hour'")
        seen = arrivals.hinted(connection, "crm", "Account", 10)
        assert isinstance(seen[0][1], dt.datetime)
        arrivals.store_page(
            connection, "crm", "Account", [ONE], received_by="webhook", settles=seen
        )
        assert arrivals.hinted(connection, "crm", "Account", 10) == []


@pytest.mark.parametrize("bad", ["\x00", "\ud800"])
def test_what_no_database_stores_is_kept_escaped(database: Database, bad: str) -> None:
    row = Incoming.storable(f"k{bad}", "v1", f'{{"name": "x{bad}y"}}')
    assert store(database, row).new == 1
    assert kept(database)[0][0] == f"k\\u{ord(bad):04x}"


def test_the_newest_settled_version_counts_however_it_ended(database: Database) -> None:
    store(database, ONE, Incoming("a", "v3", "{}"), Incoming("a", "gone:x", "{}", deleted=True))
    with database.transaction() as connection:
        assert arrivals.newest_seen(connection, "crm", "Account", ["a"]) == {}
        connection.execute("UPDATE arrivals SET state = 'out_of_scope'")
        assert arrivals.newest_seen(connection, "crm", "Account", ["a"]) == {"a": "v3"}
