"""The Salesforce connector: translates, and nothing else.

Reads walk `SystemModstamp, Id` upwards, so that a page boundary between rows changed in the same
instant loses nothing. A sweep starts `overlap_seconds` before the vendor's own clock at the start
of the last one: Salesforce stamps a row when it saves it and shows it when its transaction commits,
so rows may appear late, behind a stamp already read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from tieout.connectors.salesforce import wire
from tieout.connectors.salesforce.cursor import Cursor, refuse_expired, where
from tieout.connectors.salesforce.errors import ERRORS, LIMITS, of_read
from tieout.connectors.salesforce.signin import sign_in
from tieout.connectors.salesforce.streams import MOST_ROWS_PER_CALL, STREAMS
from tieout.finance.outcome import (
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
from tieout.ports.connector import (
    Health,
    InboundCall,
    Item,
    Mark,
    Marks,
    NotGenuine,
    Page,
    Received,
    Stream,
    Write,
)
from tieout.ports.errors import ErrorTable, VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.limits import LimitRule
from tieout.ports.session import Session
from tieout.ports.signin import SignIn, SignInFailed

ROWS_PER_PAGE = 2_000
OVERLAP_SECONDS = 60.0
MOST_CHILD_PAGES = 1_000
T = TypeVar("T")
HEADERS = {"Content-Type": "application/json", "Sforce-Call-Options": "client=tieout"}


class Salesforce:
    """See `tieout.ports.connector` for what each method promises."""

    name = "salesforce"
    title = "Salesforce"
    streams: Mapping[str, Stream] = STREAMS
    errors: ErrorTable = ERRORS
    limits: tuple[LimitRule, ...] = LIMITS
    settings: Mapping[str, str] = {
        "base_url": "The organisation's own address, https://<My Domain>.my.salesforce.com",
        "api_version": "The API version to speak, for example 67.0",
        "organization_id": "The organisation's id (00D…), which outbound messages must name",
        "page_rows": "Optional: rows per page of a read, 1 to 2000 (default 2000)",
        "overlap_seconds": "Optional: how far behind each new sweep starts (default 60)",
        "username": "Optional: the integration user, for sign-in with a private key",
        "audience": "Optional: who the signed assertion is for (default https://login.salesforce.com)",
    }
    secrets: Mapping[str, str] = {
        "client_id": "Consumer key of the connected app",
        "client_secret": "Consumer secret of the connected app",
        "private_key": "Optional: RSA private key in PEM form; then sign-in is by JWT bearer",
    }

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return sign_in(settings, secrets)

    def check(self, at: Session) -> Health:
        """Sign in, and compare every object's fields with the agreed interface."""
        try:
            for stream in self.streams.values():
                missing = self._missing_fields(at, stream)
                if missing:
                    return Health(
                        False,
                        f"{stream.name} does not show: {', '.join(missing)}",
                        "Create the fields, or give the integration user access to them.",
                    )
        except SignInFailed as refused:
            return Health(False, refused.words, refused.next_action)
        except VendorFault as fault:
            detail = getattr(fault.outcome, "detail", None) or Detail(str(fault))
            return Health(False, detail.words, detail.next_action)
        except NoAnswer as silence:
            return Health(
                False, silence.words, "Check base_url, the network and the vendor's trust page."
            )
        return Health(True, f"signed in; {', '.join(self.streams)} show every agreed field")

    def _missing_fields(self, at: Session, stream: Stream) -> list[str]:
        response = self._asked(
            at, Request("GET", self._url(at, f"sobjects/{stream.name}/describe"))
        )
        described = _decoded(response, wire.Described)
        shown = {one.name for one in described.fields}
        shown |= {one.relationship_name or "" for one in described.child_relationships}
        return [one.name for one in stream.fields if one.name not in shown]

    # --- reading --------------------------------------------------------------------------------

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        """The next page, oldest change first, deleted rows included."""
        kind = self.streams[stream]
        stands = msgspec.json.decode(cursor, type=Cursor) if cursor else Cursor()
        refuse_expired(stands, stream)
        most = max(1, min(ROWS_PER_PAGE, int(at.settings.get("page_rows", ROWS_PER_PAGE))))
        overlap = float(at.settings.get("overlap_seconds", OVERLAP_SECONDS))
        soql = (
            f"{wire.select(kind)}{where(stands, overlap)} ORDER BY SystemModstamp, Id LIMIT {most}"
        )
        response = self._query(at, "queryAll", soql)
        answer = _decoded(response, wire.Answer)
        items = tuple(self._item(at, raw) for raw in answer.records)
        # A full page, or one that the vendor cut short, is followed by another: from the last row
        # seen, not from the vendor's locator, which expires.
        more = bool(items) and (not answer.done or len(items) == most)
        asked = stands.asked if stands.sweeping else wire.vendor_clock(response.header("Date"))
        last = items[-1] if items else None
        after = Cursor(
            last.version if last else stands.stamp,
            last.key if last else stands.id,
            asked or "",
            more,
        )
        return Page(items, msgspec.json.encode(after).decode(), more)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        """These rows as they are now, in the order asked."""
        kind = self.streams[stream]
        ids = {key: full for key in keys if (full := wire.full_id(key)) is not None}
        wanted = list(dict.fromkeys(ids.values()))
        found: dict[str, Item] = {}
        for start in range(0, len(wanted), MOST_ROWS_PER_CALL):
            part = wanted[start : start + MOST_ROWS_PER_CALL]
            soql = f"{wire.select(kind)} WHERE Id IN {wire.id_list(part)}"
            for raw in self._all_records(at, self._query(at, "queryAll", soql)):
                item = self._item(at, raw)
                found[item.key] = item
        return [
            found.get(ids.get(key, ""), Item(ids.get(key, key), "", "{}", deleted=True))
            for key in keys
        ]

    def marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        """Ids and versions of what changed since, deleted rows included, by id: a row that shows
        late has an old stamp, but it has its place among the ids."""
        most = max(1, min(ROWS_PER_PAGE, int(at.settings.get("page_rows", ROWS_PER_PAGE))))
        beyond = f" AND Id > '{wire.full_id(after)}'" if after else ""
        soql = (
            f"SELECT Id, SystemModstamp, IsDeleted FROM {stream} WHERE SystemModstamp >= "
            f"{wire.instant_literal(since)}{beyond} ORDER BY Id LIMIT {most}"
        )
        answer = _decoded(self._query(at, "queryAll", soql), wire.Answer)
        items = [self._item(at, raw) for raw in answer.records]
        more = bool(items) and (not answer.done or len(items) == most)
        found = tuple(Mark(one.key, one.version) for one in items)
        return Marks(found, items[-1].key if items else after, more)

    def _all_records(self, at: Session, response: Response) -> list[msgspec.Raw]:
        """The records of a query and of the pages behind it."""
        answer = _decoded(response, wire.Answer)
        records = list(answer.records)
        for _ in range(MOST_CHILD_PAGES):
            if answer.done:
                return records
            answer = _decoded(self._page_behind(at, answer.next_records_url), wire.Answer)
            records += answer.records
        raise VendorFault(Drift(Detail("a query has more pages than can be right", _LOOK)))

    def _item(self, at: Session, raw: msgspec.Raw) -> Item:
        """One record as an item; its payload is the verbatim slice of the answer."""
        try:
            text = bytes(raw).decode()
            head = msgspec.json.decode(text, type=wire.Head)
            wire.instant_of(head.SystemModstamp)  # the next page continues from it
        except (*wire.UNREADABLE, ValueError) as error:
            raise _drift(f"a record is not in the agreed form: {error}") from None
        key = wire.full_id(head.Id)
        if key is None:
            raise _drift(f"a record has the id '{head.Id}', which is no Salesforce id")
        children = head.OpportunityLineItems
        if children is not None and not children.done:
            text = self._with_all_children(at, text, children)
        return Item(key, head.SystemModstamp, text, head.IsDeleted)

    def _with_all_children(self, at: Session, text: str, children: wire.Children) -> str:
        """The vendor pages long child lists on their own: put the whole list in its place."""
        behind = self._all_records(at, self._page_behind(at, children.next_records_url))
        record = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        rows = [*children.records, *behind]
        whole = {"totalSize": len(rows), "done": True, "records": rows}
        record["OpportunityLineItems"] = msgspec.Raw(msgspec.json.encode(whole))
        return msgspec.json.encode(record).decode()

    # --- receiving ------------------------------------------------------------------------------

    def receive(self, call: InboundCall) -> Received:
        """An outbound message: hints which rows to re-read. `call.secret` is our organisation's id
        (the setting `organization_id`)."""
        hints = wire.notifications(call.body, call.secret)
        for kind, _ in hints:
            if kind not in self.streams or not self.streams[kind].receives:
                raise NotGenuine(
                    f"the outbound message is about {kind[:80]}, which is not received here; "
                    "check the workflow that sends it"
                )
        return Received(hints=tuple(hints), answer=wire.ACKNOWLEDGED, answer_type="text/xml")

    # --- writing --------------------------------------------------------------------------------

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        """Set fields of existing rows by id. A void sets them too: the document says what to."""
        outcomes: list[Outcome | None] = [
            _refused_beforehand(self.streams[stream], write) for write in writes
        ]
        places = [place for place, outcome in enumerate(outcomes) if outcome is None]
        for start in range(0, len(places), MOST_ROWS_PER_CALL):
            part = places[start : start + MOST_ROWS_PER_CALL]
            answers = self._update(at, self.streams[stream], [writes[place] for place in part])
            for place, answer in zip(part, answers, strict=True):
                outcomes[place] = answer
        return [outcome for outcome in outcomes if outcome is not None]

    def _update(self, at: Session, stream: Stream, writes: Sequence[Write]) -> list[Outcome]:
        ids = [wire.full_id(write.target_id) or "" for write in writes]
        try:
            body = wire.update_body(stream, writes, ids)
            url = self._url(at, "composite/sobjects")
            response = at.send(Request("PATCH", url, HEADERS, body))
        except SignInFailed as refused:
            return [Denied(Detail(refused.words, refused.next_action))] * len(writes)
        except NoAnswer as silence:
            detail = Detail(silence.words, "Read-back tells whether it was applied.")
            down = Outage(detail, silence.held_back)
            return [down if silence.never_sent else Unknown(detail)] * len(writes)
        if response.status != 200:
            return [self._classified(at, response)] * len(writes)
        try:
            rows = msgspec.json.decode(response.body, type=list[wire.RowAnswer])
        except wire.UNREADABLE:
            rows = []
        if len(rows) != len(writes):
            detail = Detail(
                "Salesforce's answer does not tell what became of each row",
                "Read-back tells whether it was applied.",
                http_status=200,
            )
            return [Unknown(detail)] * len(writes)
        return [_row_outcome(row, key) for row, key in zip(rows, ids, strict=True)]

    # --- read-back ------------------------------------------------------------------------------

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        """The fields that the write sets."""
        facts = self.streams[stream].facts
        return {name: wire.fact(v) for name, v in write.document.items() if name in facts}

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        """The fields as the rows show them now. None: no such row, or none of the fields set; for a
        void, also a row that still shows another status."""
        names = list(self.streams[stream].facts)
        ids = {write.write_key: wire.full_id(write.target_id) for write in writes}
        wanted = list(dict.fromkeys(key for key in ids.values() if key is not None))
        shown: dict[str, dict[str, str]] = {}
        for start in range(0, len(wanted), MOST_ROWS_PER_CALL):
            part = wanted[start : start + MOST_ROWS_PER_CALL]
            soql = f"SELECT Id, {', '.join(names)} FROM {stream} WHERE Id IN {wire.id_list(part)}"
            for raw in self._all_records(at, self._query(at, "query", soql)):
                row = _row(raw)
                key = wire.full_id(wire.fact(row.get("Id"))) or ""
                shown[key] = {name: wire.fact(row.get(name)) for name in names}
        return {
            write.write_key: self._found(stream, write, ids[write.write_key], shown)
            for write in writes
        }

    def _found(
        self, stream: str, write: Write, key: str | None, shown: Mapping[str, dict[str, str]]
    ) -> Found | None:
        facts = shown.get(key or "")
        if key is None or facts is None or not any(facts.values()):
            return None
        status = self.meant(stream, write).get("ERP_Status__c")
        if write.action == "void" and status is not None and facts["ERP_Status__c"] != status:
            return None
        return Found(key, facts)

    # --- calls ----------------------------------------------------------------------------------

    def _url(self, at: Session, path: str) -> str:
        version = at.setting("api_version")
        return f"{at.setting('base_url').rstrip('/')}/services/data/v{version}/{path}"

    def _query(self, at: Session, resource: str, soql: str) -> Response:
        url = self._url(at, resource)
        options = {**HEADERS, "Sforce-Query-Options": f"batchSize={ROWS_PER_PAGE}"}
        return self._asked(at, Request("GET", url, options, query=(("q", soql),)))

    def _page_behind(self, at: Session, path: str) -> Response:
        if not path.startswith("/services/data/"):
            raise _drift(f"a page behind the answer has the address '{path[:80]}'")
        url = at.setting("base_url").rstrip("/") + path
        return self._asked(at, Request("GET", url, HEADERS))

    def _asked(self, at: Session, request: Request) -> Response:
        """A read that was answered. Raises VendorFault, NoAnswer, SignInFailed."""
        response = at.send(request)
        if response.status != 200:
            raise VendorFault(of_read(self._classified(at, response)))
        return response

    def _classified(self, at: Session, response: Response) -> Outcome:
        code, message, field = wire.refusal(response)
        return self.errors.classify(
            response.status,
            code,
            at.redact(message),
            wait_seconds=response.retry_after_seconds(),
            field=field,
            held_back=response.held_back,
        )


