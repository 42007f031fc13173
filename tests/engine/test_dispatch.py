"""Dispatch and confirm: whatever the line does, one document, proven; or a person is asked."""

from __future__ import annotations

import pytest

from tests.engine.house import House
from tests.engine.test_flow import net_invoiced, order, totals
from tieout.engine import dispatch, flow
from tieout.ports.http import Request

INVOICE = "transform/invoice"


def test_the_intent_is_committed_before_the_first_byte_leaves(home: House) -> None:
    seen: list[object] = []

    def look(request: Request) -> None:
        if INVOICE in request.url:
            seen.append(
                home.rows(
                    "SELECT d.state, d.attempts, k.bound FROM dispatches d JOIN write_keys k "
                    "USING (write_key) WHERE d.stream = 'invoice'"
                )
            )

    home.lines["netsuite"].watchers.append(look)
    order(home)
    home.run()
    assert seen == [[("sending", 1, True)]]


@pytest.mark.parametrize("kind", ["lost_reply", "lost_request"])
@pytest.mark.parametrize(
    ("path", "method"),
    [("customer/", "PUT"), ("salesOrder/eid", "PUT"), (INVOICE, "POST")],
)
def test_a_lost_answer_makes_one_document(home: House, kind: str, path: str, method: str) -> None:
    plant = home.lines["netsuite"].plant(kind, path, method)
    deal = order(home)
    home.run()
    assert plant.met == 1
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert [name for name, _ in totals(home, "invoice")] == [f"invoice-{deal}"]
    assert [name for name, _ in totals(home, "salesOrder")] == [f"salesOrder-{deal}"]
    assert home.one("SELECT count(*) FROM attempts WHERE outcome = 'Unknown'") == 1
    assert home.lines["netsuite"].sent(method, path) == (1 if kind == "lost_reply" else 2)


def test_a_write_that_is_applied_late_is_not_doubled(home: House) -> None:
    line = home.lines["netsuite"]
    plant = line.plant("late", INVOICE)
    order(home)
    for _ in range(30):
        home.go_on(0.5)
        if plant.met:
            line.let_go()
    home.run()
    assert len(totals(home, "invoice")) == 1
    assert home.run_states() == ["complete"]


def test_busy_is_obeyed(home: House) -> None:
    line = home.lines["netsuite"]
    plant = line.plant("", "customer/", "PUT", status=429, headers={"Retry-After": "7"})
    order(home)
    while not plant.met:
        home.go_on(0.1)
    told, before = home.clock.at, len(line.calls)
    for _ in range(12):
        home.go_on(0.5)
    assert len(line.calls) == before, "not one call while we were asked to wait"
    home.run()
    assert (home.clock.at - told).total_seconds() >= 7
    assert home.run_states() == ["complete"]


def test_an_outage_backs_off_and_drains(home: House) -> None:
    line = home.lines["netsuite"]
    plant = line.plant("refused_connection", "/", times=10**6)
    order(home)
    for _ in range(120):
        home.go_on(0.5)
    assert plant.met <= 14, "the pauses grow"
    line.plants.clear()
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


@pytest.mark.parametrize("system", ["salesforce", "netsuite"])
@pytest.mark.parametrize("kind", ["lost_request", "server_error"])
def test_a_reading_without_a_useful_answer_backs_off_too(
    home: House, system: str, kind: str
) -> None:
    """NetSuite is read for its periods."""
    plant = home.lines[system].plant(kind, "quer", times=10**6, status=500, body=b"oops")
    for _ in range(120):
        home.go_on(0.5)
    assert plant.met <= 14


def test_a_reading_the_system_refuses_is_a_case_not_a_loop(home: House) -> None:
    plant = home.lines["salesforce"].plant(
        "",
        "query",
        times=10**6,
        status=400,
        body=b'[{"errorCode": "INVALID_FIELD", "message": "No such column Region__c"}]',
    )
    for _ in range(40):
        home.go_on(0.5)
    assert plant.met <= 3
    assert [reason for reason, _ in home.open_cases()] == ["drift"]
    home.lines["salesforce"].plants.clear()
    home.go_on(60)
    home.go_on(60)
    assert home.open_cases() == []


def forbid(home: House, path: str, method: str) -> None:
    home.lines["netsuite"].plant(
        "",
        path,
        method,
        times=10**6,
        status=403,
        body=b'{"o:errorDetails": [{"o:errorCode": "INSUFFICIENT_PERMISSION", "detail": "no"}]}',
    )


def test_denied_is_one_case_that_stays_until_that_very_thing_works(home: House) -> None:
    forbid(home, INVOICE, "POST")
    order(home)
    for _ in range(200):
        home.go_on(1)
    cases = home.rows("SELECT case_id, reason, state, field FROM cases")
    assert [row[1:] for row in cases] == [("denied", "open", "send invoice")], "one, not flapping"
    assert home.lines["netsuite"].sent("POST", INVOICE) <= 8, "the system is paused between"
    home.lines["netsuite"].plants.clear()
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def test_denied_then_busy_then_well_leaves_no_case(home: House) -> None:
    line = home.lines["netsuite"]
    line.plant("", "customer/", "PUT", status=403)
    line.plant("", "customer/", "PUT", status=429)
    order(home)
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []


