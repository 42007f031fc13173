"""A small world for the promises as code: what people did at a till, and books that hold it.

It is worked on once and then looked at many times: a test plants its trouble in a transaction that
is rolled back, or in a copy of the twins.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import psycopg

from tests.engine.loopback import Loopback, customers, invoice_row
from tests.promises.books import Books, Grade
from tests.promises.desk import desk
from tieout import clock
from tieout.engine.compiled import Compiled
from tieout.finance.digest import canonical_json, digest_bytes
from tieout.ports.connector import Idempotency, InboundCall
from tieout.ports.http import Request, Response
from tieout.rehearsal.scene import Deed, Scene, Told
from tieout.rehearsal.twins.base import Applied, Effect, Unplayable
from tieout.store.database import Connection

FACTS = {"entry": ("total", "currency", "date", "status"), "account": ("name", "currency")}
IN_FLIGHT_SECONDS = 4.0


@dataclass
class SeenBooks(Books):
    """Books that remember what took effect."""

    applied: list[Applied] = field(default_factory=list)

    def _apply(self, stream: str, target_id: str, write: Mapping[str, Any]) -> None:
        super()._apply(stream, target_id, write)
        says = digest_bytes(canonical_json(write["document"]))
        self.applied.append(Applied(stream, write["reference"], write["action"], says, target_id))


@dataclass
class Shown:
    """A twin to look at: it answers nobody and suffers nothing."""

    system: str
    shown: list[Effect] = field(default_factory=list)
    done: list[Applied] = field(default_factory=list)
    made: dict[str, dict[str, Mapping[str, object]]] = field(default_factory=dict)
    strikes: frozenset[str] = frozenset()

    def handle(self, request: Request) -> Response:
        raise Unplayable(f"{self.system} is only looked at")

    def put(self, stream: str, row: Mapping[str, object]) -> str:
        raise Unplayable(f"{self.system} is only looked at")

    def remove(self, stream: str, key: str) -> None:
        raise Unplayable(f"{self.system} is only looked at")

    def rows(self, stream: str) -> Mapping[str, Mapping[str, object]]:
        return self.made.get(stream, {})

    def calls(self) -> Sequence[InboundCall]:
        return []

    def effects(self) -> Sequence[Effect]:
        return self.shown

    def applied(self) -> Sequence[Applied]:
        return self.done

    def strike(self, fault: str, dice: random.Random) -> str:
        return ""

    def heal(self) -> None:
        """Nothing was ever wrong."""


@dataclass
class World:
    """The engine, the books, and what people did."""

    loop: Loopback
    books: SeenBooks
    url: str
    deeds: list[Deed] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    def say(
        self, stream: str, row: Mapping[str, Any], broken: str = "", late: bool = False
    ) -> None:
        """Somebody made or changed a row, and its webhook came; `late`: it came after newer ones,
        and is no deed of now."""
        body = json.dumps(row).encode()
        taken = self.loop.understand(stream, body)
        self.loop.deliver((stream, body))
        self.told.append(Told("till", stream, body, clock.now(), taken.received))
        if not late:
            gone = row.get("deleted") is True
            deed = Deed("till", stream, row["id"], clock.now(), None if gone else dict(row), broken)
            self.deeds.append(deed)

    def customers(self, count: int, start: int = 0) -> None:
        for stream, body in customers("", range(start, start + count)):
            self.say(stream, json.loads(body))

    def twins(self) -> dict[str, Shown]:
        """Fresh copies of the twins as they stand."""
        shown = [
            Effect(
                stream,
                one["reference"],
                target_id,
                one["status"] != "voided",
                {name: str(one[name]) for name in FACTS[stream]},
            )
            for stream, some in self.books.documents.items()
            for target_id, one in some.items()
        ]
        made: dict[str, dict[str, Mapping[str, object]]] = {}
        for deed in self.deeds:
            rows = made.setdefault(deed.stream, {})
            rows.pop(deed.key, None)
            if deed.row is not None:
                rows[deed.key] = deed.row
        return {
            "books": Shown("books", shown, list(self.books.applied)),
            "till": Shown("till", made=made),
        }

    def scene(
        self,
        connection: Connection,
        phase: Literal["during", "rest"] = "rest",
        *,
        twins: Mapping[str, Shown] | None = None,
        struck: Mapping[str, int] | None = None,
        compiled: Compiled | None = None,
    ) -> Scene:
        """This world at this moment."""
        context = self.loop.context
        return Scene(
            context.landscape,
            compiled or context.compiled,
            connection,
            twins or self.twins(),
            self.deeds,
            self.told,
            phase,
            struck or {},
            runner=context.runner,
        )

    @contextlib.contextmanager
    def planting(self) -> Iterator[Connection]:
        """A connection that may change everything, and of which nothing stays."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SET tieout.legal_entities = '*'")
            connection.execute("SET TIME ZONE 'UTC'")
            yield connection
            connection.rollback()


@contextlib.contextmanager
def world(database_url: str, grade: Grade = "A") -> Iterator[World]:
    """An engine with nothing in it, and honest books of this grade."""
    books = SeenBooks(grade, random.Random(1), trouble=False)
    believed = Idempotency(grade, IN_FLIGHT_SECONDS, 20.0 if grade == "B" else None)
    with desk(database_url, books, believed) as loop:
        yield World(loop, books, database_url)


def invoice(key: str, version: int, number: int, **fields: object) -> dict[str, Any]:
    """An invoice as people make one; `number` decides its content."""
    return {**invoice_row("", key, version, number), **fields}


def busy_day(made: World) -> None:
    """New, amended, repeated, late, withdrawn, deleted and unreadable invoices, to their rest."""
    made.customers(30)
    for number in range(4):
        made.say("invoice", invoice(f"N{number}", 1, number))
    made.loop.run()
    made.say("invoice", invoice("N1", 2, 13, region="south"))  # amended
    made.say("invoice", invoice("N2", 3, 22))
    made.say("invoice", invoice("N2", 2, 9), late=True)  # came after its successor
    made.say("invoice", invoice("N2", 3, 22), late=True)  # twice
    made.say("invoice", invoice("N3", 2, 3, status="draft"))  # withdrawn
    made.say("invoice", invoice("D", 1, 2))
    made.say("invoice", invoice("W", 1, 2, status="draft"))  # never in scope
    made.say("invoice", invoice("U", 1, 2, region="atlantis"), broken="unknown_code")
    made.loop.run()
    made.say("invoice", invoice("D", 2, 2, deleted=True))
    made.loop.run()


def posting(compiled: Compiled) -> Compiled:
    """The same landscape, where an entry lands in an accounting period."""
    entry = replace(compiled.streams["books", "entry"], posts=True)
    return replace(compiled, streams={**compiled.streams, ("books", "entry"): entry})
