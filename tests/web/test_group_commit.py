"""Group commit: what arrives while a commit runs shares the next one; nobody is told too early."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

import psycopg
import pytest

from tieout.engine import pacing
from tieout.engine.collect import Taken
from tieout.engine.context import Context
from tieout.ports.connector import Item, Received
from tieout.web import group_commit
from tieout.web.group_commit import Full, GroupCommit, NotKept

SECONDS = 20.0


@pytest.fixture
def commits(context: Context) -> Iterator[GroupCommit]:
    made = GroupCommit(context)
    yield made
    made.close()


def taken(key: str, payload: str = "{}", size: int = 100) -> Taken:
    row = Item(key, "v1", payload)
    return Taken("salesforce", "Opportunity", Received(items=(row,)), size)


@contextmanager
def held_up(context: Context) -> Iterator[None]:
    """While inside, nothing can be stored: somebody else holds the register."""
    with psycopg.connect(context.database.url) as other:
        other.execute("LOCK TABLE arrival_keys IN ACCESS EXCLUSIVE MODE")
        yield


def stored(context: Context) -> dict[str, str]:
    """Source key to the transaction that stored it."""
    with psycopg.connect(context.database.url) as connection:
        rows = connection.execute("SELECT source_key, xmin::text FROM arrival_keys").fetchall()
    return {str(key): str(transaction) for key, transaction in rows}


def all_done(futures: list[Future[None]]) -> None:
    assert not wait(futures, SECONDS).not_done


def test_a_single_webhook_leaves_at_once(context: Context, commits: GroupCommit) -> None:
    commits.offer(taken("a")).result(SECONDS)
    assert list(stored(context)) == ["a"]


def test_what_comes_while_a_commit_runs_is_committed_together(
    context: Context, commits: GroupCommit
) -> None:
    with held_up(context):
        first = commits.offer(taken("first"))
        while first.running() is False:
            pass  # the thread takes it within moments
        rest = [commits.offer(taken(f"k{number}")) for number in range(40)]
        assert not any(one.done() for one in (first, *rest)), "told before it was stored"
    all_done([first, *rest])
    by_key = stored(context)
    assert len(by_key) == 41
    assert len({by_key[f"k{number}"] for number in range(40)}) == 1, "one commit for all that wait"
    assert by_key["first"] != by_key["k0"]


@pytest.mark.parametrize(("limit", "most"), [("MOST_WAITING", 3), ("MOST_WAITING_BYTES", 300)])
def test_what_waits_is_bounded(
    context: Context,
    commits: GroupCommit,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    most: int,
) -> None:
    monkeypatch.setattr(group_commit, limit, most)
    with held_up(context):
        first = commits.offer(taken("first"))
        while first.running() is False:
            pass
        waiting = [commits.offer(taken(f"k{number}")) for number in range(3)]
        with pytest.raises(Full):
            commits.offer(taken("one too many"))
    all_done([first, *waiting])
    assert len(stored(context)) == 4
    commits.offer(taken("again")).result(SECONDS)


def test_one_that_cannot_be_stored_takes_no_other_with_it(
    context: Context, commits: GroupCommit
) -> None:
    with held_up(context):
        first = commits.offer(taken("first"))
        while first.running() is False:
            pass
        rest = [commits.offer(taken(f"k{number}")) for number in range(9)]
        bad = commits.offer(taken("bad", payload=b"not text"))  # type: ignore[arg-type]
        rest += [commits.offer(taken(f"l{number}")) for number in range(9)]
    all_done([first, bad, *rest])
    assert bad.exception() is not None
    assert all(one.exception() is None for one in rest)
    assert len(stored(context)) == 19


def test_nothing_is_taken_while_the_workers_are_too_far_behind(
    context: Context, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "OVERFULL_SECONDS", 0.0)
    for key in ("one", "two"):
        commits.offer(taken(key)).result(SECONDS)
    with monkeypatch.context() as narrow:
        narrow.setattr(pacing, "MOST_ARRIVALS_WAITING", 1)
        with pytest.raises(Full):
            commits.offer(taken("too many")).result(SECONDS)
    commits.offer(taken("after")).result(SECONDS)
    assert set(stored(context)) == {"one", "two", "after"}


def test_without_a_database_nobody_is_told_that_it_was_stored(context: Context) -> None:
    context.database.url = "postgresql://127.0.0.1:1/nobody"
    commits = GroupCommit(context)
    try:
        with pytest.raises(NotKept):
            commits.offer(taken("a")).result(SECONDS)
    finally:
        commits.close()


def test_it_goes_on_when_the_database_is_back(context: Context, commits: GroupCommit) -> None:
    commits.offer(taken("before")).result(SECONDS)
    with psycopg.connect(context.database.url, autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with contextlib.suppress(NotKept):  # unless the broken connection was noticed before its use
        commits.offer(taken("cut off")).result(SECONDS)
    commits.offer(taken("after")).result(SECONDS)
    assert set(stored(context)) >= {"before", "after"}


def test_what_waits_is_committed_before_it_closes(context: Context) -> None:
    commits = GroupCommit(context)
    offered = [commits.offer(taken(f"k{number}")) for number in range(20)]
    commits.close()
    all_done(offered)
    assert len(stored(context)) == 20
    with pytest.raises(Full):
        commits.offer(taken("too late"))
