"""Arrivals: pages of events by sequence, and the proof that none was lost on the way.

The cursor is committed with the arrivals and is the only truth about what was read: a reader that
dies after a pull reads the same messages again. Nothing is acknowledged; a durable consumer would
be a second cursor that could run ahead of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tieout.connectors.nats import wire
from tieout.connectors.nats.errors import ERRORS, MESSAGES_LOST, STREAM_UNFIT
from tieout.connectors.nats.streams import EventStream
from tieout.connectors.nats.wire import Kept, Message
from tieout.ports.cloudevents import NotAnEvent, read_event, unreadable
from tieout.ports.connector import Item, Page
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session

PAGE = 500
PAGE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far we have read: a sequence of the stream that was made at `made`."""

    made: str = ""
    sequence: int = 0

    @classmethod
    def of(cls, text: str) -> Cursor:
        if not text:
            return cls()
        said = json.loads(text)
        return cls(said["made"], said["sequence"])

    @property
    def text(self) -> str:
        return json.dumps({"made": self.made, "sequence": self.sequence})


def read(at: Session, stream: EventStream, cursor: str) -> Page:
    """The next page. Raises VendorFault when messages were removed before we had read them."""
    asked = Cursor.of(cursor)
    kept = wire.kept(at, stream.jetstream)
    fit(stream, kept)
    if not asked.made:
        after = max(0, kept.first - 1)  # from the beginning: the oldest message still there
    else:
        after = asked.sequence
        if kept.made != asked.made or kept.last < after:
            after = _made_anew(at, stream, asked, kept)
    if kept.last <= after:
        _nothing_lost(at, stream, [after, kept.last + 1], kept)
        return Page((), Cursor(kept.made, max(after, kept.last)).text)
    messages, more = wire.page(at, stream.jetstream, stream.filter, after, PAGE, PAGE_BYTES)
    read_until = messages[-1].sequence if more and messages else 0
    if not more:  # everything up to `last` was looked at, whatever its subject
        read_until = max([kept.last, *(one.sequence for one in messages)])
    seen = [after, *(one.sequence for one in messages), read_until + 1]
    _nothing_lost(at, stream, seen, wire.kept(at, stream.jetstream))
    items = tuple(item for one in messages if (item := as_item(stream, one)) is not None)
    return Page(items, Cursor(kept.made, read_until or after).text, more)


def fetch(at: Session, stream: EventStream, keys: Sequence[str]) -> list[Item]:
    """The newest event of each key, where the subject ends in it as ours do; deleted if gone."""
    subjects = [f"{stream.filter.removesuffix('.>')}.{token(key)}" for key in keys]
    found = wire.last_of(at, stream.jetstream, subjects)
    items = [as_item(stream, one) if one is not None else None for one in found]
    return [
        item or Item(key, "", "{}", deleted=True) for key, item in zip(keys, items, strict=True)
    ]


def as_item(stream: EventStream, message: Message) -> Item | None:
    """What arrives for one message; None for an event type that the interface does not count."""
    try:
        event = read_event(message.headers, message.body)
    except NotAnEvent as wrong:
        key = f"{stream.jetstream}@{message.sequence}"
        return Item(key, "", unreadable(str(wrong), message.body))
    kind = event.attribute("type")
    deleted = kind in stream.deletes
    if stream.types and kind not in stream.types and not deleted:
        return None
    version = event.field(stream.version) if stream.version else event.instant
    key = event.attribute("subject") or event.field(stream.key)
    return Item(key or f"{stream.jetstream}@{message.sequence}", version, event.payload(), deleted)


def fit(stream: EventStream, kept: Kept) -> None:
    """Only a stream that keeps messages whoever has read them can be read again after a crash."""
    if kept.retention != "limits":
        raise _fault(
            STREAM_UNFIT,
            f"{stream.jetstream} has {kept.retention} retention: its messages go when somebody "
            "acknowledges them",
        )


def token(reference: str) -> str:
    """A reference as one word of a subject: blanks, dots and wildcards are percent-encoded."""
    return "".join(
        one if one.isascii() and (one.isalnum() or one in "-_~") else _encoded(one)
        for one in reference
    )


def _encoded(one: str) -> str:
    return "".join(f"%{byte:02X}" for byte in one.encode("utf-8", "surrogatepass"))


def _nothing_lost(at: Session, stream: EventStream, seen: Sequence[int], kept: Kept) -> None:
    """`seen` are sequences that follow each other in our reading. Between two neighbours lie
    messages of other subjects, or messages that are gone; gone for sure is what lies before the
    stream's first message now, and everything when the stream has no other subjects than ours."""
    alone = kept.subjects == (stream.filter,)
    for before, behind in pairwise(seen):
        first, last = before + 1, behind - 1
        if not alone:
            last = min(last, kept.first - 1)
        if first <= last and last > _accounted_for(at.settings, stream.jetstream):
            raise _fault(
                MESSAGES_LOST,
                f"{stream.jetstream}: sequences {first} to {last} are gone; the stream holds "
                f"{kept.first} to {kept.last}. After a full compare of what {stream.name} says "
                f"with what is there, write lost_until: {stream.jetstream}={last}",
            )


def _made_anew(at: Session, stream: EventStream, asked: Cursor, kept: Kept) -> int:
    """The stream is another one than we had read, so the sequences mean nothing any more. Where to
    go on, once somebody has said so."""
    name = f"{stream.jetstream}/{kept.made}"
    if _accounted_for(at.settings, name) >= 0:
        return 0
    raise _fault(
        MESSAGES_LOST,
        f"{stream.jetstream} was made anew at {kept.made} or restored from a copy: we had read up "
        f"to sequence {asked.sequence} of the one made at {asked.made}, it holds {kept.first} to "
        f"{kept.last}. After a full compare, write lost_until: {name}=0; it is then read from "
        "its beginning, and events that are known already are only counted",
    )


def _accounted_for(settings: Mapping[str, str], name: str) -> int:
    """The sequence up to which somebody has accounted for lost messages; -1: nobody has."""
    found = -1
    for one in settings.get("lost_until", "").split(","):
        stream, equals, sequence = one.strip().rpartition("=")
        if equals and stream.strip() == name and sequence.strip().isdecimal():
            found = max(found, int(sequence))
    return found


def _fault(code: str, words: str) -> VendorFault:
    return VendorFault(ERRORS.classify(None, code, words))
