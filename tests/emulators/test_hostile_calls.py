"""Whatever a caller sends, a twin answers as its vendor would: it never falls over.

A fixed seed draws calls from odd parts: every one must come back with a status below 500 and
headers of one line. What each vendor answers to good calls is proved in its own tests.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from tieout.connectors.netsuite.signin import TokenSignIn
from tieout.emulators.anaplan import seed as anaplan
from tieout.emulators.host import factory
from tieout.emulators.kit import Emulator, load_tables, save_tables, whole_number
from tieout.emulators.netsuite.seeds import DEFAULTS
from tieout.ports.http import Request, Response

URL = "http://127.0.0.1:1"
CALLS = 1_500
NINES = b"9" * 5_000
BODIES = (
    *(b"", b"null", b"[]", b"{", b'"x"', b"true", b"\xff\xfe", b"[" * 100_000),
    *(b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1,"a":2}', b'{"a":1e999999999}'),
    *(
        b'{"Name":' + NINES + b"}",
        b'{"externalId":' + NINES + b"}",
        b'{"chunkCount":' + NINES + b"}",
    ),
    *(b'{"\\ud800":"\\udfff"}', b'{"Name":"\\ud800"}', b'{"companyName":"\\ud800"}'),
    *(b'{"records":[null,1]}', b'{"chunkCount":1.5}', b'{"allOrNone":"x","records":[[]]}'),
    *(b'{"item":{"items":[null]}}', b'{"item":[]}', b'{"q":null}', b'{"q":"SELECT id FROM item"}'),
)
VALUES: tuple[object, ...] = (
    *(None, True, 0, -1, 10**30, 1.5, "", "a\0", "2021-02-30", "NaN", "1e999", "\u00b2"),
    *([], {}, {"id": "1"}, {"id": []}, {"items": [{}]}, {"items": None}),
)
SPOTS = ("1", "x", "%00", "..", "%C2%B2", "-1", "9" * 5_000, "eid:x", "006000000000001AAA")
Sign = Callable[[Request], Request]


def salesforce() -> tuple[Emulator, Sign]:
    twin = factory("salesforce")(URL, {"client_id": "c", "client_secret": "s"})
    asked = Request(
        "POST",
        f"{URL}/services/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded"},
        b"grant_type=client_credentials&client_id=c&client_secret=s",
    )
    token = json.loads(twin.handle(asked).body)["access_token"]
    return twin, lambda one: one.with_headers({"Authorization": f"Bearer {token}"})


def netsuite() -> tuple[Emulator, Sign]:
    names = ("consumer_key", "consumer_secret", "token_id", "token_secret")
    line = TokenSignIn({"account": DEFAULTS["account"]}, {one: DEFAULTS[one] for one in names})
    twin = factory("netsuite")(URL, {})
    return twin, lambda one: line.apply(one, lambda _: Response(500))


def planning() -> tuple[Emulator, Sign]:
    twin = factory("anaplan")(
        URL,
        {"email": "e", "password": "p", "task_seconds": "0", "requests_per_minute": "100000000"},
    )
    basic = {"Authorization": f"Basic {base64.b64encode(b'e:p').decode()}"}
    said = json.loads(twin.handle(Request("POST", f"{URL}/token/authenticate", basic)).body)
    token = f"AnaplanAuthToken {said['tokenInfo']['tokenValue']}"
    return twin, lambda one: one.with_headers({"Authorization": token})


_DATA = "/services/data/v67.0"
_RECORD = "/services/rest/record/v1"
_MODEL = f"/2/0/workspaces/{anaplan.WORKSPACE_ID}/models/{anaplan.MODEL_ID}"
_FILE = f"{_MODEL}/files/{anaplan.FILE_ID}"
_TASKS = f"{_MODEL}/imports/{anaplan.IMPORT_ID}/tasks"
PATHS: dict[str, Sequence[str]] = {
    "salesforce": (
        *(f"{_DATA}/sobjects/Account", f"{_DATA}/sobjects/Opportunity/*", f"{_DATA}/query"),
        *(f"{_DATA}/sobjects/Account/AccountNumber/*", f"{_DATA}/query/*", f"{_DATA}/composite"),
        *(f"{_DATA}/composite/sobjects", f"{_DATA}/composite/sobjects/Account/*"),
    ),
    "netsuite": (
        *(f"{_RECORD}/customer", f"{_RECORD}/salesOrder/*", f"{_RECORD}/invoice/*/item"),
        *(f"{_RECORD}/salesOrder/*/!transform/invoice", "/services/rest/query/v1/suiteql"),
        *(f"{_RECORD}/inventoryItem/*", "/services/rest/async/v1/job/*"),
    ),
    "anaplan": (
        *(f"{_MODEL}/files", _FILE, f"{_MODEL}/files/*", f"{_FILE}/chunks/*"),
        *(f"{_FILE}/complete", _TASKS, f"{_TASKS}/*", f"{_TASKS}/*/dump/chunks/*"),
        *(f"/2/0/models/{anaplan.MODEL_ID}/views/{anaplan.MODULE_ID}/data", "/2/0/models"),
    ),
}
QUERY = (
    *("SELECT", "Id", "id", "*", "FROM", "Opportunity", "customer", "transaction t", "WHERE"),
    *("AND", "NOT", "(", ")", "=", "IN", "LIKE", "'a'", "'", "\\", "LIMIT", "OFFSET", "1", "-1"),
    *("9" * 5_000, "1e400", "2021-13-01", "TODAY", "LAST_N_DAYS:99999999999", "COUNT()", "1/0"),
    *("read_csv('/etc/passwd')", "load_extension('x')", "zeroblob(999999999999)", ";", "--", "\0"),
)
GOOD = "SELECT t.id AS id FROM transaction t WHERE t.type = 'SalesOrd'"
KEYS = ("Name", "id", "companyName", "externalId", "item", "tranDate", "entity", "chunkCount", "q")


def drawn(dice: random.Random, name: str) -> Request:
    path = dice.choice(PATHS[name])
    while "*" in path:
        path = path.replace("*", dice.choice(SPOTS), 1)
    words = " ".join(dice.choice(QUERY) for _ in range(dice.randint(1, 9)))
    fields: dict[str, object] = {dice.choice(KEYS): dice.choice(VALUES) for _ in range(3)}
    body = dice.choice(BODIES) if dice.random() < 0.4 else json.dumps(fields).encode()
    if "suiteql" in path and dice.random() < 0.8:
        said = dice.choice((f"SELECT {words}", f"SELECT id FROM item WHERE {words}", GOOD))
        body = json.dumps({"q": said}).encode()
    number = dice.choice(("0", "-1", "x", "\u00b2", "1", "9" * 5_000))
    return Request(
        dice.choice(("GET", "POST", "PUT", "PATCH", "DELETE")),
        URL + path,
        {"Content-Type": "application/json", "Prefer": dice.choice(("transient", "x"))},
        body,
        (("q", f"SELECT {words}"), ("limit", number), ("offset", number), ("maxRows", number))[
            : dice.choice((1, 4))
        ],
    )


@pytest.mark.parametrize(
    ("name", "made"), [("salesforce", salesforce), ("netsuite", netsuite), ("anaplan", planning)]
)
def test_no_call_makes_a_twin_fall_over(
    name: str, made: Callable[[], tuple[Emulator, Sign]], tmp_path: Path
) -> None:
    twin, sign = made()
    dice = random.Random(7)
    met = set()
    for number in range(CALLS):
        answer = twin.handle(sign(drawn(dice, name)))
        assert answer.status < 500, (number, answer)
        assert not any("\n" in one or "\r" in one for one in answer.headers.values())
        met.add(answer.status)
    assert {200, 400, 404} <= met, "the calls never got past the door"
    save_tables(twin.tables, tmp_path / "state.json")
    assert load_tables(tmp_path / "state.json") == twin.tables


def test_a_body_with_what_json_does_not_have_is_refused_by_the_vendor() -> None:
    """A NaN that got in would come out again, and no vendor sends one."""
    twin, sign = salesforce()
    nan = Request("POST", f"{URL}{_DATA}/sobjects/Opportunity", {}, b'{"Amount":NaN}')
    answer = twin.handle(sign(nan))
    assert (answer.status, json.loads(answer.body)[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("", None), ("-1", None), ("\u00b2", None), ("9" * 5_000, None)],
)
def test_whole_numbers_of_an_address(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_odd_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = {"a": {"1": {"text": "\ud800\0 \u2028é", "exact": Decimal("-0.00"), "big": 10**40}}}
    save_tables(rows, tmp_path / "s.json")
    loaded = load_tables(tmp_path / "s.json")
    assert loaded == rows
    assert str(loaded["a"]["1"]["exact"]) == "-0.00"
