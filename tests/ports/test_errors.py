"""Error tables: the first row that matches wins; what nobody described is never taken for a yes."""

from __future__ import annotations

import pytest

from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
)
from tieout.ports.errors import PERIOD_CLOSED, ErrorRule, ErrorTable, VendorFault

TABLE = ErrorTable(
    (
        ErrorRule("already_there", "it exists", "Compare.", code=("DUP",)),
        ErrorRule("busy", "slow down", "Wait.", status=(429,)),
        ErrorRule("outage", "down", "Wait.", status=(503,)),
        ErrorRule("denied", "not you", "Ask.", status=(401, 403)),
        ErrorRule("period_closed", "closed", "Re-date.", pattern=r"period .* closed"),
        ErrorRule("drift", "no such field", "Compare.", code=("FIELD",), status=(400,)),
        ErrorRule("unknown", "perhaps", "Look.", code=("TIMEOUT",)),
        ErrorRule("rejected", "no such currency", "Correct.", code=("CUR",)),
    )
)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "DUP", "", AlreadyThere),
        (429, "", "", Busy),
        (503, "", "", Outage),
        (403, "X", "", Denied),
        (400, "X", "The PERIOD Jun 2020 is Closed", Rejected),
        (400, "FIELD", "", Drift),
        (404, "FIELD", "", Rejected),
        (400, "TIMEOUT", "", Unknown),
        (422, "CUR", "", Rejected),
        (422, "NEW", "never seen", Rejected),
        (500, "", "oops", Unknown),
        (None, "", "", Unknown),
        (408, "", "timed out", Unknown),  # a proxy says so after it passed the call on
        (202, "", "", Unknown),
        (302, "", "moved", Unknown),
        (200, "NEW", "a refusal inside a success", Rejected),
    ],
)
def test_classify(status: int | None, code: str, message: str, kind: type[Outcome]) -> None:
    outcome = TABLE.classify(status, code, message, wait_seconds=3.0, field="f")
    assert isinstance(outcome, kind)
    assert outcome.detail is not None
    assert outcome.detail.words
    assert outcome.detail.next_action
    assert outcome.detail.http_status == status
    assert message in outcome.detail.words


def test_busy_keeps_the_wait_and_its_absence() -> None:
    told = TABLE.classify(429, "", "", wait_seconds=0.0)
    untold = TABLE.classify(429, "", "")
    assert isinstance(told, Busy)
    assert isinstance(untold, Busy)
    assert (told.wait_seconds, untold.wait_seconds) == (0.0, None)


def test_a_closed_period_is_told_by_our_own_code() -> None:
    outcome = TABLE.classify(400, "X", "period Jun closed", field="tranDate")
    assert isinstance(outcome, Rejected)
    assert (outcome.detail.code, outcome.detail.field) == (PERIOD_CLOSED, "tranDate")


def test_the_first_row_wins() -> None:
    assert isinstance(TABLE.classify(429, "DUP", ""), AlreadyThere)


def test_a_fault_says_the_words() -> None:
    assert str(VendorFault(TABLE.classify(422, "CUR", ""))) == "no such currency"
