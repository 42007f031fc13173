"""OAuth 2.0 for machines: a signed assertion is exchanged for a bearer token of one hour.

The tenant knows one certificate mapping: `m2m_client_id`, `m2m_key_id` and `m2m_public_key` (PEM).
Without these settings every assertion is refused, as in a tenant that has no mapping.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from tieout import clock
from tieout.emulators.kit import write_json
from tieout.emulators.netsuite.record_types import Row
from tieout.ports.http import Request, Response

PATH = "/services/rest/auth/oauth2/v1/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_SECONDS = 3600
MOST_TOKENS = 1000
SKEW_SECONDS = 60
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def grant(
    request: Request, settings: Mapping[str, str], tokens: dict[str, Row], audience: str
) -> Response:
    """Answer `POST …/token`: a token, or `invalid_request` / `invalid_client`."""
    form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
    if (
        form.get("grant_type") != "client_credentials"
        or form.get("client_assertion_type") != ASSERTION_TYPE
    ):
        return _refused("invalid_request")
    now = int(clock.now().timestamp())
    if not _is_genuine(form.get("client_assertion", ""), settings, audience, now):
        return _refused("invalid_client")
    while len(tokens) >= MOST_TOKENS:
        del tokens[next(iter(tokens))]
    token = clock.new_id().hex
    tokens[token] = {"until": now + LIFETIME_SECONDS}
    body = {"access_token": token, "expires_in": str(LIFETIME_SECONDS), "token_type": "bearer"}
    return Response(200, {"Content-Type": "application/json"}, write_json(body))


def is_valid(header: str, tokens: Mapping[str, Row]) -> bool:
    """Whether an `Authorization: Bearer …` header names a token that still lives."""
    token = tokens.get(header[len("bearer ") :].strip())
    return token is not None and int(token["until"]) > clock.now().timestamp()


def _is_genuine(assertion: str, settings: Mapping[str, str], audience: str, now: int) -> bool:
    try:
        head_text, claims_text, signature = assertion.split(".")
        head, claims = json.loads(_decode(head_text)), json.loads(_decode(claims_text))
        if head["kid"] != settings.get("m2m_key_id") or head["typ"] != "JWT":
            return False
        if (claims["iss"], claims["aud"]) != (settings.get("m2m_client_id"), audience):
            return False
        if claims["iat"] > now + SKEW_SECONDS or claims["exp"] <= now:
            return False
        if claims["exp"] - claims["iat"] > LIFETIME_SECONDS or "rest_webservices" not in str(
            claims["scope"]
        ):
            return False
        signed = f"{head_text}.{claims_text}".encode()
        _verify(settings["m2m_public_key"], str(head["alg"]), signed, _decode(signature))
    except (ValueError, KeyError, TypeError, InvalidSignature):
        return False
    return True


def _verify(pem: str, algorithm: str, signed: bytes, signature: bytes) -> None:
    """PS* or ES* only: the vendor refuses plain RS256. Raises InvalidSignature or KeyError."""
    digest = _HASHES[algorithm[2:]]
    key = serialization.load_pem_public_key(pem.encode())
    if algorithm.startswith("PS") and isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
        key.verify(signature, signed, pss, digest)
    elif algorithm.startswith("ES") and isinstance(key, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        first, second = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
        key.verify(utils.encode_dss_signature(first, second), signed, ec.ECDSA(digest))
    else:
        raise InvalidSignature


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused(error: str) -> Response:
    status = 401 if error == "invalid_client" else 400
    return Response(status, {"Content-Type": "application/json"}, write_json({"error": error}))
