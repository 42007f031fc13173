"""Reading from and publishing to a real JetStream server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.nats_server import OPTIONS, POSTED, Server, a_write, server, session, speaking
from tieout.connectors.nats import reading
from tieout.finance.outcome import AlreadyThere, Rejected, Written
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session

CONNECTOR = speaking()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("jetstream")) as made:
        yield made


@pytest.fixture
def broker(running: Server) -> Iterator[Server]:
    running.stream()
    yield running
    running.delete_stream()


@pytest.fixture
def at(broker: Server) -> Iterator[Session]:
    made = session(broker.url, CONNECTOR)
    yield made
    made.close()


def test_check_says_what_is_there(broker: Server, at: Session) -> None:
    assert CONNECTOR.check(at).well


def test_a_write_is_one_cloudevent_that_is_found_again(broker: Server, at: Session) -> None:
    write = a_write(1)
    assert CONNECTOR.write(at, "invoice", [write]) == [Written("finance.invoice.INV-1")]
    (message,) = broker.messages()
    assert message.subject == "finance.invoice.INV-1"
    assert message.headers["Nats-Msg-Id"] == write.write_key
    assert json.loads(message.data) == {
        "specversion": "1.0",
        "id": write.write_key,
        "source": "acme",
        "type": POSTED,
        "subject": "INV-1",
        "datacontenttype": "application/json",
        "data": {"number": "1", "total": "10.00"},
    }
    found = CONNECTOR.find(at, "invoice", [write])[write.write_key]
    assert found is not None
    assert found.facts == CONNECTOR.meant("invoice", write)
    assert found.number == "EVENTS@1"


def test_the_same_write_again_is_there_already(broker: Server, at: Session) -> None:
    write = a_write(1)
    CONNECTOR.write(at, "invoice", [write])
    (again,) = CONNECTOR.write(at, "invoice", [write])
    assert isinstance(again, AlreadyThere)
    assert len(broker.messages()) == 1


def test_what_was_never_written_is_not_found(broker: Server, at: Session) -> None:
    assert CONNECTOR.find(at, "invoice", [a_write(1)]) == {a_write(1).write_key: None}


def test_a_later_revision_follows_and_the_earlier_one_does_not_come_back(
    broker: Server, at: Session
) -> None:
    first, second = a_write(1), a_write(1, 2, "change", "12.00")
    CONNECTOR.write(at, "invoice", [first])
    assert CONNECTOR.find(at, "invoice", [second])[second.write_key] is None
    assert isinstance(CONNECTOR.write(at, "invoice", [second])[0], Written)
    found = CONNECTOR.find(at, "invoice", [second])[second.write_key]
    assert found is not None
    assert found.facts == CONNECTOR.meant("invoice", second)


def test_a_void_has_its_own_type_and_a_delete_without_one_is_refused(
    broker: Server, at: Session
) -> None:
    void, gone = a_write(1, 2, "void"), a_write(2, 1, "delete")
    outcomes = CONNECTOR.write(at, "invoice", [void, gone])
    assert isinstance(outcomes[0], Written)
    assert isinstance(outcomes[1], Rejected)
    assert "publishes_delete" in outcomes[1].detail.next_action
    assert json.loads(broker.messages()[0].data)["type"] == "finance.invoice.voided.v1"


def test_an_event_of_somebody_else_on_our_subject_differs(broker: Server, at: Session) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    broker.say("finance.invoice.INV-1", b"hello")
    found = CONNECTOR.find(at, "invoice", [a_write(1)])[a_write(1).write_key]
    assert found is not None
    assert found.facts != CONNECTOR.meant("invoice", a_write(1))


def test_references_never_make_other_subjects(broker: Server, at: Session) -> None:
    odd = [
        (f"k{number}/1", reference)
        for number, reference in enumerate(["a.b", "a b", "*", ">", "é/1", "a%2Eb", "$JS", "\t"])
    ]
    template = a_write(1)
    writes = [type(template)(key, reference, "create", template.document) for key, reference in odd]
    assert all(isinstance(one, Written) for one in CONNECTOR.write(at, "invoice", writes))
    assert len({one.subject for one in broker.messages()}) == len(odd)
    found = CONNECTOR.find(at, "invoice", writes)
    assert all(found[one.write_key] is not None for one in writes)


def test_an_event_too_large_is_rejected_and_the_others_go(broker: Server, at: Session) -> None:
    large = a_write(1, total="1" * 2_000_000)
    outcomes = CONNECTOR.write(at, "invoice", [large, a_write(2)])
    assert isinstance(outcomes[0], Rejected)
    assert isinstance(outcomes[1], Written)


def test_binary_mode_says_the_same(broker: Server, at: Session) -> None:
    binary = speaking({**OPTIONS, "envelope": "binary"})
    binary.write(at, "invoice", [a_write(1)])
    (message,) = broker.messages()
    assert message.headers["ce-type"] == POSTED
    assert message.data == b'{"number":"1","total":"10.00"}'
    found = CONNECTOR.find(at, "invoice", [a_write(1)])[a_write(1).write_key]
    assert found is not None
    assert found.facts == CONNECTOR.meant("invoice", a_write(1))
    (item,) = CONNECTOR.read(at, "invoice", "").items
    assert item.key == "INV-1"
    assert json.loads(item.payload)["total"] == "10.00"


# --- reading ---------------------------------------------------------------------------------


def _event(number: int, kind: str = POSTED, **more: object) -> bytes:
    event = {"specversion": "1.0", "id": f"e{number}", "source": "shop", "type": kind}
    return json.dumps(
        {**event, "subject": f"S{number}", "data": {"number": number}, **more}
    ).encode()


def test_pages_follow_each_other_without_gap_or_overlap(
    broker: Server, at: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 60)
    CONNECTOR.write(at, "invoice", [a_write(number) for number in range(150)])
    keys, cursor, more, pages = [], "", True, 0
    while more:
        page = CONNECTOR.read(at, "invoice", cursor)
        keys += [one.key for one in page.items]
        cursor, more, pages = page.cursor, page.more, pages + 1
        assert pages <= 4
    assert sorted(keys) == sorted(f"INV-{number}" for number in range(150))
    assert pages == 3
    assert CONNECTOR.read(at, "invoice", cursor).items == ()


def test_a_page_read_and_not_committed_is_read_again(broker: Server, at: Session) -> None:
    broker.say("finance.invoice.S1", _event(1))
    first = CONNECTOR.read(at, "invoice", "")
    assert CONNECTOR.read(at, "invoice", "") == first
    other = session(broker.url, CONNECTOR)
    assert CONNECTOR.read(other, "invoice", "") == first
    other.close()


def test_a_repeat_of_an_event_is_the_same_row_and_version(broker: Server, at: Session) -> None:
    for _ in range(2):
        broker.say("finance.invoice.S1", _event(1, time="2026-03-01T10:00:00+02:00"))
    one, again = CONNECTOR.read(at, "invoice", "").items
    assert one == again
    assert one.version == "2026-03-01T08:00:00.000000000Z"


def test_types_that_do_not_count_are_left_out_and_deletes_delete(
    broker: Server, at: Session
) -> None:
    chosen = speaking(
        {"stream": "EVENTS", "subject": "finance.>", "types": "a.v1", "deletes": "b.v1"}
    )
    for number, kind in enumerate(["a.v1", "b.v1", "c.v1"]):
        broker.say("finance.x", _event(number, kind))
    page = chosen.read(at, "invoice", "")
    assert [(one.key, one.deleted) for one in page.items] == [("S0", False), ("S1", True)]
    assert json.loads(page.cursor)["sequence"] == 3


def test_the_version_is_a_field_of_the_data_where_one_is_declared(
    broker: Server, at: Session
) -> None:
    versioned = speaking(version="number")
    broker.say("finance.invoice.S7", _event(7, time="2026-03-01T10:00:00Z"))
    assert versioned.read(at, "invoice", "").items[0].version == "7"


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"\xff\x00", b"[]", b'{"id":"1"}', _event(1, specversion="0.3")]
)
def test_a_message_that_is_no_event_arrives_as_itself_and_stops_nothing(
    broker: Server, at: Session, body: bytes
) -> None:
    broker.say("finance.invoice.S0", body)
    broker.say("finance.invoice.S1", _event(1))
    strange, good = CONNECTOR.read(at, "invoice", "").items
    assert strange.key == "EVENTS@1"
    assert json.loads(strange.payload)["not_a_cloudevent"]
    assert good.key == "S1"


def test_messages_of_other_subjects_move_the_cursor_on(broker: Server, at: Session) -> None:
    broker.say("finance.invoice.S1", _event(1))
    cursor = CONNECTOR.read(at, "invoice", "").cursor
    for number in range(3):
        broker.say("finance.order.S1", _event(number))
    page = CONNECTOR.read(at, "invoice", cursor)
    assert page.items == ()
    broker.purge(keep=1)  # only others are lost
    assert CONNECTOR.read(at, "invoice", page.cursor).items == ()


def test_what_was_lost_is_named_and_stays_a_fault_until_it_is_accounted_for(
    broker: Server, at: Session
) -> None:
    for number in range(6):
        broker.say("finance.invoice.S", _event(number))
        if number == 1:
            cursor = CONNECTOR.read(at, "invoice", "").cursor
    broker.purge(keep=1)
    for _ in range(2):
        with pytest.raises(VendorFault, match="sequences 3 to 5 are gone") as fault:
            CONNECTOR.read(at, "invoice", cursor)
    assert "lost_until: EVENTS=5" in str(fault.value)
    told = session(broker.url, CONNECTOR, lost_until="EVENTS=5")
    assert [one.key for one in CONNECTOR.read(told, "invoice", cursor).items] == ["S5"]
    told.close()


def test_messages_lost_to_the_last_one_are_a_fault_too(broker: Server, at: Session) -> None:
    broker.say("finance.invoice.S", _event(1))
    cursor = CONNECTOR.read(at, "invoice", "").cursor
    broker.say("finance.invoice.S", _event(2))
    broker.purge()
    with pytest.raises(VendorFault, match="sequences 2 to 2 are gone"):
        CONNECTOR.read(at, "invoice", cursor)


def test_one_message_deleted_from_a_stream_of_our_own_is_a_fault(broker: Server) -> None:
    alone = speaking({"stream": "EVENTS", "subject": "finance.>"})
    at = session(broker.url, alone)
    for number in range(4):
        broker.say("finance.x", _event(number))
    cursor = json.dumps({**json.loads(alone.read(at, "invoice", "").cursor), "sequence": 1})
    broker.delete_message(3)
    with pytest.raises(VendorFault, match="sequences 3 to 3 are gone"):
        alone.read(at, "invoice", cursor)
    at.close()


def test_a_stream_that_was_made_anew_is_a_fault_with_a_way_out(broker: Server, at: Session) -> None:
    broker.say("finance.invoice.S1", _event(1))
    cursor = CONNECTOR.read(at, "invoice", "").cursor
    broker.delete_stream()
    broker.stream()
    broker.say("finance.invoice.S2", _event(2))
    with pytest.raises(VendorFault, match="made anew") as fault:
        CONNECTOR.read(at, "invoice", cursor)
    way_out = str(fault.value).partition("lost_until: ")[2].partition(";")[0]
    told = session(broker.url, CONNECTOR, lost_until=way_out)
    assert [one.key for one in CONNECTOR.read(told, "invoice", cursor).items] == ["S2"]
    told.close()


def test_hinted_rows_are_the_newest_event_of_their_subject(broker: Server, at: Session) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    CONNECTOR.write(at, "invoice", [a_write(1, 2, "change", "11.00")])
    here, gone = CONNECTOR.fetch(at, "invoice", ["INV-1", "INV-2"])
    assert json.loads(here.payload)["total"] == "11.00"
    assert gone.deleted


def test_nothing_is_left_on_the_server(broker: Server, at: Session, tmp_path: Path) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    for _ in range(5):
        CONNECTOR.read(at, "invoice", "")
    CONNECTOR.check(at)
    left = broker.with_client(lambda client: client.jetstream().consumers_info("EVENTS"))
    assert left == []
