"""Tryton's protocol layer: typed JSON, sign-in, refusals. What Tryton itself does with a document
is proved against a real one in tests/real_systems."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tieout.connectors.tryton import CONNECTOR, reading, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Write
from tieout.ports.errors import PERIOD_CLOSED, VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.opening import open_session
from tieout.ports.session import Session

Answer = tuple[int, object]
Behaviour = Callable[[str, list[Any], str], Answer]


class Double(ThreadingHTTPServer):
    """Speaks JSON-RPC 1.0 as Tryton 8.2.1 was seen to, over a behaviour given by the test."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.logins = 0
        self.calls: list[tuple[str, list[Any], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    server: Double

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body)
        method, parameters = asked["method"], asked["params"]
        self.server.calls.append((method, parameters, body))
        if method == "common.db.login":
            self.server.logins += 1
            right = parameters[:2] == ["tieout", {"password": "right-password"}]
            status, answer = (
                (200, [7, f"token{self.server.logins}", None]) if right else (401, None)
            )
        else:
            status, answer = self.server.behaviour(
                method, parameters, self.headers.get("Authorization", "")
            )
        name = "error" if isinstance(answer, list) and answer[:1] in KNOWN_ERRORS else "result"
        payload = json.dumps({"id": asked["id"], name: answer}).encode()
        self.send_response(status)
        if len(payload) > 1400:  # as Tryton 8.2.1: labelled gzip whether it was asked for or not
            self.send_header("Content-Encoding", "gzip")
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                payload = gzip.compress(payload)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests print nothing."""


KNOWN_ERRORS = (
    *(["UserError"], ["UserWarning"], ["ConcurrencyException"], ["LoginException"]),
    *(["'nope'"], ["could not serialize access"], ["boom"]),
)


@pytest.fixture
def line() -> Iterator[Callable[..., tuple[Session, Double]]]:
    doubles: list[Double] = []

    def opened(behaviour: Behaviour, password: str = "right-password") -> tuple[Session, Double]:
        double = Double(behaviour)
        doubles.append(double)
        threading.Thread(target=double.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{double.server_port}"
        settings = {"base_url": address, "database": "books", "login": "tieout"}
        session = open_session("tryton", CONNECTOR, settings, {"password": password}, [address])
        return session, double

    yield opened
    for double in doubles:
        double.shutdown()
        double.server_close()


Line = Callable[..., tuple[Session, Double]]


def answering(status: int, answer: object) -> Behaviour:
    return lambda method, parameters, authorization: (status, answer)


def test_values_travel_typed_and_exact() -> None:
    body = wire.body_of(
        "m",
        [
            Decimal("12345678901234567.89"),
            dt.date(2020, 7, 4),
            wire.Literal(Decimal("0.10")),
            {"lines": [["create", [{"unit_price": Decimal("1E-7")}]]]},
        ],
    )
    assert json.loads(body)["params"][0] == {
        "__class__": "Decimal",
        "decimal": "12345678901234567.89",
    }
    assert b'"quantity"' not in body
    assert b",0.10," in body
    assert b'"decimal":"0.0000001"' in body
    typed = wire.decode(b'{"result":[' + body.split(b'"params":[', 1)[1][:-1] + b"}")["result"]
    assert typed == [
        Decimal("12345678901234567.89"),
        dt.date(2020, 7, 4),
        Decimal("0.10"),
        {"lines": [["create", [{"unit_price": Decimal("0.0000001")}]]]},
    ]


def test_a_plain_number_in_an_answer_is_never_a_binary_float() -> None:
    assert wire.decode(b'{"result":0.1}')["result"] == Decimal("0.1")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            ["UserError", ['To continue, you must reopen the period "2020-06" …', "", None]],
            Rejected,
            PERIOD_CLOSED,
        ),
        (
            ["UserError", ["you must create a period for the date", "", None]],
            Rejected,
            PERIOD_CLOSED,
        ),
        (["UserError", ["The code on party must be unique.", "", None]], AlreadyThere, "UserError"),
        (
            ["UserError", ["Code of active product must be unique.", "", None]],
            AlreadyThere,
            "UserError",
        ),
        (["UserError", ['You can not call "post" on "2" of …', "", None]], Busy, "UserError"),
        (
            ["UserError", ['Calling button "process on "Sale" is not allowed.', "", None]],
            Denied,
            "UserError",
        ),
        (["UserError", ["something else", "", None]], Rejected, "UserError"),
        (["UserWarning", ["name", "Are you sure?", ""]], Rejected, "UserWarning"),
        (["ConcurrencyException", "Records were modified"], Busy, "ConcurrencyException"),
        (["LoginException", ["code", "Enter the code", "char"]], Denied, "LoginException"),
        (["'nope'", ""], Drift, "Exception"),
        (["could not serialize access", "Traceback"], Busy, "Exception"),
        (["boom", "Traceback"], Unknown, "Exception"),
    ],
)
def test_refusals_inside_a_200(line: Line, error: object, kind: type[Outcome], code: str) -> None:
    session, _ = line(answering(200, error))
    answers = session.send_all([wire.call(session, "model.x.y")])
    outcome, _ = wire.outcome_of(ERRORS, answers[0])
    assert isinstance(outcome, kind)
    assert getattr(outcome, "detail").code == code  # noqa: B009 - not every outcome has one
    assert outcome.detail.next_action


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (403, "", Drift),
        (404, "", Denied),
        (429, "", Busy),
        (503, "could not obtain lock on row in relation", Busy),
        (502, "bad gateway", Unknown),  # a proxy may have passed the call on
        (503, "down", Unknown),
        (504, "", Unknown),
        (500, "", Unknown),
    ],
)
def test_refusals_of_the_http_layer(
    line: Line, status: int, text: str, kind: type[Outcome]
) -> None:
    session, _ = line(answering(status, text))
    answers = session.send_all([wire.call(session, "model.x.y")])
    assert isinstance(wire.outcome_of(ERRORS, answers[0])[0], kind)


def test_an_answer_that_is_not_json_says_nothing_about_a_write(line: Line) -> None:
    session, double = line(answering(200, "x"))
    good = session.send(wire.call(session, "model.x.y"))
    broken = type(good)(200, {}, b"<html>maintenance</html>")
    assert isinstance(wire.outcome_of(ERRORS, broken)[0], Unknown)
    assert double.logins == 1


def test_one_session_serves_many_calls_and_is_opened_again_when_forgotten(line: Line) -> None:
    def forgets(method: str, parameters: list[Any], authorization: str) -> Answer:
        token = base64.b64decode(authorization.removeprefix("Session ")).decode()
        return (200, token) if token == "tieout:7:token2" else (401, None)

    session, double = line(forgets)
    assert wire.ask(session, ERRORS, "model.x.y") == "tieout:7:token2"
    assert wire.ask(session, ERRORS, "model.x.y") == "tieout:7:token2"
    assert double.logins == 2


def test_a_wrong_password_is_denied_and_never_shown(line: Line) -> None:
    session, double = line(answering(200, []), "wrong-password")
    with pytest.raises(VendorFault) as refused:
        wire.ask(session, ERRORS, "model.x.y")
    assert isinstance(refused.value.outcome, Denied)
    assert "refused the login 'tieout'" in str(refused.value)
    health = CONNECTOR.check(session)
    assert not health.well
    assert "environments" in health.next_action
    assert "wrong-password" not in f"{refused.value} {health} {session.evidence}"
    assert {method for method, _, _ in double.calls} == {"common.db.login"}


def test_long_answers_are_read_although_tryton_labels_them_gzip(line: Line) -> None:
    session, _ = line(answering(200, "x" * 5000))
    assert wire.ask(session, ERRORS, "model.x.y") == "x" * 5000


def test_the_context_is_the_last_parameter_and_asks_for_english(line: Line) -> None:
    session, double = line(answering(200, []))
    wire.rows(session, ERRORS, "sale.sale", [["id", "=", 1]], ["number"], context={"company": 3})
    method, parameters, _ = double.calls[-1]
    assert method == "model.sale.sale.search_read"
    assert parameters[-1] == {"language": "en", "company": 3}


def order(number: int, **changes: object) -> Write:
    document: dict[str, object] = {
        "party": {"id": "5"},
        "company": {"id": "1"},
        "currency": {"id": "2"},
        "sale_date": "2020-07-04",
        "lines": [{"product": {"id": "9"}, "quantity": "2", "unit_price": "4.5", "amount": "9.00"}],
        **changes,
    }
    return Write(f"key-{number}", f"sale-{number}", "create", document)


def test_one_outcome_per_write_and_a_refusal_stays_with_its_write(line: Line) -> None:
    def behaviour(method: str, parameters: list[Any], authorization: str) -> Answer:
        if method.endswith("search_read"):
            model_rows = [{"id": 3, "party": 5}] if "party.address" in method else []
            unit = [{"id": 1, "symbol": "u"}] if "product.uom" in method else model_rows
            return 200, unit
        if method.endswith("create"):
            return 200, [int(one["reference"].removeprefix("sale-")) for one in parameters[0]]
        if method.endswith("confirm") and 12 in parameters[0]:
            return 200, ["UserError", ["no credit", "", None]]
        return 200, None

    session, double = line(behaviour)
    bad_date = order(13, sale_date="4 July")
    outcomes = CONNECTOR.write(session, "sale", [order(11), order(12), bad_date, order(14)])
    assert [type(one) for one in outcomes] == [Written, Rejected, Rejected, Written]
    processed = [who for m, p, _ in double.calls if m.endswith("sale.process") for who in p[0]]
    assert sorted(processed) == [11, 14]
    created = next(body for method, _, body in double.calls if method.endswith("sale.create"))
    assert b'"quantity":2,' in created


def test_a_look_that_fails_means_nothing_was_sent(line: Line) -> None:
    session, double = line(answering(429, ""))
    assert isinstance(CONNECTOR.write(session, "sale", [order(11)])[0], Busy)
    assert not [method for method, _, _ in double.calls if method.endswith(".create")]
    double.shutdown()
    double.server_close()
    [outcome] = CONNECTOR.write(session, "sale", [order(11)])
    assert isinstance(outcome, Outage)


class Table:
    """Rows of a Tryton table with its dates of change, searched as the connector searches."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __call__(self, method: str, parameters: list[Any], authorization: str) -> Answer:
        domain, _, most, order, *_ = parameters
        (_, [name, _, instant], [_, [_, _, after]]), *rest = domain
        never = ["write_date", "=", None] in rest
        chosen = [
            row
            for row in self.rows
            if row[name] is not None
            and (not never or row["write_date"] is None)
            and (
                row[name] > moment(instant) or (row[name] == moment(instant) and row["id"] > after)
            )
        ]
        assert order == [[name, "ASC"], ["id", "ASC"]]
        chosen.sort(key=lambda row: (row[name], row["id"]))
        return 200, wire.encode(chosen[:most])


def moment(value: dict[str, Any]) -> dt.datetime:
    return dt.datetime(*(value[part] for part in list(value)[1:]))  # noqa: DTZ001 - as Tryton


def row(number: int, created: dt.datetime, written: dt.datetime | None = None) -> dict[str, Any]:
    name = f"Party {number}"
    return {
        "id": number,
        "code": str(number),
        "name": name,
        "create_date": created,
        "write_date": written,
    }


def test_reading_pages_through_ties_and_comes_back_with_an_overlap(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE_ROWS", 2)
    start = dt.datetime(2020, 7, 4, 12)  # noqa: DTZ001 - as Tryton
    table = Table([row(number, start) for number in range(1, 6)])  # five with one instant
    table.rows += [row(6, start, start + dt.timedelta(hours=1))]
    session, _ = line(table)
    seen: list[str] = []
    cursor, more = "", True
    for _ in range(10):
        page = CONNECTOR.read(session, "party", cursor)
        seen += [item.key for item in page.items]
        cursor, more = page.cursor, page.more
        if not more:
            break
    assert not more
    assert sorted(seen) == ["1", "2", "3", "4", "5", "6"]
    late = start + dt.timedelta(hours=1) - dt.timedelta(seconds=60)  # began before, committed after
    table.rows.append(row(7, start, late))
    keys = {item.key for item in CONNECTOR.read(session, "party", cursor).items}
    assert "7" in keys


def test_no_answer_is_unknown_and_no_connection_an_outage() -> None:
    assert isinstance(wire.outcome_of(ERRORS, NoAnswer("dropped"))[0], Unknown)
    assert isinstance(wire.outcome_of(ERRORS, NoAnswer("refused", never_sent=True))[0], Outage)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":1,"result":{"__class__":"Decimal","decimal":"12,50"}}',
        b'{"id":1,"result":{"__class__":"date","year":99999999999,"month":1,"day":1}}',
        b'{"id":1,"result":{"__class__":"date","year":2021,"month":2,"day":29}}',
        b'{"id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":1,"result":"\xff"}',
    ],
)
def test_an_answer_with_values_that_are_none_is_not_json(body: bytes) -> None:
    with pytest.raises(wire.NotJson):
        wire.decode(body)


