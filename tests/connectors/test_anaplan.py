"""The Anaplan connector over real HTTP: what the rows of a load come to, and reading back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.connectors.anaplan_line import (
    BOOKINGS,
    ONE,
    TWO,
    Line,
    altered,
    line_to,
    state,
)
from tests.connectors.test_anaplan_contract import booking, order
from tieout.connectors.anaplan import CONNECTOR
from tieout.emulators.host import serve
from tieout.finance.outcome import (
    Accepted,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import Response


@pytest.fixture
def line() -> Iterator[Line]:
    with serve("anaplan", {"task_seconds": "0"}) as served:
        yield line_to(served)


def test_a_load_goes_up_in_several_chunks_and_is_proved_by_the_view(line: Line) -> None:
    assert line.load(ONE, TWO) == [Written("SO1"), Written("SO2")]
    chunks = [url for url in line.urls() if url.startswith("PUT")]
    assert len(chunks) > 2
    assert sum(url.endswith("/tasks") and url.startswith("POST") for url in line.urls()) == 1
    assert line.shows(ONE) == CONNECTOR.meant(BOOKINGS, ONE)
    assert line.shows(ONE) == {
        "rows": "2",
        "amount": "96.75",
        "amount_group": "96.75",
        "currency": "EUR",
    }


def test_a_chunk_border_inside_a_letter_harms_nothing() -> None:
    row = {**booking("SO1", 1, "1.00"), "product": '=Räksmörgås "x", +1'}
    with serve("anaplan", {"task_seconds": "0"}) as served:
        for size in ("1", "7", "64"):
            line = line_to(served, chunk_bytes=size)
            assert line.load(order(1, row)) == [Written("SO1")]
            assert line.cells["SO1-1"]["product"] == row["product"]


def test_refused_rows_reach_the_writes_they_belong_to(line: Line) -> None:
    partly = order(3, booking("SO3", 1, "1.00"), booking("SO3", 2, "1.00", entity="NWXX"))
    late = order(4, {**booking("SO4", 1, "1.00"), "period": "2099-01"})
    outcomes = line.load(ONE, partly, TWO, late)
    assert [type(outcome) for outcome in outcomes] == [Written, Rejected, Written, Rejected]
    assert isinstance(outcomes[1], Rejected)
    assert isinstance(outcomes[3], Rejected)
    assert "1 of 2 rows" in outcomes[1].detail.words
    assert "SO3-2: Item not found in list Legal entities: NWXX" in outcomes[1].detail.words
    assert "Invalid Time identifier: 2099-01" in outcomes[3].detail.words
    assert outcomes[1].detail.next_action


def test_a_dump_in_several_chunks_is_read_whole() -> None:
    with serve("anaplan", {"task_seconds": "0", "dump_chunk_bytes": "50"}) as served:
        bad = [order(n, booking(f"SO{n}", 1, "1.00", entity=f"ÄÖ{n}")) for n in range(1, 6)]
        outcomes = line_to(served).load(*bad)
    for number, outcome in enumerate(outcomes, 1):
        assert isinstance(outcome, Rejected)
        assert f"ÄÖ{number}" in outcome.detail.words


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The model is locked by another user", Outage),
        ("Mapping of column 3 is broken", Drift),
    ],
)
def test_complete_is_not_success(line: Line, message: str, kind: type[Outcome]) -> None:
    state(line, failImportWith=message)
    for outcome in line.load(ONE, TWO):
        assert isinstance(outcome, kind)
        assert outcome.detail is not None
        assert message in outcome.detail.words
    assert line.cells == {}


def test_an_unfamiliar_failure_of_an_import_is_unknown(line: Line) -> None:
    def other(answer: Response) -> Response:
        said = json.loads(answer.body)
        said["task"]["result"]["details"][0]["type"] = "neverHeardOf"
        return Response(200, answer.headers, json.dumps(said).encode())

    state(line, failImportWith="odd")
    accepted = line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    altered(line, accepted.handle, other)
    assert isinstance(line.follow(accepted.handle, ONE)[0], Unknown)


def test_ignored_rows_leave_the_decision_to_the_view(line: Line) -> None:
    state(line, noAccessCodes=["SO2-1"])
    outcomes = line.load(ONE, TWO)
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert line.shows(ONE) == CONNECTOR.meant(BOOKINGS, ONE)
    assert line.shows(TWO) is None


def test_an_import_that_read_another_file_proves_nothing(line: Line) -> None:
    accepted = line.write(ONE)[0]
    assert isinstance(accepted, Accepted)
    assert isinstance(line.follow(accepted.handle, ONE, TWO)[0], Unknown)


def test_a_dump_that_was_overwritten_leaves_the_decision_to_the_view(line: Line) -> None:
    bad = order(3, booking("SO3", 1, "1.00", entity="NWXX"))
    accepted = line.write(ONE, bad)[0]
    assert isinstance(accepted, Accepted)
    line.follow("NONE", ONE)  # any call lets the task end
    line.served.emulator.tables["dumps"].clear()
    outcomes = line.follow(accepted.handle, ONE, bad)
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]


def test_a_dropped_line_becomes_removed_with_zeros(line: Line) -> None:
    line.load(ONE)
    shorter = replace(
        ONE, action="change", document={"rows": [booking("SO1", 1, "90.00")]}, previous=ONE.document
    )
    assert line.load(shorter) == [Written("SO1")]
    gone = line.cells["SO1-2"]
    assert (gone["status"], gone["value"], gone["quantity"]) == ("Removed", 0, 0)
    assert line.shows(shorter) == {**CONNECTOR.meant(BOOKINGS, shorter), "amount": "90"}


def test_a_repeat_leaves_the_same_cells(line: Line) -> None:
    line.load(ONE, TWO)
    before = json.dumps(line.cells, default=str)
    line.load(ONE, TWO)
    assert json.dumps(line.cells, default=str) == before


def test_a_void_clears_the_order_and_is_found_only_then(line: Line) -> None:
    line.load(ONE)
    void = replace(ONE, action="void", previous=ONE.document)
    assert line.shows(void) is None
    assert line.load(void) == [Written("SO1")]
    assert {row["status"] for row in line.cells.values()} == {"Cancelled"}
    assert line.shows(void) == {"rows": "0", "amount": "0", "amount_group": "0", "currency": "EUR"}
    assert line.shows(ONE) is None, "a cancelled order is not the order that was created"


@pytest.mark.parametrize("amount", ["123456789012.345", "-0.000001", "999999999999999", "0.10"])
def test_fifteen_digits_are_exact(line: Line, amount: str) -> None:
    write = order(1, booking("SO1", 1, amount))
    assert line.load(write) == [Written("SO1")]
    assert line.cells["SO1-1"]["value"] == Decimal(amount)
    facts = line.shows(write)
    assert facts is not None
    assert Decimal(facts["amount"]) == Decimal(amount)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([booking("SO1", 1, "1234567890123456")], "15 digits"),
        ([booking("SO1", 1, "1.0000000000000000000000000000001")], "15 digits"),
        ([booking("SO1", 1, "1E+300")], "15 digits"),
        ([booking("SO1", 1, "12,50")], "not a number"),
        ([booking("SO1", 1, "NaN")], "not a number"),
        ([{**booking("SO1", 1, "1"), "currency": None}], "'currency' is missing"),
        ([{**booking("SO1", 1, "1"), "value": 1.5}], "'value' is missing or not text"),
        ([{**booking("SO1", 1, "1"), "code": ""}], "must not be empty"),
        ([booking("SO1", 1, "1"), booking("SO1", 1, "2")], "occurs twice"),
        ([booking("SO1", 1, "1"), booking("SO9", 1, "2")], "several orders"),
        ([], "no rows"),
        ("none", "not a list"),
        (["none"], "not an object"),
    ],
)
def test_what_cannot_be_loaded_is_rejected_before_anything_is_sent(
    line: Line, rows: Sequence[object], words: str
) -> None:
    bad = Write("k", "bookings-9", "create", {"rows": rows})
    outcome = line.write(bad)[0]
    assert isinstance(outcome, Rejected)
    assert words in outcome.detail.words
    assert not line.session.evidence
    assert CONNECTOR.meant(BOOKINGS, bad) == {}


def test_a_code_of_another_order_in_the_same_call_is_rejected(line: Line) -> None:
    thief = order(2, {**booking("SO2", 1, "5.00"), "code": "SO1-1"})
    outcomes = line.load(ONE, thief)
    assert outcomes[0] == Written("SO1")
    assert isinstance(outcomes[1], Rejected)
    assert "bookings-00001" in outcomes[1].detail.words


def test_reads_page_by_code_with_the_models_serial(line: Line) -> None:
    line.load(ONE, TWO)
    page = CONNECTOR.read(line.session, BOOKINGS, "")
    assert [item.key for item in page.items] == ["SO1-1", "SO1-2", "SO2-1"]
    assert (page.more, page.cursor) == (False, "")
    assert {item.version for item in page.items} == {"2"}
    assert json.loads(page.items[0].payload)["value"] == "98.00"


def test_a_view_that_lacks_a_column_is_drift(line: Line) -> None:
    line.load(ONE)
    altered(line, "/data", lambda a: replace(a, body=a.body.replace(b"value_group", b"group")))
    with pytest.raises(VendorFault) as fault_seen:
        line.shows(ONE)
    assert isinstance(fault_seen.value.outcome, Drift)
    assert "value_group" in str(fault_seen.value)


def test_five_thousand_orders_go_in_one_import() -> None:
    writes = [order(n, booking(f"SO{n}", 1, "0.01")) for n in range(5000)]
    with serve("anaplan", {"task_seconds": "0"}) as served:
        line = line_to(served, chunk_bytes="100000")
        outcomes = line.load(*writes)
        assert all(isinstance(outcome, Written) for outcome in outcomes)
        found = CONNECTOR.find(line.session, BOOKINGS, writes)
        assert sum(Decimal(one.facts["amount"]) for one in found.values() if one) == 50
        assert len(line.session.evidence) < 30


def test_an_empty_cell_is_a_zero(line: Line) -> None:
    line.load(TWO)
    line.cells["SO2-1"]["value_group"] = None
    assert line.shows(TWO) == {**CONNECTOR.meant(BOOKINGS, TWO), "amount_group": "0"}


def test_a_dump_that_names_too_few_rows_proves_nobody_else(line: Line) -> None:
    bad = order(3, booking("SO3", 1, "1.00", entity="NWXX"))
    worse = order(4, booking("SO4", 1, "1.00", entity="NWXX"))
    altered(line, "/chunks/0", lambda a: replace(a, body=a.body.split(b"SO4-1")[0]))
    outcomes = line.load(ONE, bad, worse)
    assert [type(outcome) for outcome in outcomes] == [Unknown, Rejected, Unknown]
