"""P2: no document is posted twice and none silently dropped, whatever a wire and a target do.

Most writes get no answer: the reply is lost, the request is, it is applied late, the wire brings it
twice, the target forgets its keys, or it remembers an error and answers with it again. A third of
the invoices are amended, and their changes meet the same. In the end the target holds one document
for each invoice, with its newest total (grades A and B); in grade C nothing was ever sent again,
and whatever had no answer is in a person's queue, unless it is proved: a change can be looked at,
since the document's id is known.
"""

from __future__ import annotations

import json
import random
from decimal import Decimal
from unittest.mock import patch

import pytest

from tests.engine.loopback import Loopback, customers, invoice_row
from tests.promises.books import IN_FLIGHT_SECONDS, KEY_LIFETIME_SECONDS, Books, Grade
from tests.promises.desk import desk
from tests.promises.figures import Keeper
from tieout.engine import judging
from tieout.ports.connector import Idempotency
from tieout.store import measures

DRAWN_WITH = 20_000_2
FEW, MANY = 100, 6_700  # ambiguous writes of each grade
MANY_TOGETHER = 500  # webhooks in one commit
MOST_TICKS = 4_000
GRADES = {
    "A": Idempotency("A", IN_FLIGHT_SECONDS),
    "B": Idempotency("B", IN_FLIGHT_SECONDS, KEY_LIFETIME_SECONDS),
    "C": Idempotency("C", IN_FLIGHT_SECONDS),
}


def feed(loop: Loopback, books: Books, wanted: int, dice: random.Random) -> dict[str, str]:
    """Send invoices until so many writes were left without an answer; their newest totals."""
    loop.deliver(*customers("", range(20)))
    loop.run()
    totals: dict[str, str] = {}
    number = 0
    while sum(books.unanswered.values()) < wanted:
        rows = [invoice_row("", f"I{one}", 1, one) for one in range(number, number + MANY_TOGETHER)]
        if wanted < MANY_TOGETHER:
            rows = rows[:wanted]
        number += len(rows)
        loop.deliver(*(("invoice", json.dumps(row).encode()) for row in rows))
        totals |= {row["id"]: row["total"] for row in rows}
        for _ in range(dice.randrange(8)):
            loop.turn()
            loop.clock.sleep(0.5)
        for row in rows:
            if dice.random() < 1 / 3:
                nth = int(row["id"][1:])
                later = invoice_row("", row["id"], 2, nth + 20 * dice.randrange(1, 40))
                loop.deliver(("invoice", json.dumps(later).encode()))
                totals[row["id"]] = later["total"]
        loop.run(MOST_TICKS)
    return totals


def wrong_in(books: Books, totals: dict[str, str]) -> tuple[int, int, int]:
    """Invoices that the books hold more than once, not at all, and with another total."""
    held = {key: books.held("entry", f"entry-{key}") for key in totals}
    doubled = sum(len(one) > 1 for one in held.values())
    missing = sum(not one for one in held.values())
    stale = sum(
        bool(one) and Decimal(one[0]["total"]) != Decimal(totals[key]) for key, one in held.items()
    )
    return doubled, missing, stale


def queued_and_proved(loop: Loopback, books: Books) -> tuple[int, int]:
    """Of the writes that were left without an answer: those with an open case, and the others
    whose document was read back and agrees."""
    return loop.rows(
        "SELECT count(*) FILTER (WHERE queued), count(*) FILTER (WHERE proved AND NOT queued) "
        "FROM (SELECT write_key, bool_or(EXISTS (SELECT FROM cases c WHERE c.state = 'open' "
        "    AND c.reason IN ('in_doubt', 'differs') AND c.record_key = d.record_key)) AS queued, "
        "  bool_or(EXISTS (SELECT FROM proofs p WHERE p.dispatch_id = d.dispatch_id "
        "    AND p.verdict = 'agrees')) AS proved "
        "  FROM dispatches d WHERE write_key = ANY(%s) GROUP BY write_key) AS found",
        list(books.doubtful),
    )[0]


def ambiguous(database_url: str, grade: Grade, wanted: int, promise: Keeper) -> None:
    dice = random.Random(f"{DRAWN_WITH} {grade}")
    books = Books(grade, dice)
    with desk(database_url, books, GRADES[grade]) as loop:
        totals = feed(loop, books, wanted, dice)
        again = sum(books.sent[key] - 1 for key in books.doubtful)
        with loop.context.database.transaction() as connection:
            nobodys = measures.unowned(connection, loop.clock.now())
        open_cases = loop.rows("SELECT count(*) FROM cases WHERE state = 'open'")
        met = sum(books.unanswered.values())
        what = f"{met:,} ambiguous writes, grade {grade}"
        promise("P2", f"{what}: nobody's", len(nobodys), "0", kept=not nobodys)
        if grade == "C":
            promise("P2", f"{what}: posted again by itself", again, "0", kept=again == 0)
            queued, proved = queued_and_proved(loop, books)
            told = f"{queued:,} + {proved:,} of {len(books.doubtful):,}"
            whole = queued + proved == len(books.doubtful)
            promise("P2", f"{what}: in the queue + proved", told, "100 %", kept=whole)
            assert queued > proved
            return
        doubled, missing, stale = wrong_in(books, totals)
        told = f"{doubled} doubled, {missing} missing, {stale} stale of {len(totals):,}"
        promise("P2", what, told, "0, 0, 0", kept=(doubled, missing, stale) == (0, 0, 0))
        assert open_cases == [(0,)], loop.rows("SELECT reason, words FROM cases LIMIT 5")
        assert again > 0, "no write was ever sent again: the wire did nothing"


@pytest.mark.parametrize("grade", ["A", "B", "C"])
def test_an_ambiguous_write_makes_one_document(
    database_url: str, grade: Grade, promise: Keeper
) -> None:
    ambiguous(database_url, grade, FEW, promise)


@pytest.mark.promises
@pytest.mark.parametrize("grade", ["A", "B", "C"])
def test_p2_twenty_thousand_ambiguous_writes(
    database_url: str, grade: Grade, promise: Keeper
) -> None:
    ambiguous(database_url, grade, MANY, promise)


def test_a_repeat_without_a_fence_is_noticed(database_url: str, promise: Keeper) -> None:
    """The test's own proof: an engine that does not wait doubles documents, and it says so."""
    with (
        patch.dict(GRADES, B=Idempotency("B", 0.0, KEY_LIFETIME_SECONDS)),
        pytest.raises(AssertionError, match="doubled"),
    ):
        ambiguous(database_url, "B", 200, promise)


def test_a_repeat_in_grade_c_is_noticed(database_url: str, promise: Keeper) -> None:
    with (
        patch.object(judging, "_may_repeat", lambda spec: True),
        pytest.raises(AssertionError, match="posted again"),
    ):
        ambiguous(database_url, "C", FEW, promise)
