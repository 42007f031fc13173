"""Vendor errors are data: a table from (status, code, pattern) to an outcome and plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
)

OutcomeName = Literal[
    "already_there", "busy", "outage", "unknown", "rejected", "denied", "drift", "period_closed"
]


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row. An empty condition matches anything; the first matching row wins."""

    outcome: OutcomeName
    words: str
    next_action: str
    status: tuple[int, ...] = ()
    code: tuple[str, ...] = ()
    pattern: str = ""

    def matches(self, status: int | None, code: str, message: str) -> bool:
        if self.status and status not in self.status:
            return False
        if self.code and code not in self.code:
            return False
        return not self.pattern or re.search(self.pattern, message, re.IGNORECASE) is not None


class VendorFault(Exception):
    """A read that failed with an explicit answer. `outcome` says who acts; never retried here."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        detail = getattr(outcome, "detail", None)
        super().__init__(detail.words if detail is not None else type(outcome).__name__)


class CursorExpired(VendorFault):
    """The system has forgotten what lies after this cursor (a replay window that is over). Says
    what was asked for; the engine reads the whole stream anew and compares."""

    def __init__(self, words: str) -> None:
        super().__init__(Drift(Detail(words, "Nothing to do: the whole stream is read anew.")))


PERIOD_CLOSED = "period_closed"


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """The rules of one vendor, in order, and the default: an answer nobody described is Unknown
    when it may have been applied (5xx; a 408, which proxies say after they passed a call on; a 2xx
    or 3xx without a code of the vendor's), Rejected when the vendor said no (4xx)."""

    rules: Sequence[ErrorRule]

    def classify(
        self,
        status: int | None,
        code: str,
        message: str,
        *,
        wait_seconds: float | None = None,
        field: str = "",
        held_back: bool = False,
    ) -> Outcome:
        """The outcome for one refused write. `message` is the vendor's own text. One that was held
        back never left (`Response.held_back`): it is Busy, whatever the answer says otherwise."""
        for rule in self.rules:
            if rule.matches(status, code, message):
                words = f"{rule.words} ({message})" if message else rule.words
                detail = Detail(words, rule.next_action, code, status, field)
                if held_back:
                    return Busy(detail, wait_seconds, held_back=True)
                return _make(rule.outcome, detail, wait_seconds)
        detail = Detail(
            f"the system answered {status} {code} {message}".strip(),
            "Read the vendor's message; add a row to the connector's error table if it is new.",
            code,
            status,
            field,
        )
        if held_back:
            return Busy(detail, wait_seconds, held_back=True)
        if status is None or status >= 500 or status == 408 or (status < 400 and not code):
            return Unknown(detail)
        return Rejected(detail)


def _make(name: OutcomeName, detail: Detail, wait_seconds: float | None) -> Outcome:
    if name == "already_there":
        return AlreadyThere("", detail)
    if name == "busy":
        return Busy(detail, wait_seconds)
    if name == "outage":
        return Outage(detail)
    if name == "unknown":
        return Unknown(detail)
    if name == "denied":
        return Denied(detail)
    if name == "drift":
        return Drift(detail)
    if name == "period_closed":
        return Rejected(
            Detail(
                detail.words, detail.next_action, PERIOD_CLOSED, detail.http_status, detail.field
            )
        )
    return Rejected(detail)
