"""What a landscape says about its event streams, and what the connector asks for.

One interface is one kind of event on one JetStream stream. Its fields are those of the event's
data; its options are below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tieout.ports.connector import Action, Idempotency, Stream
from tieout.ports.declared import fields_of
from tieout.rules.interface import InterfaceSpec

SETTINGS: Mapping[str, str] = {
    "servers": "the servers, tried in this order: nats://127.0.0.1:4222, tls://events.example:4222",
    "user": "Optional: user name, where the server asks for one",
    "client_name": "Optional: how we appear in the server's list of clients (default tieout)",
    "lost_until": "Optional: after a full compare, STREAM=SEQUENCE up to which lost messages are "
    "accounted for, several separated by commas",
}
SECRETS: Mapping[str, str] = {
    "password": "Optional: password of the user, where the server asks for one",
    "token": "Optional: token, where the server asks for one instead",
}
OPTIONS: Mapping[str, str] = {
    "stream": "the JetStream stream that keeps the messages",
    "subject": "the subject; what we publish goes to SUBJECT.REFERENCE and is read there; for "
    "reading only it is a filter, which may hold * and >",
    "types": "event types that count, separated by commas (default: every type)",
    "deletes": "event types that say a row is gone, separated by commas",
    "publishes": "event type of what we publish: finance.invoice.posted.v1",
    "publishes_change": "event type of a change (default: that of publishes)",
    "publishes_void": "event type of a reversal; without it nothing can be voided",
    "publishes_delete": "event type of a deletion; without it nothing can be deleted",
    "source": "CloudEvents source of what we publish: the name of your landscape",
    "time": "field of the document that becomes the event's time",
    "envelope": "structured (default) or binary",
}
ACTIONS: Mapping[Action, str] = {
    "create": "publishes",
    "change": "publishes_change",
    "void": "publishes_void",
    "delete": "publishes_delete",
}
# A server that was cut off from us may still store what it has received. Whatever arrives later is
# refused by the expected sequence of its subject, so that this bound is patience, not the guard.
IN_FLIGHT_SECONDS = 10.0
DEDUPLICATION_SECONDS = 120.0  # the server's own default for Nats-Msg-Id
_NAME = re.compile(r"[^\s.*>/\\]{1,255}")
_SUBJECT = re.compile(r"[^\s.]+(\.[^\s.]+)*")
_MOST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class EventStream:
    """One interface as the connector speaks it."""

    name: str
    jetstream: str
    subject: str
    key: str
    version: str
    types: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    publishes: Mapping[Action, str] = field(default_factory=dict)
    source: str = ""
    time: str = ""
    binary: bool = False

    @property
    def filter(self) -> str:
        """The subjects that are read."""
        own = bool(self.publishes) and not {"*", ">"} & set(self.subject.split("."))
        return f"{self.subject}.>" if own else self.subject


def event_stream(spec: InterfaceSpec) -> EventStream:
    """An interface, judged. Raises BadLandscape with what is wrong and where."""
    options = spec.options
    for name in options:
        if name not in OPTIONS:
            raise spec.refused(f"has the unknown option '{name}'", f"Known: {', '.join(OPTIONS)}")
    subject, jetstream = options.get("subject", ""), options.get("stream", "")
    if not _NAME.fullmatch(jetstream):
        raise spec.refused(
            f"names no JetStream stream ('{jetstream}')", "Write options: {stream: NAME, …}"
        )
    if not _SUBJECT.fullmatch(subject) or len(subject) > _MOST_SUBJECT:
        raise spec.refused(
            f"has no usable subject ('{subject}')",
            "Write words with dots between them: finance.invoice",
        )
    publishes = _published(spec)
    if publishes and {"*", ">"} & set(subject):
        raise spec.refused(
            f"publishes on '{subject}', which is a filter", "Write a subject without * and >"
        )
    envelope = options.get("envelope", "structured")
    if envelope not in ("structured", "binary"):
        raise spec.refused(f"has the envelope '{envelope}'", "Write structured or binary")
    return EventStream(
        name=spec.name,
        jetstream=jetstream,
        subject=subject,
        key=spec.key,
        version=spec.version,
        types=_texts(options.get("types", "")),
        deletes=_texts(options.get("deletes", "")),
        publishes=publishes,
        source=options.get("source", ""),
        time=options.get("time", ""),
        binary=envelope == "binary",
    )


def _published(spec: InterfaceSpec) -> Mapping[Action, str]:
    options = spec.options
    if not options.get("publishes"):
        for name in (*list(ACTIONS.values())[1:], "source", "time"):
            if name in options:
                raise spec.refused(f"has '{name}' but not 'publishes'", "Name the event type")
        return {}
    if not options.get("source"):
        raise spec.refused("publishes without a source", "Write source: the landscape's name")
    if options.get("time") and spec.field_named(options["time"]) is None:
        raise spec.refused(f"has no field '{options['time']}' for its time", "Name one of fields")
    types = {action: options.get(option, "") for action, option in ACTIONS.items()}
    types["change"] = types["change"] or types["create"]
    return {action: one for action, one in types.items() if one}


def port_stream(spec: InterfaceSpec, own: EventStream) -> Stream:
    """The interface in the words of the ports."""
    return Stream(
        name=spec.name,
        title=spec.title,
        fields=fields_of(spec.fields),
        key=spec.key,
        version=spec.version,
        reads=True,
        writes=bool(own.publishes),
        idempotency=Idempotency("B", IN_FLIGHT_SECONDS, DEDUPLICATION_SECONDS)
        if own.publishes
        else None,
        facts={"event": "text", "type": "text", "content": "text"} if own.publishes else {},
        most_writes_per_call=200,
    )


def _texts(value: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in value.split(",") if one.strip())
