"""The production transport against real sockets: what was never sent, what got no answer."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tieout.emulators.host import free_port
from tieout.ports.http import NoAnswer, Request
from tieout.ports.signin import SignInFailed
from tieout.ports.transport import HostNotAllowed, http_transport

Answers = Callable[[socket.socket], None]


@pytest.fixture
def listen() -> Iterator[Callable[[Answers], str]]:
    """Starts a server that treats each connection as it is told; gives its URL."""
    servers: list[socket.socket] = []

    def start(answer: Answers) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def says(data: bytes) -> Answers:
    return lambda connection: connection.sendall(data)


def get(url: str, timeout_seconds: float = 2.0) -> Request:
    return Request("GET", f"{url}/x", timeout_seconds=timeout_seconds)


def test_an_answer_comes_back_whole(listen: Callable[[Answers], str]) -> None:
    url = listen(says(b"HTTP/1.1 200 OK\r\nX-Kind: a\r\nContent-Length: 5\r\n\r\nhello"))
    response = http_transport([url])(get(url))
    assert (response.status, response.body, response.header("x-kind")) == (200, b"hello", "a")


@pytest.mark.parametrize(
    "other",
    [
        "http://127.0.0.1:1/x",
        "http://169.254.169.254/latest/meta-data",
        "https://{host}/x",
        "http://{host}.evil.example/x",
        "http://{host}@evil.example/x",
        "file:///etc/passwd",
    ],
)
def test_only_named_addresses_are_reached(listen: Callable[[Answers], str], other: str) -> None:
    called: list[bool] = []
    url = listen(lambda connection: called.append(True))
    target = other.replace("{host}", url.removeprefix("http://"))
    with pytest.raises(HostNotAllowed, match="environments"):
        http_transport([url])(Request("GET", target))
    assert not called


def test_a_redirect_is_an_answer_and_not_followed(listen: Callable[[Answers], str]) -> None:
    elsewhere: list[bool] = []
    other = listen(lambda connection: elsewhere.append(True))
    moved = f"HTTP/1.1 302 Found\r\nLocation: {other}/y\r\nContent-Length: 0\r\n\r\n"
    url = listen(says(moved.encode()))
    assert http_transport([url, other])(get(url)).status == 302
    assert not elsewhere


def test_a_refused_connection_was_never_sent() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url))
    assert caught.value.never_sent


def test_a_lost_reply_may_have_been_applied(listen: Callable[[Answers], str]) -> None:
    url = listen(lambda connection: None)
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url))
    assert not caught.value.never_sent


def test_a_cut_off_body_is_no_answer(listen: Callable[[Answers], str]) -> None:
    url = listen(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url))
    assert not caught.value.never_sent


def test_a_chunked_answer_comes_back_whole(listen: Callable[[Answers], str]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    url = listen(says(head + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"))
    assert http_transport([url])(get(url)).body == b"hello!"


def test_a_packed_answer_is_unpacked(listen: Callable[[Answers], str]) -> None:
    packed = gzip.compress(b"amount,1.10\n" * 50_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    url = listen(says(head.encode() + packed))
    assert http_transport([url])(get(url)).body == b"amount,1.10\n" * 50_000


def test_a_cut_off_chunked_body_is_no_answer(listen: Callable[[Answers], str]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    url = listen(says(head + b"5\r\nhello\r\n"))
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url))
    assert not caught.value.never_sent


def test_garbage_is_no_answer(listen: Callable[[Answers], str]) -> None:
    url = listen(says(b"this is not HTTP\r\n\r\n"))
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url))
    assert not caught.value.never_sent


def test_silence_ends_at_the_timeout(listen: Callable[[Answers], str]) -> None:
    done = threading.Event()
    url = listen(lambda connection: bool(done.wait(5)) and None)
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(get(url, timeout_seconds=0.2))
    done.set()
    assert not caught.value.never_sent


def test_a_trickle_ends_at_the_timeout_too(listen: Callable[[Answers], str]) -> None:
    """A byte now and then must not hold a worker for ever: the limit is for the whole call."""
    done = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            if done.wait(0.05):
                return
            try:
                connection.sendall(b"x")
            except OSError:
                return

    url = listen(trickle)
    finished = threading.Event()
    caught: list[BaseException] = []

    def call() -> None:
        try:
            http_transport([url])(get(url, timeout_seconds=0.3))
        except NoAnswer as error:
            caught.append(error)
        finished.set()

    threading.Thread(target=call, daemon=True).start()
    ended = finished.wait(2.0)
    done.set()
    assert ended, "the call outlived its timeout"
    assert isinstance(caught[0], NoAnswer)
    assert not caught[0].never_sent


def test_nothing_is_sent_twice(listen: Callable[[Answers], str]) -> None:
    calls: list[int] = []
    url = listen(lambda connection: calls.append(1))
    with pytest.raises(NoAnswer):
        http_transport([url])(Request("POST", f"{url}/x", body=b"{}", timeout_seconds=1.0))
    assert calls == [1]


@pytest.mark.parametrize(
    "target",
    [
        "http://user:secret@{host}/x",
        " http://{host}/x",
        "http:{host}/x",
        "//{host}/x",
        "",
    ],
)
def test_an_address_in_a_form_that_two_readers_read_differently_is_refused(
    listen: Callable[[Answers], str], target: str
) -> None:
    called: list[bool] = []
    url = listen(lambda connection: called.append(True))
    host = url.removeprefix("http://")
    with pytest.raises(HostNotAllowed) as caught:
        http_transport([url, f"http://user:secret@{host}"])(
            Request("GET", target.replace("{host}", host))
        )
    assert "secret" not in str(caught.value)
    assert not called


def test_the_usual_port_and_the_case_of_a_host_do_not_matter(
    listen: Callable[[Answers], str],
) -> None:
    url = listen(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    named = url.replace("127.0.0.1", "LOCALHOST")
    asked = url.replace("127.0.0.1", "localhost")
    assert http_transport([named])(get(asked)).status == 200
    with pytest.raises(NoAnswer):  # allowed: there is only nobody at that port
        http_transport(["http://127.0.0.1"])(get("http://127.0.0.1:80", timeout_seconds=0.5))


def test_a_refused_address_is_a_refusal_that_everybody_handles() -> None:
    """The engine pauses the system and says so; it does not stop the work of all others."""
    with pytest.raises(SignInFailed) as caught:
        http_transport(["https://a.example"])(get("https://b.example"))
    assert "environments" in caught.value.next_action


def test_a_call_that_cannot_be_put_on_the_wire_was_never_sent(
    listen: Callable[[Answers], str],
) -> None:
    called: list[bool] = []
    url = listen(lambda connection: called.append(True))
    token = {"Authorization": "Bearer a\r\nX-Smuggled: 1"}
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(Request("GET", f"{url}/x", token, timeout_seconds=1.0))
    assert caught.value.never_sent
    assert "Smuggled" not in caught.value.words
    with pytest.raises(NoAnswer) as caught:
        http_transport([url])(Request("GET", f"{url}/x", {"A": "\ud800"}, timeout_seconds=1.0))
    assert caught.value.never_sent
    assert not called


def test_a_call_without_a_limit_of_its_own_ends_all_the_same(
    listen: Callable[[Answers], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in that forgets its limit must not hold the session's lock for ever."""
    monkeypatch.setattr("tieout.ports.transport.MOST_SECONDS", 0.3)
    done = threading.Event()
    url = listen(lambda connection: bool(done.wait(3)) and None)
    with pytest.raises(NoAnswer):
        http_transport([url])(Request("GET", f"{url}/x"))
    assert not done.is_set()
    done.set()