def reject(home: House, path: str, method: str, times: int = 10**6) -> None:
    home.lines["netsuite"].plant(
        "",
        path,
        method,
        times=times,
        status=400,
        body=b'{"o:errorDetails": [{"o:errorCode": "USER_ERROR", "detail": "Please enter '
        b'value(s) for: Tax. demo-netsuite-token-secret"}]}',
    )


def test_a_refused_parent_holds_every_run_that_needs_it_and_no_other(home: House) -> None:
    account, product = home.seller.account(), home.seller.product()
    other = home.seller.account("ANATR")
    for number in ("1", "2", "3"):
        home.seller.deal(number, account, product)
    home.seller.deal("4", other, product)
    reject(home, f"customer-{account}", "PUT")
    home.run()
    assert sorted(home.run_states()) == ["complete", "held", "held", "held"]
    assert [reason for reason, _ in home.open_cases()] == ["rejected"] * 3
    assert home.lines["netsuite"].sent("PUT", f"customer-{account}") == 1, "asked once, not thrice"


def test_secrets_that_a_vendor_repeats_are_stored_nowhere(home: House) -> None:
    reject(home, INVOICE, "POST")
    order(home)
    home.run()
    assert home.open_cases()
    for table in ("attempts", "cases", "documents", "runs", "system_states", "dispatches"):
        for row in home.rows(f"SELECT * FROM {table}"):
            assert "demo-netsuite-token-secret" not in str(row), table
    assert any("•••" in str(row) for row in home.rows("SELECT words FROM cases"))


def test_a_proven_refusal_may_be_followed_by_other_content(home: House) -> None:
    reject(home, INVOICE, "POST", times=1)
    deal = order(home, "10")
    home.run()
    assert home.run_states() == ["held"]
    home.seller.reprice(deal, "12")
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    assert net_invoiced(home) == 24


def meddle(home: House, stream: str, **values: object) -> None:
    """Somebody changes the document in NetSuite between our write and our look."""

    def change(request: Request) -> None:
        for row in home.lines["netsuite"].emulator.tables[stream].values():
            if not row.get("meddled"):
                row.update({**values, "meddled": True})

    home.lines["netsuite"].watchers.append(change)


def test_what_differs_is_a_case_and_an_amendment_is_no_second_document(home: House) -> None:
    meddle(home, "invoice", tranDate="2020-07-20")
    deal = order(home, "10")
    home.run()
    assert [reason for reason, _ in home.open_cases()] == ["differs"]
    assert home.run_states() == ["held"]
    home.seller.reprice(deal, "12")
    home.run()
    made = [name for name, _ in totals(home, "invoice")]
    assert made.count(f"invoice-{deal}") == 1
    assert net_invoiced(home) in (20, 24), "reversed and posted again, or still waiting for people"
    assert len(set(made)) == len(made)


def test_what_differs_is_taken_back_when_the_order_leaves(home: House) -> None:
    meddle(home, "invoice", tranDate="2020-07-20")
    deal = order(home, "10")
    home.run()
    home.seller.change("Opportunity", deal, StageName="Cancelled")
    home.run()
    assert net_invoiced(home) == 0


def test_already_there_but_not_to_be_found_becomes_a_case(home: House) -> None:
    home.lines["netsuite"].plant(
        "",
        INVOICE,
        "POST",
        times=10**6,
        status=400,
        body=b'{"o:errorDetails": [{"o:errorCode": "DUP_RCRD", "detail": "external id exists"}]}',
    )
    order(home)
    home.run()
    assert [reason for reason, _ in home.open_cases()] == ["differs"]
    assert home.run_states() == ["held"]
    assert home.lines["netsuite"].sent("POST", INVOICE) == 1


def test_posted_per_stream_equals_proofs(home: House) -> None:
    account, product = home.seller.account(), home.seller.product()
    for number in ("1", "2"):
        home.seller.deal(number, account, product)
    home.run()
    moved = dict(
        home.rows(
            "SELECT hop, sum(count)::int FROM totals WHERE bucket IN "
            "('posted', 'changed', 'voided') GROUP BY hop"
        )
    )
    proven = dict(
        home.rows(
            "SELECT system || '.' || stream, count(*)::int FROM proofs p "
            "JOIN dispatches USING (dispatch_id) WHERE verdict = 'agrees' "
            "GROUP BY 1"
        )
    )
    assert moved == proven
    leaves = home.one("SELECT count(*) FROM audit_leaves WHERE subject LIKE 'proof/%%'")
    assert leaves == sum(proven.values())


def test_a_posting_that_waited_until_its_period_was_closed_does_not_leave(home: House) -> None:
    order(home)
    planned = "SELECT count(*) FROM dispatches WHERE stream = 'invoice' AND state = 'planned'"
    for _ in range(20):
        home.go_on(0.1)
        if home.one(planned):
            break
    assert home.one(planned) == 1
    with home.database.transaction() as connection:
        connection.execute("UPDATE periods SET state = 'closed' WHERE system = 'netsuite'")
    dispatch.send(home.engine)
    assert home.lines["netsuite"].sent("POST", INVOICE) == 0
    flow.advance(home.engine)
    assert ("period_closed", "period gate") in home.open_cases()
    assert home.run_states() == ["held"]
