"""Cases on a stream that reads: nothing lost at a page boundary, no answer never taken for one."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from itertools import pairwise

from tieout.finance.outcome import Busy, Denied, Drift, Outage, Unknown
from tieout.ports.connector import Field, Item, Reads, Stream, Sweeps
from tieout.ports.http import Response
from tieout.rehearsal.contract.bench import Bench, Hooks, failure
from tieout.rehearsal.contract.wire import (
    as_html,
    changed,
    every,
    exact_json,
    leaves,
    truncated,
    with_extra_fields,
)

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


def pages_lose_nothing(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        keys = hooks.seed_rows(bench, stream.name, hooks.rows_to_page)
        assert len(set(keys)) == hooks.rows_to_page, "seed_rows gives one key per row"
        pages = bench.pages(stream)
        assert len(pages) >= 3, (
            f"{stream.name}: {len(pages)} pages for {len(keys)} rows prove nothing; "
            "make pages smaller (session_settings) or rows_to_page larger"
        )
        rows = [item for items, _ in pages for item in items]
        lost = set(keys) - {item.key for item in rows}
        assert not lost, f"{stream.name}: lost between pages: {sorted(lost)}"
        often = {
            seen: times
            for seen, times in Counter((item.key, item.version) for item in rows).items()
            if times > 1
        }
        assert not often, f"{stream.name}: one pass gives a row twice: {often}"
        full = [items for items, _ in pages if items]
        assert any(left[-1].version == right[0].version for left, right in pairwise(full)), (
            f"{stream.name}: no boundary between equal versions; seed_rows must share one version"
        )
        _items_are_sound(stream, rows)


def _items_are_sound(stream: Stream, rows: list[Item]) -> None:
    for item in rows:
        value = exact_json(item.payload)
        assert isinstance(value, dict), f"{stream.name}: a payload is not a JSON object"
        assert item.version, f"{stream.name} {item.key}: an item has no version"
        if not item.deleted:
            assert str(value.get(stream.key)) == item.key, (
                f"{stream.name}: item {item.key} holds {stream.key} = {value.get(stream.key)!r}"
            )


def cursor_resumes_anywhere(hooks: Hooks, stream: Stream) -> None:
    """From every page's cursor, a session that knows nothing else reads the rest."""
    with hooks.bench(prepared=True) as bench:
        keys = set(hooks.seed_rows(bench, stream.name, hooks.rows_to_page))
        pages = bench.pages(stream)
        had: set[str] = set()
        for items, cursor in pages[:3]:
            had |= {item.key for item in items}
            bench.session = hooks.session_for(bench.served)
            rest = {item.key for item in bench.rows(stream, cursor)}
            assert keys <= had | rest, (
                f"{stream.name}: lost after cursor {cursor!r}: {sorted(keys - had - rest)}"
            )


