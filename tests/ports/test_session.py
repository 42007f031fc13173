"""The session: renews once, keeps order and limits, and says no secret aloud."""

from __future__ import annotations

import threading

import pytest

from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.session import EXCERPT_BYTES, MOST_EVIDENCE, Session
from tieout.ports.signin import NoSignIn, SignIn, SignInFailed

SECRET = "s3cret-canary"


class Token:
    """Fetches token 1, 2, 3 …; refuses after `most` of them."""

    def __init__(self, most: int = 9) -> None:
        self.fetched = 0
        self.most = most
        self.token = ""

    def apply(self, request: Request, transport: Transport) -> Request:
        if not self.token:
            if self.fetched == self.most:
                raise SignInFailed("refused", "check the secret")
            self.fetched += 1
            self.token = f"token-{self.fetched}"
        return request.with_headers({"Authorization": f"Bearer {self.token}"})

    def renew(self, transport: Transport) -> bool:
        self.token = ""
        return True


def session(transport: Transport, sign_in: SignIn | None = None, **options: int) -> Session:
    secrets = {"password": SECRET, "short": "ab"}
    return Session("ledger", {"a": "b"}, secrets, transport, sign_in or NoSignIn(), **options)


def test_a_401_is_renewed_once_and_sent_once_more() -> None:
    seen: list[str] = []

    def transport(request: Request) -> Response:
        seen.append(request.header("authorization"))
        return Response(200 if request.header("Authorization") == "Bearer token-2" else 401)

    line = session(transport, Token())
    assert line.send(Request("GET", "http://x/a")).status == 200
    assert line.send(Request("GET", "http://x/b")).status == 200
    assert seen == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_a_lasting_401_is_an_answer_after_two_tries() -> None:
    seen: list[str] = []

    def transport(request: Request) -> Response:
        seen.append(request.url)
        return Response(401)

    assert session(transport, Token()).send(Request("GET", "http://x/a")).status == 401
    assert len(seen) == 2


def test_a_401_with_nothing_to_renew_is_final() -> None:
    seen: list[str] = []

    def transport(request: Request) -> Response:
        seen.append(request.url)
        return Response(401)

    assert session(transport).send(Request("GET", "http://x/a")).status == 401
    assert len(seen) == 1


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_no_other_answer_is_sent_again(status: int) -> None:
    seen: list[str] = []

    def transport(request: Request) -> Response:
        seen.append(request.url)
        return Response(status)

    assert session(transport, Token()).send(Request("POST", "http://x/a")).status == status
    assert len(seen) == 1


def test_no_answer_is_not_sent_again_and_leaves_evidence() -> None:
    seen: list[str] = []

    def transport(request: Request) -> Response:
        seen.append(request.url)
        raise NoAnswer(f"lost while sending {SECRET}")

    line = session(transport)
    with pytest.raises(NoAnswer):
        line.send(Request("POST", "http://x/a?token=1"))
    assert len(seen) == 1
    (exchange,) = line.evidence
    assert (exchange.method, exchange.url, exchange.status) == ("POST", "http://x/a", None)
    assert SECRET not in repr(exchange)


