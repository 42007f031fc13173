"""What a connector is: a stateless translator between one system's tongue and ours.

A connector holds no state and no clock; it never retries, never sleeps, never stores. It opts into
a capability by implementing one of the small protocols below. Everything that goes over the wire
goes through the `Session` it is handed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from tieout.finance.digest import canonical_json
from tieout.finance.outcome import Detail, Found, Outcome
from tieout.ports.errors import ErrorTable
from tieout.ports.http import Request
from tieout.ports.session import Line, Session
from tieout.ports.signin import SignIn

# --- what a stream looks like ---------------------------------------------------------------

FieldType = Literal[
    "text",
    "amount",
    "quantity",
    "rate",
    "number",
    "integer",
    "boolean",
    "date",
    "timestamp",
    "object",
    "list",
]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an interface.

    `amount` is DECIMAL(22,6), `quantity` (18,6), `rate` (16,10); `number` is any JSON number kept
    exactly, DECIMAL(38,18): for dirty input that a mapping must clean by a stated rule. Numbers
    and numeric strings are both read. `fields` describes an object, or the items of a list.
    """

    name: str
    type: FieldType = "text"
    title: str = ""
    required: bool = False
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How a repeat of a write behaves in the target (DESIGN D7).

    A: a permanent unique business reference is enforced by the target.
    B: searchable by our reference once `in_flight_seconds` have passed (index lag included), or an
       expiring key that lives `key_lifetime_seconds`.
    C: neither; never re-posted automatically.
    """

    grade: Literal["A", "B", "C"]
    in_flight_seconds: float = 0.0
    key_lifetime_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of thing a system offers to read, to receive or to write."""

    name: str  # the vendor's own name: Opportunity, salesOrder
    title: str  # plain words: "Sales order"
    fields: tuple[Field, ...]  # the interface
    key: str = "id"  # the field that identifies a row in this system
    version: str = ""  # the field that orders versions of one row
    reads: bool = False
    receives: bool = False
    writes: bool = False
    posts: bool = False  # a write lands in an accounting period
    idempotency: Idempotency | None = None  # stated by every stream that writes
    facts: Mapping[str, Literal["amount", "date", "text"]] = field(default_factory=dict)
    most_writes_per_call: int = 100  # how many writes one `write` call may carry
    most_in_flight: int = 0  # calls at a time; 0: the session's limit decides
    webhook_secret: str = ""  # the setting or secret that proves a webhook of this stream
    webhook_types: tuple[str, ...] = ()  # media types of its webhooks; empty: any


# --- what flows through -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One row as the system says it: `payload` is its verbatim JSON text. `version` orders the
    versions of the row as text does (an instant in one form and zone); where the stream's version
    field is an integer, the engine pads it."""

    key: str
    version: str
    payload: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the cursor to store with them. `more` means: ask again at once."""

    items: tuple[Item, ...]
    cursor: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """That a row is there, in this version: an `Item` without its content."""

    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Marks:
    """One page of marks, and where the next begins. `more` means: ask again at once."""

    marks: tuple[Mark, ...]
    after: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A webhook as it arrived, before anything believed it."""

    stream: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """What a webhook meant: full rows, or only hints which rows to re-read; and what to answer."""

    items: tuple[Item, ...] = ()
    hints: tuple[tuple[str, str], ...] = ()  # (stream, source key)
    answer: bytes = b""
    answer_type: str = "application/json"


class NotGenuine(Exception):
    """A webhook whose signature, sender or form is wrong. Says what and what to check."""


class Unreadable(Exception):
    """A genuine webhook that nobody can read: no JSON, half a character. Says what and where."""


Action = Literal["create", "change", "void", "delete"]


class Document(Mapping[str, object]):
    """A target document. `text` is its canonical JSON as it was committed; it is parsed only when
    somebody looks inside, so that a connector that passes the text on pays for no parsing."""

    __slots__ = ("_values", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._values: dict[str, object] | None = None

    def _read(self) -> dict[str, object]:
        if self._values is None:
            self._values = json.loads(self.text)
        return self._values

    def __getitem__(self, name: str) -> object:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def document_text(document: Mapping[str, object]) -> str:
    """The canonical JSON text of a document."""
    if isinstance(document, Document):
        return document.text
    return canonical_json(dict(document)).decode()


@dataclass(frozen=True, slots=True)
class Write:
    """One intended effect, already committed on our side.

    `reference` is the permanent business reference of the document (it becomes the external id),
    the same for every revision. `document` is the target's own shape as JSON with amounts as
    decimal strings. `previous` is the last proven document, so that a replaced slice can clear what
    it no longer holds. `target_id` is the target's id once known.
    """

    write_key: str
    reference: str
    action: Action
    document: Mapping[str, object]
    target_id: str = ""
    previous: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted asynchronous job and the writes it carries."""

    handle: str
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class TotalAsk:
    """Which rows to total: `where` names exact field values, all must hold."""

    amount: str
    by: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Total:
    """One group of `GivesTotals.totals`."""

    group: tuple[str, ...]
    count: int
    sum: Decimal


