"""A real NATS server of a test's own: own port, own store, stopped by its process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.js.api import StreamConfig

from tieout.connectors.nats import CONNECTOR
from tieout.connectors.nats.connector import NatsConnector
from tieout.ports.connector import Document, Write
from tieout.ports.opening import open_session
from tieout.ports.session import Session
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import Place
from tieout.rules.spec import FieldType

BINARY = shutil.which("nats-server")
T = TypeVar("T")
PLACE = Place("systems/events.yaml", 5)
FIELDS = (FieldType(name="number", type="text"), FieldType(name="total", type="amount"))
POSTED = "finance.invoice.posted.v1"
OPTIONS = {
    "stream": "EVENTS",
    "subject": "finance.invoice",
    "publishes": POSTED,
    "publishes_void": "finance.invoice.voided.v1",
    "source": "acme",
}

MOST_LOOKS = 500
LOOK_SECONDS = 0.01


class Server:
    """`nats-server` with JetStream. `kill` is SIGKILL: nothing is said goodbye to."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        assert BINARY, "nats-server is not on PATH; install it to run these tests"
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [BINARY, "-js", "-a", "127.0.0.1", "-p", str(self.port), *arguments]
        self._command += ["-sd", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(400):  # at most 20 seconds
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        raise AssertionError("nats-server did not start")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(sign)
            process.wait(20)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        for _ in range(MOST_LOOKS):  # a signal takes its time: not frozen before it is seen to be
            if stat.read_text().rpartition(")")[2].split()[0] == "T":
                return
            time.sleep(LOOK_SECONDS)
        raise TimeoutError("the server does not stop")

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    # --- as somebody else ---

    def with_client(self, work: Callable[[Any], Awaitable[T]], **options: Any) -> T:
        async def run() -> T:
            client = await nats.connect(self.url, **options)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(run())

    def stream(self, name: str = "EVENTS", subject: str = "finance.>", **more: Any) -> None:
        config = StreamConfig(name=name, subjects=[subject], **more)
        self.with_client(lambda client: client.jetstream().add_stream(config))

    def delete_stream(self, name: str = "EVENTS") -> None:
        self.with_client(lambda client: client.jetstream().delete_stream(name))

    def purge(self, name: str = "EVENTS", **more: Any) -> None:
        self.with_client(lambda client: client.jetstream().purge_stream(name, **more))

    def delete_message(self, sequence: int, name: str = "EVENTS") -> None:
        self.with_client(lambda client: client.jetstream().delete_msg(name, sequence))

    def say(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Publish as another application would; the message's sequence."""

        async def work(client: Any) -> int:
            ack = await client.jetstream().publish(subject, body, headers=dict(headers or {}))
            return int(ack.seq)

        return self.with_client(work)

    def messages(self, name: str = "EVENTS") -> list[Any]:
        """Every message that is kept, oldest first."""

        async def work(client: Any) -> list[Any]:
            stream = client.jetstream()
            state = (await stream.stream_info(name)).state
            found = []
            for sequence in range(max(1, state.first_seq), state.last_seq + 1):
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    found.append(await stream.get_msg(name, sequence))
            return found

        return self.with_client(work)


@contextlib.contextmanager
def server(folder: Path, *arguments: str) -> Iterator[Server]:
    """A running server, gone afterwards."""
    made = Server(folder, *arguments)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def speaking(options: Mapping[str, str] | None = None, **more: Any) -> NatsConnector:
    """The connector with one interface, `invoice`."""
    given = {"key": "number", "fields": FIELDS, **more}
    spec = InterfaceSpec("invoice", "Invoice", place=PLACE, options=options or OPTIONS, **given)
    return CONNECTOR.declared({"invoice": spec})


def session(
    url: str, connector: NatsConnector, timeout_seconds: float = 5.0, **settings: str
) -> Session:
    given = {"servers": url, **settings}
    secrets = {name: given.pop(name) for name in ("password", "token") if name in given}
    addresses = [url]
    return open_session(
        "events", connector, given, secrets, addresses, timeout_seconds=timeout_seconds
    )


def a_write(number: int, revision: int = 1, action: Any = "create", total: str = "10.00") -> Write:
    text = f'{{"number":"{number}","total":"{total}"}}'
    key = f"events/invoice/record-{number}/{revision}"
    return Write(key, f"INV-{number}", action, Document(text))
