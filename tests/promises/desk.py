"""An engine in one process that writes into books of any grade, over a wire that does its worst.

The landscape is the measuring one, with two policies changed: a change updates, a row that leaves
is taken back. `Books` is the target with its wire: it keeps every effect it ever applied.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast
from unittest.mock import patch

import msgspec

from benchmarks.loopback.connector import Loopback as LoopbackConnector
from benchmarks.loopback.world import LANDSCAPE, SECRET
from tests.engine.house import TurnedClock
from tests.engine.loopback import Ledger, Loopback
from tests.promises.books import Books
from tieout import clock
from tieout.engine.compiled import Compiled
from tieout.engine.context import Context
from tieout.engine.opening import load_checked
from tieout.finance.outcome import (
    AlreadyThere,
    Detail,
    Found,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.landscape.schema import Landscape
from tieout.ports import registry
from tieout.ports.connector import Idempotency, InboundCall, Received, Stream, Write
from tieout.ports.http import NoAnswer, Request
from tieout.ports.session import Session
from tieout.rules.runner import Runner
from tieout.store import leases
from tieout.store.database import Database

WRITES_PER_CALL = 200
FACTS = {"total": "amount", "currency": "text", "date": "date", "status": "text"}


class _Row(msgspec.Struct):
    deleted: bool = False


class DeskConnector(LoopbackConnector):
    """The measuring connector with an outcome for each write, reversals and deletions."""

    streams: Mapping[str, Stream] = {
        **LoopbackConnector.streams,
        "entry": replace(
            LoopbackConnector.streams["entry"],
            facts=FACTS,  # type: ignore[arg-type]
            most_writes_per_call=WRITES_PER_CALL,
        ),
    }

    def receive(self, call: InboundCall) -> Received:
        received = super().receive(call)
        gone = msgspec.json.decode(call.body, type=_Row).deleted
        return replace(received, items=tuple(replace(one, deleted=gone) for one in received.items))

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        rows = [
            {
                "key": one.write_key,
                "reference": one.reference,
                "action": one.action,
                "target_id": one.target_id,
                "document": dict(one.document),
            }
            for one in writes
        ]
        url = f"{at.setting('base_url')}/{stream}"
        try:
            answer = at.send(Request("POST", url, {}, json.dumps(rows).encode()))
        except NoAnswer as silence:
            detail = Detail(silence.words)
            return [Outage(detail) if silence.never_sent else Unknown(detail)] * len(writes)
        return [_outcome(one) for one in cast(list[list[object]], json.loads(answer.body))]

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        facts = {name: str(write.document.get(name, "")) for name in self.streams[stream].facts}
        if stream != "entry":
            return facts
        return {**facts, "status": "voided" if write.action == "void" else "booked"}

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        wanted = [[one.reference, one.target_id] for one in writes]
        url = f"{at.setting('base_url')}/{stream}/find"
        answer = at.send(Request("POST", url, {}, json.dumps(wanted).encode()))
        facts = self.streams[stream].facts
        return {
            one.write_key: None
            if row is None
            else Found(str(row["id"]), {name: str(row[name]) for name in facts})
            for one, row in zip(writes, json.loads(answer.body), strict=True)
        }


def _outcome(answer: list[object]) -> Outcome:
    status, target_id = answer
    if status == 201:
        return Written(str(target_id))
    if status == 409:
        return AlreadyThere(str(target_id))
    if status == 422:
        return Rejected(Detail("the books want nothing of it", "Correct it where it was made."))
    words = "no answer came back" if status == 0 else f"the books answered {status}"
    return Unknown(Detail(words))


@cache
def loaded() -> tuple[Landscape, Compiled]:
    """The landscape with its policies changed, checked and compiled once."""
    known = {**registry.connectors(), "loopback": DeskConnector()}
    with (
        tempfile.TemporaryDirectory(prefix="tieout-desk-") as home,
        patch.object(registry, "connectors", lambda: known),
    ):
        folder = Path(home) / "landscape"
        shutil.copytree(LANDSCAPE, folder)
        path = folder / "flows" / "bookings.yaml"
        text = path.read_text(encoding="utf-8")
        assert "on_leave: case" in text
        path.write_text(text.replace("on_leave: case", "on_leave: undo"), encoding="utf-8")
        return load_checked(folder)


@contextlib.contextmanager
def desk(
    database_url: str, books: Books, idempotency: Idempotency | None = None
) -> Iterator[Loopback]:
    """A fresh engine over a fresh database; `idempotency` is what it believes of the entries."""
    landscape, compiled = loaded()
    if idempotency is not None:
        spec = replace(compiled.streams["books", "entry"], idempotency=idempotency)
        compiled = replace(compiled, streams={**compiled.streams, ("books", "entry"): spec})
    with (
        patch.dict("os.environ", LOOPBACK_SECRET=SECRET),
        clock.world(TurnedClock()) as turned,
        Database(database_url) as database,
        Runner() as runner,
    ):
        assert isinstance(turned, TurnedClock)
        context = Context(
            landscape=landscape,
            environment="bench",
            database=database,
            compiled=compiled,
            runner=runner,
            actor="test",
            transports={"till": books, "books": books},
        )
        with database.listening("tieout_work") as ears:
            leases.live(ears, context.holder)
            yield Loopback(context, Ledger(), turned)
