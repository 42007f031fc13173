"""CloudEvents: what goes in comes out in either mode, and nothing that is none is taken for one."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.ports.cloudevents import STRUCTURED, Event, NotAnEvent, instant, read_event, unreadable

HEAD = {"specversion": "1.0", "id": "1", "source": "shop", "type": "order.placed.v1"}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS, TEXTS, JSONS)
def test_both_modes_bring_the_event_back(identifier: str, subject: str, data: object) -> None:
    said = {**HEAD, "id": identifier, "subject": subject, "datacontenttype": "application/json"}
    event = Event(said, "" if data is None else json.dumps(data))
    headers, body = event.binary()
    assert read_event(headers, body) == event
    assert all(re.fullmatch("[!-~]+", value) for value in headers.values())
    assert read_event({"Content-Type": f"{STRUCTURED}; charset=utf-8"}, event.structured()) == event


@given(st.dictionaries(TEXTS, JSONS, max_size=4))
def test_what_arrives_has_every_member_of_the_data_as_it_was(data: dict[str, object]) -> None:
    arrived = json.loads(Event(HEAD, json.dumps(data)).payload())
    assert arrived.pop("cloudevent") == HEAD
    assert arrived == (data if "cloudevent" not in data else {"data": data})


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    for headers in ({}, {"content-type": STRUCTURED}, {"ce-specversion": "1.0"}):
        with pytest.raises(NotAnEvent):
            read_event(headers, body)
    assert json.loads(unreadable("no event", body))["not_a_cloudevent"] == "no event"


def test_numbers_keep_their_digits() -> None:
    body = (
        b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":12345678901234567.89}}'
    )
    event = read_event({}, body)
    assert event.payload().endswith('"a":12345678901234567.89}')
    assert event.field("a") == "12345678901234567.89"


def test_data_that_is_no_object_stands_under_data() -> None:
    assert json.loads(Event(HEAD, "[1]").payload())["data"] == [1]
    assert json.loads(Event(HEAD).payload()) == {"cloudevent": HEAD}


def test_binary_data_in_base64_is_read() -> None:
    event = read_event({}, json.dumps({**HEAD, "data_base64": "eyJhIjogMX0="}).encode())
    assert json.loads(event.payload())["a"] == 1


def test_half_a_character_is_no_event() -> None:
    with pytest.raises(NotAnEvent):
        read_event({}, json.dumps({**HEAD, "data": {"a": "\ud800"}}).encode())


def test_early_years_keep_four_digits() -> None:
    assert instant("0999-01-01T00:00:00Z") == "0999-01-01T00:00:00.000000000Z"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON"),
        (b'{"a":' * 100_000, "no JSON"),
        (json.dumps({**HEAD, "id": ""}).encode(), "'id' is missing"),
        (json.dumps({**HEAD, "specversion": "0.3"}).encode(), "not 1.0"),
        (json.dumps({**HEAD, "subject": {"a": 1}}).encode(), "no simple value"),
        (json.dumps({**HEAD, "time": "yesterday"}).encode(), "RFC 3339"),
        (json.dumps({**HEAD, "data_base64": "*"}).encode(), "no JSON"),
        (json.dumps({**HEAD, **{f"x{n}": 1 for n in range(101)}}).encode(), "more than"),
    ],
)
def test_what_is_no_event_says_why(body: bytes, why: str) -> None:
    with pytest.raises(NotAnEvent, match=re.escape(why)):
        read_event({}, body)


def test_another_content_type_is_neither_mode() -> None:
    with pytest.raises(NotAnEvent, match="text/plain"):
        read_event({"content-type": "text/plain"}, json.dumps(HEAD).encode())


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00.000000000Z"),
        ("2026-03-01t10:00:00.5z", "2026-03-01T10:00:00.500000000Z"),
        ("2026-03-01T10:00:00.1234567899Z", "2026-03-01T10:00:00.123456789Z"),
    ],
)
def test_instants_sort_as_text(text: str, utc: str) -> None:
    assert instant(text) == utc


@pytest.mark.parametrize(
    "text", ["2026-03-01", "0001-01-01T00:00:00+14:00", "2026-13-01T00:00:00Z"]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(NotAnEvent):
        instant(text)