def test_a_sign_in_without_an_answer_leaves_no_write_in_doubt(line: Line) -> None:
    session, _ = line(answering(200, []))
    silent = session.transport

    def transport(request: Request) -> Response:
        if b"common.db.login" in request.body:
            raise NoAnswer("timed out")
        return silent(request)

    session.transport = transport
    answers = session.send_all([wire.call(session, "model.x.y")])
    assert isinstance(wire.outcome_of(ERRORS, answers[0])[0], Outage)


def test_a_call_that_succeeded_oddly_may_have_made_something(line: Line) -> None:
    """Only Unknown is looked up: Drift would say that surely no draft was made."""

    def behaviour(method: str, parameters: list[Any], authorization: str) -> Answer:
        rows = [{"id": 1, "symbol": "u"}] if "product.uom" in method else []
        return 200, rows if method.endswith("search_read") else "made"

    session, _ = line(behaviour)
    assert [type(one) for one in CONNECTOR.write(session, "sale", [order(11)])] == [Unknown]


def test_a_look_reads_every_row_however_many(line: Line) -> None:
    everybody = [{"id": number} for number in range(1, 2_501)]

    def behaviour(method: str, parameters: list[Any], authorization: str) -> Answer:
        _, offset, most = parameters[:3]
        return 200, everybody[offset : offset + most]

    session, double = line(behaviour)
    assert len(wire.rows(session, ERRORS, "party.party", [], ["id"])) == 2_500
    assert len(double.calls) == 1 + 3
    assert len(wire.rows(session, ERRORS, "party.party", [], ["id"], most=200)) == 200


