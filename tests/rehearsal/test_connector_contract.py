"""The contract suite itself: every planted mistake is caught, and nothing is ever skipped."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.docs.tutorial import unfold
from tieout import clock
from tieout.finance.outcome import Busy, Denied, Found, Outage, Outcome, Rejected, Unknown, Written
from tieout.ports.connector import Health, InboundCall, Item, Page, Received, Total, TotalAsk, Write
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.rehearsal.connector_contract import Bench, ConnectorContract

Patch = Callable[[pytest.MonkeyPatch, type[Any], ModuleType], None]


@pytest.fixture(scope="module")
def abacus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The tutorial's connector and its contract test, imported from the page."""
    folder = unfold(tmp_path_factory.mktemp("abacus"))
    sys.path.insert(0, str(folder))
    sys.path.insert(0, str(folder / "tests"))
    importlib.invalidate_caches()
    yield importlib.import_module("test_abacus")
    for _ in range(2):
        sys.path.pop(0)
    for name in [name for name in sys.modules if "abacus" in name and "tests." not in name]:
        del sys.modules[name]


def wrapped_write(change: Callable[[Outcome], Outcome]) -> Patch:
    """A connector that makes something else of what it was told."""

    def patch(monkey: pytest.MonkeyPatch, kind: type[Any], wire: ModuleType) -> None:
        real = kind._write_one
        monkey.setattr(kind, "_write_one", lambda self, at, write: change(real(self, at, write)))

    return patch


