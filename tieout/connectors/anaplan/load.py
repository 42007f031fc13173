"""Loading: one file and one import for all writes of a call, then following the import's task.

Until the task is started nothing has changed a cell, so every earlier failure is certain. After
that only the task's result or the view tells: COMPLETE is not success, success may come with
refused and ignored rows, and the failure dump lives only until the next run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.connectors.anaplan import rows as booking
from tieout.connectors.anaplan import wire
from tieout.connectors.anaplan.errors import ERRORS
from tieout.finance.outcome import (
    Accepted,
    Busy,
    Denied,
    Detail,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Job, Write
from tieout.ports.http import Request, Response
from tieout.ports.session import Session

UNDER_WAY = ("NOT_STARTED", "IN_PROGRESS", "CANCELLING")
MOST_TASKS_SEEN = 100
MOST_DUMP_CHUNKS = 100
MOST_ROWS_TOLD = 5
REPAIR = "Correct the row, or add the missing item to the model, then send the order again."
LOOK = "Nothing to do; the bookings view decides what was loaded."


def write(at: Session, writes: Sequence[Write]) -> list[Outcome]:
    """One outcome per write, in order; every write that could be loaded shares one."""
    outcomes: list[Outcome | None] = [None] * len(writes)
    rows: list[booking.Row] = []
    owners: dict[str, str] = {}
    for index, one in enumerate(writes):
        try:
            own = booking.rows_of(one)
            _claim(owners, own, one)
        except booking.BadDocument as error:
            outcomes[index] = Rejected(Detail(error.words, REPAIR, field=error.field))
        else:
            rows += own
    shared: Outcome | None = _load(at, rows) if rows else None
    if shared is None:
        return [outcome for outcome in outcomes if outcome is not None]
    return [outcome or shared for outcome in outcomes]


def _claim(owners: dict[str, str], rows: Sequence[booking.Row], one: Write) -> None:
    """A code may occur once in a file: Anaplan adds up rows of one code before it replaces."""
    for row in rows:
        if row["code"] in owners:
            raise booking.BadDocument(
                f"code {row['code']} is already loaded by {owners[row['code']]} in the same call",
                "code",
            )
    owners.update({row["code"]: one.reference for row in rows})


def _load(at: Session, rows: Sequence[booking.Row]) -> Outcome:
    return _still_running(at) or _upload(at, booking.to_csv(rows)) or _start(at)


def running_task(at: Session) -> str | Outcome:
    """The id of a task of our import that has not ended, "" if there is none."""
    url = wire.model_url(at, "imports", at.setting("bookings_import_id"), "tasks")
    query = (("limit", str(MOST_TASKS_SEEN)), ("sort", "-creationDate"))
    answer = wire.ask(at, Request("GET", url, wire.JSON_TYPE, query=query))
    if not isinstance(answer, Response):
        return wire.not_applied(answer)
    for task in wire.parts(wire.body_of(answer), "tasks"):
        if task.get("taskState") in UNDER_WAY:
            return str(task.get("taskId", ""))
    return ""


def _still_running(at: Session) -> Outcome | None:
    """A task that has not started yet would load our new file instead of its own."""
    found = running_task(at)
    if not isinstance(found, str):
        return found
    if found:
        words = f"import task {found} has not ended; its file must not be overwritten"
        return Busy(Detail(words, "Nothing to do; the load waits."), wire.poll_seconds(at))
    return None


def _upload(at: Session, content: bytes) -> Outcome | None:
    """The file in chunks; None when it lies there complete."""
    size = wire.chunk_bytes(at)
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    file_id = at.setting("bookings_file_id")
    url = wire.model_url(at, "files", file_id)
    body = json.dumps({"chunkCount": len(chunks)}).encode()
    answer = wire.ask(at, Request("POST", url, wire.JSON_TYPE, body))
    if not isinstance(answer, Response):
        return wire.not_applied(answer)
    given = str(wire.part(wire.body_of(answer), "file").get("id", ""))
    if given != file_id:
        return Drift(
            Detail(
                f"file {file_id} is not in the model; Anaplan answered with file {given or '?'}",
                "Set bookings_file_id to the file the import reads, and delete the new one.",
            )
        )
    puts = [
        Request("PUT", f"{url}/chunks/{n}", {"Content-Type": "application/octet-stream"}, chunk)
        for n, chunk in enumerate(chunks)
    ]
    for sent in at.send_all(puts):
        judged = wire.judged(at, sent) if isinstance(sent, Response) else wire.failed(sent)
        if not isinstance(judged, Response):
            return wire.not_applied(judged)
    return None


def _start(at: Session) -> Outcome:
    url = wire.model_url(at, "imports", at.setting("bookings_import_id"), "tasks")
    answer = wire.ask(at, Request("POST", url, wire.JSON_TYPE, b'{"localeName":"en_US"}'))
    if not isinstance(answer, Response):
        return answer
    task = str(wire.part(wire.body_of(answer), "task").get("taskId", ""))
    if not task:
        return Unknown(Detail("Anaplan started an import but did not say which", LOOK))
    return Accepted(task, wire.poll_seconds(at))


# --- following ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """What a completed task says about its rows; None where it says nothing."""

    successful: bool
    dump: bool
    code: str
    words: str
    counts: Mapping[str, int]

    def count(self, name: str) -> int:
        return self.counts.get(name, 0)


def follow(at: Session, job: Job) -> list[Outcome]:
    """One outcome per write of the job, in order."""
    url = wire.model_url(at, "imports", at.setting("bookings_import_id"), "tasks", job.handle)
    answer = wire.ask(at, Request("GET", url, wire.JSON_TYPE))
    if not isinstance(answer, Response):
        return [_not_heard(at, job, answer)] * len(job.writes)
    task = wire.part(wire.body_of(answer), "task")
    state = str(task.get("taskState", ""))
    if state in UNDER_WAY:
        return [Accepted(job.handle, wire.poll_seconds(at))] * len(job.writes)
    if state == "CANCELLED":
        words = f"import task {job.handle} was cancelled in Anaplan and rolled back"
        return [Outage(Detail(words, "Nothing to do; the rows are loaded again."))] * len(
            job.writes
        )
    if state != "COMPLETE":
        words = f"import task {job.handle} is in a state we do not know: '{state}'"
        return [Unknown(Detail(words, LOOK))] * len(job.writes)
    return _ended(at, job, f"{url}/dump", _result(wire.part(task, "result")))


def _not_heard(at: Session, job: Job, outcome: Outcome) -> Outcome:
    """A look that failed says nothing about the task; only a lost task or access ends following."""
    if isinstance(outcome, Denied):
        return outcome
    detail = outcome.detail
    if detail is not None and detail.http_status == 404:
        words = f"Anaplan does not know import task {job.handle} any more"
        return Unknown(Detail(words, LOOK, http_status=404))
    wait = outcome.wait_seconds if isinstance(outcome, Busy) else None
    return Accepted(job.handle, wait or wire.poll_seconds(at), detail)


def _ended(at: Session, job: Job, dump_url: str, result: _Result) -> list[Outcome]:
    everybody = len(job.writes)
    if not result.successful:
        if result.count("successRowCount"):
            return [
                Unknown(Detail(f"the import failed half-way: {result.words}", LOOK))
            ] * everybody
        return [ERRORS.classify(None, result.code, result.words)] * everybody
    codes = [_codes(one) for one in job.writes]
    sent = sum(len(own) for own in codes)
    if result.counts and result.count("totalRowCount") != sent:
        words = f"the import read {result.count('totalRowCount')} rows, we sent {sent}"
        return [Unknown(Detail(words, LOOK))] * everybody
    refused: Mapping[str, str] = {}
    if result.dump or result.count("failedCount"):
        fetched = _dump(at, job, dump_url)
        if not isinstance(fetched, dict):
            return [fetched] * everybody
        refused = fetched
    unaccounted = result.count("failedCount") - len(refused) + result.count("ignoredCount")
    return [
        _one(write, own, refused, unaccounted) for write, own in zip(job.writes, codes, strict=True)
    ]


def _one(
    write: Write, codes: Sequence[str], refused: Mapping[str, str], unaccounted: int
) -> Outcome:
    """What became of one write: refused rows are named, ignored ones nobody can name."""
    if not codes:
        return Rejected(Detail("the document cannot be loaded and was not in the file", REPAIR))
    bad = [code for code in codes if code in refused]
    if bad:
        told = "; ".join(f"{code}: {refused[code]}" for code in bad[:MOST_ROWS_TOLD])
        more = f" and {len(bad) - MOST_ROWS_TOLD} more" if len(bad) > MOST_ROWS_TOLD else ""
        words = f"Anaplan refused {len(bad)} of {len(codes)} rows: {told}{more}"
        return Rejected(Detail(words, REPAIR, "hierarchyRowsProcessedWithFailures"))
    if unaccounted > 0:
        words = f"Anaplan left out {unaccounted} rows of the import without saying which"
        return Unknown(Detail(words, LOOK))
    return Written(_order(write))


def _dump(at: Session, job: Job, url: str) -> dict[str, str] | Outcome:
    """By code, why a row was refused; or what to do when the dump cannot be had."""
    listed = wire.ask(at, Request("GET", f"{url}/chunks", wire.JSON_TYPE))
    if not isinstance(listed, Response):
        return _not_heard(at, job, listed)
    chunks = wire.parts(wire.body_of(listed), "chunks")
    if not chunks or len(chunks) > MOST_DUMP_CHUNKS:
        return Unknown(Detail(f"the failure dump has {len(chunks)} chunks", LOOK))
    body = b""
    for chunk in chunks:
        answer = wire.ask(at, Request("GET", f"{url}/chunks/{chunk.get('id', '')}"))
        if not isinstance(answer, Response):
            return _not_heard(at, job, answer)
        body += answer.body
    try:
        return booking.from_dump(body)
    except booking.NotBookings as error:
        return Unknown(Detail(str(error), LOOK))


def _result(said: Mapping[str, object]) -> _Result:
    """Counters stand in `values` as name, value, name, value; several details add up."""
    counts: dict[str, int] = {}
    details = wire.parts(said, "details")
    for detail in details:
        values = detail.get("values")
        flat = [str(value) for value in values] if isinstance(values, list) else []
        for name, value in zip(flat[::2], flat[1::2], strict=False):
            if value.isascii() and value.isdigit():
                counts[name] = counts.get(name, 0) + int(value)
    words = "; ".join(str(one.get("localMessageText", "")) for one in details)
    code = str(details[0].get("type", "")) if details else ""
    return _Result(
        said.get("successful") is True,
        said.get("failureDumpAvailable") is True,
        code,
        words,
        counts,
    )


def _codes(write: Write) -> list[str]:
    try:
        return [row["code"] for row in booking.rows_of(write)]
    except booking.BadDocument:
        return []  # it was rejected before the load and is not in the file


def _order(write: Write) -> str:
    return booking.rows_of(write)[0]["order_id"]
