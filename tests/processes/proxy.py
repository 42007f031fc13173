"""A small TCP proxy on loopback that can treat its lines as badly as a network does.

It runs in a thread of its own, and its mode is switched while it runs. What a mode does to bytes is
never mended afterwards: a line that lost some is cut when the mode changes, so that nobody reads a
stream with a hole in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal

HOST = "127.0.0.1"
PIECE_BYTES = 64 * 1024
MOST_WAITING = 128  # connections that are not accepted yet
SWITCH_SECONDS = 10.0
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST and forgets what is unsent

Side = Literal["caller", "target"]


@dataclass(frozen=True)
class Pass:
    """Everything goes through."""


@dataclass(frozen=True)
class Refuse:
    """Nobody listens, and lines that were open are reset."""


@dataclass(frozen=True)
class Latency:
    """Every piece, either way, comes later by `seconds` and a share of `jitter` that is drawn."""

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True)
class Reset:
    """RST to both sides: on open lines now, on a new one as soon as its caller says something; or,
    with `after_bytes`, when so many bytes of replies have gone through a line."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class HalfClose:
    """FIN towards this side and nothing more that way; what it says itself still goes through."""

    towards: Side


@dataclass(frozen=True)
class Blackhole:
    """Accepts, takes whatever comes, lets nothing through: no byte, no end."""


@dataclass(frozen=True)
class SwallowReply:
    """Requests go through, no byte of a reply does."""


Mode = Pass | Refuse | Latency | Reset | HalfClose | Blackhole | SwallowReply


class _Line:
    """One caller's connection and the one it was given to the target."""

    def __init__(self, caller: socket.socket, target: socket.socket) -> None:
        self.ends: dict[Side, socket.socket] = {"caller": caller, "target": target}
        self.replied = 0  # bytes, since the mode was switched
        self.lost: set[Side] = set()  # who has missed something

    def reset(self) -> None:
        for end in self.ends.values():
            with contextlib.suppress(OSError):  # it is closed
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.close()

    def finish(self, towards: Side) -> None:
        with contextlib.suppress(OSError):  # it is gone
            self.ends[towards].shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for end in self.ends.values():
            end.close()


class Proxy:
    """Forwards connections on `port` to `target_port`, in its mode. `met`: how many lines or pieces
    a mode has treated, by its name."""

    def __init__(self, target_port: int, seed: int = 0) -> None:
        self.target_port = target_port
        self.port = 0
        self.met: Counter[str] = Counter()
        self._dice = random.Random(seed)
        self._mode: Mode = Pass()
        self._lines: dict[_Line, list[asyncio.Task[None]]] = {}
        self._listener: socket.socket | None = None
        self._door: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listen, on a port that is kept from now on."""
        self._thread.start()
        self._do(self._open())

    def stop(self) -> None:
        """Cut every line and end."""
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SWITCH_SECONDS)
        self._loop.close()

    def become(self, mode: Mode) -> None:
        """Switch; when this returns, whatever comes is treated in the new mode."""
        self._do(self._become(mode))

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(SWITCH_SECONDS)

    async def _open(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        listener.listen(MOST_WAITING)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._door = asyncio.create_task(self._accept(listener))

    async def _shut(self) -> None:
        """Listen no longer, and reset what is open."""
        if self._door is not None and self._listener is not None:
            await _cancelled([self._door])
            self._listener.close()
            self._door = self._listener = None
        for line in list(self._lines):
            await self._cut(line)

    async def _become(self, mode: Mode) -> None:
        self._mode = mode
        if isinstance(mode, Refuse):
            self.met["Refuse"] += len(self._lines)
            await self._shut()
            return
        if self._listener is None:
            await self._open()
        at_once = isinstance(mode, Reset) and mode.after_bytes is None
        for line in list(self._lines):
            line.replied = 0
            if line.lost or at_once:
                self._meet(at_once)
                await self._cut(line)
            elif isinstance(mode, HalfClose):
                self._meet()
                line.finish(mode.towards)

    def _meet(self, so: bool = True) -> None:
        self.met[type(self._mode).__name__] += so

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            caller, _ = await self._loop.sock_accept(listener)
            caller.setblocking(False)
            target = socket.socket()
            target.setblocking(False)
            try:
                await self._loop.sock_connect(target, (HOST, self.target_port))
            except (OSError, asyncio.CancelledError) as error:
                _Line(caller, target).reset()
                if isinstance(error, OSError):  # the target is down: so is this
                    continue
                raise
            for end in (caller, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line(caller, target)
            if isinstance(self._mode, HalfClose):
                self._meet()
                line.finish(self._mode.towards)
            ways: tuple[tuple[Side, Side], ...] = (("caller", "target"), ("target", "caller"))
            self._lines[line] = [
                asyncio.create_task(self._carry(line, source, sink)) for source, sink in ways
            ]

    async def _carry(self, line: _Line, source: Side, sink: Side) -> None:
        """Carry what one end says to the other, until it has ended or the line is reset."""
        try:
            while piece := await self._loop.sock_recv(line.ends[source], PIECE_BYTES):
                if not await self._treat(line, sink, piece):
                    await self._cut(line)
                    return
        except OSError:  # one end was reset: so is the other
            await self._cut(line)
            return
        if self._drops(line, sink):
            line.lost.add(sink)  # not even the end goes through
            return
        line.finish(sink)
        if all(one.done() for one in self._lines.get(line, []) if one is not _me()):
            self._lines.pop(line, None)
            line.close()

    def _drops(self, line: _Line, sink: Side) -> bool:
        """Whether what goes this way now is lost."""
        mode = self._mode
        return (
            sink in line.lost
            or isinstance(mode, Blackhole)
            or (isinstance(mode, SwallowReply) and sink == "caller")
            or (isinstance(mode, HalfClose) and sink == mode.towards)
        )

    async def _treat(self, line: _Line, sink: Side, piece: bytes) -> bool:
        """Do to a piece what the mode does to it; False: the line is to be reset."""
        if isinstance(self._mode, Latency):
            self._meet()
            await asyncio.sleep(self._mode.seconds + self._mode.jitter * self._dice.random())
        mode = self._mode  # by the time it arrives it may be another
        if self._drops(line, sink):
            self._meet()
            line.lost.add(sink)
            return True
        cut = False
        if isinstance(mode, Reset):
            if mode.after_bytes is None:
                self._meet()
                return False
            if sink == "caller":
                piece = piece[: mode.after_bytes - line.replied]
                line.replied += len(piece)
                cut = line.replied >= mode.after_bytes
                self._meet(cut)
        await self._loop.sock_sendall(line.ends[sink], piece)
        return not cut

    async def _cut(self, line: _Line) -> None:
        """Reset a line, from outside or by one of its own tasks, when no other uses it any more."""
        await _cancelled([one for one in self._lines.pop(line, []) if one is not _me()])
        line.reset()


def _me() -> asyncio.Task[None] | None:
    return asyncio.current_task()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def proxy_to(target_port: int, seed: int = 0) -> Iterator[Proxy]:
    """A running proxy, stopped at the end. `seed` draws its jitter."""
    proxy = Proxy(target_port, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
