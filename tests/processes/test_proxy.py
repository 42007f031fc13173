"""The proxy's own proof: each mode does to a line what it says, and heals."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.processes.proxy import (
    HOST,
    Blackhole,
    HalfClose,
    Latency,
    Mode,
    Pass,
    Proxy,
    Refuse,
    Reset,
    SwallowReply,
    proxy_to,
)
from tieout import clock

PATIENCE = 5.0
MOST_SAID = 20
SILENCE = 0.2  # so long nothing comes: nothing will


class Echo:
    """Says what it hears, in capitals, and remembers it; ends a line when its caller has."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: list[str] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with line:
            try:
                while piece := line.recv(100):
                    self.heard += piece
                    line.sendall(piece.upper())
                self.ended.append("end")
            except ConnectionError:
                self.ended.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with proxy_to(echo.port, seed=7) as made:
        yield made


def call(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), PATIENCE)


def said(line: socket.socket, what: bytes) -> bytes:
    line.sendall(what)
    return line.recv(100)


def silent(line: socket.socket) -> bool:
    line.settimeout(SILENCE)
    try:
        line.recv(1)
    except TimeoutError:
        return True
    finally:
        line.settimeout(PATIENCE)
    return False


def is_reset(line: socket.socket) -> bool:
    """Whether the line was cut with RST, if need be after saying something more."""
    try:
        for _ in range(MOST_SAID):
            line.sendall(b"more")
            if line.recv(100) == b"":
                return False
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def await_heard(echo: Echo, what: bytes) -> None:
    deadline = clock.monotonic() + PATIENCE
    while what not in echo.heard:
        assert clock.monotonic() < deadline, f"{echo.heard!r} without {what!r}"
        clock.sleep(0.005)


def await_ended(echo: Echo, how: str) -> None:
    deadline = clock.monotonic() + PATIENCE
    while how not in echo.ended:
        assert clock.monotonic() < deadline, f"{echo.ended} without {how}"
        clock.sleep(0.005)


def test_pass(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        assert said(line, b"two") == b"TWO"
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b"", "an end goes through, both ways"
    assert echo.ended == ["end"]


def test_a_caller_that_is_reset_resets_the_target(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await_ended(echo, "reset")


def test_refuse(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        proxy.become(Refuse())
        assert is_reset(line)
    with pytest.raises(ConnectionRefusedError):
        call(proxy)
    await_ended(echo, "reset")


def test_latency(proxy: Proxy) -> None:
    proxy.become(Latency(0.1, 0.1))
    with call(proxy) as line:
        began = clock.monotonic()
        assert said(line, b"one") == b"ONE"
        took = clock.monotonic() - began
    assert took >= 0.2, "once on the way there, once on the way back"
    assert proxy.met["Latency"] == 2


def test_reset(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        proxy.become(Reset())
        assert is_reset(line), "one that was open"
    await_ended(echo, "reset")
    with call(proxy) as line:
        assert is_reset(line), "and a new one"
    assert echo.heard == b"one"


def test_reset_in_the_middle_of_a_reply(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        proxy.become(Reset(after_bytes=4))
        assert said(line, b"abcdefgh") == b"ABCD"
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert echo.heard == b"oneabcdefgh"
    assert proxy.met["Reset"] == 1


def test_half_close_towards_the_caller(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as old:
        assert said(old, b"one") == b"ONE"
        proxy.become(HalfClose("caller"))
        with call(proxy) as new:
            for line, word in ((old, b"two"), (new, b"three")):
                assert said(line, word) == b"", "its end came instead of an answer"
                await_heard(echo, word)
                line.sendall(b"again")  # it is read on
                await_heard(echo, word + b"again")


def test_half_close_towards_the_target(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as line:
        assert said(line, b"one") == b"ONE"
        proxy.become(HalfClose("target"))
        await_ended(echo, "end")
        assert line.recv(100) == b"", "what the target does about it goes through"
    assert echo.heard == b"one"


def test_blackhole(proxy: Proxy, echo: Echo) -> None:
    with call(proxy) as old:
        assert said(old, b"one") == b"ONE"
        proxy.become(Blackhole())
        with call(proxy) as new:
            for line in (old, new):
                line.sendall(b"two")
                assert silent(line)
                line.shutdown(socket.SHUT_WR)
                assert silent(line)
            assert echo.heard == b"one"
            assert echo.ended == [], "not even the end of a line goes through"
            proxy.become(Pass())
            assert is_reset(old)
            assert is_reset(new), "a line that lost something is cut"


def test_a_swallowed_reply(proxy: Proxy, echo: Echo) -> None:
    proxy.become(SwallowReply())
    with call(proxy) as line:
        line.sendall(b"one")
        await_heard(echo, b"one")
        assert silent(line)
        proxy.become(Pass())
        assert is_reset(line)


@pytest.mark.parametrize(
    "mode",
    [
        Refuse(),
        Latency(0.05),
        Reset(),
        Reset(2),
        HalfClose("caller"),
        HalfClose("target"),
        Blackhole(),
        SwallowReply(),
    ],
    ids=str,
)
def test_every_mode_heals(proxy: Proxy, mode: Mode) -> None:
    with call(proxy) as before:
        assert said(before, b"one") == b"ONE"
        proxy.become(mode)
        if not isinstance(mode, Refuse):
            with call(proxy) as line:
                line.sendall(b"two")
                clock.sleep(0.05)
        proxy.become(Pass())
        with call(proxy) as line:
            assert said(line, b"three") == b"THREE"


def test_a_target_that_is_down(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    with pytest.raises(ConnectionError):  # it may be met while it connects
        _talk_on(proxy)


def _talk_on(proxy: Proxy) -> None:
    with call(proxy) as line:
        for _ in range(MOST_SAID):
            said(line, b"more")
