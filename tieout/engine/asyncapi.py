"""The AsyncAPI 3.0 document of a landscape: every event it reads or publishes, from what it says.

Pure: a landscape and its connectors in, a document out. Source: the AsyncAPI specification 3.0.0;
its schemas are JSON Schema. A message is a CloudEvent, whose data has the fields of the interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast
from urllib.parse import urlsplit

from tieout.finance.record_types import ValueType
from tieout.finance.schema import value_schema
from tieout.landscape.schema import Landscape
from tieout.ports.cloudevents import STRUCTURED
from tieout.ports.connector import Connector, Field, Stream
from tieout.ports.events import EventChannel, HasChannels

VERSION = "3.0.0"
EXACT = frozenset({"amount", "quantity", "rate", "number"})
_ANY_TYPE = "event"
_KEY = re.compile(r"[^A-Za-z0-9._-]")

Document = dict[str, object]
Action = Literal["send", "receive"]


def asyncapi(
    landscape: Landscape, connectors: Mapping[str, Connector], environment: str = ""
) -> Document:
    """The document. `connectors` by system; with an `environment` its servers are named too.

    An operation is told from our side, as AsyncAPI has it: `send` is what we publish.
    """
    channels: Document = {}
    operations: Document = {}
    servers: Document = {}
    for system, stream, channel in _event_streams(landscape, connectors):
        name = f"{system}.{stream.name}"
        hosts = _servers(landscape, system, channel, environment)
        servers |= hosts
        sent, received = _messages(channel, landscape, system, stream)
        channels[name] = _channel(stream, channel, {**sent, **received}, list(hosts))
        sides: tuple[tuple[Action, Document], ...] = (("send", sent), ("receive", received))
        for action, messages in sides:
            if messages:
                operations[f"{action}.{name}"] = _operation(action, name, stream, messages)
    document: Document = {
        "asyncapi": VERSION,
        "id": f"urn:tieout:landscape:{landscape.name}",
        "info": {
            "title": landscape.title,
            "version": landscape.content_hash[:12] or "0",
            "description": "Events that Tieout publishes and reads, from the landscape as code.",
        },
        "defaultContentType": STRUCTURED,
    }
    if servers:
        document["servers"] = servers
    return {**document, "channels": channels, "operations": operations}


def data_schema(fields: Sequence[Field], published: bool) -> Document:
    """The JSON Schema of an event's data. What we publish has money as exact decimal text; what we
    read may have it as a JSON number too."""
    return {
        "type": "object",
        "properties": {one.name: _value(one, published) for one in fields},
        "required": [one.name for one in fields if one.required],
    }


# --- parts ------------------------------------------------------------------------------------


def _event_streams(
    landscape: Landscape, connectors: Mapping[str, Connector]
) -> Iterator[tuple[str, Stream, EventChannel]]:
    for system in sorted(landscape.systems):
        connector = connectors[system]
        if isinstance(connector, HasChannels):
            for name, channel in sorted(connector.channels().items()):
                yield system, connector.streams[name], channel


def _messages(
    channel: EventChannel, landscape: Landscape, system: str, stream: Stream
) -> tuple[Document, Document]:
    """Messages that we send and that we receive, by name."""
    collected = stream.name in landscape.systems[system].streams
    received = channel.received or ((_ANY_TYPE,) if collected and not channel.published else ())
    sent = {_key(kind): _message(kind, channel, stream, True) for kind in channel.published}
    came = {_key(kind): _message(kind, channel, stream, False) for kind in received}
    return dict(sent), {name: one for name, one in came.items() if name not in sent}


def _channel(
    stream: Stream, channel: EventChannel, messages: Document, hosts: Sequence[str]
) -> Document:
    said: Document = {
        "address": channel.address,
        "title": stream.title,
        "description": f"{channel.protocol} stream {channel.stream}",
        "messages": messages,
    }
    if hosts:
        said["servers"] = [{"$ref": f"#/servers/{name}"} for name in hosts]
    if "{reference}" in channel.address:
        said["parameters"] = {
            "reference": {
                "description": "The permanent reference of the document, percent-encoded; the last "
                "message of a subject is the newest revision of its document."
            }
        }
    return said


def _operation(action: Action, name: str, stream: Stream, messages: Document) -> Document:
    pointer = f"#/channels/{name}"
    return {
        "action": action,
        "channel": {"$ref": pointer},
        "title": f"{'Publish' if action == 'send' else 'Read'}: {stream.title}",
        "messages": [{"$ref": f"{pointer}/messages/{one}"} for one in messages],
    }


def _message(kind: str, channel: EventChannel, stream: Stream, published: bool) -> Document:
    data = data_schema(stream.fields, published)
    attributes: Document = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"const": channel.source} if published else {"type": "string", "minLength": 1},
        "type": {"const": kind} if kind != _ANY_TYPE else {"type": "string", "minLength": 1},
        "subject": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
    }
    said: Document = {"name": kind, "title": stream.title}
    required = ["specversion", "id", "source", "type"]
    if channel.binary and published:
        headers = {f"ce-{one}": rule for one, rule in attributes.items() if one[:4] != "data"}
        said["contentType"] = "application/json"
        said["headers"] = {
            "type": "object",
            "properties": headers,
            "required": [f"ce-{one}" for one in required],
        }
        return {**said, "payload": data}
    said["contentType"] = STRUCTURED
    said["payload"] = {
        "type": "object",
        "properties": {**attributes, "data": data},
        "required": [*required, "data"] if published else required,
    }
    return said


def _value(one: Field, published: bool) -> Document:
    schema: Document
    if one.type == "object":
        schema = data_schema(one.fields, published)
    elif one.type == "list":
        schema = {"type": "array", "items": data_schema(one.fields, published)}
    elif one.type in EXACT and not published:
        schema = {"type": ["string", "number"]}
    else:
        schema = value_schema(cast(ValueType, one.type))
    if one.title:
        schema["title"] = one.title
    if not one.required:
        kinds = schema["type"]
        schema["type"] = [*kinds, "null"] if isinstance(kinds, list) else [kinds, "null"]
    return schema


def _servers(
    landscape: Landscape, system: str, channel: EventChannel, environment: str
) -> Document:
    """The servers of a system in an environment: host and protocol, never a credential."""
    spec = landscape.environments.get(environment, {}).get(system)
    found: Document = {}
    for number, address in enumerate(spec.addresses if spec is not None else ()):
        host = urlsplit(address).netloc.rpartition("@")[2]
        name = _key(system if number == 0 else f"{system}_{number + 1}")
        found[name] = {"host": host, "protocol": channel.protocol}
    return found


def _key(name: str) -> str:
    """A name as AsyncAPI lets it stand in a document."""
    return _KEY.sub("_", name)
