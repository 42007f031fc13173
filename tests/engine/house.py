"""A whole landscape in one process: three vendor twins, a seller, an engine, a clock we turn."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from tieout import clock
from tieout.emulators.host import factory
from tieout.emulators.kit import Emulator, write_json
from tieout.engine.compiled import Compiled
from tieout.engine.context import Context
from tieout.engine.opening import load_checked
from tieout.engine.rest import Progress, progress
from tieout.engine.worker import lease_names, tick
from tieout.landscape.examples import example
from tieout.landscape.schema import Landscape
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.opening import open_session
from tieout.ports.registry import connector
from tieout.ports.secrets import resolve
from tieout.rules.runner import Runner
from tieout.store import leases
from tieout.store.database import Connection, Database

MOST_TICKS = 400
STEP_SECONDS = 0.5


class InlineExecutor(Executor):
    """Runs everything at once on the caller's thread, as a rehearsal does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class TurnedClock(clock.RealWorld):
    """A clock that only moves when told; every look is a microsecond later than the last.
    `wrong_by`: how far the clock of whoever acts is off from the one that all share."""

    def __init__(self) -> None:
        super().__init__()
        self.at = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)
        self.wrong_by = dt.timedelta()

    def now(self) -> dt.datetime:
        self.at += dt.timedelta(microseconds=1)
        return self.at + self.wrong_by

    def common(self, ask: Callable[[], dt.datetime]) -> dt.datetime:
        self.at += dt.timedelta(microseconds=1)
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += dt.timedelta(seconds=seconds)

    def random(self) -> float:
        return 0.5

    def executor(self, threads: int) -> Executor:
        return InlineExecutor()

    def every(self, seconds: float, action: Callable[[], object]) -> Callable[[], None]:
        return lambda: None


@dataclass
class Plant:
    """A fault in the line: the next `times` matching calls meet it.

    lost_reply: applied, no answer. lost_request: not applied, no answer. late: no answer, applied
    when `Line.let_go` is called. Otherwise an HTTP status with this body and these headers.
    """

    kind: str
    matches: Callable[[Request], bool]
    times: int = 1
    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    met: int = 0


