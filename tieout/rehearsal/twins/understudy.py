"""An understudy: a system in memory that plays any connector for which no emulator is installed.

It speaks a small JSON interface of its own, one that `UnderstudyConnector` knows, so that every
call passes the session, the line and its faults like those of a vendor. What it offers, and how a
repeated write behaves, is what the real connector's streams declare.
"""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import json
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from tieout import clock
from tieout.emulators.kit import read_json
from tieout.ports.connector import (
    Connector,
    Follows,
    HasPeriods,
    InboundCall,
    Reads,
    Receives,
    Sweeps,
)
from tieout.ports.http import Request, Response
from tieout.rehearsal.twins.base import Applied, Effect, Unplayable
from tieout.rehearsal.twins.understudy_books import Answer, Asked, Books, Paper
from tieout.rehearsal.twins.understudy_rows import Forgotten, Rows, Shown

SIGNATURE = "x-understudy-digest"
FIRST_YEAR = 2018  # of the accounting periods; the last one is that of next year
JOB_SECONDS = 1.0
MOST_LATE_ROWS = 3
LATE_ROW_SECONDS = (10.0, 600.0)
LENIENT_SHARE = 0.5  # of closed periods: closed for people, open for who comes by an interface


@dataclass
class _Job:
    """Writes that were accepted and are carried out when they are due (monotonic)."""

    stream: str
    batch: Sequence[Asked]
    due: float
    answers: list[Answer] = field(default_factory=list)
    done: bool = False


