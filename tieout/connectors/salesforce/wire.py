"""Salesforce's forms on the wire: ids, SOQL, record slices, collections, outbound messages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from tieout.ports.connector import Field, NotGenuine, Stream, Write
from tieout.ports.http import Response

CHECK_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
MOST_MESSAGE_BYTES = 2 * 1024 * 1024
MOST_NOTIFICATIONS = 100
OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
ACKNOWLEDGED = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    b"</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
NUMERIC = {"amount", "quantity", "rate", "number", "integer"}
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


# --- ids ----------------------------------------------------------------------------------------


def full_id(text: str) -> str | None:
    """A record id in its 18-character form, or None when `text` is no Salesforce id.

    The 15-character form differs by case alone; the 18-character one adds check letters, one per
    five characters, that survive systems which fold case.
    """
    if re.fullmatch(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", text) is None:
        return None
    base, tail = text[:15], ""
    for start in (0, 5, 10):
        bits = sum(1 << place for place in range(5) if base[start + place].isupper())
        tail += CHECK_LETTERS[bits]
    return base + tail if text[15:].upper() in {"", tail} else None


# --- SOQL ---------------------------------------------------------------------------------------


def select(stream: Stream) -> str:
    """`SELECT … FROM …` for every field of the interface, child rows as a nested query."""
    return f"SELECT {', '.join(_columns(stream.fields))} FROM {stream.name}"


def _columns(fields: Sequence[Field]) -> list[str]:
    columns = []
    for one in fields:
        if one.type == "object" and one.fields:
            inner = [part.name for part in one.fields[0].fields]
            order = " ORDER BY SortOrder, Id" if "SortOrder" in inner else " ORDER BY Id"
            columns.append(f"(SELECT {', '.join(inner)} FROM {one.name}{order})")
        else:
            columns.append(one.name)
    return columns


def id_list(keys: Sequence[str]) -> str:
    """`('…', '…')` of ids that `full_id` has already approved: nothing in them needs escaping."""
    return "(" + ",".join(f"'{key}'" for key in keys) + ")"


def instant_literal(when: dt.datetime) -> str:
    """A SOQL datetime literal in UTC, to the millisecond; unquoted, without a plus sign."""
    text = when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[:-3] + "Z"


def instant_of(text: str) -> dt.datetime:
    """The vendor's 2026-05-08T21:20:00.000+0000, in whatever precision and zone, as an instant.
    Raises ValueError."""
    when = dt.datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"'{text}' names no time zone")
    return when


def vendor_clock(date: str) -> str:
    """A `Date` header in the form of the vendor's stamps; empty when there is none."""
    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return ""
    if when.tzinfo is None:  # "-0000" means UTC without a place (RFC 5322 §3.3)
        when = when.replace(tzinfo=dt.UTC)
    return when.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


# --- answers ------------------------------------------------------------------------------------


class Children(msgspec.Struct, rename="camel"):
    """The rows beneath one record; more of them wait behind `nextRecordsUrl`."""

    done: bool
    records: list[msgspec.Raw]
    next_records_url: str = ""


class Answer(msgspec.Struct, rename="camel"):
    """One page of a query; records stay as the verbatim slices of the answer."""

    done: bool
    records: list[msgspec.Raw]
    next_records_url: str = ""


class Head(msgspec.Struct):
    """The fields of a record that the connector itself needs."""

    Id: str
    SystemModstamp: str
    IsDeleted: bool = False
    OpportunityLineItems: Children | None = None


class DescribedField(msgspec.Struct):
    """A field that the integration user may see."""

    name: str


class DescribedChild(msgspec.Struct, rename="camel"):
    """A child list that a query may nest."""

    relationship_name: str | None = None


class Described(msgspec.Struct, rename="camel"):
    """The part of an object's description that `check` compares."""

    fields: list[DescribedField]
    child_relationships: list[DescribedChild] = []


class RowError(msgspec.Struct, rename="camel"):
    """Why one row of a collections call failed."""

    status_code: str
    message: str = ""
    fields: list[str] = []


class RowAnswer(msgspec.Struct):
    """What became of one row of a collections call."""

    success: bool
    id: str | None = None
    errors: list[RowError] = []


class _Refusal(msgspec.Struct, rename="camel"):
    error_code: str = ""
    message: str = ""
    fields: list[str] = []


