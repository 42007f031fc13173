"""Who may call the emulated Anaplan, how often, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from anaplan_sdk.exceptions import AnaplanException, InvalidCredentialsException
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.emulators.anaplan_client import FILE, IMPORT, IN_MODEL, Stopped, call, client, turn_to
from tieout import clock
from tieout.emulators.anaplan import seed
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import FaultPlan
from tieout.ports.http import Request
from tieout.ports.transport import http_transport


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serve("anaplan", {"task_seconds": "0"}) as served:
        turn_to(served, monkeypatch)
        yield served


def test_tokens_expire_and_are_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock.world(Stopped()) as world, serve("anaplan", {"token_seconds": "60"}) as served:
        assert isinstance(world, Stopped)
        turn_to(served, monkeypatch)
        anaplan = client()
        first = next(iter(served.emulator.tables["tokens"]))
        assert call(served, "POST", "/token/refresh") == 201
        assert call(served, "GET", "/token/validate") == 200
        world.pass_(61)
        assert call(served, "GET", "/token/validate") == 401
        assert anaplan.get_workspaces(), "the client signs in again after a 401"
        assert first not in served.emulator.tables["tokens"]
        assert call(served, "POST", "/token/logout") == 204
        assert served.emulator.tables["tokens"] == {}


def test_a_wrong_password_is_refused(tenant: Served) -> None:
    with pytest.raises(InvalidCredentialsException):
        client(password="guessed")


def test_a_certificate_signs_in_and_a_stranger_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = a_certificate(), a_certificate()
    settings = {"certificate": mine[0].decode()}
    with serve("anaplan", settings) as served:
        turn_to(served, monkeypatch)
        signed_in = client(password=None, certificate=mine[0], private_key=mine[1])
        assert signed_in.get_workspaces()
        with pytest.raises(InvalidCredentialsException):
            client(password=None, certificate=other[0], private_key=other[1])
        with pytest.raises(InvalidCredentialsException):
            client(password=None, certificate=mine[0], private_key=other[1])


def a_certificate() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "northwind")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(pem), private


def test_too_many_calls_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock.world(Stopped()) as world, serve("anaplan", {"requests_per_minute": "6"}) as served:
        assert isinstance(world, Stopped)
        turn_to(served, monkeypatch)
        anaplan = client()
        for _ in range(6):
            anaplan.get_workspaces()
        with pytest.raises(AnaplanException, match="Rate limit"):
            anaplan.get_workspaces()
        world.pass_(10)
        assert anaplan.get_workspaces()


@pytest.mark.parametrize(("state", "status"), [("LOCKED", 422), ("ARCHIVED", 409)])
def test_a_locked_model_takes_no_load(tenant: Served, state: str, status: int) -> None:
    anaplan = client()
    tenant.emulator.tables["models"][seed.MODEL_ID]["activeState"] = state
    assert anaplan.get_model().active_state == state
    assert call(tenant, "POST", f"{IN_MODEL}/imports/{IMPORT}/tasks", b"{}") == status
    assert call(tenant, "POST", f"{IN_MODEL}/files/{FILE}", b'{"chunkCount":1}') == status


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "/2/0/nothing", b"", "", 404),
        ("GET", f"{IN_MODEL}/imports/112000000099/tasks", b"", "", 404),
        ("GET", f"{IN_MODEL}/imports/{IMPORT}/tasks/NONE", b"", "", 404),
        ("POST", f"{IN_MODEL}/imports/{IMPORT}/tasks", b"not json", "", 400),
        ("POST", f"{IN_MODEL}/files/{FILE}", b'{"chunkCount":"many"}', "", 400),
        ("POST", f"{IN_MODEL}/files/{FILE}", b"[]", "", 400),
        ("PUT", f"{IN_MODEL}/files/{FILE}/chunks/0", b"x", "application/octet-stream", 404),
        ("GET", f"{IN_MODEL}/files?limit=-1", b"", "", 400),
        ("GET", f"{IN_MODEL}/files?sort=%2Bcolour", b"", "", 400),
    ],
)
def test_nonsense_is_refused_in_the_vendors_envelope(
    tenant: Served, method: str, path: str, body: bytes, kind: str, status: int
) -> None:
    client()
    headers = {"Content-Type": kind} if kind else {}
    assert call(tenant, method, path, body, **headers) == status


def test_chunks_are_checked(tenant: Served) -> None:
    client()
    chunk = f"{IN_MODEL}/files/{FILE}/chunks"
    octets = {"Content-Type": "application/octet-stream"}
    assert call(tenant, "POST", f"{IN_MODEL}/files/{FILE}", b'{"chunkCount":1}') == 200
    assert call(tenant, "PUT", f"{chunk}/1", b"x", **octets) == 400
    assert call(tenant, "PUT", f"{chunk}/0", b"x", **{"Content-Type": "application/x-gzip"}) == 400
    assert call(tenant, "PUT", f"{chunk}/0", b"x", **{"Content-Type": "text/csv"}) == 415
    assert call(tenant, "PUT", f"{chunk}/0", b"x", **octets) == 204


def test_planted_busy_is_the_vendors_429(tenant: Served) -> None:
    anaplan = client()
    plan = {"seed": 1, "faults": [{"kind": "busy", "rate": 1.0, "seconds": 3}]}
    tenant.emulator.faults = FaultPlan.from_json(plan)
    with pytest.raises(AnaplanException, match="Rate limit"):
        anaplan.get_workspaces()
    send = http_transport([tenant.url])
    answer = send(Request("GET", f"{tenant.url}/2/0/workspaces", timeout_seconds=5))
    assert (answer.status, answer.retry_after_seconds()) == (429, 3.0)
    assert json.loads(answer.body)["status"]["code"] == 429
