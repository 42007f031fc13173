"""CloudEvents 1.0: the envelope in which events travel, whichever broker carries them.

Two modes: *structured*, the whole event as one JSON text (`application/cloudevents+json`), and
*binary*, the attributes as `ce-…` headers and the data as the body. The data keeps its verbatim
text. Source: CloudEvents 1.0.2, its JSON event format and its HTTP binding (header names and
percent-encoding; the NATS binding of 1.0.2 knows the structured mode only, its servers have had
headers since 2.2).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

import msgspec

STRUCTURED = "application/cloudevents+json"
ENVELOPE = "cloudevent"  # the attributes, as one more member of what arrives
REQUIRED = ("specversion", "id", "source", "type")
MOST_ATTRIBUTES = 100
_DATA = ("data", "data_base64")
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:([Zz])|([+-]\d\d:\d\d))"
)
_ATTRIBUTES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)


class NotAnEvent(ValueError):
    """A message that is no CloudEvent of version 1.0. Says what is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its attributes as text, and its data as verbatim JSON text ("" = none)."""

    attributes: Mapping[str, str]
    data: str = ""

    def attribute(self, name: str) -> str:
        """An attribute by name, "" when the event has none of that name."""
        return self.attributes.get(name, "")

    @property
    def instant(self) -> str:
        """`time` in UTC with nine decimal places, so that text order is the order of time."""
        return instant(self.attribute("time")) if self.attribute("time") else ""

    def payload(self) -> str:
        """What arrives: the data's own members, verbatim, and the attributes under `cloudevent`.
        Data that is no object, or has such a member itself, stands under `data`."""
        envelope = f'"{ENVELOPE}":{json.dumps(dict(self.attributes), ensure_ascii=False)}'
        inner = self.data.strip()
        if not inner:
            return f"{{{envelope}}}"
        members = _members(inner)
        if members is None or ENVELOPE in members:
            return f'{{{envelope},"data":{inner}}}'
        return f"{{{envelope}}}" if not members else f"{{{envelope},{inner[1:]}"

    def field(self, name: str) -> str:
        """A member of the data as text, "" when there is none; a number keeps its digits."""
        members = _members(self.data.strip()) or {}
        found = bytes(members[name]) if name in members else b""
        if found.startswith(b'"'):
            return str(msgspec.json.decode(found))
        return "" if found == b"null" else found.decode()

    def structured(self) -> bytes:
        """The event as one JSON text."""
        head = json.dumps(dict(self.attributes), ensure_ascii=False)[:-1]
        return f'{head},"data":{self.data}}}'.encode() if self.data else f"{head}}}".encode()

    def binary(self) -> tuple[dict[str, str], bytes]:
        """The event as headers and body."""
        headers = {
            f"ce-{name}": quote(value, safe="!#$&'()*+,-./:;<=>?@[]^_`{|}~")
            for name, value in self.attributes.items()
            if name != "datacontenttype"
        }
        kind = self.attribute("datacontenttype") or "application/json"
        return {**headers, "content-type": kind}, self.data.encode()


def read_event(headers: Mapping[str, str], body: bytes) -> Event:
    """The event in a message, of either mode. Raises NotAnEvent."""
    low = {name.lower(): value for name, value in headers.items()}
    kind = low.get("content-type", "").partition(";")[0].strip().lower()
    if "ce-specversion" in low and kind != STRUCTURED:
        event = _from_headers(low, body)
    elif kind in (STRUCTURED, "application/json", ""):
        event = _from_json(body)
    else:
        raise NotAnEvent(f"content type '{kind}' is neither mode of a CloudEvent")
    for name in REQUIRED:
        if not event.attribute(name):
            raise NotAnEvent(f"the attribute '{name}' is missing")
    if event.attribute("specversion") != "1.0":
        raise NotAnEvent(f"specversion is '{event.attribute('specversion')}', not 1.0")
    if event.attribute("time"):
        instant(event.attribute("time"))
    return event


def unreadable(words: str, body: bytes) -> str:
    """What arrives for a message that is no event: why, and the message itself as text."""
    said = body.decode("utf-8", "backslashreplace")
    return json.dumps({"not_a_cloudevent": words, "message": said}, ensure_ascii=False)


def instant(text: str) -> str:
    """An RFC 3339 instant in UTC with nine decimal places. Raises NotAnEvent."""
    found = _INSTANT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day, clock_time, fraction, zulu, offset = found.groups()
        moment = dt.datetime.fromisoformat(f"{day}T{clock_time}{'+00:00' if zulu else offset}")
        utc = moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat()
        return f"{utc}.{(fraction or '').ljust(9, '0')}Z"
    except (ValueError, OverflowError):
        raise NotAnEvent(f"time '{text[:60]}' is no RFC 3339 instant") from None


def _from_json(body: bytes) -> Event:
    try:
        members = _ATTRIBUTES.decode(body)
        attributes = {
            name: _text(name, bytes(value))
            for name, value in members.items()
            if name not in _DATA and bytes(value) != b"null"
        }
        data = bytes(members["data"]).decode() if "data" in members else ""
        if not data and "data_base64" in members:
            encoded = msgspec.json.decode(bytes(members["data_base64"]), type=str)
            data = _json_text(base64.b64decode(encoded, validate=True), attributes)
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, RecursionError) as error:
        raise NotAnEvent(f"the message is no JSON event: {error}") from None
    if len(attributes) > MOST_ATTRIBUTES:
        raise NotAnEvent(f"the event has more than {MOST_ATTRIBUTES} attributes")
    return Event(attributes, "" if data == "null" else data)


def _from_headers(headers: Mapping[str, str], body: bytes) -> Event:
    attributes = {
        name.removeprefix("ce-"): unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    if headers.get("content-type"):
        attributes["datacontenttype"] = headers["content-type"]
    return Event(attributes, _json_text(body, attributes) if body else "")


def _json_text(body: bytes, attributes: Mapping[str, str]) -> str:
    """Data as JSON text; what its content type says is something else becomes base64 text."""
    kind = attributes.get("datacontenttype", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        return json.dumps(base64.b64encode(body).decode())
    try:
        _ANY_JSON.decode(body)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEvent(f"the data is no JSON: {error}") from None


def _text(name: str, raw: bytes) -> str:
    if raw.startswith(b'"'):
        return str(msgspec.json.decode(raw))
    if raw.startswith((b"{", b"[")):
        raise NotAnEvent(f"the attribute '{name}' is no simple value")
    return raw.decode()


def _members(text: str) -> dict[str, msgspec.Raw] | None:
    try:
        return _ATTRIBUTES.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
