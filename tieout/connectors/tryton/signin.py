"""Signing in to Tryton: a login and a password open a session, and every call carries it.

`common.db.login` answers `[user id, session, ...]`; calls carry
`Authorization: Session base64(login:user id:session)`. A session that aged out is a 401.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from tieout.connectors.tryton.wire import HEADERS, NotJson, body_of, decode, endpoint
from tieout.ports.http import NoAnswer, Request, Transport
from tieout.ports.signin import SignInFailed


class TrytonSignIn:
    """Opens a session on first use, and once more when the server has forgotten it."""

    def __init__(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        self._url = endpoint(settings)
        self._login = settings["login"]
        self._password = secrets["password"]
        self._header = ""

    def apply(self, request: Request, transport: Transport) -> Request:
        """The request with its session. Raises SignInFailed, NoAnswer."""
        if not self._header:
            self._header = self._open(transport)
        return request.with_headers({"Authorization": self._header})

    def renew(self, transport: Transport) -> bool:
        """Forget the session that was refused; the next call opens a new one."""
        self._header = ""
        return True

    def _open(self, transport: Transport) -> str:
        request = Request(
            "POST",
            self._url,
            HEADERS,
            body_of("common.db.login", [self._login, {"password": self._password}, "en"]),
            timeout_seconds=30.0,
        )
        try:
            response = transport(request)
        except NoAnswer as silence:  # the call that needs the session was not sent
            raise NoAnswer(f"signing in to Tryton: {silence.words}", never_sent=True) from silence
        if response.status == 401:
            raise SignInFailed(
                f"Tryton refused the login '{self._login}'",
                "Check login and password of this system in environments/*.yaml.",
            )
        if response.status == 404:
            raise SignInFailed(
                f"Tryton has no database at {self._url}",
                "Check the setting 'database' of this system in environments/*.yaml.",
            )
        if response.status != 200:  # 429 after failed tries, 5xx: nothing of ours was sent
            raise NoAnswer(f"Tryton's sign-in answered {response.status}", never_sent=True)
        try:
            answer = decode(response.body)
        except NotJson as error:
            raise SignInFailed(
                f"{self._url} does not speak Tryton: {error}",
                "Check base_url of this system in environments/*.yaml.",
            ) from error
        result = answer.get("result")
        if not isinstance(result, list) or len(result) < 2:
            raise SignInFailed(
                f"Tryton asks the login '{self._login}' for more than a password",
                "Give the connection a user that signs in with a password alone.",
            )
        whole = f"{self._login}:{result[0]}:{result[1]}".encode()
        return "Session " + base64.b64encode(whole).decode()
