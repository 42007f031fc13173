"""The floor: `python -m benchmarks.loopback.floor PORT LEDGER-URL`, a receiver with nothing in it.

INSERT and commit before the answer, forward to the ledger, UPDATE and commit after it: the least
that anything durable can do on this database. Group commit of what waits, as we do ourselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import psycopg
from aiohttp import web

TABLE = """
DROP TABLE IF EXISTS bare_events;
CREATE TABLE bare_events (id bigserial PRIMARY KEY, body text NOT NULL, done boolean)
"""
INSERT = "INSERT INTO bare_events (body) SELECT unnest(%s::text[]) RETURNING id"
UPDATE = "UPDATE bare_events SET done = true WHERE id = ANY(%s)"


@dataclass
class Waiting:
    body: str
    kept: asyncio.Future[int]


class Floor:
    """One connection inserts, another updates; each takes all that waits."""

    def __init__(self, ledger: str) -> None:
        self.ledger = ledger
        self.came: asyncio.Queue[Waiting] = asyncio.Queue()
        self.done: asyncio.Queue[int] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()

    async def open(self, _: web.Application) -> AsyncIterator[None]:
        url = os.environ["TIEOUT_DATABASE_URL"]
        self.client = aiohttp.ClientSession()
        inserts = await psycopg.AsyncConnection.connect(url, autocommit=True)
        updates = await psycopg.AsyncConnection.connect(url, autocommit=True)
        await inserts.execute(TABLE)
        self._keep(self._insert(inserts))
        self._keep(self._update(updates))
        yield
        await self.client.close()

    def _keep(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.text()
        kept: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.came.put_nowait(Waiting(body, kept))
        number = await kept
        self._keep(self._forward(number, body))
        return web.Response(status=200, body=b"{}")

    async def _forward(self, number: int, body: str) -> None:
        row = json.loads(body)
        entry = json.dumps([{"reference": row["id"], "document": row}])
        async with self.client.post(self.ledger, data=entry) as answer:
            await answer.read()
        self.done.put_nowait(number)

    async def _insert(self, connection: psycopg.AsyncConnection[tuple[int]]) -> None:
        while True:
            batch = [await self.came.get()]
            while not self.came.empty():
                batch.append(self.came.get_nowait())
            cursor = await connection.execute(INSERT, ([one.body for one in batch],))
            for one, (number,) in zip(batch, await cursor.fetchall(), strict=True):
                one.kept.set_result(number)

    async def _update(self, connection: psycopg.AsyncConnection[tuple[int]]) -> None:
        while True:
            numbers = [await self.done.get()]
            while not self.done.empty():
                numbers.append(self.done.get_nowait())
            await connection.execute(UPDATE, (numbers,))


def main() -> None:
    floor = Floor(sys.argv[2])
    application = web.Application()
    application.router.add_post("/invoice", floor.receive)
    application.cleanup_ctx.append(floor.open)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
