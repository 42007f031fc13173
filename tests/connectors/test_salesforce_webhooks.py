"""Outbound messages from the emulated Salesforce to a small intake, over real HTTP."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.connectors.salesforce_tenant import (
    ORGANIZATION,
    SECRETS,
    Administrator,
    session_of,
    status,
)
from tieout import clock
from tieout.connectors.salesforce import CONNECTOR
from tieout.emulators.host import free_port, serve
from tieout.emulators.salesforce.service import Salesforce
from tieout.finance.outcome import Written
from tieout.ports.connector import InboundCall, NotGenuine

# --- receiving ----------------------------------------------------------------------------------


def message(body: str = "", organization: str = ORGANIZATION, kind: str = "Opportunity") -> bytes:
    notification = body or (
        '<Notification><Id>04l000000000001AAA</Id><sObject xsi:type="sf:' + kind + '" '
        'xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>006000000000001</sf:Id>'
        "</sObject></Notification>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{organization}</OrganizationId>{notification}"
        "</notifications></e:Body></e:Envelope>"
    ).encode()


def receive(body: bytes, secret: str = ORGANIZATION) -> Sequence[tuple[str, str]]:
    return CONNECTOR.receive(InboundCall("Opportunity", {}, body, secret)).hints


def test_a_message_is_a_hint_with_full_ids() -> None:
    assert receive(message()) == (("Opportunity", "006000000000001AAA"),)
    assert receive(message(organization=ORGANIZATION[:15])), "15 and 18 characters are the same id"


@pytest.mark.parametrize(
    ("body", "secret", "words"),
    [
        (message(organization="00D000000000002EAA"), ORGANIZATION, "another organisation"),
        (message(), "", "organization_id"),
        (message(kind="Account"), ORGANIZATION, "not received"),
        (message("<Notification/>"), ORGANIZATION, "names no record"),
        (message("<Notification/>" * 101), ORGANIZATION, "1 to 100"),
        (message() + b" " * 3_000_000, ORGANIZATION, "more than"),
        (message()[:-5], ORGANIZATION, "well-formed"),
        (message().replace(b"?>", b"?><!DOCTYPE x>", 1), ORGANIZATION, "DOCTYPE"),
        (
            message()
            .decode()
            .replace("UTF-8", "UTF-16")
            .replace("?>", "?><!DOCTYPE x>", 1)
            .encode("utf-16"),
            ORGANIZATION,
            "DOCTYPE",
        ),
    ],
)
def test_what_is_not_genuine_is_refused(body: bytes, secret: str, words: str) -> None:
    with pytest.raises(NotGenuine, match=words):
        receive(body, secret)


class Listener:
    """A small intake: parses each delivery with the connector and answers what it says.

    The first `deaf` deliveries are not acknowledged.
    """

    def __init__(self, port: int, deaf: int) -> None:
        self.hints: list[str] = []
        self.deaf = deaf
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = CONNECTOR.receive(InboundCall("Opportunity", {}, body, ORGANIZATION))
                with listener.lock:
                    hears = listener.deaf <= 0
                    listener.deaf -= 1
                    listener.hints += [key for _, key in received.hints]
                self.send_response(200 if hears else 503)
                self.end_headers()
                self.wfile.write(received.answer if hears else b"")

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Listener:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def wait_for(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = clock.monotonic() + seconds
    while not done():
        assert clock.monotonic() < end, "it never happened"
        clock.sleep(0.02)


def test_outbound_messages_repeat_reorder_and_insist() -> None:
    port = free_port()
    settings = {
        **SECRETS,
        "webhook_url": f"http://127.0.0.1:{port}/in",
        "webhook_seed": "7",
        "webhook_duplicate_rate": "0.5",
        "webhook_reorder": "true",
    }
    with Listener(port, deaf=1) as listener, serve("salesforce", settings) as served:
        emulator = served.emulator
        assert isinstance(emulator, Salesforce)
        administrator = Administrator(served)
        record = {"attributes": {"type": "Opportunity"}, "Name": "x", "CloseDate": "2021-01-01"}
        records = [{**record, "StageName": "Closed Won"} for _ in range(150)]
        made = administrator.call("POST", "composite/sobjects", {"records": records})
        keys = [one["id"] for one in made]
        administrator.order(1, stage="Prospecting")
        wait_for(lambda: not emulator.tables["_notifications"])
        with listener.lock:
            heard = list(listener.hints)
    times = Counter(heard)
    assert set(times) == set(keys), "won orders, and only those"
    assert max(times.values()) >= 2, "some come twice"
    assert min(times.values()) >= 1
    first = list(dict.fromkeys(heard))
    assert first != keys, "not in the order of the changes"


def test_our_own_write_and_a_lost_deal() -> None:
    """Our write-back fires no message, so loops end; a deal that was won and no longer is, does."""
    settings = {**SECRETS, "webhook_url": "http://127.0.0.1:9/in"}
    with serve("salesforce", settings) as served:
        emulator = served.emulator
        administrator = Administrator(served)
        key = administrator.order(1)
        queued = emulator.tables["_notifications"]
        assert len(queued) == 1
        assert CONNECTOR.write(session_of(served), "Opportunity", [status(key)]) == [Written(key)]
        assert len(queued) == 1
        administrator.change(key, StageName="Closed Lost")
        assert len(queued) == 2
        administrator.change(key, Name="still lost")
        assert len(queued) == 2
