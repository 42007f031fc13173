"""OAuth 2.0 for machines at the emulated NetSuite; the assertions are made by PyJWT."""

from __future__ import annotations

from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.emulators.netsuite_client import Tenant
from tieout import clock
from tieout.emulators.kit import read_json
from tieout.emulators.netsuite.machine_token import ASSERTION_TYPE, PATH
from tieout.ports.http import Request, Response

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def ask(
    key: Key, algorithm: str, known: Key | None = None, **changes: object
) -> tuple[Tenant, Response]:
    pem = (
        (known or key)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    tenant = Tenant(m2m_client_id="client", m2m_key_id="kid", m2m_public_key=pem.decode())
    now = int(clock.now().timestamp())
    claims = {
        "iss": "client",
        "scope": "rest_webservices",
        "aud": tenant.base + PATH,
        "iat": now,
        "exp": now + 3000,
        **changes,
    }
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jwt.encode(claims, key, algorithm, headers={"kid": "kid"}),
    }
    request = Request("POST", tenant.base + PATH, {}, urlencode(form).encode())
    return tenant, tenant.emulator.handle(request)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "PS256"), (RSA, "PS512"), (CURVE, "ES256")])
def test_a_genuine_assertion_becomes_a_token_of_an_hour(key: Key, algorithm: str) -> None:
    tenant, answer = ask(key, algorithm)
    body = read_json(answer.body)
    assert isinstance(body, dict)
    assert (answer.status, body["expires_in"], body["token_type"]) == (200, "3600", "bearer")
    url = f"{tenant.base}/services/rest/record/v1/currency"
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    assert tenant.emulator.handle(Request("GET", url, bearer)).status == 200
    tenant.emulator.tables["token"][body["access_token"]]["until"] = 0
    assert tenant.emulator.handle(Request("GET", url, bearer)).status == 401


@pytest.mark.parametrize(
    "changes",
    [{"aud": "elsewhere"}, {"iss": "other"}, {"exp": 1}, {"scope": "restlets"}, {"iat": 0}],
)
def test_a_false_claim_is_refused(changes: dict[str, object]) -> None:
    assert ask(CURVE, "ES256", **changes)[1].status == 401


def test_plain_rsa_and_strange_keys_are_refused() -> None:
    assert ask(RSA, "RS256")[1].status == 401
    assert ask(ec.generate_private_key(ec.SECP256R1()), "ES256", known=CURVE)[1].status == 401
