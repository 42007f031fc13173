"""OAuth sign-ins: when a token is fetched, forgotten and renewed, and what a refusal means."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.oauth import client_credentials, jwt_bearer
from tieout.ports.signin import SignInFailed

URL = "https://idp.example/token"
CALL = Request("GET", "https://api.example/x")


class Endpoint:
    """Grants tokens t1, t2, … or answers what it is told to."""

    def __init__(self, answer: Response | None = None, expires_in: float | None = None) -> None:
        self.answer = answer
        self.expires_in = expires_in
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        if self.answer is not None:
            return self.answer
        granted: dict[str, object] = {"access_token": f"t{len(self.asked)}", "more": 1}
        if self.expires_in is not None:
            granted["expires_in"] = self.expires_in
        return Response(200, {}, json.dumps(granted).encode())


class Ticking(clock.RealWorld):
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def test_one_token_serves_many_calls_until_it_is_refused() -> None:
    endpoint, sign_in = Endpoint(), client_credentials(URL, "app", "s3cret")
    for _ in range(3):
        assert sign_in.apply(CALL, endpoint).header("Authorization") == "Bearer t1"
    assert len(endpoint.asked) == 1
    assert sign_in.renew(endpoint)
    assert sign_in.apply(CALL, endpoint).header("Authorization") == "Bearer t2"


def test_a_token_is_renewed_before_it_expires() -> None:
    endpoint, sign_in, world = (
        Endpoint(expires_in=3600),
        client_credentials(URL, "a", "b"),
        Ticking(),
    )
    with clock.world(world):
        sign_in.apply(CALL, endpoint)
        world.seconds = 3539.0
        assert sign_in.apply(CALL, endpoint).header("Authorization") == "Bearer t1"
        world.seconds = 3541.0
        assert sign_in.apply(CALL, endpoint).header("Authorization") == "Bearer t2"


def test_where_the_client_credentials_travel() -> None:
    endpoint = Endpoint()
    client_credentials(URL, "app", "s3cret", scope="api").apply(CALL, endpoint)
    client_credentials(URL, "app", "s3cret", in_body=True).apply(CALL, endpoint)
    basic, in_body = endpoint.asked
    assert basic.header("Authorization") == "Basic " + base64.b64encode(b"app:s3cret").decode()
    assert parse_qs(basic.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["api"]}
    assert parse_qs(in_body.body.decode())["client_secret"] == ["s3cret"]
    assert not in_body.header("Authorization")


def test_the_assertion_is_signed_and_short_lived() -> None:
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    endpoint = Endpoint()
    jwt_bearer(URL, "app", "bot@x.example", "https://login.example", pem).apply(CALL, endpoint)
    form = parse_qs(endpoint.asked[0].body.decode())
    head, claims, signature = form["assertion"][0].split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert said["iss"] == "app"
    assert said["sub"] == "bot@x.example"
    assert 0 < said["exp"] - clock.now().timestamp() <= 180
    public, signed = key.public_key(), f"{head}.{claims}".encode()
    public.verify(base64.urlsafe_b64decode(signature + "=="), signed, PKCS1v15(), SHA256())


def test_a_bad_key_says_so_without_showing_it() -> None:
    with pytest.raises(SignInFailed, match="PEM") as refusal:
        jwt_bearer(URL, "app", "bot", "aud", "my-private-key")
    assert "my-private-key" not in str(refusal.value)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_final(status: int) -> None:
    body = b'{"error":"invalid_grant","error_description":"not approved"}'
    with pytest.raises(SignInFailed, match="not approved"):
        client_credentials(URL, "a", "b").apply(CALL, Endpoint(Response(status, {}, body)))


@pytest.mark.parametrize(
    "answer",
    [Response(500, {}, b"internal error"), Response(429), Response(200, {}, b"<html>")],
)
def test_no_usable_answer_means_the_call_was_never_sent(answer: Response) -> None:
    with pytest.raises(NoAnswer) as silence:
        client_credentials(URL, "a", "b").apply(CALL, Endpoint(answer))
    assert silence.value.never_sent


def test_secrets_are_not_in_its_repr() -> None:
    sign_in = client_credentials(URL, "app", "s3cret")
    sign_in.apply(CALL, Endpoint())
    encoded = base64.b64encode(b"app:s3cret").decode()
    assert not any(word in repr(sign_in) for word in ("s3cret", "t1", encoded))


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "body",
    [
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"access_token":"t"}',
        b'{"access_token":"\xff"}',
        b'{"error":"\xff"}',
        b'{"access_token":"t","expires_in":1e999}',
    ],
)
def test_a_token_endpoint_that_speaks_nonsense_leaves_no_write_in_doubt(
    status: int, body: bytes
) -> None:
    sign_in = client_credentials("https://x.example/token", "id", "secret")
    with pytest.raises(NoAnswer) as caught:
        sign_in.apply(Request("GET", "https://x.example"), lambda _: Response(status, {}, body))
    assert caught.value.never_sent