def test_evidence_is_short_bounded_and_without_secrets() -> None:
    line = session(lambda request: Response(200, {}, (SECRET + "x" * 5000).encode()))
    line.send(Request("GET", "http://x/a", query=(("password", SECRET),)))
    assert SECRET not in repr(line.evidence)
    assert len(line.evidence[0].excerpt) <= EXCERPT_BYTES
    for _ in range(3):
        line.evidence.extend([line.evidence[0]] * (MOST_EVIDENCE // 2))
    assert len(line.evidence) == MOST_EVIDENCE


def test_many_calls_keep_their_order_and_the_limit() -> None:
    lock = threading.Lock()
    running: list[int] = []
    most: list[int] = []
    gate = threading.Barrier(3, timeout=5)

    def transport(request: Request) -> Response:
        with lock:
            running.append(1)
            most.append(len(running))
        gate.wait()
        with lock:
            running.pop()
        if request.url.endswith("/4"):
            raise NoAnswer("lost")
        return Response(200, {}, request.url.encode())

    requests = [Request("GET", f"http://x/{n}") for n in range(9)]
    answers = session(transport, most_in_flight=3).send_all(requests)
    assert max(most) == 3
    assert isinstance(answers[4], NoAnswer)
    for place, answer in enumerate(answers):
        if place != 4:
            assert isinstance(answer, Response)
            assert answer.text() == f"http://x/{place}"


def test_a_refused_sign_in_stands_in_its_place() -> None:
    line = session(lambda request: Response(200), Token(most=0))
    answers = line.send_all([Request("GET", "http://x/1"), Request("GET", "http://x/2")])
    assert [type(answer) for answer in answers] == [SignInFailed, SignInFailed]


def test_a_missing_setting_says_where_to_put_it() -> None:
    with pytest.raises(KeyError, match="environments"):
        session(lambda request: Response(200)).setting("base_url")


def test_every_call_has_a_timeout() -> None:
    limits: list[float | None] = []

    def transport(request: Request) -> Response:
        limits.append(request.timeout_seconds)
        return Response(200)

    line = session(transport, timeout_seconds=12)
    line.send(Request("GET", "http://x/a"))
    line.send(Request("GET", "http://x/a", timeout_seconds=3.0))
    assert limits == [12, 3.0]


def test_the_limit_holds_for_calls_of_different_threads() -> None:
    """Two streams of one system are written side by side: the limit is the system's, not theirs."""
    now, most = 0, 0
    lock = threading.Lock()

    def transport(request: Request) -> Response:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1
        return Response(200)

    line = session(transport, most_in_flight=2)
    requests = [Request("GET", f"http://x/{n}") for n in range(4)]
    streams = [threading.Thread(target=line.send_all, args=(requests,)) for _ in range(3)]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    assert most == 2


def test_no_secret_is_told_by_a_sessions_own_text() -> None:
    assert SECRET not in repr(session(lambda request: Response(200)))


def test_a_secret_across_the_end_of_an_excerpt_is_blanked_too() -> None:
    body = b"x" * (EXCERPT_BYTES - 6) + SECRET.encode()
    line = session(lambda request: Response(500, {}, body))
    line.send(Request("GET", "http://x/a"))
    assert SECRET[:5] not in line.evidence[-1].excerpt


def test_a_token_and_a_rewritten_secret_are_blanked_too() -> None:
    """Vendors repeat headers and forms they were sent, in their own spelling."""
    line = Session("ledger", {}, {"password": 'p&"ß s3'}, lambda request: ECHO, Token())
    line.send(Request("GET", "http://x/a"))
    assert "token-1" not in line.evidence[-1].excerpt
    assert line.redact("saw token-1") == "saw •••"
    assert line.redact("pw=p%26%22%C3%9F%20s3") == "pw=•••"
    assert line.redact("pw=p%26%22%C3%9F+s3") == "pw=•••"
    assert line.redact('{"pw": "p&\\"\\u00df s3"}') == '{"pw": "•••"}'


ECHO = Response(400, {}, b"unexpected header Authorization: Bearer token-1")


def test_what_is_done_over_a_line_is_counted_by_its_answer_and_time() -> None:
    """Databases, brokers and folders have answer times too; a silent one has given no answer."""
    counted: list[tuple[str, int]] = []
    at = session(lambda request: Response(200))
    at.counts = lambda answer, milliseconds: counted.append((answer, milliseconds))
    with at.told("COPY", "invoices"):
        pass
    for error in (NoAnswer("gone"), ConnectionResetError(), ValueError("syntax")):
        with pytest.raises(type(error)), at.told("COPY", "invoices"):
            raise error
    assert [answer for answer, _ in counted] == ["good", "none", "none", "failed"]
    assert all(milliseconds >= 0 for _, milliseconds in counted)


def test_of_secrets_that_begin_alike_nothing_is_left() -> None:
    secrets = {str(size): "canary-token-secret"[:size] for size in range(6, 20)}
    at = Session("ledger", {}, secrets, lambda request: Response(200), NoSignIn())
    assert at.redact("it was canary-token-secret.") == "it was •••."


def test_a_process_that_stood_still_for_too_long_sends_nothing_any_more() -> None:
    """Found by the rehearsal: a worker stood still between its intent and its call, a successor
    looked, found nothing and sent; then the first went on, and the document was there twice."""
    sent: list[Request] = []

    def transport(request: Request) -> Response:
        sent.append(request)
        return Response(200)

    at = Session("crm", {}, {}, transport, NoSignIn())
    holds = True
    at.may_leave = lambda: holds
    assert at.send(Request("POST", "http://127.0.0.1/x")).status == 200
    holds = False
    with pytest.raises(NoAnswer) as refused:
        at.send(Request("POST", "http://127.0.0.1/x"))
    assert refused.value.never_sent
    assert refused.value.held_back
    assert len(sent) == len(at.evidence) == 1
