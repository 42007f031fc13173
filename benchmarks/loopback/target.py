"""The target: a plain HTTP ledger in a process of its own that notes when each entry came.

`python -m benchmarks.loopback.target PORT`. It answers from memory, since what is measured is the
way to it. `GET /seen` tells, by reference, the arrival in nanoseconds and how often it came with
the same content. Started by `world.py`; the floor peer delivers to the same ledger.
"""

from __future__ import annotations

import json
import sys

from aiohttp import web

from tieout import clock

MOST_BODY_BYTES = 64 * 1024 * 1024
NANOSECONDS = 1_000_000_000

_rows: dict[str, dict[str, dict[str, object]]] = {"entry": {}, "account": {}, "receipt": {}}
_seen: dict[str, tuple[int, int]] = {}


def instant() -> int:
    """Now, in nanoseconds of this machine's clock."""
    return int(clock.now().timestamp() * NANOSECONDS)


async def take(request: web.Request) -> web.Response:
    """Entries or accounts, many at once: [{"reference": …, "document": {…}}, …]."""
    now = instant()
    kind = request.match_info["kind"]
    rows = _rows[kind]
    came = json.loads(await request.read())
    for one in came:
        reference = one["reference"]
        rows[reference] = one["document"]
        if kind == "entry":
            first, times = _seen.get(reference, (now, 0))
            _seen[reference] = (first, times + 1)
    return web.json_response([one["reference"] for one in came])


async def find(request: web.Request) -> web.Response:
    rows = _rows[request.match_info["kind"]]
    wanted = json.loads(await request.read())
    return web.json_response({one: rows[one] for one in wanted if one in rows})


async def seen(_: web.Request) -> web.Response:
    return web.json_response(_seen)


async def nothing(_: web.Request) -> web.Response:
    """The rows of a stream that only sends webhooks."""
    return web.json_response([])


def main() -> None:
    application = web.Application(client_max_size=MOST_BODY_BYTES)
    application.router.add_get("/seen", seen)
    application.router.add_get("/rows/{stream}", nothing)
    application.router.add_post("/{kind:entry|account|receipt}", take)
    application.router.add_post("/{kind:entry|account|receipt}/find", find)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
