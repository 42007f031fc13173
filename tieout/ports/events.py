"""What a connector of a message broker tells about its streams, for those who build on the events.

A second broker needs a connector that declares its streams, reads by a position that we keep,
publishes and finds, and says its channels here; the envelope is in `cloudevents`, the document of
all channels in `engine/asyncapi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class EventChannel:
    """Where the events of one stream travel. `address` is the broker's own (a subject, a topic);
    `{reference}` stands for the document's reference. `received` and `published` are event types;
    no received types: every type counts."""

    protocol: str
    address: str
    stream: str = ""
    received: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    source: str = ""
    binary: bool = False


@runtime_checkable
class HasChannels(Protocol):
    """A connector whose streams are channels of events."""

    def channels(self) -> Mapping[str, EventChannel]:
        """By stream name."""