def test_an_endless_look_is_drift(line: Line) -> None:
    session, _ = line(answering(200, [{"id": 1}] * wire.PAGE_ROWS))
    with pytest.raises(VendorFault) as caught:
        wire.rows(session, ERRORS, "party.party", [], ["id"])
    assert isinstance(caught.value.outcome, Drift)


def row_of_sale(identity: int, company: int, state: str = "draft") -> dict[str, object]:
    return {
        "id": identity,
        "reference": "sale-11",
        "company": company,
        "state": state,
        "number": f"S{identity}",
        "lines": [],
        "invoices.": [],
        "total_amount": {"__class__": "Decimal", "decimal": "9.00"},
    }


@pytest.mark.parametrize(("target", "cancelled"), [("", [8]), ("9", [9])])
def test_only_our_own_order_is_taken_back(line: Line, target: str, cancelled: list[int]) -> None:
    """`reference` is free text in Tryton: another company, or a person, may hold the same one."""
    there = [row_of_sale(7, 2, "confirmed"), row_of_sale(8, 1), row_of_sale(9, 1)]

    def behaviour(method: str, parameters: list[Any], authorization: str) -> Answer:
        return 200, there if method == "model.sale.sale.search_read" else None

    session, double = line(behaviour)
    void = replace(order(11), action="void", target_id=target)
    assert isinstance(CONNECTOR.write(session, "sale", [void])[0], Written)
    pressed = [p[0] for m, p, _ in double.calls if m == "model.sale.sale.cancel"]
    assert pressed == [cancelled]