def later_rows_are_seen(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        hooks.seed_rows(bench, stream.name, 2)
        cursor = bench.pages(stream)[-1][1]
        later = set(hooks.seed_rows(bench, stream.name, 2))
        seen = {item.key for item in bench.rows(stream, cursor)}
        assert later <= seen, f"{stream.name}: rows made after the cursor are lost"
        assert later <= {item.key for item in bench.rows(stream)}, "a second pass loses rows"


def a_sweep_meets_every_row(hooks: Hooks, stream: Stream) -> None:
    """Page by page, with the very keys and versions that `read` gives: a version spelt otherwise
    would have every row fetched again in every sweep."""
    connector = hooks.connector
    assert isinstance(connector, Sweeps)
    with hooks.bench(prepared=True) as bench:
        keys = set(hooks.seed_rows(bench, stream.name, hooks.rows_to_page))
        read = {(item.key, item.version) for item in bench.rows(stream) if item.key in keys}
        met: list[tuple[str, str]] = []
        after, more = "", True
        for _ in range(len(keys) + 10):
            page = connector.marks(bench.session, stream.name, LONG_AGO, after)
            met += [(one.key, one.version) for one in page.marks if one.key in keys]
            after, more = page.after, page.more
            if not more:
                break
        assert not more, f"{stream.name}: a sweep of {len(keys)} rows does not end"
        assert len(met) == len(set(met)), f"{stream.name}: a sweep names a row twice"
        assert set(met) == read, f"{stream.name}: not the rows of read: {set(met) ^ read}"


def fetch_tells_what_is_gone(hooks: Hooks, stream: Stream) -> None:
    connector = hooks.connector
    assert isinstance(connector, Reads)
    with hooks.bench(prepared=True) as bench:
        there = hooks.seed_rows(bench, stream.name, 2)
        missing = hooks.missing_key(stream.name)
        items = {
            item.key: item
            for item in connector.fetch(bench.session, stream.name, [there[0], missing, there[1]])
        }
        assert set(items) == {*there, missing}, f"{stream.name}: fetched {sorted(items)}"
        assert items[missing].deleted, f"{stream.name}: a key that is gone is a deleted item"
        assert not items[there[0]].deleted
        _items_are_sound(stream, [items[key] for key in there])
        assert list(connector.fetch(bench.session, stream.name, [])) == []


def unknown_fields_are_tolerated(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        keys = set(hooks.seed_rows(bench, stream.name, 3))
        bench.session.transport = changed(bench.session.transport, every, with_extra_fields)
        assert keys <= {item.key for item in bench.rows(stream)}


def a_row_without_its_key_is_drift(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        hooks.seed_rows(bench, stream.name, 2)
        altered: list[bool] = []

        def take_key(response: Response) -> Response:
            other = hooks.without_key(stream, response)
            altered.append(other.body != response.body)
            return other

        bench.session.transport = changed(bench.session.transport, every, take_key)
        outcome = failure(lambda: bench.rows(stream))
        assert any(altered), f"no answer held {stream.key}; override without_key"
        assert isinstance(outcome, Drift), f"{stream.name}: {outcome}"
        assert outcome.detail.next_action, "drift says what to do"


def a_web_page_is_not_an_answer(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        bench.session.transport = changed(bench.session.transport, every, as_html)
        _is_no_answer(bench, stream)


def half_an_answer_is_not_an_answer(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        hooks.seed_rows(bench, stream.name, 2)
        bench.session.transport = changed(bench.session.transport, every, truncated)
        _is_no_answer(bench, stream)


def _is_no_answer(bench: Bench, stream: Stream) -> None:
    outcome = failure(lambda: bench.rows(stream))
    assert isinstance(outcome, Unknown | Outage | Drift), f"{stream.name}: {outcome}"


def busy_is_told(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        fault = bench.plant("busy")
        outcome = failure(lambda: bench.rows(stream))
        assert isinstance(outcome, Busy), f"{stream.name}: {outcome}"
        assert outcome.wait_seconds == bench.served.emulator.busy(fault).retry_after_seconds()


def a_server_error_is_no_answer(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        bench.plant("server_error")
        outcome = failure(lambda: bench.rows(stream))
        assert isinstance(outcome, Unknown | Outage), f"{stream.name}: {outcome}"


def a_lost_reply_is_no_answer(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        bench.plant("lost_reply")
        outcome = failure(lambda: bench.rows(stream))
        assert isinstance(outcome, Unknown | Outage), f"{stream.name}: {outcome}"


def a_system_that_is_down_is_an_outage(hooks: Hooks, stream: Stream) -> None:
    with hooks.tenant() as served:
        bench = Bench(hooks.connector, served, hooks.session_for(served))
    outcome = failure(lambda: bench.rows(stream))
    assert isinstance(outcome, Outage), f"{stream.name}: {outcome}"


def wrong_secrets_are_denied(hooks: Hooks, stream: Stream) -> None:
    with hooks.tenant() as served:
        session = hooks.session_for(served, hooks.wrong_secrets(served))
        bench = Bench(hooks.connector, served, session)
        outcome = failure(lambda: bench.rows(stream))
        assert isinstance(outcome, Denied), f"{stream.name}: {outcome}"


def numbers_are_exact(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        for amount in hooks.exact_amounts:
            key = hooks.seed_amount(bench, stream.name, amount)
            payloads = [item.payload for item in bench.rows(stream) if item.key == key]
            assert payloads, f"{stream.name}: row {key} was not read"
            assert any(_is_number(leaf, amount) for leaf in leaves(exact_json(payloads[-1]))), (
                f"{stream.name}: {amount} is not to be found in {payloads[-1]}"
            )


def _is_number(leaf: object, amount: str) -> bool:
    if isinstance(leaf, Decimal):
        return leaf == Decimal(amount)
    text = leaf if isinstance(leaf, str) else ""
    return text.replace(".", "", 1).isdigit() and Decimal(text) == Decimal(amount)


def has_numbers(fields: tuple[Field, ...]) -> bool:
    """Whether a stream carries amounts that must survive reading."""
    return any(
        field.type in {"amount", "number", "quantity", "rate"} or has_numbers(field.fields)
        for field in fields
    )


CASES_OVER_A_LINE = (
    pages_lose_nothing,
    cursor_resumes_anywhere,
    later_rows_are_seen,
    fetch_tells_what_is_gone,
    a_system_that_is_down_is_an_outage,
)
CASES = (
    pages_lose_nothing,
    cursor_resumes_anywhere,
    later_rows_are_seen,
    fetch_tells_what_is_gone,
    unknown_fields_are_tolerated,
    a_row_without_its_key_is_drift,
    a_web_page_is_not_an_answer,
    half_an_answer_is_not_an_answer,
    busy_is_told,
    a_server_error_is_no_answer,
    a_lost_reply_is_no_answer,
    a_system_that_is_down_is_an_outage,
    wrong_secrets_are_denied,
)
