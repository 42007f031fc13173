"""The line to a NATS server: one connection, and one event loop that runs only while it is used.

The client library is asynchronous; nothing above this file is. A call runs the loop on the caller's
thread until it is done, one call at a time. The client may not reconnect by itself: it would keep
what it could not send and publish it later, after we had called the write Unknown. A connection
that ended is dropped, and the next call opens a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from tieout import clock
from tieout.ports.http import NoAnswer
from tieout.ports.signin import SignInFailed

IDLE_SECONDS = 20.0  # a server says PING every two minutes, and hangs up when nobody answers
CLOSING_SECONDS = 2.0
SIGN_IN_WORDS = ("authorization", "authentication", "user jwt", "nkey")
T = TypeVar("T")


class NatsLine:
    """An open connection. `call` is the only way to use it."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.server = ""
        self._client = Client()
        self._loop = asyncio.new_event_loop()
        self._ended = self._loop.create_future()
        self._one_at_a_time = threading.Lock()
        self._used_at = clock.monotonic()
        self._error = ""

    @property
    def forbidden(self) -> str:
        """What the server last said we may not do, "" when it said nothing of the kind. It tells
        so beside the conversation, and lets the question itself run into its time limit."""
        return self._error if "permissions violation" in self._error.lower() else ""

    def connect(self, server: str, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """Connect and sign in. Raises NoAnswer or SignInFailed."""
        secure = server.startswith("tls://")
        try:
            self._loop.run_until_complete(
                asyncio.wait_for(
                    self._client.connect(
                        server,
                        name=settings.get("client_name") or "tieout",
                        allow_reconnect=False,
                        connect_timeout=max(1, int(self.timeout_seconds)),
                        tls=ssl.create_default_context() if secure else None,
                        user=settings.get("user") or None,
                        password=secrets.get("password") or None,
                        token=secrets.get("token") or None,
                        error_cb=self._note_error,
                        closed_cb=self._note_end,
                    ),
                    self.timeout_seconds,
                )
            )
        except (NatsError, OSError, TimeoutError) as error:
            words = f"{error} {self._error}".strip() or type(error).__name__
            self.close()
            if any(one in words.lower() for one in SIGN_IN_WORDS):
                raise SignInFailed(
                    f"{server} did not let us in: {words}",
                    "Check user and password or token of this system, and that the account lives.",
                ) from None
            raise NoAnswer(f"{server} does not answer: {words}", never_sent=True) from None
        self.server = server

    def call(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Run `work` with the client until it ends or the connection does.

        Raises what `work` raises, and ConnectionClosedError when the connection ended under it.
        """
        with self._one_at_a_time:
            if self._loop.is_closed():
                raise ConnectionClosedError
            try:
                return self._loop.run_until_complete(self._until_ended(work))
            finally:
                self._used_at = clock.monotonic()

    @property
    def idle(self) -> bool:
        """Whether the loop stood still for so long that the server may have hung up."""
        return clock.monotonic() - self._used_at > IDLE_SECONDS

    def alive(self) -> bool:
        """Ask the server for a sign of life. Sends nothing that could have an effect."""
        try:
            self.call(lambda client: client.flush(timeout=max(1, int(self.timeout_seconds))))
        except (NatsError, OSError, TimeoutError):
            return False
        return True

    def close(self) -> None:
        """Hang up; what was not answered stays unanswered."""
        with self._one_at_a_time:
            if self._loop.is_closed():
                return
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                self._loop.run_until_complete(
                    asyncio.wait_for(self._client.close(), CLOSING_SECONDS)
                )
            self._loop.run_until_complete(_end_tasks())
            self._loop.close()

    async def _until_ended(self, work: Callable[[Client], Awaitable[T]]) -> T:
        if self._ended.done():
            raise ConnectionClosedError
        task = asyncio.ensure_future(work(self._client))
        await asyncio.wait((task, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, NatsError):
            await task
        raise ConnectionClosedError

    async def _note_error(self, error: Exception) -> None:
        self._error = str(error)

    async def _note_end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


async def _end_tasks() -> None:
    """End what the client left running, so that nothing is destroyed while it waits."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def open_line(
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    addresses: Sequence[str],
    timeout_seconds: float,
) -> NatsLine:
    """A line to the first server of the setting `servers` that answers.

    Only servers among `addresses` are tried, and the client follows no others that a server may
    name. Raises NoAnswer when none answers, SignInFailed when one refuses us.
    """
    last = NoAnswer("the setting 'servers' names no server", never_sent=True)
    for server in servers_of(settings):
        if server not in addresses:
            last = NoAnswer(f"{server} is not among the system's addresses", never_sent=True)
            continue
        line = NatsLine(timeout_seconds)
        try:
            line.connect(server, settings, secrets)
        except NoAnswer as error:
            last = error
            continue
        return line
    raise last


def servers_of(settings: Mapping[str, str]) -> list[str]:
    """The servers, in the order they are tried: `nats://127.0.0.1:4222, tls://…`."""
    return [one.strip() for one in settings.get("servers", "").split(",") if one.strip()]
