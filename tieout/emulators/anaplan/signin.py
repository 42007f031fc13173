"""Tokens: by password or by certificate, refreshed, checked, thrown away.

Sources: vendor help "Authentication"; certificate form as current clients send it: 150 random
bytes signed with RSA PKCS#1 v1.5 and SHA-512.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tieout import clock
from tieout.emulators.anaplan.answers import JSON_TYPE, Row, Table, text
from tieout.emulators.kit import read_json, write_json
from tieout.ports.http import Request, Response

TOKEN_SECONDS = "2100"  # 35 minutes
LEAST_SIGNED_BYTES = 100
SCHEME = "AnaplanAuthToken "


class Desk:
    """Issues and checks tokens; they live in the `tokens` table."""

    def __init__(self, tokens: Table, settings: Mapping[str, str]) -> None:
        self.tokens = tokens
        self.email = settings.get("email", "integration@northwind.example")
        self.password = settings.get("password", "emulated-password")
        self.certificate = settings.get("certificate", "")
        self.life = dt.timedelta(seconds=float(settings.get("token_seconds", TOKEN_SECONDS)))

    def answer(self, request: Request, verb: str) -> Response:
        """`/token/authenticate`, `refresh`, `validate`, `logout`."""
        if verb == "authenticate":
            if request.method != "POST" or not self._known(request):
                return _refused("Authentication failed: invalid credentials")
            return self._issue("Login successful")
        row = self.live(request)
        if row is None:
            return _refused("Token is invalid or has expired")
        if verb == "refresh":
            return self._issue("Token refreshed")
        if verb == "validate":
            return _said("Token validated", 200, tokenInfo=_public(row))
        if verb == "logout":
            self.tokens.pop(text(row["tokenValue"]), None)
            return Response(204)
        return _refused("Unknown authentication call", 404)

    def live(self, request: Request) -> Row | None:
        """The token row this request is signed with, unless it has expired or never was."""
        header = request.header("Authorization")
        value = header.removeprefix(SCHEME).removeprefix("Bearer ").strip()
        row = self.tokens.get(value)
        if row is None or not isinstance(expires := row["expiresAt"], int):
            return None
        return row if _milliseconds(clock.now()) < expires else None

    def _issue(self, words: str) -> Response:
        now = clock.now()
        for value in [v for v, row in self.tokens.items() if _expired(row, now)]:
            del self.tokens[value]
        value = f"{clock.new_id().hex}{clock.new_id().hex}"
        row: Row = {
            "tokenId": str(clock.new_id()),
            "tokenValue": value,
            "refreshTokenId": str(clock.new_id()),
            "expiresAt": _milliseconds(now + self.life),
        }
        self.tokens[value] = row
        return _said(words, 201, tokenInfo=_public(row))

    def _known(self, request: Request) -> bool:
        header = request.header("Authorization")
        if header.startswith("Basic "):
            return _unpacked(header[6:]) == f"{self.email}:{self.password}".encode()
        if header.startswith("CACertificate ") and self.certificate:
            presented = _unpacked(header[14:])
            return presented.strip() == self.certificate.encode().strip() and _signed(
                presented, request.body
            )
        return False


def _signed(certificate: bytes, body: bytes) -> bool:
    """Whether the caller holds the private key of this certificate."""
    try:
        said = read_json(body)
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return False
    if not isinstance(said, dict) or not isinstance(key, RSAPublicKey):
        return False
    data = _unpacked(text(said.get("encodedData")))
    if len(data) < LEAST_SIGNED_BYTES:
        return False
    signature = _unpacked(text(said.get("encodedSignedData")))
    try:
        key.verify(signature, data, PKCS1v15(), hashes.SHA512())
    except InvalidSignature:
        return False
    return True


def _unpacked(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _public(row: Row) -> Row:
    return dict(row)


def _expired(row: Row, now: dt.datetime) -> bool:
    return isinstance(row["expiresAt"], int) and row["expiresAt"] <= _milliseconds(now)


def _milliseconds(instant: dt.datetime) -> int:
    return round(instant.timestamp() * 1000)


def _said(words: str, status: int, **more: object) -> Response:
    body = {
        "meta": {"validationUrl": "https://auth.anaplan.com/token/validate"},
        "status": "SUCCESS",
        "statusMessage": words,
        **more,
    }
    return Response(status, JSON_TYPE, write_json(body))


def _refused(words: str, status: int = 401) -> Response:
    body = {"status": "FAILURE", "statusMessage": words}
    return Response(status, JSON_TYPE, write_json(body))
