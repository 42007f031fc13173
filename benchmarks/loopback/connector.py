"""The connector of the measuring landscape: signed webhooks with whole rows in, entries out.

As plain as a connector can be, so that what is measured is the way between: one signature to check,
one call for all writes that are due, one for all read-backs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from tieout.finance.outcome import Denied, Detail, Drift, Found, Outage, Outcome, Unknown, Written
from tieout.ports.connector import (
    Field,
    Health,
    Idempotency,
    InboundCall,
    Item,
    NotGenuine,
    Page,
    Received,
    Stream,
    Unreadable,
    Write,
    document_text,
)
from tieout.ports.errors import ErrorTable, VendorFault
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

SIGNATURE = "x-loopback-signature"
JSON = {"Content-Type": "application/json"}

_CUSTOMER = Stream(
    name="customer",
    title="Customer",
    key="id",
    version="version",
    reads=True,
    receives=True,
    webhook_secret="webhook_secret",
    webhook_types=("application/json",),
    fields=(
        Field("id", "text", required=True),
        Field("version", "integer", required=True),
        Field("name", "text"),
        Field("region", "text"),
        Field("currency", "text"),
    ),
)
_INVOICE = Stream(
    name="invoice",
    title="Invoice",
    key="id",
    version="version",
    reads=True,
    receives=True,
    webhook_secret="webhook_secret",
    webhook_types=("application/json",),
    fields=(
        Field("id", "text", required=True),
        Field("version", "integer", required=True),
        Field("customer", "text"),
        Field("region", "text"),
        Field("currency", "text"),
        Field("date", "date"),
        Field("total", "amount"),
        Field("status", "text"),
        Field(
            "lines",
            "list",
            fields=(
                Field("line", "integer"),
                Field("product", "text"),
                Field("quantity", "quantity"),
                Field("price", "amount"),
                Field("amount", "amount"),
            ),
        ),
    ),
)
_ACCOUNT = Stream(
    name="account",
    title="Account",
    writes=True,
    fields=(Field("id", "text"), Field("name", "text"), Field("currency", "text")),
    idempotency=Idempotency("A"),
    facts={"name": "text", "currency": "text"},
    most_writes_per_call=500,
)
_ENTRY = Stream(
    name="entry",
    title="Ledger entry",
    writes=True,
    fields=(
        Field("id", "text"),
        Field("account", "text"),
        Field("currency", "text"),
        Field("date", "date"),
        Field("total", "amount"),
        Field(
            "lines",
            "list",
            fields=(
                Field("line", "integer"),
                Field("product", "text"),
                Field("quantity", "quantity"),
                Field("amount", "amount"),
            ),
        ),
    ),
    idempotency=Idempotency("A"),
    facts={"total": "amount", "currency": "text", "date": "date"},
    most_writes_per_call=500,
)
_RECEIPT = Stream(
    name="receipt",
    title="Receipt of an entry",
    writes=True,
    fields=(
        Field("id", "text"),
        Field("entry", "text"),
        Field("currency", "text"),
        Field("total", "amount"),
    ),
    idempotency=Idempotency("A"),
    facts={"total": "amount", "currency": "text"},
    most_writes_per_call=500,
)


class _Head(msgspec.Struct):
    id: str
    version: int


class _Nothing:
    """The twins ask for no credential."""

    def apply(self, request: Request, transport: Transport) -> Request:
        return request

    def renew(self, transport: Transport) -> bool:
        return False


class Loopback:
    """See `tieout.ports.connector` for what each method promises."""

    name = "loopback"
    title = "Loopback"
    streams: Mapping[str, Stream] = {
        one.name: one for one in (_CUSTOMER, _INVOICE, _ACCOUNT, _ENTRY, _RECEIPT)
    }
    errors = ErrorTable(())
    settings: Mapping[str, str] = {"base_url": "where the twin listens"}
    secrets: Mapping[str, str] = {"webhook_secret": "signs the webhooks (HMAC-SHA256)"}

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> _Nothing:
        return _Nothing()

    def check(self, at: Session) -> Health:
        return Health(True, "a twin on this machine")

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        """Nothing: everything comes by webhook, and polling only looks whether it did."""
        _asked(at, Request("GET", f"{at.setting('base_url')}/rows/{stream}"))
        return Page((), cursor or "0")

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        raise VendorFault(Drift(Detail("the twin keeps no rows", "Send whole rows by webhook.")))

    def receive(self, call: InboundCall) -> Received:
        told = call.headers.get(SIGNATURE, "")
        if not call.secret or not hmac.compare_digest(sign(call.secret, call.body), told):
            raise NotGenuine("the signature does not fit the body; check webhook_secret")
        try:
            head = msgspec.json.decode(call.body, type=_Head)
            text = call.body.decode("utf-8")
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreadable(f"the body is not a row in JSON: {error}") from None
        return Received((Item(head.id, str(head.version), text),), answer=b"{}")

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        rows = ",".join(
            f'{{"reference":{json.dumps(one.reference)},"document":{document_text(one.document)}}}'
            for one in writes
        )
        url = f"{at.setting('base_url')}/{stream}"
        try:
            answer = at.send(Request("POST", url, JSON, f"[{rows}]".encode()))
        except SignInFailed as refused:
            return [Denied(Detail(refused.words, refused.next_action))] * len(writes)
        except NoAnswer as silence:
            detail = Detail(silence.words)
            return [Outage(detail) if silence.never_sent else Unknown(detail)] * len(writes)
        if answer.status != 200:
            return [Unknown(Detail(f"the twin answered {answer.status}"))] * len(writes)
        ids = cast(list[str], json.loads(answer.body))
        return [Written(one) for one in ids]

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        return {name: str(write.document[name]) for name in self.streams[stream].facts}

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        wanted = json.dumps([one.reference for one in writes]).encode()
        url = f"{at.setting('base_url')}/{stream}/find"
        answer = _asked(at, Request("POST", url, JSON, wanted))
        found = cast(dict[str, dict[str, str]], json.loads(answer.body))
        facts = self.streams[stream].facts
        return {
            one.write_key: Found(one.reference, {name: str(row[name]) for name in facts})
            if (row := found.get(one.reference)) is not None
            else None
            for one in writes
        }


def sign(secret: str, body: bytes) -> str:
    """The signature of a webhook's body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _asked(at: Session, request: Request) -> Response:
    answer = at.send(request)
    if answer.status != 200:
        raise VendorFault(Outage(Detail(f"the twin answered {answer.status}")))
    return answer


CONNECTOR = Loopback()