def test_a_wizard_that_did_its_work_and_will_not_close_has_done_its_work(line: Line) -> None:
    invoice = {
        "id": 4,
        "reference": "sale-11",
        "state": "posted",
        "company": 1,
        "sales": [3],
        "total_amount": {"__class__": "Decimal", "decimal": "9.00"},
    }

    def behaviour(method: str, parameters: list[Any], authorization: str) -> Answer:
        if method.endswith("search_read"):
            return 200, [invoice]
        if method.endswith("credit.create"):
            return 200, [1, "start", "end"]
        if method.endswith("credit.execute"):
            return 200, {"actions": [[{}, {"res_id": [5]}]]}
        return 200, ["UserError", ["the session is gone", "", None]]

    session, _ = line(behaviour)
    document = {"sale": {"id": "3"}, "void_date": "2021-02-03", "amount": "9.00"}
    assert CONNECTOR.write(session, "invoice", [Write("k", "sale-11", "void", document)]) == [
        Written("5")
    ]


@pytest.mark.parametrize("odd", ["\u00b2", "7 OR 1", "-7"])
def test_an_id_that_is_none_is_rejected_and_crashes_nothing(line: Line, odd: str) -> None:
    session, _ = line(answering(200, [{"id": 1, "symbol": "u"}]))
    bad = order(11, party={"id": odd})
    assert isinstance(CONNECTOR.write(session, "sale", [bad])[0], Rejected)
    invoice = Write("k", "sale-11", "create", {"sale": {"id": odd}})
    assert isinstance(CONNECTOR.write(session, "invoice", [invoice])[0], Rejected)
    [gone] = reading.fetch(session, "sale", [odd])
    assert gone.deleted
