"""Turns intended effects into calls: upserts, transforms, and how things are voided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from tieout.connectors.netsuite import wire
from tieout.connectors.netsuite.errors import outcome_of
from tieout.connectors.netsuite.wire import BadDocument
from tieout.finance.outcome import (
    AlreadyThere,
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
from tieout.ports.connector import Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

VOID_SUFFIX = "-VOID"
UPSERTED = frozenset({"customer", "inventoryItem", "salesOrder"})
# What an invoice's document says for the proof and must not be sent: the order decides it.
_NOT_SENT = frozenset({"createdFrom", "amount", "currency", "voidDate"})
_LOOK = "Nothing to do: the write is looked up by its external id before anything is sent again."


def write_all(at: Session, stream: str, writes: Sequence[Write]) -> list[Outcome]:
    """One outcome per write, in order."""
    outcomes: dict[int, Outcome] = {}
    calls: list[tuple[int, Request]] = []
    lines = _LinesToClose(at, stream, writes)
    for index, write in enumerate(writes):
        try:
            calls.append((index, _call(at, stream, write, lines)))
        except BadDocument as bad:
            outcomes[index] = bad.outcome
        except _NotSent as stopped:
            outcomes[index] = stopped.outcome
    answers = at.send_all([request for _, request in calls])
    for (index, _), answer in zip(calls, answers, strict=True):
        outcomes[index] = _outcome(answer)
    return [outcomes[index] for index in range(len(writes))]


def void_reference(reference: str) -> str:
    """The external id of the credit memo that takes an invoice back."""
    return reference + VOID_SUFFIX


def void_date(document: Mapping[str, object]) -> str:
    """The accounting date of a reversal: stated, else that of the document itself."""
    return str(document.get("voidDate") or document.get("tranDate") or "")


class _NotSent(Exception):
    """A write that was settled before anything was sent for it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


def _call(at: Session, stream: str, write: Write, lines: _LinesToClose) -> Request:
    reference = wire.check_reference(write.reference)
    if write.action == "delete":
        raise _refuse(
            f"a {stream} is not deleted: finance documents are voided, master data is set inactive",
            "Set on_leave of the step to undo (a void) or case.",
        )
    if stream in UPSERTED:
        if write.action != "void":
            # Lines that the new document no longer has must go; master data has no lines.
            replace = (("replace", "item"),) if stream == "salesOrder" else ()
            path = f"{stream}/eid:{reference}"
            return wire.record_call(at, "PUT", path, write.document, replace)
        if stream == "salesOrder":
            close = [{"line": line, "isClosed": True} for line in lines.of(reference)]
            path = f"salesOrder/eid:{reference}"
            return wire.record_call(at, "PATCH", path, {"item": {"items": close}})
        raise _refuse(f"a {stream} cannot be voided", "Set it inactive in NetSuite if need be.")
    if stream == "invoice":
        return _invoice_call(at, write, reference)
    raise _refuse(f"the stream {stream} is not written", "Correct the step's mapping.")


def _invoice_call(at: Session, write: Write, reference: str) -> Request:
    document = write.document
    if write.action == "create":
        order = document.get("createdFrom")
        if not isinstance(order, Mapping) or not str(order.get("id") or "").isdigit():
            raise BadDocument(
                "the invoice does not say which sales order it bills",
                'Let the mapping fill createdFrom: {"id": the order\'s internal id}.',
                "createdFrom",
            )
        wire.check_reference(void_reference(reference))  # what is posted must be voidable
        sent = {name: value for name, value in document.items() if name not in _NOT_SENT}
        path = f"salesOrder/{order['id']}/!transform/invoice"
        return wire.record_call(at, "POST", path, {**sent, "externalId": reference})
    if write.action == "void":
        sent = {"externalId": wire.check_reference(void_reference(reference))}
        date = void_date(document)
        if date:
            sent["tranDate"] = date
        key = quote(write.target_id, safe="") or f"eid:{reference}"
        return wire.record_call(at, "POST", f"invoice/{key}/!transform/creditMemo", sent)
    raise _refuse(
        "a posted invoice is not edited",
        "Void it (a credit memo) and bill again, or let a person decide: on_change: case.",
    )