class Line:
    """The transport to one twin; faults are planted here, and every call is seen."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.plants: list[Plant] = []
        self.calls: list[Request] = []
        self.watchers: list[Callable[[Request], None]] = []
        self.late: list[Request] = []

    def plant(self, kind: str, path: str, method: str = "", **more: Any) -> Plant:
        def matches(request: Request) -> bool:
            return path in request.full_url() and method in ("", request.method)

        one = Plant(kind, matches, **more)
        self.plants.append(one)
        return one

    def let_go(self) -> None:
        """What was under way arrives after all."""
        for request in self.late:
            self.emulator.handle(request)
        self.late.clear()

    def __call__(self, request: Request) -> Response:
        self.calls.append(request)
        for watcher in self.watchers:
            watcher(request)
        for one in self.plants:
            if one.met < one.times and one.matches(request):
                one.met += 1
                return self._fault(one, request)
        return self.emulator.handle(request)

    def _fault(self, one: Plant, request: Request) -> Response:
        if one.kind == "lost_reply":
            self.emulator.handle(request)
        elif one.kind == "late":
            self.late.append(request)
        elif one.kind == "refused_connection":
            raise NoAnswer("connection refused", never_sent=True)
        elif one.kind != "lost_request":
            return Response(one.status, one.headers, one.body)
        raise NoAnswer("the connection was cut")

    def sent(self, method: str, path: str) -> int:
        return sum(one.method == method and path in one.full_url() for one in self.calls)


class Seller:
    """Somebody who works in Salesforce, through its API but not as our integration."""

    def __init__(self, emulator: Emulator, settings: Mapping[str, str], secrets: Any) -> None:
        self._at = open_session(
            "crm", connector("salesforce"), settings, secrets, [], transport=emulator.handle
        )
        self._root = f"{settings['base_url']}/services/data/v67.0"
        self.emulator = emulator

    def call(self, method: str, path: str, body: object = None) -> Any:
        data = write_json(body) if body is not None else b""
        answer = self._at.send(Request(method, f"{self._root}/{path}", {}, data))
        assert answer.status < 300, answer.text()
        return json.loads(answer.body) if answer.body else None

    def create(self, kind: str, **values: object) -> str:
        return str(self.call("POST", f"sobjects/{kind}", values)["id"])

    def change(self, kind: str, key: str, **values: object) -> None:
        self.call("PATCH", f"sobjects/{kind}/{key}", values)

    def delete(self, kind: str, key: str) -> None:
        self.call("DELETE", f"sobjects/{kind}/{key}")

    def account(self, number: str = "ALFKI", region: str = "Central Europe", **more: object) -> str:
        return self.create(
            "Account",
            **{
                "Name": f"Customer {number}",
                "AccountNumber": number,
                "Region__c": region,
                "CurrencyIsoCode": "EUR",
                "BillingCountry": "Germany",
                "BillingCity": "Berlin",
                **more,
            },
        )

    def product(self, code: str = "NW-001") -> str:
        return self.create("Product2", Name=f"Product {code}", ProductCode=code, IsActive=True)

    def deal(
        self,
        number: str,
        account: str,
        product: str,
        prices: Sequence[str] = ("10.00",),
        stage: str = "Closed Won",
        **more: object,
    ) -> str:
        """An opportunity with one line of two pieces per price; its id."""
        key = self.create(
            "Opportunity",
            **{
                "Name": f"Order {number}",
                "AccountId": account,
                "StageName": "Prospecting",
                "CloseDate": "2020-07-15",
                "CurrencyIsoCode": "EUR",
                "Region__c": "Central Europe",
                "Order_Number__c": number,
                **more,
            },
        )
        for line, price in enumerate(prices, start=1):
            self.create(
                "OpportunityLineItem",
                OpportunityId=key,
                Product2Id=product,
                Quantity=2,
                UnitPrice=Decimal(price),
                Discount=0,
                SortOrder=line,
            )
        if stage != "Prospecting":
            self.change("Opportunity", key, StageName=stage)
        return key

    def reprice(self, deal: str, price: str) -> None:
        """Change the price of the deal's lines; its amount follows."""
        for key, row in list(self.emulator.tables["OpportunityLineItem"].items()):
            if row["OpportunityId"] == deal:
                self.change("OpportunityLineItem", key, UnitPrice=Decimal(price))

    def row(self, deal: str) -> Mapping[str, Any]:
        return self.emulator.tables["Opportunity"][deal]


@cache
def demo() -> tuple[Landscape, Compiled]:
    """The shipped demo landscape, loaded and compiled once for all tests."""
    return load_checked(example("quote_to_cash"))


