"""The watchdog: what it finds, however many look, and where its messages may go."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.house import House, changed_landscape
from tieout.engine import notify
from tieout.engine.pulse import PulseTeller
from tieout.engine.watchdog import Watchdog
from tieout.landscape.service_levels import AlertChannel, AlertPolicy
from tieout.store import alerts, workers
from tieout.store.alerts import Message

SECRET_PATH = "/services/T000/canary-77aa"
ALERTS = "policies/alerts.yaml"


class Chat:
    """An incoming webhook on this machine; says where it was asked to send people on to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.redirect = ""
        chat = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if chat.redirect:
                    self.send_response(307)
                    self.send_header("Location", chat.redirect)
                else:
                    chat.texts.append(json.loads(body)["text"])
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not said."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def chat() -> Iterator[Chat]:
    made = Chat()
    yield made
    made.close()


def tell(url: str, addresses: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(url)
    channel = AlertChannel("close", chat="file:hook", addresses=addresses)
    notify.send(Message(1, "close", "late", "Look.", 1), channel, AlertPolicy(), tmp_path)


def test_a_chat_is_told(chat: Chat, tmp_path: Path) -> None:
    tell(chat.address + SECRET_PATH, (chat.address,), tmp_path)
    assert chat.texts == ["*late*\nLook."]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:{port}@169.254.169.254/",
        "http://127.0.0.1.evil.example/",
        "file:///etc/passwd",
        "http://[::1]:{port}/",
        "http://127.0.0.1:1/",
    ],
)
def test_a_webhook_may_only_lead_where_its_channel_says(
    chat: Chat, tmp_path: Path, url: str
) -> None:
    told = url.replace("{port}", str(chat.server.server_port)) + "?" + SECRET_PATH
    with pytest.raises(notify.NotSent) as refused:
        tell(told, (chat.address,), tmp_path)
    assert "canary" not in str(refused.value)
    assert chat.texts == []


def test_a_webhook_that_sends_us_on_is_not_followed(chat: Chat, tmp_path: Path) -> None:
    other = Chat()
    try:
        chat.redirect = other.address + SECRET_PATH
        with pytest.raises(notify.NotSent, match="307"):
            tell(chat.address + SECRET_PATH, (chat.address,), tmp_path)
        assert other.texts == []
    finally:
        other.close()


def watchdog(home: House, tmp_path: Path, text: str = "", **slo: str) -> Watchdog:
    """Over a copy of the demo with this alerts.yaml and promise."""
    changes = {}
    if slo:
        changes["flows/quote_to_cash.yaml"] = ("fresh_within: 30 minutes", slo["promise"])
    changed_landscape(tmp_path, changes)
    folder = tmp_path / "landscape"
    if text:
        (folder / ALERTS).write_text(text, encoding="utf-8")
    return Watchdog(folder, home.database)


def open_kinds(home: House) -> list[str]:
    return [row[0] for row in home.rows("SELECT kind FROM alerts WHERE closed_at IS NULL")]


def test_two_watchdogs_open_one_alert_and_send_one_message(
    home: House, chat: Chat, tmp_path: Path
) -> None:
    (tmp_path / "hook").write_text(chat.address + SECRET_PATH)
    text = (
        "channels:\n"
        f"  - {{channel: close, chat: 'file:{tmp_path}/hook', addresses: ['{chat.address}']}}\n"
    )
    first = watchdog(home, tmp_path, text)
    second = Watchdog(tmp_path / "landscape", home.database)
    home.seller.deal("1", home.seller.account(), home.seller.product())
    home.go_on(1)
    home.clock.sleep(3_600)
    both = [threading.Thread(target=one.look) for one in (first, second)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(open_kinds(home)) == ["audit", "slo", "worker"], "each once"
    for one in (second, first):
        one.look()
    assert len(chat.texts) == 1
    assert "oldest thing under way" in chat.texts[0]
    assert home.rows("SELECT count(*) FROM alert_messages WHERE sent_at IS NULL") == [(0,)]


def test_a_system_without_an_answer_for_hours_is_told_and_a_case(
    home: House, tmp_path: Path
) -> None:
    dog = watchdog(home, tmp_path)
    home.run()
    home.clock.sleep(home.landscape.alerts.silent_system_seconds - 60)
    dog.look()
    assert "system" not in open_kinds(home)
    home.clock.sleep(120)
    dog.look()
    names = home.rows("SELECT system FROM cases WHERE reason = 'silent' AND state = 'open'")
    polled = [name for name, one in home.landscape.systems.items() if one.streams]
    assert sorted(name for (name,) in names) == sorted(polled)
    assert open_kinds(home).count("system") == len(polled)
    home.go_on(1)
    dog.look()
    assert "system" not in open_kinds(home)
    assert home.open_cases() == []


def test_thresholds_are_those_of_the_file(home: House, tmp_path: Path) -> None:
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product, CurrencyIsoCode="XXX")
    home.run()
    dog = watchdog(home, tmp_path)
    PulseTeller(home.engine).now("tick")
    dog.look()
    assert open_kinds(home) == [], "one case is none too many"
    (tmp_path / "landscape" / ALERTS).write_text("thresholds: {case_age: 1 hours, queue_depth: 1}")
    dog.look()
    assert open_kinds(home) == []
    home.clock.sleep(3_700)
    PulseTeller(home.engine).now("tick")
    dog.look()
    assert "cases" in open_kinds(home)


def test_too_many_failed_attempts_are_told(home: House, tmp_path: Path) -> None:
    dog = watchdog(home, tmp_path, "thresholds: {errors_percent: 10}")
    PulseTeller(home.engine).now("tick")
    dog.look()
    for outcome, times in (("Written", 90), ("Rejected", 30)):
        with home.connection() as connection:
            key = ("netsuite", "quote_to_cash", "send", outcome)
            workers.count(connection, {}, {key: times})
    dog.look()
    assert open_kinds(home) == ["errors"]


def test_a_period_that_is_not_complete_breaks_its_promise(home: House, tmp_path: Path) -> None:
    """complete_by, over a real database: also what is held counts, until it has ended."""
    promise = "complete_by: period close + 2 business days at 17:00"
    dog = watchdog(home, tmp_path, promise=promise)
    account, product = home.seller.account(), home.seller.product()
    home.lines["netsuite"].plant("", "record/v1", "PUT", times=10**6, status=503)
    deal = home.seller.deal("1", account, product, CloseDate="2026-03-30")
    for _ in range(5):
        home.go_on(1)
    periods = "SELECT v.period FROM runs r JOIN records v USING (record_type, record_key)"
    assert home.rows(periods) == [("2026-03",)]
    for hour, late in ((12, False), (16, True)):
        home.clock.at = dt.datetime(2026, 4, 2, hour, tzinfo=dt.UTC)
        dog.look()
        with home.connection() as connection:
            told = [one.words for one in alerts.read(connection) if one.kind == "slo"]
        assert bool(told) == late, told
    assert "1 run(s) of period 2026-03 are not complete" in told[0]
    home.lines["netsuite"].plants.clear()
    home.run(most=4_000)
    dog.look()
    assert home.run_states() == ["held"], "the ERP has no such period"
    assert "slo" in open_kinds(home)
    home.seller.change("Opportunity", deal, StageName="Prospecting")
    home.run(most=4_000)
    dog.look()
    assert home.run_states() == ["undone"]
    assert "slo" not in open_kinds(home)
