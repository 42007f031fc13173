"""A made-up system with a stream of every grade, its understudy, and hooks for the contract."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tieout.emulators.kit import Fault, FaultPlan
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import (
    Field,
    Health,
    Idempotency,
    InboundCall,
    Item,
    Marks,
    Page,
    PeriodStatus,
    Received,
    Stream,
    Write,
)
from tieout.ports.errors import ErrorTable
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.opening import open_session
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn, SignIn
from tieout.rehearsal.contract.bench import Bench, Hooks
from tieout.rehearsal.contract.wire import Effect
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector

IN_FLIGHT_SECONDS = 8.0
LAG_SECONDS = 2.0
KEY_LIFETIME_SECONDS = 60.0
_FACTS: Mapping[str, Any] = {"amount": "amount", "day": "date"}
_FIELDS = (
    Field("id"),
    Field("version", "integer"),
    Field("amount", "amount"),
    Field("day", "date"),
)
GRADES = {
    "A": Idempotency("A"),
    "B": Idempotency("B", IN_FLIGHT_SECONDS, KEY_LIFETIME_SECONDS),
    "C": Idempotency("C"),
}
CUSTOMER = Stream(
    "customer",
    "Customer",
    (Field("id"), Field("changed", "timestamp"), Field("name"), Field("limit", "amount")),
    version="changed",
    reads=True,
    receives=True,
)
STREAMS: Mapping[str, Stream] = {"customer": CUSTOMER} | {
    f"entry_{grade}": Stream(
        f"entry_{grade}",
        f"Entry of grade {grade}",
        _FIELDS,
        version="version",
        reads=True,
        writes=True,
        posts=True,
        idempotency=told,
        facts=_FACTS,
    )
    for grade, told in GRADES.items()
}


class Plain:
    """A real connector that nobody calls: only what it declares counts."""

    name = "plain"
    title = "Plain books"
    streams = STREAMS
    errors = ErrorTable(())
    settings: Mapping[str, str] = {"url": "where it is"}
    secrets: Mapping[str, str] = {"password": "to get in"}

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return NoSignIn()

    def check(self, at: Session) -> Health:
        raise AssertionError("nobody may ask the real system")

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        raise AssertionError("nobody may ask the real system")

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        raise AssertionError("nobody may ask the real system")

    def receive(self, call: InboundCall) -> Received:
        raise AssertionError("nobody may ask the real system")

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        raise AssertionError("nobody may ask the real system")


class Whole(Plain):
    """One that sweeps and has periods besides."""

    def marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        raise AssertionError("nobody may ask the real system")

    def periods(self, at: Session) -> Sequence[PeriodStatus]:
        raise AssertionError("nobody may ask the real system")


class Following(Plain):
    """One that takes writes as jobs."""

    def follow(self, at: Session, stream: str, jobs: Sequence[Any]) -> Sequence[Sequence[Outcome]]:
        raise AssertionError("nobody may ask the real system")


def pair(real: Any = None, **options: Any) -> tuple[Understudy, UnderstudyConnector, Session]:
    """An understudy, its connector and an open session between them."""
    played = real or Whole()
    twin, connector = Understudy("books", played, **options), UnderstudyConnector(played)
    return twin, connector, open_session("books", connector, {}, {}, [], transport=twin.handle)


def entry(number: int, amount: str = "10.00", action: Any = "create", **more: Any) -> Write:
    """A write of one entry; `revision` makes another write key."""
    revision = more.pop("revision", 1)
    day = more.pop("day", "2026-02-14")
    reference = f"entry-{number}"
    document = {"amount": amount, "day": day}
    return Write(f"books/{reference}/{revision}/{action}", reference, action, document, **more)


@dataclass
class Tenant:
    """An understudy as the contract's bench sees a tenant: it obeys planted faults."""

    twin: Understudy
    url: str = "http://understudy.invalid"
    faults: FaultPlan = field(default_factory=FaultPlan)
    gone: bool = False

    @property
    def emulator(self) -> Tenant:
        return self

    def busy(self, fault: Fault) -> Response:
        headers = {"Retry-After": f"{fault.seconds:.0f}"} if fault.kind == "busy" else {}
        return Response(429, headers)

    def __call__(self, request: Request) -> Response:
        if self.gone:
            raise NoAnswer("connection refused", never_sent=True)
        fault = self.faults.draw(request)
        if fault is None:
            return self.twin.handle(request)
        if fault.kind in {"busy", "busy_without_wait"}:
            return self.busy(fault)
        if fault.kind == "server_error":
            return Response(500, {}, b"internal error")
        if fault.kind == "lost_reply":
            self.twin.handle(request)
        raise NoAnswer("the connection was cut")


class UnderstudyHooks(Hooks):
    """What the contract's cases are told of an understudy."""

    connector = UnderstudyConnector(Plain())
    rows_to_page = 12

    @contextlib.contextmanager
    def tenant(self) -> Iterator[Any]:
        made = Tenant(Understudy("books", Plain()))
        yield made
        made.gone = True

    def session_secrets(self, served: Any) -> Mapping[str, str]:
        return {}

    def session_for(
        self, served: Any, secrets: Mapping[str, str] | None = None, system: str = ""
    ) -> Session:
        transport: Transport = served
        return open_session("books", self.connector, {}, {}, [], transport=transport)

    def effect(self, stream: str) -> Effect:
        return Effect(("POST",), "/writes")

    def examples(self, bench: Bench, stream: str, number: int) -> list[Write]:
        return [entry(one) for one in range(1, number + 1)]

    def bad_example(self, bench: Bench, stream: str) -> Write:
        return entry(99, action="change")

    def example_with_amount(self, bench: Bench, stream: str, amount: str) -> Write:
        return entry(1, amount)

    def changed_example(self, bench: Bench, stream: str, write: Write) -> Write:
        return entry(1, "99.50", "change")

    def voided_example(self, bench: Bench, stream: str, write: Write) -> Write:
        return entry(1, action="void")

    def count_documents(self, bench: Bench, stream: str) -> int:
        tenant: Any = bench.served
        return sum(one.stream == stream for one in tenant.twin.effects())

    def seed_rows(self, bench: Bench, stream: str, number: int) -> list[str]:
        tenant: Any = bench.served
        return [tenant.twin.put(stream, {"name": f"Customer {one}"}) for one in range(number)]

    def seed_amount(self, bench: Bench, stream: str, amount: str) -> str:
        tenant: Any = bench.served
        key: str = tenant.twin.put(stream, {"limit": amount})
        return key


def once(connector: UnderstudyConnector, at: Any, stream: str, write: Write) -> Outcome:
    (outcome,) = connector.write(at, stream, [write])
    return outcome


def find(connector: UnderstudyConnector, at: Any, stream: str, write: Write) -> Found | None:
    return connector.find(at, stream, [write])[write.write_key]