@dataclass
class House:
    """The landscape, its twins and its database; `context()` opens another engine over them."""

    database: Database
    runner: Runner
    clock: TurnedClock
    lines: dict[str, Line]
    seller: Seller
    landscape: Landscape
    compiled: Compiled
    _ears: dict[Any, Any] = field(default_factory=dict)
    _contexts: list[Context] = field(default_factory=list)

    @property
    def engine(self) -> Context:
        return self._contexts[-1]

    def context(self, *, take: bool = True) -> Context:
        """A new engine process; with `take` it takes every lease that is free."""
        made = Context(
            landscape=self.landscape,
            environment="demo",
            database=self.database,
            compiled=self.compiled,
            runner=self.runner,
            actor="test",
            transports=self.lines,
        )
        if take:
            self.live(made)
        self._contexts.append(made)
        return made

    def live(self, context: Context) -> Any:
        """Keep the context's life lock on a connection of its own, and take what is free."""
        ears = self.database.listening("tieout_work")
        connection = ears.__enter__()
        self._ears[context.holder] = ears
        leases.live(connection, context.holder)
        self.renew(context)
        return connection

    def renew(self, context: Context) -> None:
        with self.database.transaction() as connection:
            context.leases = leases.take(connection, lease_names(context), context.holder)

    def close_life(self, context: Context) -> None:
        """Cut the connection that says the context's process lives."""
        self._ears.pop(context.holder).__exit__(None, None, None)
        for _ in range(500):  # the server notices within moments; at most ten seconds
            alive = (
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
                "AND ((classid::bigint << 32) | objid::bigint) = %s"
            )
            if not self.one(alive, leases.life_key(context.holder)):
                return
            self.rows("SELECT pg_sleep(0.02)")
        raise AssertionError("the server still thinks that this process lives")

    def close(self) -> None:
        for ears in self._ears.values():
            ears.__exit__(None, None, None)

    # --- turning it ---

    def run(self, context: Context | None = None, *, most: int = MOST_TICKS) -> Progress:
        """Tick until nothing moves; when idle, the clock goes on to what is due next."""
        engine = context or self.engine
        for number in range(most):
            self.renew(engine)
            done = tick(engine, poll_at_once=number == 0)
            if not done.busy:
                with self.database.transaction() as connection:
                    now = progress(connection)
                if now.at_rest:
                    return now
                self.clock.sleep(STEP_SECONDS)
        raise AssertionError(f"no rest within {most} ticks: {self.story()}")

    def go_on(self, seconds: float, *, poll: bool = True) -> None:
        """Let time pass, and turn the engine once."""
        self.clock.sleep(seconds)
        self.renew(self.engine)
        tick(self.engine, poll_at_once=poll)

    # --- looking ---

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.database.transaction() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def run_states(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT state FROM runs ORDER BY run_id")]

    def open_cases(self) -> list[tuple[str, str]]:
        return self.rows("SELECT reason, control FROM cases WHERE state = 'open' ORDER BY case_id")

    def story(self) -> str:
        found = [
            self.rows("SELECT state, waits_for, step_no, count(*) FROM runs GROUP BY 1, 2, 3"),
            self.rows("SELECT system, stream, state, count(*) FROM dispatches GROUP BY 1, 2, 3"),
            self.rows("SELECT reason, control, words FROM cases WHERE state = 'open' LIMIT 5"),
            self.rows("SELECT outcome, code, words FROM attempts ORDER BY 1 DESC LIMIT 5"),
            self.rows("SELECT stream, state, count(*) FROM arrivals GROUP BY 1, 2"),
            self.rows("SELECT * FROM hints LIMIT 5"),
        ]
        return "\n".join(map(str, found))

    def table(self, system: str, name: str) -> list[Mapping[str, Any]]:
        return list(self.lines[system].emulator.tables.get(name, {}).values())

    def connection(self) -> contextlib.AbstractContextManager[Connection]:
        return self.database.transaction()


@contextlib.contextmanager
def house(
    database_url: str, loaded: tuple[Landscape, Compiled] | None = None, closed: str = "2020-06"
) -> Iterator[House]:
    """A fresh house over a fresh database."""
    landscape, compiled = loaded or demo()
    with clock.world(TurnedClock()) as turned, Database(database_url) as database, Runner() as room:
        assert isinstance(turned, TurnedClock)
        lines: dict[str, Line] = {}
        secrets: dict[str, dict[str, str]] = {}
        for name, spec in landscape.environments["demo"].items():
            secrets[name] = {key: resolve(key, ref) for key, ref in spec.secrets.items()}
            settings = {**spec.settings, **secrets[name], **spec.emulator, "closed_periods": closed}
            if spec.emulate:
                lines[name] = Line(factory(spec.emulate)(spec.settings["base_url"], settings))
        crm = landscape.environments["demo"]["salesforce"]
        seller = Seller(lines["salesforce"].emulator, crm.settings, secrets["salesforce"])
        made = House(database, room, turned, lines, seller, landscape, compiled)
        try:
            made.context()
            yield made
        finally:
            made.close()


def changed_landscape(folder: Path, changes: Mapping[str, tuple[str, str]]) -> Any:
    """A copy of the demo with (old, new) text replaced in files; loaded and compiled."""
    copy = folder / "landscape"
    if not copy.exists():
        shutil.copytree(example("quote_to_cash"), copy, ignore=shutil.ignore_patterns("data"))
    for name, (old, new) in changes.items():
        text = (copy / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (copy / name).write_text(text.replace(old, new))
    return load_checked(copy)