_LOOK = "Compare the vendor's answer in the evidence with the connector's streams."


def _drift(words: str) -> VendorFault:
    return VendorFault(Drift(Detail(words, _LOOK)))


def _decoded(response: Response, form: type[T]) -> T:
    try:
        return msgspec.json.decode(response.body, type=form)
    except wire.UNREADABLE as error:
        raise _drift(f"Salesforce's answer is not in the agreed form: {error}") from None


def _row(raw: msgspec.Raw) -> dict[str, object]:
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except wire.UNREADABLE as error:
        raise _drift(f"a record is not in the agreed form: {error}") from None


def _refused_beforehand(stream: Stream, write: Write) -> Outcome | None:
    """Writes that this connector never sends."""
    if write.action not in {"change", "void"}:
        return Rejected(
            Detail(
                f"opportunities are born in Salesforce: a {write.action} is not written there",
                "Use a change in the flow's step.",
            )
        )
    if wire.full_id(write.target_id) is None:
        return Rejected(
            Detail(
                f"'{write.target_id}' is no Salesforce record id",
                "Check that the mapping's target id is the Id of the Opportunity.",
            )
        )
    field = wire.fault_in(stream, write)
    if field:
        return Rejected(
            Detail(
                f"{field} holds {write.document[field]!r:.80}, which cannot be sent as it is",
                "Correct the value in the source system or in the mapping.",
                field=field,
            )
        )
    return None


def _row_outcome(row: wire.RowAnswer, key: str) -> Outcome:
    """What became of one row of a call that was answered 200."""
    if row.success and wire.full_id(row.id or key) == key:
        return Written(key)
    if row.success:
        return Unknown(Detail(f"Salesforce says yes for row {row.id!r:.30} instead", _LOOK))
    if not row.errors:
        return Unknown(Detail("Salesforce failed the row without saying why", http_status=200))
    first = row.errors[0]
    return ERRORS.classify(200, first.status_code, first.message, field=", ".join(first.fields))
