"""The door: loopback only, by loopback names only, reading only, with hard headers."""

from __future__ import annotations

import httpx
import pytest

from tests.web.conftest import served
from tieout.engine.context import Context
from tieout.web.access import refuse
from tieout.web.app import create_app


def _scope(client: str, host: str, method: str = "GET", path: str = "/today") -> dict[str, object]:
    return {
        "type": "http",
        "client": (client, 50000),
        "method": method,
        "path": path,
        "headers": [(b"host", host.encode())],
    }


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1"])
@pytest.mark.parametrize("host", ["localhost:8181", "127.0.0.1", "[::1]:8181", "LOCALHOST"])
def test_this_machine_may_read(client: str, host: str) -> None:
    assert refuse(_scope(client, host)) is None


@pytest.mark.parametrize("client", ["192.168.1.7", "10.0.0.1", "2001:db8::1", "0.0.0.0", "unix"])
def test_another_machine_is_refused(client: str) -> None:
    refusal = refuse(_scope(client, "localhost"))
    assert refusal is not None
    assert refusal[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "169.254.169.254"]
)
def test_another_name_is_refused_even_from_this_machine(host: str) -> None:
    refusal = refuse(_scope("127.0.0.1", host))
    assert refusal is not None
    assert refusal[0] == 421


def test_two_names_at_once_are_refused() -> None:
    scope = _scope("127.0.0.1", "localhost") | {
        "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]
    }
    assert refuse(scope) is not None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_console_changes_nothing(method: str) -> None:
    refusal = refuse(_scope("127.0.0.1", "localhost", method, "/exceptions/1"))
    assert refusal is not None
    assert refusal[0] == 405
    assert refuse(_scope("127.0.0.1", "localhost", "POST", "/intake/salesforce/Account")) is None


def test_every_answer_carries_the_security_headers(context: Context) -> None:
    with served(create_app(context)) as address:
        for path in ("/today", "/today.json", "/static/console.css", "/nowhere", "/exceptions/9"):
            answer = httpx.get(f"{address}{path}")
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
        rebound = httpx.get(f"{address}/today", headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        assert rebound.headers["content-type"] == "application/problem+json"
        for path in ("/docs", "/openapi.json", "/static/../app.py", "/static/%2e%2e/app.py"):
            assert httpx.get(f"{address}{path}").status_code == 404


def test_no_page_needs_scripts_or_other_hosts(context: Context) -> None:
    with served(create_app(context)) as address:
        for path in ("/today", "/records", "/exceptions", "/tie-outs"):
            text = httpx.get(f"{address}{path}").text
            for forbidden in ("<script", "style=", "onclick", "http://", "https://"):
                assert forbidden not in text, (path, forbidden)
