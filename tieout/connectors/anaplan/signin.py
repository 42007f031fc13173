"""Anaplan's token: obtained with email and password, sent with every call, renewed when refused.

A token lives about 35 minutes, less than a long import may take. Source: vendor help,
"Authentication service".
"""

from __future__ import annotations

import base64
import json

from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.signin import SignInFailed

SIGN_IN_SECONDS = 30.0


class TokenSignIn:
    """Holds one token at a time; `renew` drops it, the next call fetches another."""

    def __init__(self, auth_url: str, email: str, password: str) -> None:
        self._url = f"{auth_url.rstrip('/')}/token/authenticate"
        self._basic = base64.b64encode(f"{email}:{password}".encode()).decode()
        self._token = ""

    def apply(self, request: Request, transport: Transport) -> Request:
        if not self._token:
            self._token = self._fetch(transport)
        return request.with_headers({"Authorization": f"AnaplanAuthToken {self._token}"})

    def renew(self, transport: Transport) -> bool:
        had_one, self._token = bool(self._token), ""
        return had_one

    def _fetch(self, transport: Transport) -> str:
        """A fresh token. Whatever goes wrong here, the caller's own request was never sent."""
        asked = Request(
            "POST",
            self._url,
            {"Authorization": f"Basic {self._basic}"},
            timeout_seconds=SIGN_IN_SECONDS,
        )
        try:
            answer = transport(asked)
        except NoAnswer as error:
            raise NoAnswer(f"signing in to Anaplan: {error.words}", never_sent=True) from error
        if answer.status in {400, 401, 403}:
            raise SignInFailed(
                f"Anaplan refused to sign in {answer.status}",
                "Check email and password of the integration user in the environment's secrets.",
            )
        token = _token_in(answer)
        if not token:
            raise NoAnswer(
                f"Anaplan's sign-in service answered {answer.status} without a token",
                never_sent=True,
            )
        return token


def _token_in(answer: Response) -> str:
    if answer.status not in {200, 201}:
        return ""
    try:
        said = json.loads(answer.body)
        token = said["tokenInfo"]["tokenValue"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return token if isinstance(token, str) else ""