class Understudy:
    """A `Twin` for any connector. `hooks` names the streams whose rows are also told by webhook
    when people change them (of those that the connector receives; None = all of them)."""

    def __init__(
        self, system: str, real: Connector, *, hooks: Collection[str] | None = None
    ) -> None:
        self.system = system
        self.described = (
            f"{system}: an understudy in memory plays {real.title}, because no emulator of it is "
            "installed; it keeps to what the connector declares"
        )
        self.streams = real.streams
        received = {
            name
            for name, one in real.streams.items()
            if one.receives and isinstance(real, Receives)
        }
        self.hooks = received if hooks is None else received & set(hooks)
        self._reads = isinstance(real, Reads)
        self._follows = isinstance(real, Follows)
        self._has_periods = isinstance(real, HasPeriods)
        self._rows = {name: Rows(one) for name, one in real.streams.items()}
        # Where nobody compares keys, a row that is stored late is lost by declaration.
        self._swept = [
            name
            for name, one in real.streams.items()
            if one.reads and isinstance(real, Sweeps) and name not in self.hooks
        ]
        self._books = Books(real.streams)
        self._jobs: dict[str, _Job] = {}
        self._calls: list[InboundCall] = []
        self.strikes = frozenset(self._possible_strikes())

    def _possible_strikes(self) -> Iterable[str]:
        written = [one for one in self.streams.values() if one.writes]
        if written:
            yield from ("partial", "restore")
        grades = [one.idempotency for one in written if one.idempotency is not None]
        if any(one.grade == "B" and one.key_lifetime_seconds is not None for one in grades):
            yield "forgotten_key"
        if self._has_periods and any(one.posts for one in written):
            yield "period_close"
        if self._swept:
            yield "late_commit"

    # --- the interface --------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """Answer one call."""
        self._work_off()
        parts = [unquote(one) for one in request.path().strip("/").split("/")]
        asked = read_json(request.body) if request.body else {}
        match (request.method, *parts):
            case ("GET", "health"):
                return _json(200, {"well": True})
            case ("GET", "periods") if self._has_periods:
                return _json(200, {"periods": self._periods()})
            case ("GET", "jobs", handle):
                return self._job(handle)
            case (method, "streams", name, what) if name in self.streams:
                return self._in_stream(method, name, what, request, asked)
            case _:
                return _json(404, {"words": f"there is no {request.path()}"})

    def arrived(self, request: Request, seconds_ago: float) -> Response:
        """A call that came some time ago: what it made is found as if it had been taken then."""
        self._books.late_by = seconds_ago
        try:
            return self.handle(request)
        finally:
            self._books.late_by = 0.0

    def _in_stream(
        self, method: str, name: str, what: str, request: Request, asked: Any
    ) -> Response:
        rows = self._rows[name]
        match (method, what):
            case ("GET", "rows"):
                try:
                    shown, cursor, more = rows.page(request.arguments().get("after", ""))
                except Forgotten as forgotten:
                    return _json(410, {"words": str(forgotten)})
                told = [_told(one) for one in shown]
                return _json(200, {"rows": told, "cursor": cursor, "more": more})
            case ("POST", "fetch"):
                found = [one and _told(one) for one in rows.some(asked["keys"])]
                return _json(200, {"rows": found})
            case ("GET", "marks"):
                since = dt.datetime.fromisoformat(request.arguments()["since"])
                marked, more = rows.changed(since, request.arguments().get("after", ""))
                keys = [[one.key, one.version] for one in marked]
                return _json(200, {"marks": keys, "more": more})
            case ("POST", "writes") if self.streams[name].writes:
                return self._writes(name, [_asked(one) for one in asked["writes"]])
            case ("POST", "find"):
                found = [self._found(name, _asked(one)) for one in asked["writes"]]
                return _json(200, {"found": found})
            case _:
                return _json(404, {"words": f"{name} has no {what}"})

    def _writes(self, stream: str, batch: Sequence[Asked]) -> Response:
        if self._follows:
            handle = f"job-{len(self._jobs) + 1}"
            self._jobs[handle] = _Job(stream, batch, clock.monotonic() + JOB_SECONDS)
            return _json(202, {"job": handle, "look_after": JOB_SECONDS})
        return _json(200, {"answers": _answers(self._take(stream, batch))})

    def _take(self, stream: str, batch: Sequence[Asked]) -> list[Answer]:
        rows = self._rows[stream]
        done = len(self._books.applied)
        own = {one.target_id: rows.has(one.target_id) for one in batch}
        answers = self._books.take(stream, batch, own)
        for one in self._books.applied[done:]:
            self._show(self._books.papers[stream, one.target_id])
        return answers

    def _show(self, paper: Paper) -> None:
        """A document that was written can be read like any other row of its stream."""
        rows = self._rows[paper.stream]
        if paper.end == "delete":
            rows.remove(paper.target_id)
        else:
            rows.write(paper.target_id, {**paper.fields, **paper.facts, **paper.end_facts})

    def _found(self, stream: str, one: Asked) -> dict[str, object] | None:
        paper = self._books.find(stream, one)
        if paper is None:
            return None
        if one.action in {"void", "delete"}:
            ended = paper.end == one.action
            facts = paper.end_facts
            return {"id": paper.target_id, "facts": dict(facts)} if ended else None
        if paper.end == "delete":
            return None
        return {"id": paper.target_id, "facts": dict(paper.facts)}

    def _work_off(self) -> None:
        """Carry out the jobs that are due."""
        for job in self._jobs.values():
            if not job.done and job.due <= clock.monotonic():
                job.answers, job.done = self._take(job.stream, job.batch), True

    def _job(self, handle: str) -> Response:
        job = self._jobs.get(handle)
        if job is None:
            return _json(404, {"words": f"there is no job {handle}"})
        return _json(200, {"done": job.done, "answers": _answers(job.answers)})

    def _periods(self) -> list[dict[str, str]]:
        found = []
        for year in range(FIRST_YEAR, clock.now().year + 2):
            for month in range(1, 13):
                name = f"{year}-{month:02d}"
                last = calendar.monthrange(year, month)[1]
                state = "closed" if name in self._books.closed else "open"
                end = f"{name}-{last}"
                found.append({"name": name, "start": f"{name}-01", "end": end, "state": state})
        return found

    # --- what people do -------------------------------------------------------------------------

    def put(self, stream: str, row: Mapping[str, object]) -> str:
        """Somebody makes or replaces a row."""
        rows = self._readable(stream)
        key = rows.put(row)
        self._hook(stream, key)
        return key

    def remove(self, stream: str, key: str) -> None:
        """Somebody deletes a row; it is told as deleted from then on."""
        if not self._readable(stream).remove(key):
            raise Unplayable(f"{self.system} has no {stream} {key} to delete")
        self._hook(stream, key)

    def rows(self, stream: str) -> Mapping[str, Mapping[str, object]]:
        """The rows as people see them, what was written over the interface among them."""
        self._work_off()
        return self._readable(stream).live()

    def calls(self) -> Sequence[InboundCall]:
        """Webhooks with whole rows, in the order of the changes."""
        due, self._calls = self._calls, []
        return due

    def forget(self, stream: str) -> None:
        """The stream's feed no longer knows any cursor: whoever reads must compare."""
        self._readable(stream).forget()

    def _readable(self, stream: str) -> Rows:
        if stream not in self._rows:
            raise Unplayable(f"{self.system} has no stream '{stream}'")
        if not (self._reads and self.streams[stream].reads) and not self.streams[stream].receives:
            raise Unplayable(f"{self.system}.{stream} is only written to: it shows no rows")
        return self._rows[stream]

    def _hook(self, stream: str, key: str) -> None:
        if stream not in self.hooks:
            return
        (shown,) = self._rows[stream].some([key])
        if shown is None:
            raise AssertionError(f"{stream} {key} was just changed")
        body = json.dumps(_told(shown), ensure_ascii=False).encode()
        types = self.streams[stream].webhook_types
        headers = {"Content-Type": types[0] if types else "application/json"}
        self._calls.append(InboundCall(stream, {**headers, SIGNATURE: signature(body)}, body))

    # --- looking from inside --------------------------------------------------------------------

    def effects(self) -> Sequence[Effect]:
        """Every document that is there; one on a row that people deleted has no effect any more."""
        self._work_off()
        return [
            one if self._rows[one.stream].has(one.target_id) else replace(one, alive=False)
            for one in self._books.effects()
        ]

    def applied(self) -> Sequence[Applied]:
        """Every write that took effect; `digest` is that of the document's text."""
        self._work_off()
        return tuple(self._books.applied)

    # --- faults ---------------------------------------------------------------------------------

    def strike(self, fault: str, dice: random.Random) -> str:
        """See `Twin.strike`. Raises ValueError for a fault that is not in `strikes`."""
        if fault not in self.strikes:
            raise ValueError(f"{self.system} cannot suffer '{fault}'")
        self._work_off()
        if fault == "partial":
            self._books.partial = random.Random(dice.random())
            return f"{self.system} will refuse a part of the next writes"
        if fault == "forgotten_key":
            known = self._books.forget_keys()
            return f"{self.system} forgot {known} idempotency keys" if known else ""
        if fault == "period_close":
            used = self._books.months_in_use()
            if not used:
                return ""
            month = dice.choice(used)
            self._books.closed[month] = clock.monotonic()
            if dice.random() < LENIENT_SHARE:
                self._books.lenient.add(month)
                return f"the period {month} was closed, and {self.system} takes what comes"
            return f"the accounting period {month} of {self.system} was closed"
        if fault == "late_commit":
            return self._store_late(dice)
        lost, back = self._books.restore(dice)
        for one in lost:
            self._rows[one.stream].vanish(one.target_id)
        for one in back:
            self._show(one)
        if not lost and not back:
            return ""
        return (
            f"{self.system} was restored: {len(lost)} documents are lost, {len(back)} are what "
            "they were"
        )

    def _store_late(self, dice: random.Random) -> str:
        """Some rows that somebody makes just now are stored when others have been read."""
        fresh = [(name, key) for name in self._swept for key in self._rows[name].fresh()]
        if not fresh:
            return ""
        late = sorted(dice.sample(fresh, min(len(fresh), MOST_LATE_ROWS)))
        for name, key in late:
            seconds = dt.timedelta(seconds=dice.uniform(*LATE_ROW_SECONDS))
            self._rows[name].store_late(key, clock.now() + seconds)
        told = ", ".join(f"{name} {key}" for name, key in late)
        return f"{self.system} stores {told} late"

    def heal(self) -> None:
        """Nothing is refused in part any more, and everything is stored. Closed periods stay
        closed: people reopen them."""
        self._books.partial = None
        for one in self._rows.values():
            one.store_all()

    def reopen(self) -> Sequence[str]:
        """Somebody opens every closed period again; returns their names."""
        opened = sorted(self._books.closed)
        self._books.closed.clear()
        self._books.lenient.clear()
        return opened


def signature(body: bytes) -> str:
    """What a webhook carries to show that it came whole. It is no secret: there is nobody here
    who would forge one."""
    return hashlib.sha256(body).hexdigest()


def _told(one: Shown) -> dict[str, object]:
    return {
        "key": one.key,
        "version": one.version,
        "payload": one.payload,
        "deleted": one.deleted,
    }


def _asked(told: Mapping[str, Any]) -> Asked:
    body = str(told.get("body", ""))
    fields = read_json(body.encode()) if body else {}
    return Asked(
        write_key=str(told["key"]),
        reference=str(told["reference"]),
        action=str(told["action"]),
        body=body,
        fields=fields if isinstance(fields, dict) else {},
        facts=dict(told.get("facts", {})),
        target_id=str(told.get("target_id", "")),
    )


def _answers(answers: Iterable[Answer]) -> list[dict[str, object]]:
    return [
        {"status": one.status, "id": one.target_id, "code": one.code, "words": one.words}
        for one in answers
    ]


def _json(status: int, body: object) -> Response:
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(status, {"Content-Type": "application/json"}, text)
