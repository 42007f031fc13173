"""Speaks with an understudy in place of the real connector: same streams, same capabilities.

What the real connector decides by itself (the streams, their grades, what a proof must show) stays
its own. What depends on the vendor's tongue is replaced by the understudy's.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from tieout.finance.outcome import (
    Accepted,
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
from tieout.ports.connector import (
    Connector,
    Finds,
    Follows,
    HasPeriods,
    Health,
    InboundCall,
    Item,
    Job,
    Mark,
    Marks,
    NotGenuine,
    Page,
    PeriodStatus,
    Received,
    Sweeps,
    Unreadable,
    Write,
    document_text,
)
from tieout.ports.errors import CursorExpired, VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn, SignIn, SignInFailed
from tieout.rehearsal.twins.understudy import SIGNATURE, signature

BASE_URL = "http://understudy.invalid"
HEADERS = {"Content-Type": "application/json"}
_LOOK = "Nothing to do: the write is looked up before anything is sent again."
_WAIT = "Nothing to do: it is tried again with growing pauses."


class UnderstudyConnector:
    """A connector for the understudy of `real`. Needs no settings and no secrets. It follows jobs,
    sweeps and has periods if the real one does: those protocols are asked for by their methods, so
    the methods are there only then."""

    def __init__(self, real: Connector) -> None:
        self.name = real.name
        self.title = f"{real.title} (an understudy)"
        self.streams = real.streams
        self.errors = real.errors
        self.settings: Mapping[str, str] = {}
        self.secrets: Mapping[str, str] = {}
        self._real = real
        if isinstance(real, Sweeps):
            self.marks = self._marks
        if isinstance(real, Follows):
            self.follow = self._follow
        if isinstance(real, HasPeriods):
            self.periods = self._periods

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return NoSignIn()

    def check(self, at: Session) -> Health:
        try:
            _asked(at, Request("GET", f"{BASE_URL}/health"))
        except VendorFault as fault:
            return Health(False, str(fault), _WAIT)
        except NoAnswer as silence:
            return Health(False, silence.words, _WAIT)
        return Health(True, f"an understudy plays {self._real.title}")

    # --- reading --------------------------------------------------------------------------------

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        """The next page, oldest change first, deleted rows included."""
        query = (("after", cursor),) if cursor else ()
        said = _asked(at, Request("GET", _url(stream, "rows"), query=query))
        items = tuple(_item(one) for one in said["rows"])
        return Page(items, str(said["cursor"]), bool(said["more"]))

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        """These rows as they are now."""
        said = _asked(at, _post(stream, "fetch", {"keys": list(keys)}))
        return [
            Item(key, "", "{}", deleted=True) if one is None else _item(one)
            for key, one in zip(keys, said["rows"], strict=True)
        ]

    def _marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        query = (("since", since.isoformat()), ("after", after))
        said = _asked(at, Request("GET", _url(stream, "marks"), query=query))
        found = tuple(Mark(str(key), str(version)) for key, version in said["marks"])
        return Marks(found, found[-1].key if found else after, bool(said["more"]))

    def receive(self, call: InboundCall) -> Received:
        """A webhook with one whole row."""
        told = {name.lower(): value for name, value in call.headers.items()}.get(SIGNATURE, "")
        if told != signature(call.body):
            raise NotGenuine("the digest does not fit the body: it was changed on its way")
        try:
            row = json.loads(call.body)
        except ValueError as error:
            raise Unreadable(f"the body is not a row in JSON: {error}") from None
        return Received((_item(row),), answer=b"{}")

    # --- writing --------------------------------------------------------------------------------

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        """All writes in one call."""
        told = [{**self._told(stream, one), "body": document_text(one.document)} for one in writes]
        try:
            answer = at.send(_post(stream, "writes", {"writes": told}))
        except SignInFailed as refused:
            return [Denied(Detail(refused.words, refused.next_action))] * len(writes)
        except NoAnswer as silence:
            down = Outage(Detail(silence.words, _WAIT), silence.held_back)
            lost = Unknown(Detail(silence.words, _LOOK))
            return [down if silence.never_sent else lost] * len(writes)
        try:
            if answer.status == 202:
                said = _read(answer)
                accepted = Accepted(str(said["job"]), float(said["look_after"]))
                return [accepted] * len(writes)
            if answer.status != 200:
                return [_refusal(answer)] * len(writes)
            return [_outcome(one) for one in _read(answer)["answers"]]
        except VendorFault as fault:
            return [Unknown(Detail(str(fault), _LOOK))] * len(writes)

    def _follow(self, at: Session, stream: str, jobs: Sequence[Job]) -> Sequence[Sequence[Outcome]]:
        return [self._followed(at, job) for job in jobs]

    def _followed(self, at: Session, job: Job) -> Sequence[Outcome]:
        try:
            answer = at.send(Request("GET", f"{BASE_URL}/jobs/{quote(job.handle, safe='')}"))
        except NoAnswer as silence:
            return [Outage(Detail(silence.words, _WAIT))] * len(job.writes)
        if answer.status == 404:
            lost = Unknown(Detail(f"nobody knows the job {job.handle}", _LOOK))
            return [lost] * len(job.writes)
        if answer.status != 200:
            asked = _refusal(answer)
            again = Outage(asked.detail) if isinstance(asked, Unknown) else asked
            return [again] * len(job.writes)
        try:
            said = _read(answer)
        except VendorFault as fault:
            return [fault.outcome] * len(job.writes)
        if not said["done"]:
            return [Accepted(job.handle, 1.0)] * len(job.writes)
        return [_outcome(one) for one in said["answers"]]

    # --- read-back ------------------------------------------------------------------------------

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        """What the real connector says; for one that cannot, the facts that the document names."""
        if isinstance(self._real, Finds):
            return self._real.meant(stream, write)
        named = self.streams[stream].facts
        return {
            name: str(value)
            for name, value in write.document.items()
            if name in named and value not in (None, "")
        }

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        """The documents as they show now."""
        told = [self._told(stream, one) for one in writes]
        said = _asked(at, _post(stream, "find", {"writes": told}))
        return {
            write.write_key: None
            if one is None
            else Found(str(one["id"]), cast(dict[str, str], one["facts"]), str(one["id"]))
            for write, one in zip(writes, said["found"], strict=True)
        }

    def _told(self, stream: str, one: Write) -> dict[str, object]:
        return {
            "key": one.write_key,
            "reference": one.reference,
            "action": one.action,
            "target_id": one.target_id,
            "facts": dict(self.meant(stream, one)),
        }

    def _periods(self, at: Session) -> Sequence[PeriodStatus]:
        said = _asked(at, Request("GET", f"{BASE_URL}/periods"))
        return [
            PeriodStatus(
                one["name"],
                dt.date.fromisoformat(one["start"]),
                dt.date.fromisoformat(one["end"]),
                one["state"],
            )
            for one in said["periods"]
        ]


def _url(stream: str, what: str) -> str:
    return f"{BASE_URL}/streams/{quote(stream, safe='')}/{what}"


def _post(stream: str, what: str, body: object) -> Request:
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Request("POST", _url(stream, what), HEADERS, text)


def _asked(at: Session, request: Request) -> Any:
    """What a reading call answered. Raises VendorFault, NoAnswer, SignInFailed."""
    answer = at.send(request)
    if answer.status == 410:
        raise CursorExpired(str(_read(answer)["words"]))
    if answer.status != 200:
        raise VendorFault(_refusal(answer))
    return _read(answer)


def _read(answer: Response) -> Any:
    """The answer's JSON. Raises VendorFault for half an answer, or for none of ours."""
    try:
        return json.loads(answer.body)
    except ValueError as error:
        words = f"the understudy's answer cannot be read: {error}"
        raise VendorFault(Drift(Detail(words, _WAIT))) from None


def _item(told: Mapping[str, Any]) -> Item:
    return Item(told["key"], told["version"], told["payload"], bool(told["deleted"]))


def _refusal(answer: Response) -> Outcome:
    """A call that was refused as a whole."""
    detail = Detail(f"the understudy answered {answer.status}", _WAIT, "", answer.status)
    if answer.status == 429:
        return Busy(detail, answer.retry_after_seconds(), answer.held_back)
    return Unknown(detail) if answer.status >= 500 else Drift(detail)


def _outcome(told: Mapping[str, Any]) -> Outcome:
    """What became of one write of a call that was answered."""
    status, target_id = int(told["status"]), str(told["id"])
    if status == 200:
        return Written(target_id)
    if status == 409:
        return AlreadyThere(target_id)
    detail = Detail(str(told["words"]), _WAIT, str(told["code"]), status)
    if status == 423:
        return Busy(detail)
    return Unknown(detail) if status >= 500 else Rejected(detail)
