"""The organisation's OAuth token endpoint and its sessions."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tieout import clock
from tieout.emulators.kit import read_json, write_json
from tieout.emulators.salesforce.rows import Tables
from tieout.emulators.salesforce.values import ApiError
from tieout.ports.http import Request, Response

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MOST_SESSIONS = 1_000
LONGEST_ASSERTION_SECONDS = 300


class Tokens:
    """Mints and checks access tokens. A session lives `session_seconds`, however often used."""

    def __init__(self, tables: Tables, base_url: str, settings: Mapping[str, str]) -> None:
        self.tables = tables
        self.base_url = base_url
        self.organization_id = settings.get("organization_id", "00D000000000001EAA")
        self.client_id = settings.get("client_id", "client")
        self.client_secret = settings.get("client_secret", "secret")
        self.username = settings.get("username", "integration@northwind.example")
        self.public_key = settings.get("jwt_public_key", "")
        self.session_seconds = float(settings.get("session_seconds", "7200"))

    def answer(self, request: Request) -> Response:
        """`POST /services/oauth2/token`, form-encoded."""
        if request.method != "POST":
            return _refused("invalid_request", "must use HTTP POST")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            client, secret = _client(request, form)
            if client != self.client_id:
                return _refused("invalid_client_id", "client identifier invalid")
            if secret != self.client_secret:
                return _refused("invalid_client", "invalid client credentials")
        elif grant == JWT_BEARER:
            refusal = self._assertion_refusal(form.get("assertion", ""))
            if refusal:
                return _refused("invalid_grant", refusal)
        else:
            return _refused("unsupported_grant_type", "grant type not supported")
        return self._minted(grant)

    def check(self, request: Request) -> None:
        """Raises ApiError (401) unless the call carries a living session."""
        scheme, _, token = request.header("Authorization").partition(" ")
        sessions = self.tables.setdefault("_sessions", {})
        session = sessions.get(token) if scheme in {"Bearer", "OAuth"} else None
        if session is None or cast(dt.datetime, session["expires_at"]) <= clock.now():
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def _minted(self, grant: str) -> Response:
        sessions = self.tables.setdefault("_sessions", {})
        now = clock.now()
        for old in [k for k, v in sessions.items() if cast(dt.datetime, v["expires_at"]) <= now]:
            del sessions[old]
        if len(sessions) >= MOST_SESSIONS:
            del sessions[next(iter(sessions))]
        token = f"{self.organization_id[:15]}!{clock.new_id().hex}{clock.new_id().hex}"
        sessions[token] = {"expires_at": now + dt.timedelta(seconds=self.session_seconds)}
        answer: dict[str, object] = {
            "access_token": token,
            "scope": "api",
            "instance_url": self.base_url,
            "id": f"{self.base_url}/id/{self.organization_id}/005000000000001AAA",
            "token_type": "Bearer",
        }
        if grant == "client_credentials":
            answer["issued_at"] = str(int(now.timestamp() * 1000))
            answer["signature"] = "emulated"
            answer["api_instance_url"] = self.base_url
        return Response(200, {}, write_json(answer))

    def _assertion_refusal(self, assertion: str) -> str:
        """Why the vendor would refuse this JWT; empty when it is good (RFC 7523)."""
        parts = assertion.split(".")
        if not self.public_key or len(parts) != 3:
            return "user hasn't approved this consumer"
        try:
            key = load_pem_public_key(self.public_key.encode())
            if not isinstance(key, RSAPublicKey):
                return "invalid assertion"
            signed = f"{parts[0]}.{parts[1]}".encode()
            key.verify(_unpadded(parts[2]), signed, PKCS1v15(), SHA256())
            claims = read_json(_unpadded(parts[1]))
            expires = float(str(cast(dict[str, object], claims)["exp"]))
        except (InvalidSignature, ValueError, KeyError, binascii.Error):
            return "invalid assertion"
        wanted = {"iss": self.client_id, "sub": self.username}
        if any(cast(dict[str, object], claims).get(k) != v for k, v in wanted.items()):
            return "user hasn't approved this consumer"
        ahead = expires - clock.now().timestamp()
        return "" if 0 < ahead <= LONGEST_ASSERTION_SECONDS else "expired authorization code"


def _client(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret from HTTP Basic or the form."""
    scheme, _, encoded = request.header("Authorization").partition(" ")
    if scheme != "Basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused(error: str, words: str) -> Response:
    return Response(400, {}, write_json({"error": error, "error_description": words}))
