"""The Salesforce connector against the emulated organisation, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.connectors.salesforce_tenant import (
    SECRETS,
    Administrator,
    session_of,
    status,
    sweep,
)
from tieout.connectors.salesforce import CONNECTOR, wire
from tieout.emulators.host import Served, free_port, serve
from tieout.emulators.kit import Fault, FaultPlan, write_json
from tieout.finance.outcome import Busy, Denied, Drift, Outage, Rejected, Unknown, Written
from tieout.ports.connector import Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.signin import SignInFailed


@pytest.fixture
def served() -> Iterator[Served]:
    with serve("salesforce", SECRETS) as running:
        yield running


# --- reading ------------------------------------------------------------------------------------


def test_a_payload_is_the_vendors_own_text(served: Served) -> None:
    administrator = Administrator(served)
    key = administrator.order(10248, Region__c="Åland")
    administrator.lines(key, 2)
    (item,), _, _ = sweep(session_of(served), "Opportunity")
    assert item.key == key
    assert not item.deleted
    assert '"UnitPrice": 9.80000019, "Discount": 5.000000074505806' in item.payload
    assert '"Region__c": "Åland"' in item.payload
    row = json.loads(item.payload, parse_float=Decimal)
    assert item.version == row["SystemModstamp"]
    assert row["Amount"] == Decimal("186.20")
    assert [line["SortOrder"] for line in row["OpportunityLineItems"]["records"]] == [1, 2]


def test_sweeps_see_changes_and_deletions_and_end_when_nothing_is_new(served: Served) -> None:
    administrator = Administrator(served)
    keys = [administrator.order(number) for number in range(5)]
    at = session_of(served, page_rows="2", overlap_seconds="0")
    items, cursor, pages = sweep(at, "Opportunity")
    assert [item.key for item in items] == keys
    assert pages == 3
    administrator.change(keys[1], Name="renamed")
    administrator.call("DELETE", f"sobjects/Opportunity/{keys[3]}")
    later, cursor, _ = sweep(at, "Opportunity", cursor)
    assert [(item.key, item.deleted) for item in later][-2:] == [(keys[1], False), (keys[3], True)]
    assert json.loads(cursor)["id"] == keys[3]


def test_the_overlap_sees_a_row_that_was_committed_late(served: Served) -> None:
    administrator = Administrator(served)
    late, early = administrator.order(1), administrator.order(2)
    table = served.emulator.tables["Opportunity"]
    hidden = table.pop(late)  # saved first, its transaction not committed yet
    at = session_of(served)
    items, cursor, _ = sweep(at, "Opportunity")
    assert [item.key for item in items] == [early]
    table[late] = hidden
    items, _, _ = sweep(at, "Opportunity", cursor)
    assert [item.key for item in items] == [late, early]
    blind = session_of(served, overlap_seconds="-60")
    assert late not in [item.key for item in sweep(blind, "Opportunity", cursor)[0]]


def test_a_quiet_system_is_not_read_again_and_again(served: Served) -> None:
    administrator = Administrator(served)
    administrator.order(1)
    for row in served.emulator.tables["Opportunity"].values():
        row["SystemModstamp"] = "2021-01-01T00:00:00.000+0000"
    at = session_of(served)
    items, cursor, _ = sweep(at, "Opportunity")
    assert len(items) == 1
    assert sweep(at, "Opportunity", cursor)[0] == []


def test_fetch_in_chunks_in_the_order_asked(served: Served) -> None:
    administrator = Administrator(served)
    records = [{"attributes": {"type": "Account"}, "Name": f"A{n}"} for n in range(200)]
    keys = [
        one["id"] for one in administrator.call("POST", "composite/sobjects", {"records": records})
    ]
    keys.append(administrator.create("Account", Name="A200"))
    at = session_of(served)
    asked = [keys[200][:15], "not-an-id'", *keys[:200]]
    items = CONNECTOR.fetch(at, "Account", asked)
    assert [item.key for item in items] == [keys[200], "not-an-id'", *keys[:200]]
    assert [item.deleted for item in items[:3]] == [False, True, False]
    queries = [one for one in at.evidence if one.url.endswith("/queryAll")]
    assert len(queries) == 2


def test_an_order_with_more_lines_than_a_page_is_read_whole(served: Served) -> None:
    administrator = Administrator(served)
    key = administrator.order(1)
    administrator.lines(key, 450)
    (item,) = CONNECTOR.fetch(session_of(served), "Opportunity", [key])
    children = json.loads(item.payload)["OpportunityLineItems"]
    assert (children["totalSize"], children["done"]) == (450, True)
    assert [line["SortOrder"] for line in children["records"]] == list(range(1, 451))
    assert '"UnitPrice": 9.80000019' in item.payload


def test_a_read_that_fails_says_who_acts(served: Served) -> None:
    served.emulator.faults = FaultPlan(faults=(Fault("busy", 1.0, path="/queryAll"),))
    with pytest.raises(VendorFault) as busy:
        CONNECTOR.read(session_of(served), "Account", "")
    assert isinstance(busy.value.outcome, Busy)
    assert busy.value.outcome.detail.code == "REQUEST_LIMIT_EXCEEDED"
    served.emulator.faults = FaultPlan(faults=(Fault("server_error", 1.0, path="/queryAll"),))
    with pytest.raises(VendorFault) as outage:
        CONNECTOR.read(session_of(served), "Account", "")
    assert isinstance(outage.value.outcome, Outage)


def test_a_field_that_vanished_is_drift(served: Served) -> None:
    at = session_of(served)
    body = b'[{"message":"No such column Region__c","errorCode":"INVALID_FIELD"}]'
    inner = at.transport
    at.transport = lambda request: (
        Response(400, {}, body) if "/queryAll" in request.url else inner(request)
    )
    with pytest.raises(VendorFault) as fault:
        CONNECTOR.read(at, "Account", "")
    assert isinstance(fault.value.outcome, Drift)


# --- writing ------------------------------------------------------------------------------------


def test_a_200_with_failed_rows_gives_one_outcome_per_row(served: Served) -> None:
    administrator = Administrator(served)
    good, locked, gone = (administrator.order(number) for number in range(3))
    administrator.call("DELETE", f"sobjects/Opportunity/{gone}")
    at = session_of(served)
    inner = at.transport

    def lock(request: Request) -> Response:
        response = inner(request)
        if request.method != "PATCH":
            return response
        rows = json.loads(response.body)
        rows[1] = {
            "success": False,
            "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "locked", "fields": []}],
        }
        return Response(200, {}, json.dumps(rows).encode())

    at.transport = lock
    too_long = status(good, "x" * 41, "too long")
    not_an_id = Write("no id", "r", "change", {"ERP_Status__c": "x"}, target_id="SO1")
    newborn = Write("newborn", "r", "create", {"Name": "x"}, target_id=good)
    writes = [status(good), status(locked), status(gone), too_long, not_an_id, newborn]
    outcomes = CONNECTOR.write(at, "Opportunity", writes)
    kinds = [type(one) for one in outcomes]
    assert kinds == [Written, Busy, Rejected, Rejected, Rejected, Rejected]
    assert outcomes[0] == Written(good)
    codes = [one.detail.code for one in outcomes[2:4] if isinstance(one, Rejected)]
    assert codes == ["ENTITY_IS_DELETED", "STRING_TOO_LONG"]
    sent = [one for one in at.evidence if one.method == "PATCH"]
    assert len(sent) == 1


def test_a_lost_reply_is_unknown_then_find_shows_it(served: Served) -> None:
    key = Administrator(served).order(1)
    write, at = status(key), session_of(served)
    assert CONNECTOR.find(at, "Opportunity", [write]) == {"w": None}
    served.emulator.faults = FaultPlan(faults=(Fault("lost_reply", 1.0, methods=("PATCH",)),))
    (outcome,) = CONNECTOR.write(at, "Opportunity", [write])
    assert isinstance(outcome, Unknown)
    found = CONNECTOR.find(at, "Opportunity", [write])["w"]
    assert found is not None
    assert found.target_id == key
    assert CONNECTOR.meant("Opportunity", write).items() <= found.facts.items()


def test_a_void_is_there_only_when_the_status_is(served: Served) -> None:
    key = Administrator(served).order(1)
    at = session_of(served)
    CONNECTOR.write(at, "Opportunity", [status(key)])
    void = Write("v", "r", "void", {"ERP_Status__c": "Cancelled"}, target_id=key)
    assert CONNECTOR.find(at, "Opportunity", [void]) == {"v": None}
    CONNECTOR.write(at, "Opportunity", [void])
    found = CONNECTOR.find(at, "Opportunity", [void])["v"]
    assert found is not None
    assert found.facts["ERP_Status__c"] == "Cancelled"
    assert found.facts["ERP_Order_Number__c"] == "SO1042"


def test_amounts_leave_as_exact_number_literals() -> None:
    write = Write("w", "r", "change", {"Amount": "1234567890123456.78", "ERP_Status__c": "1.50"})
    body = wire.update_body(CONNECTOR.streams["Opportunity"], [write], ["006000000000001AAA"])
    assert b'"Amount":1234567890123456.78' in body
    assert b'"ERP_Status__c":"1.50"' in body


# --- signing in ---------------------------------------------------------------------------------


def test_an_expired_session_is_renewed_once(served: Served) -> None:
    key = Administrator(served).order(1)
    at = session_of(served)
    assert CONNECTOR.check(at).well
    served.emulator.tables["_sessions"].clear()
    at.evidence.clear()
    assert CONNECTOR.write(at, "Opportunity", [status(key)]) == [Written(key)]
    assert [one.status for one in at.evidence] == [401, 200]
    assert len(served.emulator.tables["_sessions"]) == 1


def test_a_session_that_never_lasts_is_denied(served: Served) -> None:
    with serve("salesforce", {**SECRETS, "session_seconds": "0"}) as short:
        (outcome,) = CONNECTOR.write(
            session_of(short), "Opportunity", [status("006000000000001AAA")]
        )
    assert isinstance(outcome, Denied)
    assert outcome.detail.next_action


def test_no_token_means_never_sent(served: Served) -> None:
    served.emulator.faults = FaultPlan(faults=(Fault("lost_request", 1.0, path="/oauth2/"),))
    (outcome,) = CONNECTOR.write(session_of(served), "Opportunity", [status("006000000000001AAA")])
    assert isinstance(outcome, Outage), "without a token the write cannot have been applied"


def test_another_address_than_the_tokens_is_refused(served: Served) -> None:
    at = session_of(served)
    elsewhere = write_json({"access_token": "t", "instance_url": "http://127.0.0.1:1"})
    at.transport = lambda request: Response(200, {}, elsewhere)
    with pytest.raises(SignInFailed, match=r"127\.0\.0\.1:1,"):
        CONNECTOR.read(at, "Account", "")


def test_check_names_a_missing_field(served: Served) -> None:
    at = session_of(served)
    inner = at.transport

    def without(request: Request) -> Response:
        response = inner(request)
        return Response(200, {}, response.body.replace(b'"ERP_Status__c"', b'"Other__c"'))

    at.transport = without
    health = CONNECTOR.check(at)
    assert not health.well
    assert "ERP_Status__c" in health.words
    assert health.next_action


def test_a_system_that_is_down_is_an_outage(served: Served) -> None:
    nobody = Served(f"http://127.0.0.1:{free_port()}", served.emulator)
    (outcome,) = CONNECTOR.write(session_of(nobody), "Opportunity", [status("006000000000001AAA")])
    assert isinstance(outcome, Outage)
    with pytest.raises(NoAnswer) as silence:
        CONNECTOR.find(session_of(nobody), "Opportunity", [status("006000000000001AAA")])
    assert silence.value.never_sent
