"""Puts an emulator behind a real HTTP server on loopback, with its planted faults and its webhooks.

Run as `python -m tieout.emulators.host --listen 127.0.0.1:PORT --state FILE --settings JSON NAME`;
tests run it in a thread with `serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

import aiohttp
from aiohttp import web

from tieout.emulators.kit import (
    Emulator,
    EmulatorFactory,
    FaultPlan,
    OutboundCall,
    load_tables,
    read_json,
    save_tables,
    write_json,
)
from tieout.ports.http import Request, Response

MOST_BODY_BYTES = 128 * 1024 * 1024
WEBHOOKS_IN_FLIGHT = 8
WEBHOOK_TIMEOUT_SECONDS = 10.0
SAVE_EVERY_SECONDS = 2.0


def factory(name: str) -> EmulatorFactory:
    """The installed emulator of this name (entry point group `tieout.emulators`)."""
    for point in entry_points(group="tieout.emulators", name=name):
        return cast(EmulatorFactory, point.load())
    raise LookupError(f"no emulator named '{name}' is installed")


class Host:
    """One emulator, one port. All calls run one after the other on the event loop's thread."""

    def __init__(self, emulator: Emulator, state: Path | None) -> None:
        self.emulator = emulator
        self.state = state
        self.stopping = asyncio.Event()
        self._changed = False

    async def answer(self, incoming: web.Request) -> web.StreamResponse:
        request = Request(
            incoming.method, str(incoming.url), dict(incoming.headers), await incoming.read()
        )
        if incoming.path.startswith("/_emulator/"):
            return _to_web(self._control(request))
        fault = self.emulator.faults.draw(request)
        if fault is not None:
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.kind in {"busy", "busy_without_wait"}:
                return _to_web(self.emulator.busy(fault))
            elif fault.kind == "server_error":
                return web.Response(status=500, text="internal error")
            else:
                if fault.kind == "lost_reply":
                    self.emulator.handle(request)
                    self._changed = True
                return _drop(incoming)
        response = self.emulator.handle(request)
        self._changed = self._changed or request.method != "GET"
        return _to_web(response)

    def _control(self, request: Request) -> Response:
        """The back door for demos and tests; not part of any vendor's interface.

        PUT /_emulator/faults · GET /_emulator/met · GET /_emulator/tables/NAME ·
        PATCH /_emulator/tables/NAME/ROW (raw field values, no vendor rules, no webhooks)
        """
        parts = request.path().split("/")[2:]
        if parts == ["faults"] and request.method == "PUT":
            self.emulator.faults = FaultPlan.from_json(json.loads(request.body))
            return Response(204)
        if parts == ["met"]:
            return Response(200, {}, write_json(self.emulator.faults.met))
        if parts[0] == "tables" and len(parts) == 2:
            return Response(200, {}, write_json(self.emulator.tables.get(parts[1], {})))
        if parts[0] == "tables" and len(parts) == 3 and request.method == "PATCH":
            row = self.emulator.tables.get(parts[1], {}).get(parts[2])
            if row is None:
                return Response(404, {}, b"no such row")
            row.update(cast(dict[str, object], read_json(request.body)))
            self._changed = True
            return Response(204)
        return Response(404, {}, b"no such control")

    async def send_webhooks(self) -> None:
        """Deliver due webhooks until stopped; several at once, so order is not promised."""
        gate = asyncio.Semaphore(WEBHOOKS_IN_FLIGHT)
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as client:

            async def send(call: OutboundCall) -> None:
                async with gate:
                    try:
                        async with client.post(
                            call.url,
                            data=call.body,
                            headers={"Content-Type": call.content_type, **call.headers},
                        ) as reply:
                            acknowledged = reply.status == 200 and b"true" in await reply.read()
                    except (aiohttp.ClientError, TimeoutError):
                        acknowledged = False
                    self.emulator.sent(call, acknowledged)

            while not self.stopping.is_set():
                due = self.emulator.outbox()
                if due:
                    await asyncio.gather(*(send(call) for call in due))
                else:
                    await asyncio.sleep(0.05)

    async def save_often(self) -> None:
        """Keep the state file close to the truth; the last save happens at stop."""
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), SAVE_EVERY_SECONDS)
            self.save()

    def save(self) -> None:
        if self.state is not None and self._changed:
            save_tables(self.emulator.tables, self.state)
            self._changed = False


def _drop(incoming: web.Request) -> web.StreamResponse:
    """Cut the connection without an answer."""
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response(status=500)


def _to_web(response: Response) -> web.Response:
    headers = dict(response.headers)
    headers.setdefault("Content-Type", "application/json")
    return web.Response(status=response.status, headers=headers, body=response.body)


async def run(host: Host, listen: str, port: int, ready: threading.Event | None = None) -> None:
    """Serve until `host.stopping` is set, then save."""
    application = web.Application(client_max_size=MOST_BODY_BYTES)
    application.router.add_route("*", "/{tail:.*}", host.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, listen, port).start()
    if ready is not None:
        ready.set()
    tasks = [asyncio.create_task(host.send_webhooks()), asyncio.create_task(host.save_often())]
    await host.stopping.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runner.cleanup()
    host.save()


@dataclass
class Served:
    """An emulator that runs in a thread of this process, for tests."""

    url: str
    emulator: Emulator


@contextlib.contextmanager
def serve(name: str, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """A fresh tenant of emulator `name` on a free loopback port; stopped on leaving."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    emulator = factory(name)(url, settings or {})
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    box: list[Host] = []

    async def main() -> None:
        box.append(Host(emulator, None))
        await run(box[0], "127.0.0.1", port, ready)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise TimeoutError(f"emulator {name} did not start within 10 s")
    try:
        yield Served(url, emulator)
    finally:
        loop.call_soon_threadsafe(box[0].stopping.set)
        thread.join(10)
        loop.close()


def free_port() -> int:
    """A loopback port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="tieout.emulators.host")
    parser.add_argument("name")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--settings-file", type=Path, help="the same, with what is secret")
    options = parser.parse_args()
    address, port = options.listen.rsplit(":", 1)
    settings = json.loads(options.settings)
    if options.settings_file is not None:
        settings |= json.loads(options.settings_file.read_text(encoding="utf-8"))
    emulator = factory(options.name)(f"http://{options.listen}", settings)
    if options.state is not None:
        emulator.tables.update(load_tables(options.state))

    async def serve_until_stopped() -> None:
        host = Host(emulator, options.state)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, host.stopping.set)
        await run(host, address, int(port))

    asyncio.run(serve_until_stopped())


if __name__ == "__main__":
    main()
