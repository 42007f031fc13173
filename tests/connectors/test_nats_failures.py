"""A server that is down, frozen, killed, made of other limits, or that does not let us in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.connectors.nats_server import OPTIONS, Server, a_write, server, session, speaking
from tieout import clock
from tieout.connectors.nats import wire
from tieout.connectors.nats.wire import Publication, Published, Refused
from tieout.finance.outcome import AlreadyThere, Denied, Drift, Outage, Unknown, Written
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

CONNECTOR = speaking()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "jetstream") as made:
        made.stream()
        yield made


@pytest.fixture
def at(broker: Server) -> Iterator[Session]:
    made = session(broker.url, CONNECTOR, timeout_seconds=1.0)
    yield made
    made.close()


def test_a_server_that_is_down_is_an_outage_and_comes_back(broker: Server, at: Session) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    broker.kill()
    (first,) = CONNECTOR.write(at, "invoice", [a_write(2)])
    (second,) = CONNECTOR.write(at, "invoice", [a_write(2)])
    assert isinstance(first, Outage)
    assert isinstance(second, Outage)
    health = CONNECTOR.check(at)
    assert not health.well
    assert "servers" in health.next_action
    with pytest.raises(NoAnswer):
        CONNECTOR.read(at, "invoice", "")
    broker.start()
    assert [one.key for one in CONNECTOR.read(at, "invoice", "").items] == ["INV-1"]
    assert CONNECTOR.write(at, "invoice", [a_write(2)]) == [Written("finance.invoice.INV-2")]


def test_killed_after_the_look_is_unknown_and_the_same_bytes_leave_once(
    broker: Server, at: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = wire.publish

    def killed(at: Session, stream: str, messages: Sequence[Publication]) -> list[Published]:
        broker.kill()
        return publish(at, stream, messages)

    monkeypatch.setattr(wire, "publish", killed)
    (outcome,) = CONNECTOR.write(at, "invoice", [a_write(1)])
    assert isinstance(outcome, Unknown)
    monkeypatch.undo()
    broker.start()
    assert CONNECTOR.find(at, "invoice", [a_write(1)]) == {a_write(1).write_key: None}
    assert isinstance(CONNECTOR.write(at, "invoice", [a_write(1)])[0], Written)
    assert len(broker.messages()) == 1


def test_frozen_after_the_look_is_unknown_and_what_comes_late_is_the_one(
    broker: Server, at: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = wire.publish

    def frozen(at: Session, stream: str, messages: Sequence[Publication]) -> list[Published]:
        broker.freeze()
        return publish(at, stream, messages)

    monkeypatch.setattr(wire, "publish", frozen)
    (outcome,) = CONNECTOR.write(at, "invoice", [a_write(1)])
    assert isinstance(outcome, Unknown)
    monkeypatch.undo()
    with pytest.raises(NoAnswer):
        CONNECTOR.find(at, "invoice", [a_write(1)])
    broker.thaw()
    CONNECTOR.write(at, "invoice", [a_write(1)])
    assert len(broker.messages()) == 1
    found = CONNECTOR.find(at, "invoice", [a_write(1)])[a_write(1).write_key]
    assert found is not None
    assert found.facts == CONNECTOR.meant("invoice", a_write(1))


def test_a_late_copy_is_refused_long_after_the_window_for_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Publication] = []
    publish = wire.publish

    def seen(at: Session, stream: str, messages: Sequence[Publication]) -> list[Published]:
        sent.extend(messages)
        return publish(at, stream, messages)

    monkeypatch.setattr(wire, "publish", seen)
    with server(tmp_path / "jetstream") as broker:
        broker.stream(duplicate_window=0.1)
        at = session(broker.url, CONNECTOR)
        CONNECTOR.write(at, "invoice", [a_write(1)])
        clock.sleep(0.5)
        (late,) = publish(at, "EVENTS", sent)
        assert isinstance(late, Refused)
        assert late.code == "10071"
        assert isinstance(CONNECTOR.write(at, "invoice", [a_write(1)])[0], AlreadyThere)
        assert len(broker.messages()) == 1
        assert "knows repeats" in CONNECTOR.check(at).words
        at.close()


def test_a_lost_race_is_there_already_and_the_look_tells_whose_it_is(
    broker: Server, at: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = wire.publish

    def overtaken(at: Session, stream: str, messages: Sequence[Publication]) -> list[Published]:
        broker.say(messages[0].subject, b"somebody else")
        return publish(at, stream, messages)

    monkeypatch.setattr(wire, "publish", overtaken)
    (outcome,) = CONNECTOR.write(at, "invoice", [a_write(1)])
    assert isinstance(outcome, AlreadyThere)
    found = CONNECTOR.find(at, "invoice", [a_write(1)])[a_write(1).write_key]
    assert found is not None
    assert found.facts["event"] != a_write(1).write_key


def test_a_line_the_server_hung_up_while_idle_is_opened_again(
    broker: Server, at: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    broker.kill()
    broker.start()
    monkeypatch.setattr("tieout.connectors.nats.line.IDLE_SECONDS", -1.0)
    assert isinstance(CONNECTOR.write(at, "invoice", [a_write(2)])[0], Written)


def test_what_was_read_is_known_after_a_restart(broker: Server, at: Session) -> None:
    CONNECTOR.write(at, "invoice", [a_write(1)])
    cursor = CONNECTOR.read(at, "invoice", "").cursor
    broker.kill()
    broker.start()
    other = session(broker.url, CONNECTOR)
    assert CONNECTOR.read(other, "invoice", cursor).items == ()
    CONNECTOR.write(other, "invoice", [a_write(2)])
    assert [one.key for one in CONNECTOR.read(other, "invoice", cursor).items] == ["INV-2"]
    other.close()


def test_a_stream_that_is_not_there_or_is_another_one_is_drift(broker: Server, at: Session) -> None:
    missing = speaking({**OPTIONS, "stream": "NOWHERE"})
    elsewhere = speaking({**OPTIONS, "subject": "sales.invoice"})
    with pytest.raises(VendorFault) as fault:
        missing.read(at, "invoice", "")
    assert isinstance(fault.value.outcome, Drift)
    assert not missing.check(at).well
    assert isinstance(missing.write(at, "invoice", [a_write(1)])[0], Drift)
    assert isinstance(elsewhere.write(at, "invoice", [a_write(1)])[0], Outage)


def test_a_work_queue_is_refused(broker: Server, at: Session) -> None:
    broker.stream("QUEUE", "work.>", retention="workqueue")
    queue = speaking({"stream": "QUEUE", "subject": "work.>"})
    with pytest.raises(VendorFault, match="workqueue retention"):
        queue.read(at, "invoice", "")


def test_a_full_stream_is_an_outage_and_nothing_is_lost(broker: Server, at: Session) -> None:
    broker.stream("FULL", "full.>", max_msgs=1, discard="new")
    full = speaking({**OPTIONS, "stream": "FULL", "subject": "full.invoice"})
    outcomes = [full.write(at, "invoice", [a_write(number)])[0] for number in (1, 2)]
    assert isinstance(outcomes[0], Written)
    assert isinstance(outcomes[1], Outage)


def test_a_stream_that_forgets_within_hours_is_not_well(broker: Server, at: Session) -> None:
    broker.stream("SHORT", "short.>", max_age=3600)
    short = speaking({**OPTIONS, "stream": "SHORT", "subject": "short.invoice"})
    assert "keeps messages for 3600 s only" in short.check(at).words


def test_a_wrong_token_is_denied_and_does_not_appear_in_words(tmp_path: Path) -> None:
    with server(tmp_path / "jetstream", "--auth", "right-token") as broker:
        at = session(broker.url, CONNECTOR, token="wrong-token")
        with pytest.raises(SignInFailed) as refused:
            CONNECTOR.read(at, "invoice", "")
        assert "wrong-token" not in str(refused.value)
        assert isinstance(CONNECTOR.write(at, "invoice", [a_write(1)])[0], Denied)
        health = CONNECTOR.check(at)
        assert not health.well
        assert "token" in health.next_action
        right = session(broker.url, speaking(), token="right-token")
        assert not CONNECTOR.check(right).well  # signed in; the stream is not there
        assert isinstance(CONNECTOR.write(right, "invoice", [a_write(1)])[0], Drift)
        right.close()


def test_a_user_who_may_not_publish_is_denied(tmp_path: Path) -> None:
    rules = tmp_path / "rules.conf"
    rules.write_text(
        "authorization { users = [ {user: all, password: all}, {user: reader, password: reader, "
        'permissions: {publish: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", '
        '"$JS.API.CONSUMER.>"], subscribe: ["_INBOX.>"]}} ] }'
    )
    with server(tmp_path / "jetstream", "-c", str(rules)) as broker:
        broker.url = broker.url.replace("nats://", "nats://all:all@")
        broker.stream()
        broker.url = broker.url.replace("all:all@", "")
        at = session(broker.url, CONNECTOR, 1.0, user="reader", password="reader")
        assert CONNECTOR.check(at).well
        broker.url = broker.url.replace("nats://", "nats://all:all@")
        broker.say("finance.invoice.S1", b"hello")
        assert len(CONNECTOR.read(at, "invoice", "").items) == 1
        assert isinstance(CONNECTOR.write(at, "invoice", [a_write(1)])[0], Denied)
        at.close()


def test_only_the_named_addresses_are_reached(broker: Server) -> None:
    at = session(broker.url, CONNECTOR, servers="nats://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="not among"):
        CONNECTOR.read(at, "invoice", "")
