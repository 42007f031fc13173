"""Requests and responses: encoded once, looked up in any case."""

from __future__ import annotations

import pytest

from tieout.ports.http import Request, Response


def test_query_is_encoded_and_joined() -> None:
    request = Request("GET", "http://x/a?b=1", query=(("q", "a b&c=d/é"), ("e", "")))
    assert request.full_url() == "http://x/a?b=1&q=a%20b%26c%3Dd%2F%C3%A9&e="
    assert request.arguments() == {"b": "1", "q": "a b&c=d/é", "e": ""}
    assert request.path() == "/a"


def test_headers_are_found_in_any_case() -> None:
    request = Request("GET", "http://x", {"X-Api-KEY": "k"})
    assert request.header("x-api-key") == "k"
    assert request.header("absent", "none") == "none"
    assert request.with_headers({"B": "c"}).headers == {"X-Api-KEY": "k", "B": "c"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("", None),
        ("Wed, 21 Oct 2020 07:28:00 GMT", 0.0),  # a moment that is over: now
        ("Wed, 21 Oct 9020 07:28:00 GMT", None),
        ("21 Oct", None),
        ("-1", None),
        ("²", None),
        ("٣", None),
        ("9" * 400, None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert Response(429, {"retry-after": value}).retry_after_seconds() == seconds
    assert Response(429).retry_after_seconds() is None


def test_no_credential_is_told_by_a_requests_own_text() -> None:
    """Tracebacks, debuggers and test reports print `repr`."""
    request = Request("POST", "http://x/token", {"Authorization": "Bearer s3cret"}, b"pw=s3cret")
    assert "s3cret" not in repr(request)
    assert "s3cret" not in repr(Response(200, {"Set-Cookie": "s3cret"}, b'{"token":"s3cret"}'))
