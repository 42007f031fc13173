"""What a landscape may say about an event stream, and what is refused with its place."""

from __future__ import annotations

import pytest

from tests.connectors.nats_server import OPTIONS, speaking
from tieout.connectors.nats.reading import token
from tieout.rules.place import BadLandscape


def test_what_is_published_is_written_and_read_below_its_subject() -> None:
    connector = speaking()
    stream = connector.streams["invoice"]
    assert stream.writes
    assert stream.reads
    assert stream.idempotency is not None
    assert stream.idempotency.grade == "B"
    assert connector.channels()["invoice"].address == "finance.invoice.{reference}"


def test_what_is_only_read_needs_no_types() -> None:
    stream = speaking({"stream": "ORDERS", "subject": "shop.*.placed"}).streams["invoice"]
    assert not stream.writes
    assert stream.idempotency is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"subject": "a"}, "names no JetStream stream"),
        ({"stream": "A.B", "subject": "a"}, "names no JetStream stream"),
        ({"stream": "A"}, "no usable subject"),
        ({"stream": "A", "subject": "a b"}, "no usable subject"),
        ({"stream": "A", "subject": "a..b"}, "no usable subject"),
        ({**OPTIONS, "subject": "finance.>"}, "which is a filter"),
        ({**OPTIONS, "envelope": "avro"}, "envelope 'avro'"),
        ({**OPTIONS, "durable": "x"}, "unknown option 'durable'"),
        ({**OPTIONS, "source": ""}, "without a source"),
        ({**OPTIONS, "time": "posted_at"}, "no field 'posted_at'"),
        ({"stream": "A", "subject": "a", "publishes_void": "x"}, "but not 'publishes'"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(options: dict[str, str], why: str) -> None:
    with pytest.raises(BadLandscape, match=why) as refused:
        speaking(options)
    assert str(refused.value).startswith("systems/events.yaml:5")


def test_references_become_one_word_and_stay_different() -> None:
    references = ["a.b", "a%2Eb", "a b", "*", ">", "é", "", "A-1_~"]
    words = [token(one) for one in references]
    assert len(set(words)) == len(references)
    assert not any(set(word) & set(".*> \t") for word in words)
    assert words[-1] == "A-1_~"