def method(name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Patch:
    """A connector whose method `name` is replaced by `make(real one)`."""

    def patch(monkey: pytest.MonkeyPatch, kind: type[Any], wire: ModuleType) -> None:
        monkey.setattr(kind, name, make(getattr(kind, name)))

    return patch


def retries(real: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def write(self: object, at: Session, one: Write) -> Outcome:
        outcome = real(self, at, one)
        return real(self, at, one) if isinstance(outcome, Unknown) else outcome

    return write


def raises(real: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def write(self: object, at: Session, one: Write) -> Outcome:
        outcome = real(self, at, one)
        if isinstance(outcome, Unknown):
            raise NoAnswer("lost")
        return outcome

    return write


def fresh_reference(real: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def write(self: object, at: Session, one: Write) -> Outcome:
        return real(self, at, replace(one, reference=f"{one.reference}-{clock.new_id()}"))

    return write


def stops_at_the_first(real: Callable[..., Sequence[Outcome]]) -> Callable[..., Sequence[Outcome]]:
    def write(self: object, at: Session, stream: str, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = list(real(self, at, stream, writes))
        bad = next((n for n, one in enumerate(outcomes) if isinstance(one, Rejected)), None)
        return outcomes if bad is None else outcomes[: bad + 1]

    return write


def believes(real: Callable[..., object]) -> Callable[..., Mapping[str, Found | None]]:
    def find(self: Any, at: Session, stream: str, writes: Sequence[Write]) -> dict[str, Any]:
        real(self, at, stream, writes)
        return {one.write_key: Found("1", self.meant(stream, one)) for one in writes}

    return find


def loses_a_row(real: Callable[..., Page]) -> Callable[..., Page]:
    def read(self: object, at: Session, stream: str, cursor: str) -> Page:
        page = real(self, at, stream, cursor)
        return replace(page, items=page.items[:-1]) if page.more else page

    return read


def forgets_its_place(real: Callable[..., Page]) -> Callable[..., Page]:
    def read(self: object, at: Session, stream: str, cursor: str) -> Page:
        page = real(self, at, stream, cursor)
        return page if page.more else replace(page, cursor='{"since": "9999"}')

    return read


def remembers(real: Callable[..., Page]) -> Callable[..., Page]:
    def read(self: Any, at: Session, stream: str, cursor: str) -> Page:
        self.last_cursor = cursor
        return real(self, at, stream, cursor)

    return read


def leaves_out(real: Callable[..., Sequence[Item]]) -> Callable[..., Sequence[Item]]:
    return lambda self, at, stream, keys: [
        item for item in real(self, at, stream, keys) if not item.deleted
    ]


def believes_anybody(real: Callable[..., Received]) -> Callable[..., Received]:
    def receive(self: object, call: InboundCall) -> Received:
        return Received(hints=(("entry", "7"),), answer=b"{}")

    return receive


def says_it_aloud(real: Callable[..., Health]) -> Callable[..., Health]:
    def check(self: object, at: Session) -> Health:
        health = real(self, at)
        return health if health.well else replace(health, words=f"key {at.secrets['api_key']}")

    return check


def through_float(real: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def write(self: object, at: Session, one: Write) -> Outcome:
        amount = str(float(str(one.document["amount"])))
        return real(self, at, replace(one, document={**one.document, "amount": amount}))

    return write


def no_answer_is_no(outcome: Outcome) -> Outcome:
    return Rejected(outcome.detail) if isinstance(outcome, Unknown) else outcome


def no_answer_is_yes(outcome: Outcome) -> Outcome:
    return Written("1") if isinstance(outcome, Unknown) else outcome


def outage_is_unknown(outcome: Outcome) -> Outcome:
    return Unknown(outcome.detail) if isinstance(outcome, Outage) else outcome


def forgets_the_wait(outcome: Outcome) -> Outcome:
    return Busy(outcome.detail) if isinstance(outcome, Busy) else outcome


def makes_up_a_wait(outcome: Outcome) -> Outcome:
    return replace(outcome, wait_seconds=7.0) if isinstance(outcome, Busy) else outcome


def denied_is_rejected(outcome: Outcome) -> Outcome:
    return Rejected(outcome.detail) if isinstance(outcome, Denied) else outcome


MISTAKES: dict[str, tuple[str, Patch]] = {
    "a timeout is a no": ("write_a_lost_reply_is_unknown", wrapped_write(no_answer_is_no)),
    "a web page is a yes": ("write_a_web_page_is_unknown", wrapped_write(no_answer_is_yes)),
    "half a page is a yes": ("write_half_an_answer", wrapped_write(no_answer_is_yes)),
    "a 500 is a yes": ("write_a_server_error", wrapped_write(no_answer_is_yes)),
    "down is unknown": ("write_a_system_that_is_down", wrapped_write(outage_is_unknown)),
    "Retry-After ignored": ("write_busy_with_a_wait", wrapped_write(forgets_the_wait)),
    "a wait made up": ("write_busy_without_a_wait", wrapped_write(makes_up_a_wait)),
    "denied is rejected": ("write_wrong_secrets", wrapped_write(denied_is_rejected)),
    "a helpful retry": ("write_a_lost_request", method("_write_one", retries)),
    "an exception for silence": ("write_a_lost_reply", method("_write_one", raises)),
    "a fresh key per try": ("write_a_repeat_makes_no", method("_write_one", fresh_reference)),
    "a float": ("write_amounts_are_exact", method("_write_one", through_float)),
    "stops at a bad one": ("write_a_bad_write_harms", method("write", stops_at_the_first)),
    "believes without looking": ("write_a_lost_request", method("find", believes)),
    "a row lost at a boundary": ("read_pages_lose_nothing", method("read", loses_a_row)),
    "a place forgotten": ("read_later_rows_are_seen", method("read", forgets_its_place)),
    "state kept": ("keeps_nothing", method("read", remembers)),
    "gone is left out": ("read_fetch_tells_what_is_gone", method("fetch", leaves_out)),
    "any webhook believed": ("a_false_webhook_is_refused", method("receive", believes_anybody)),
    "a secret said aloud": ("write_secrets_stay_secret", method("check", says_it_aloud)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(
    mistake: str, abacus: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, patch = MISTAKES[mistake]
    suite = abacus.TestAbacus()
    (name,) = [name for name in dir(suite) if name.startswith(f"test_{case}")]
    getattr(suite, name)()
    patch(monkeypatch, type(suite.connector), abacus)
    with pytest.raises((AssertionError, NoAnswer)):
        getattr(suite, name)()
    vars(suite.connector).clear()


def test_cases_follow_what_is_offered(abacus: ModuleType) -> None:
    whole = abacus.TestAbacus.connector
    entry = whole.streams["entry"]
    only_reads = replace(entry, receives=False, writes=False, idempotency=None, facts={})
    graded_b = replace(entry, idempotency=replace(entry.idempotency, grade="B"))

    def cases(**streams: object) -> set[str]:
        offered = SimpleNamespace(**vars(type(whole)) | {"streams": streams})
        kind = type("TestOther", (ConnectorContract,), {"connector": offered})
        return {name for name in dir(kind) if name.startswith("test_")}

    reads, writes = cases(entry=only_reads), cases(entry=graded_b)
    assert "test_read_pages_lose_nothing__entry" in reads
    assert not [name for name in reads if "write_" in name or "webhook" in name]
    assert "test_write_a_lost_reply_is_unknown_and_found__entry" in writes
    assert "test_write_a_repeat_makes_no_second_document__entry" not in writes
    assert "test_jobs_are_followed_to_the_end" not in writes
    assert not [name for name in writes if "a_change_is" in name or "a_void_is" in name]


@pytest.mark.parametrize(("told", "right"), [("12.50", True), ("12.49", False)])
def test_totals_are_compared_to_the_cent(
    told: str, right: bool, abacus: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = abacus.TestAbacus.connector
    total = Total(("EUR",), 1, Decimal(told))
    monkeypatch.setattr(type(connector), "totals", lambda *ask: [total], raising=False)

    class TestTotals(abacus.TestAbacus):
        def totals_example(self, bench: Bench) -> tuple[str, TotalAsk, list[Total]]:
            self.seed_rows(bench, "entry", 1)
            expected = Total(("EUR",), 1, Decimal("12.5"))
            return "entry", TotalAsk("amount", ("currency",)), [expected]

    kind = type("TestWithTotals", (TestTotals,), {"connector": connector})
    if right:
        kind().test_totals_are_exact()
    else:
        with pytest.raises(AssertionError, match=r"12\.49"):
            kind().test_totals_are_exact()


def test_an_untold_hook_says_what_to_override(abacus: ModuleType) -> None:
    class Untold(abacus.TestAbacus):
        examples = ConnectorContract.examples

    with pytest.raises(AssertionError, match=r"override examples\(bench, 'entry', number\)"):
        Untold().test_write_a_lost_reply_is_unknown_and_found__entry()
