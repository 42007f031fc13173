"""Events: one CloudEvent per write, on a subject of its own, so that it can be found again.

The subject ends in the document's reference. Before publishing, the last message of that subject is
read; the new one names it as the one that it must follow. Whatever else arrives in between, a late
copy of the same write or an event of somebody else, makes the server refuse: for as long as the
stream keeps the last message of a subject, a write cannot land twice, long after the server's
window for `Nats-Msg-Id` has passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tieout.connectors.nats import wire
from tieout.connectors.nats.errors import ERRORS
from tieout.connectors.nats.reading import fit, token
from tieout.connectors.nats.streams import EventStream
from tieout.connectors.nats.wire import Message, Publication, Refused
from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Detail,
    Drift,
    Found,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.cloudevents import STRUCTURED, Event, NotAnEvent, read_event
from tieout.ports.connector import Write, document_text
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

MOST_SUBJECT = 1_000
LOOK_AGAIN = "Nothing to do; the last message of the subject decides."
WAIT = "Nothing to do; it is sent when the server answers again."


def write(at: Session, stream: EventStream, writes: Sequence[Write]) -> list[Outcome]:
    """Publish every write; one outcome each, in order."""
    outcomes: dict[str, Outcome] = {}
    possible: list[tuple[Write, Event]] = []
    for one in writes:
        refused = _refusal(stream, one)
        if refused is None:
            possible.append((one, event_of(stream, one)))
        else:
            outcomes[one.write_key] = refused
    try:
        last = _last(at, stream, [one for one, _ in possible])
    except VendorFault as fault:
        outcomes |= {one.write_key: _not_sent(fault.outcome) for one, _ in possible}
        return [outcomes[one.write_key] for one in writes]
    except SignInFailed as error:
        denied = Denied(Detail(error.words, error.next_action))
        outcomes |= {one.write_key: denied for one, _ in possible}
        return [outcomes[one.write_key] for one in writes]
    except NoAnswer as error:
        down = Outage(Detail(error.words, WAIT))
        outcomes |= {one.write_key: down for one, _ in possible}
        return [outcomes[one.write_key] for one in writes]
    new: list[tuple[Write, Publication]] = []
    for (one, event), there in zip(possible, last, strict=True):
        if there is not None and _is_ours(one, _event(there)):
            outcomes[one.write_key] = AlreadyThere(subject_of(stream, one))
        else:
            after = there.sequence if there is not None else 0
            new.append((one, _publication(stream, one, event, after)))
    outcomes |= _publish(at, stream, new)
    return [outcomes[one.write_key] for one in writes]


def meant(stream: EventStream, write: Write) -> Mapping[str, str]:
    """What the last message of the subject must show: our event, with our content."""
    event = event_of(stream, write)
    return {"event": write.write_key, "type": event.attribute("type"), "content": _digest(event)}


def find(at: Session, stream: EventStream, writes: Sequence[Write]) -> dict[str, Found | None]:
    """The last message of each subject. An earlier revision of the same document means that ours
    is not there; an event of somebody else is shown as it is, and differs."""
    found: dict[str, Found | None] = {}
    for one, there in zip(writes, _last(at, stream, writes), strict=True):
        event = _event(there) if there is not None else None
        if there is None or (event is not None and _is_earlier(one, event)):
            found[one.write_key] = None
            continue
        facts = {"event": "not a CloudEvent"}
        if event is not None:
            kind, content = event.attribute("type"), _digest(event)
            facts = {"event": event.attribute("id"), "type": kind, "content": content}
        found[one.write_key] = Found(
            subject_of(stream, one), facts, f"{stream.jetstream}@{there.sequence}"
        )
    return found


def event_of(stream: EventStream, write: Write) -> Event:
    """The write as an event. The same write gives the same bytes every time."""
    attributes = {
        "specversion": "1.0",
        "id": write.write_key,
        "source": stream.source,
        "type": stream.publishes.get(write.action, ""),
        "subject": write.reference,
        "datacontenttype": "application/json",
    }
    if stream.time and write.document.get(stream.time):
        attributes["time"] = str(write.document[stream.time])
    return Event(attributes, document_text(write.document))


def subject_of(stream: EventStream, write: Write) -> str:
    """The subject that belongs to this document alone."""
    return f"{stream.subject}.{token(write.reference)}"


# --- below ------------------------------------------------------------------------------------


def _refusal(stream: EventStream, write: Write) -> Outcome | None:
    if write.action not in stream.publishes:
        return Rejected(
            Detail(
                f"{stream.name} has no event type that says '{write.action}'",
                f"Add publishes_{write.action} to the options of the interface, then replay.",
            )
        )
    if not write.reference or len(subject_of(stream, write)) > MOST_SUBJECT:
        return Rejected(
            Detail(
                f"the reference is empty or too long for a subject ({MOST_SUBJECT} characters)",
                "Give the document a shorter reference in its mapping.",
            )
        )
    return None


def _last(at: Session, stream: EventStream, writes: Sequence[Write]) -> list[Message | None]:
    if not writes:
        return []
    fit(stream, wire.kept(at, stream.jetstream))
    return wire.last_of(at, stream.jetstream, [subject_of(stream, one) for one in writes])


def _publication(stream: EventStream, write: Write, event: Event, after: int) -> Publication:
    if stream.binary:
        headers, body = event.binary()
    else:
        headers, body = {"content-type": STRUCTURED}, event.structured()
    headers["Nats-Msg-Id"] = quote(write.write_key, safe="/:-_.@~")
    return Publication(subject_of(stream, write), headers, body, after)


def _publish(
    at: Session, stream: EventStream, new: Sequence[tuple[Write, Publication]]
) -> dict[str, Outcome]:
    if not new:
        return {}
    try:
        answers = wire.publish(at, stream.jetstream, [message for _, message in new])
    except NoAnswer as error:  # the line could not be opened again: nothing left
        return {one.write_key: Outage(Detail(error.words, WAIT)) for one, _ in new}
    except SignInFailed as error:
        denied = Denied(Detail(error.words, error.next_action))
        return {one.write_key: denied for one, _ in new}
    outcomes: dict[str, Outcome] = {}
    for (one, message), answer in zip(new, answers, strict=True):
        if isinstance(answer, NoAnswer):
            outcomes[one.write_key] = Unknown(Detail(answer.words, LOOK_AGAIN))
        elif isinstance(answer, Refused):
            outcomes[one.write_key] = ERRORS.classify(answer.status, answer.code, answer.words)
        else:
            outcomes[one.write_key] = Written(message.subject)
    return outcomes


def _not_sent(outcome: Outcome) -> Outcome:
    """A look that failed before anything was published. Nothing may be in doubt then: an answer
    nobody understands, or one the engine would fence, is an outage."""
    if isinstance(outcome, Busy | Denied | Outage):
        return outcome
    detail = getattr(outcome, "detail", None) or Detail("the stream could not be read")
    return outcome if isinstance(outcome, Drift) else Outage(detail)


def _event(message: Message) -> Event | None:
    try:
        return read_event(message.headers, message.body)
    except NotAnEvent:
        return None


def _is_ours(write: Write, event: Event | None) -> bool:
    return event is not None and event.attribute("id") == write.write_key


def _is_earlier(write: Write, event: Event) -> bool:
    """Whether the event is an earlier revision of the write's document: a write key ends in it."""
    document, _, revision = write.write_key.rpartition("/")
    other, _, earlier = event.attribute("id").rpartition("/")
    numbers = revision.isdecimal() and earlier.isdecimal()
    return document == other and numbers and int(earlier) < int(revision)


def _digest(event: Event) -> str:
    return hashlib.sha256(event.data.encode()).hexdigest()
