"""Cases on a stream that receives: a webhook is believed only when it proves who sent it."""

from __future__ import annotations

from dataclasses import replace

from tieout.ports.connector import InboundCall, NotGenuine, Receives, Stream
from tieout.rehearsal.contract.bench import Hooks


def a_genuine_webhook_is_understood(hooks: Hooks, stream: Stream) -> None:
    connector = hooks.connector
    assert isinstance(connector, Receives)
    with hooks.bench(prepared=True) as bench:
        received = connector.receive(hooks.webhook(bench, stream.name))
        assert received.items or received.hints, f"{stream.name}: the webhook meant nothing"
        assert received.answer, f"{stream.name}: the sender waits for an answer"
        for item in received.items:
            assert item.key, "a received item has no key"
            assert item.version, "a received item has no version"
        for hinted, key in received.hints:
            assert hinted in connector.streams, f"a hint at an unknown stream {hinted}"
            assert connector.streams[hinted].reads, f"{hinted} is hinted at and cannot be read"
            assert key, "a hint without a key"


def a_false_webhook_is_refused(hooks: Hooks, stream: Stream) -> None:
    with hooks.bench(prepared=True) as bench:
        genuine = hooks.webhook(bench, stream.name)
    assert genuine.secret, f"{stream.name}: a webhook that anybody can send proves nothing"
    half = genuine.body[: len(genuine.body) // 2]
    for why, call in {
        "another secret": replace(genuine, secret=f"{genuine.secret}x"),
        "no secret known": replace(genuine, secret=""),
        "an empty body": replace(genuine, body=b""),
        "half a body": replace(genuine, body=half),
        "garbage": replace(genuine, body=b"\x00\xff not at all"),
        "a JSON list": replace(genuine, body=b"[]"),
        "another document": replace(genuine, body=b"<a/>"),
    }.items():
        _is_refused(hooks, call, why)


def a_doctype_is_refused(hooks: Hooks, stream: Stream) -> None:
    """An internal entity can silently change an amount: no DOCTYPE is ever read."""
    with hooks.bench(prepared=True) as bench:
        genuine = hooks.webhook(bench, stream.name)
    head, mark, tail = genuine.body.partition(b"?>")
    doctype = b'<!DOCTYPE a [<!ENTITY amount "1.00">]>'
    body = head + mark + doctype + tail if mark else doctype + genuine.body
    _is_refused(hooks, replace(genuine, body=body), "a DOCTYPE")


def _is_refused(hooks: Hooks, call: InboundCall, why: str) -> None:
    connector = hooks.connector
    assert isinstance(connector, Receives)
    try:
        received = connector.receive(call)
    except NotGenuine as refusal:
        words = str(refusal)
    else:
        raise AssertionError(f"{call.stream}: {why} was believed: {received!r}"[:600])
    assert words, "a refusal says what is wrong"
    assert not call.secret or call.secret not in words, "the refusal says the secret aloud"


CASES = (a_genuine_webhook_is_understood, a_false_webhook_is_refused, a_doctype_is_refused)
