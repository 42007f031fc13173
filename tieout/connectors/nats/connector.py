"""The NATS connector: the landscape declares the streams, JetStream keeps the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.nats import publishing, reading, wire
from tieout.connectors.nats.errors import ERRORS
from tieout.connectors.nats.line import NatsLine, open_line
from tieout.connectors.nats.streams import (
    DEDUPLICATION_SECONDS,
    OPTIONS,
    SECRETS,
    SETTINGS,
    EventStream,
    event_stream,
    port_stream,
)
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import Health, Item, Page, Stream, Write
from tieout.ports.errors import ErrorTable, VendorFault
from tieout.ports.events import EventChannel
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn, SignIn, SignInFailed
from tieout.rules.interface import InterfaceSpec

LEAST_KEPT_SECONDS = 86_400.0


class NatsConnector:
    """Connector, OpensLine, DeclaresStreams, Reads, Writes, Finds and HasChannels."""

    name = "nats"
    title = "NATS JetStream"
    errors: ErrorTable = ERRORS
    settings: Mapping[str, str] = SETTINGS
    secrets: Mapping[str, str] = SECRETS
    options: Mapping[str, str] = OPTIONS

    def __init__(self, interfaces: Mapping[str, InterfaceSpec] | None = None) -> None:
        declared = interfaces or {}
        self._events = {name: event_stream(one) for name, one in declared.items()}
        self.streams: Mapping[str, Stream] = {
            name: port_stream(one, self._events[name]) for name, one in declared.items()
        }

    def declared(self, interfaces: Mapping[str, InterfaceSpec]) -> NatsConnector:
        """The connector of a system with these streams. Raises BadLandscape."""
        return NatsConnector(interfaces)

    def channels(self) -> Mapping[str, EventChannel]:
        """Where the events of each stream travel, for the AsyncAPI document."""
        return {name: _channel(one) for name, one in self._events.items()}

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        settings["servers"]  # KeyError tells which setting is missing
        return NoSignIn()  # the line signs in when it is opened

    def open_line(
        self,
        settings: Mapping[str, str],
        secrets: Mapping[str, str],
        addresses: Sequence[str],
        timeout_seconds: float,
    ) -> NatsLine:
        return open_line(settings, secrets, addresses, timeout_seconds)

    def check(self, at: Session) -> Health:
        """Connects, and looks at every stream that the interfaces name."""
        try:
            return self._check(at)
        except VendorFault as fault:
            detail = getattr(fault.outcome, "detail", None)
            return Health(False, str(fault), detail.next_action if detail is not None else "")
        except SignInFailed as error:
            return Health(False, error.words, error.next_action)
        except NoAnswer as error:
            return Health(False, error.words, "Check the setting 'servers' and the network.")

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return reading.read(at, self._events[stream], cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return reading.fetch(at, self._events[stream], keys)

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        return publishing.write(at, self._events[stream], writes)

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        return publishing.meant(self._events[stream], write)

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        return publishing.find(at, self._events[stream], writes)

    def _check(self, at: Session) -> Health:
        server = at.line(NatsLine).server
        for one in self._events.values():
            kept = wire.kept(at, one.jetstream)
            reading.fit(one, kept)
            if one.publishes and 0 < kept.most_age_seconds < LEAST_KEPT_SECONDS:
                return Health(
                    False,
                    f"{one.jetstream} keeps messages for {kept.most_age_seconds:.0f} s only",
                    "Keep them for a day at least: a write in doubt is looked up there.",
                )
            if one.publishes and kept.window_seconds < DEDUPLICATION_SECONDS:
                return Health(
                    False,
                    f"{one.jetstream} knows repeats for {kept.window_seconds:.0f} s only",
                    f"Set its duplicate window to {DEDUPLICATION_SECONDS:.0f} s or more.",
                )
        return Health(True, f"connected to {server}; {len(self._events)} streams are there")


def _channel(one: EventStream) -> EventChannel:
    return EventChannel(
        protocol="nats",
        address=f"{one.subject}.{{reference}}" if one.publishes else one.subject,
        stream=one.jetstream,
        received=(*one.types, *one.deletes),
        published=tuple(dict.fromkeys(one.publishes.values())),
        source=one.source,
        binary=one.binary,
    )