@dataclass(frozen=True, slots=True)
class PeriodStatus:
    """The ERP's word on one accounting period."""

    name: str
    start: dt.date
    end: dt.date
    state: Literal["open", "soft_closed", "closed"]


@dataclass(frozen=True, slots=True)
class Health:
    """The result of `check`: can we reach it, sign in, and see what we need?"""

    well: bool
    words: str
    next_action: str = ""


# --- the protocols ----------------------------------------------------------------------------


@runtime_checkable
class Connector(Protocol):
    name: str
    title: str
    streams: Mapping[str, Stream]
    errors: ErrorTable
    settings: Mapping[str, str]  # setting name -> plain description
    secrets: Mapping[str, str]  # secret name -> plain description

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn: ...
    def check(self, at: Session) -> Health: ...


@runtime_checkable
class OpensLine(Protocol):
    def open_line(
        self,
        settings: Mapping[str, str],
        secrets: Mapping[str, str],
        addresses: Sequence[str],
        timeout_seconds: float,
    ) -> Line:
        """The line to a system that speaks no HTTP (`Session.line` keeps it). Only `addresses` may
        be reached. Raises NoAnswer when nobody answers there, SignInFailed when we are refused."""


@runtime_checkable
class Reads(Protocol):
    def read(self, at: Session, stream: str, cursor: str) -> Page:
        """The next page after `cursor` ("" = from the beginning), oldest change first, with the
        stream's overlap. Raises VendorFault on a refusal, NoAnswer when nothing came back, and
        CursorExpired when the system has forgotten what lies after `cursor`: then the whole stream
        is read anew, and what is no longer in it is gone."""

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        """These rows as they are now. A key that is gone comes back as a deleted item."""


@runtime_checkable
class Sweeps(Protocol):
    def marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        """Keys and versions, as `read` would give them, of all rows that changed at or after
        `since`; page by page in the order of a key that never changes ("" = from the first), so
        that a row that shows late, behind a cursor, is met. Raises VendorFault, NoAnswer."""


@runtime_checkable
class Receives(Protocol):
    def receive(self, call: InboundCall) -> Received:
        """Verify first, then parse. Raises NotGenuine, or Unreadable when the sender is genuine and
        what it sent is not readable. Calls nobody: it runs before anything is stored."""


@runtime_checkable
class Writes(Protocol):
    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        """One outcome per write, in order. Never raises for what a system answered or did not."""


@runtime_checkable
class Follows(Protocol):
    def follow(self, at: Session, stream: str, jobs: Sequence[Job]) -> Sequence[Sequence[Outcome]]:
        """Per job, one outcome per write in order; Accepted again while it still runs."""


@runtime_checkable
class Finds(Protocol):
    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        """The facts a proof of this write must show (names of `Stream.facts`). Pure."""

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        """By write key: the effect as the target shows it now, or None if it is not there. For a
        void, the effect is the reversal. Raises VendorFault or NoAnswer: then nothing is known."""


@runtime_checkable
class GivesTotals(Protocol):
    def totals(self, at: Session, stream: str, ask: TotalAsk) -> Sequence[Total]: ...


@runtime_checkable
class HasPeriods(Protocol):
    def periods(self, at: Session) -> Sequence[PeriodStatus]:
        """Every accounting period the system knows, with its state."""


__all__ = [
    "Action",
    "Connector",
    "Detail",
    "Document",
    "Field",
    "FieldType",
    "Finds",
    "Follows",
    "GivesTotals",
    "HasPeriods",
    "Health",
    "Idempotency",
    "InboundCall",
    "Item",
    "Job",
    "Mark",
    "Marks",
    "NotGenuine",
    "OpensLine",
    "Page",
    "PeriodStatus",
    "Reads",
    "Received",
    "Receives",
    "Request",
    "Stream",
    "Sweeps",
    "Total",
    "TotalAsk",
    "Unreadable",
    "Write",
    "Writes",
    "document_text",
]