def refusal(response: Response) -> tuple[str, str, str]:
    """(code, message, field at fault) of a refused call; empty where the body is not theirs."""
    try:
        said = msgspec.json.decode(response.body, type=list[_Refusal])
    except UNREADABLE:
        return "", "", ""
    if not said:
        return "", "", ""
    return said[0].error_code, said[0].message, ", ".join(said[0].fields)


# --- writes -------------------------------------------------------------------------------------


def fault_in(stream: Stream, write: Write) -> str:
    """The first field whose value cannot be put on the wire as it is; "" when all can."""
    types = {one.name: one.type for one in stream.fields}
    for name, value in write.document.items():
        numeric = types.get(name, "text") in NUMERIC and isinstance(value, str)
        if (numeric and not NUMBER.fullmatch(str(value))) or not _encodable(value):
            return name
    return ""


def _encodable(value: object) -> bool:
    try:
        _ENCODER.encode(value)
    except (UnicodeEncodeError, TypeError):  # half a surrogate pair, a value JSON does not have
        return False
    return True


def update_body(stream: Stream, writes: Sequence[Write], ids: Sequence[str]) -> bytes:
    """An sObject Collections update: every row stands for itself (allOrNone false)."""
    types = {one.name: one.type for one in stream.fields}
    records = [
        {
            "attributes": {"type": stream.name},
            "id": key,
            **{name: _value(types.get(name, "text"), v) for name, v in write.document.items()},
        }
        for write, key in zip(writes, ids, strict=True)
    ]
    return _ENCODER.encode({"allOrNone": False, "records": records})


def _value(kind: str, value: object) -> object:
    """Numbers travel as exact literals, references by their id, everything else as it is."""
    if kind in NUMERIC and isinstance(value, str):
        return Decimal(value)
    if isinstance(value, Mapping) and set(value) == {"id"}:
        return value["id"]
    return value


def fact(value: object) -> str:
    """A field's value as a proof compares it."""
    return "" if value is None else str(value)


# --- outbound messages --------------------------------------------------------------------------


def notifications(body: bytes, organization_id: str) -> list[tuple[str, str]]:
    """(object type, 18-character record id) of an outbound message, each once, in order.

    The vendor does not sign these. They are hints only, believed when they come in their form and
    name our organisation; what they point at is read afresh. Raises NotGenuine.
    """
    expected = full_id(organization_id)
    if expected is None:
        raise NotGenuine(
            "no organization_id is known to check the outbound message against; "
            "set it in the system's entry in environments/*.yaml"
        )
    root = _parsed(body)
    message = root.find(f".//{OUTBOUND}notifications")
    if message is None:
        raise NotGenuine("the body is not a Salesforce outbound message; check the sender")
    if full_id((message.findtext(f"{OUTBOUND}OrganizationId") or "").strip()) != expected:
        raise NotGenuine(
            "the outbound message names another organisation than ours; check organization_id "
            "and which organisation sends to this address"
        )
    listed = message.findall(f"{OUTBOUND}Notification")
    if not 0 < len(listed) <= MOST_NOTIFICATIONS:
        raise NotGenuine(f"an outbound message carries 1 to 100 notifications, not {len(listed)}")
    return list(dict.fromkeys(_hint(one) for one in listed))


def _parsed(body: bytes) -> Element:
    if len(body) > MOST_MESSAGE_BYTES:
        raise NotGenuine(f"an outbound message of more than {MOST_MESSAGE_BYTES} bytes is refused")
    try:
        return SafeXml.fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        raise NotGenuine("XML with a DOCTYPE is refused; check the sender") from None
    except (ParseError, ValueError, LookupError):
        raise NotGenuine("the body is not well-formed XML; check the sender") from None


def _hint(notification: Element) -> tuple[str, str]:
    row = notification.find(f"{OUTBOUND}sObject")
    kind = "" if row is None else row.get(XSI_TYPE, "").rpartition(":")[2]
    key = None
    if row is not None:
        text = next((part.text for part in row if part.tag.rpartition("}")[2] == "Id"), "")
        key = full_id((text or "").strip())
    if not kind or key is None:
        raise NotGenuine("a notification names no record; check the fields of the outbound message")
    return kind, key