def _refuse(words: str, next_action: str) -> _NotSent:
    return _NotSent(Rejected(Detail(words, next_action)))


def _outcome(answer: Response | NoAnswer | SignInFailed) -> Outcome:
    if isinstance(answer, NoAnswer):
        return not_answered(answer)
    if isinstance(answer, SignInFailed):
        return Denied(Detail(answer.words, answer.next_action))
    if answer.status == 204:
        return Written(wire.made_id(answer))
    if 200 <= answer.status < 400:
        # Only an empty 204 says yes; a page of a proxy in between says nothing.
        return Unknown(
            Detail(f"an answer to a write that is not NetSuite's: {answer.status}", _LOOK)
        )
    return outcome_of(answer)


def not_answered(error: NoAnswer) -> Outcome:
    """A call without an answer: it may have landed, unless no byte of it can have been sent."""
    if error.never_sent:
        words = "Nothing to do: it is tried again with growing pauses."
        return Outage(Detail(error.words, words), error.held_back)
    return Unknown(Detail(error.words, _LOOK))


class _LinesToClose:
    """The line keys of the orders to void: one look for all of them, when the first one is asked.
    Nothing has been sent by then, so a look that fails leaves every void surely not applied."""

    def __init__(self, at: Session, stream: str, writes: Sequence[Write]) -> None:
        voids = [w.reference for w in writes if w.action == "void" and stream == "salesOrder"]
        self._look: Callable[[], dict[str, list[int]]] = lambda: _open_lines(at, voids)
        self._found: dict[str, list[int]] | None = None
        self._failed: Outcome | None = None

    def of(self, reference: str) -> list[int]:
        if self._found is None and self._failed is None:
            try:
                self._found = self._look()
            except VendorFault as fault:
                self._failed = _surely_not_applied(fault.outcome)
            except NoAnswer as error:
                self._failed = Outage(
                    Detail(error.words, "Nothing to do: it is tried again with growing pauses.")
                )
        if self._failed is not None:
            raise _NotSent(self._failed)
        lines = (self._found or {}).get(reference.lower())
        if not lines:
            raise _refuse(
                f"there is no sales order with external id {reference} to void",
                "Look the order up in NetSuite; if it never got there, close the case.",
            )
        return lines


def _open_lines(at: Session, references: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    sound = sorted({reference for reference in references if reference})
    for some in wire.chunks(sound, 20):  # so that the lines of a chunk fit on few pages
        last = ("0", "0")
        for _ in range(MOST_LINE_PAGES):
            rows, more = wire.query(
                at,
                "SELECT t.id AS id, t.externalid AS externalid, l.id AS line FROM transaction t "
                "JOIN transactionline l ON l.transaction = t.id WHERE t.type = 'SalesOrd' "
                f"AND l.mainline = 'F' AND t.externalid IN ({wire.quoted(some)}) "
                f"AND (t.id > {last[0]} OR (t.id = {last[0]} AND l.id > {last[1]})) "
                "ORDER BY t.id, l.id",
                needed=("id", "externalid", "line"),
            )
            for row in rows:
                found.setdefault(row["externalid"].lower(), []).append(int(row["line"]))
            if not more:
                break
            last = (rows[-1]["id"], rows[-1]["line"])
    return found


MOST_LINE_PAGES = 100


def _surely_not_applied(outcome: Outcome) -> Outcome:
    """A look that went wrong in doubt is still only a look: the void itself was not sent."""
    if isinstance(outcome, Busy | Denied | Drift | Outage):
        return outcome
    detail = outcome.detail if isinstance(outcome, AlreadyThere | Unknown | Rejected) else None
    words = detail.words if detail else "the order's lines could not be read"
    return Outage(Detail(words, "Nothing to do: it is tried again with growing pauses."))
