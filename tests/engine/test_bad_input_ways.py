"""The same bad rows by webhook, by poll and by file: a case each, and nothing else affected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.test_files import Inbox
from tests.connectors.test_files_contract import INVOICE
from tests.engine.loopback import Loopback, customers, invoice_row, loopback
from tests.engine.test_bad_input import HELD
from tieout.engine.taking_in import store
from tieout.ports.connector import Item

LINES = 1_000_000
WAYS = ("webhook", "poll", "file")


@pytest.fixture
def loop(database_url: str) -> Iterator[Loopback]:
    with loopback(database_url) as made:
        yield made


def comes(loop: Loopback, way: str, folder: Path, bodies: dict[str, bytes]) -> None:
    """Bring these rows in, by the way that is asked for; the file's reader is the real one."""
    if way == "webhook":
        loop.deliver(*(("invoice", body) for body in bodies.values()))
        return
    items = [Item(key, "1", body.decode()) for key, body in bodies.items()]
    if way == "file":
        inbox = Inbox(folder, INVOICE)
        inbox.put("invoices-1.jsonl", b"".join(body + b"\n" for body in bodies.values()))
        items = inbox.read()
    store(loop.context, "till", "invoice", items, "poll", "7", ())


def states(loop: Loopback) -> dict[str, str]:
    return dict(loop.rows("SELECT source_key, state FROM arrivals WHERE stream = 'invoice'"))


def good(key: str) -> bytes:
    return json.dumps(invoice_row("", key, 1, 8)).encode()


def of_lines(line: str, count: int) -> bytes:
    """One order of that many lines."""
    empty = json.dumps({**invoice_row("", "BIG", 1, 7), "lines": []})
    return empty.replace('"lines": []', f'"lines": [{",".join([line] * count)}]').encode()


@pytest.mark.parametrize("way", WAYS)
def test_every_bad_row_is_a_case_by_whichever_way_it_comes(
    loop: Loopback, tmp_path: Path, way: str
) -> None:
    loop.deliver(*customers("", [7, 8]))
    bodies = {
        f"BAD{nth}": body.replace(b'"id": "BAD"', f'"id": "BAD{nth}"'.encode(), 1)
        for nth, body in enumerate(HELD.values())
    }
    comes(loop, way, tmp_path, {"GOOD1": good("GOOD1"), **bodies, "GOOD2": good("GOOD2")})
    loop.run()
    found = states(loop)
    assert (found.pop("GOOD1"), found.pop("GOOD2")) == ("recorded", "recorded")
    assert found == dict.fromkeys(bodies, "held")
    cases = loop.rows("SELECT DISTINCT source_key FROM cases WHERE state = 'open'")
    assert {key for (key,) in cases} == set(bodies)
    assert len(loop.ledger.rows["entry"]) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_return_of_goods_goes_through_by_whichever_way_it_comes(
    loop: Loopback, tmp_path: Path, way: str
) -> None:
    loop.deliver(*customers("", [7]))
    first = invoice_row("", "MINUS", 1, 7)
    minus = [{**one, "quantity": -1, "amount": "-5.00"} for one in first["lines"]]
    body = json.dumps({**first, "lines": minus, "total": f"-{5 * len(minus)}.00"}).encode()
    comes(loop, way, tmp_path, {"MINUS": body})
    loop.run()
    (entry,) = loop.ledger.rows["entry"].values()
    assert entry["total"] == f"-{5 * len(minus)}.00"


@pytest.mark.parametrize("way", ["poll", "file"])
@pytest.mark.parametrize("line", ["{}", '{"quantity": 1, "amount": "1.00"}'])
def test_an_order_of_a_million_lines_is_one_case(
    loop: Loopback, tmp_path: Path, way: str, line: str
) -> None:
    """By webhook it is too large to be received at all (413). The short lines are the dangerous
    ones: 3 MB of text, but a million times every field to judge."""
    loop.deliver(*customers("", [8]))
    comes(loop, way, tmp_path, {"BIG": of_lines(line, LINES), "GOOD": good("GOOD")})
    loop.run()
    found = states(loop)
    assert found.pop("GOOD") == "recorded"
    assert list(found.values()) == ["held"]
    ((words, next_action),) = loop.rows("SELECT words, next_action FROM cases")
    assert len(words) < 2_000
    assert next_action
    assert len(loop.ledger.rows["entry"]) == 1
