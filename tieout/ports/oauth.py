"""OAuth 2.0 sign-ins for machines: client credentials (RFC 6749 §4.4) and JWT bearer (RFC 7523).

A token endpoint that does not answer never puts the call itself in doubt: without a token the call
was not sent, so its outcome is Outage and never Unknown.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tieout import clock
from tieout.ports.http import NoAnswer, Request, Response, Transport
from tieout.ports.signin import SignInFailed

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 180  # several vendors refuse longer ones
RENEW_BEFORE_SECONDS = 60.0
TOKEN_TIMEOUT_SECONDS = 30.0
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class TokenAnswer(msgspec.Struct, frozen=True):
    """What a token endpoint grants; `expires_in` in seconds, absent when it does not say."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: float | None = None
    instance_url: str = ""

    def __repr__(self) -> str:
        return f"TokenAnswer({self.token_type}, expires_in={self.expires_in})"


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""
    error_description: str = ""


def _accept(answer: TokenAnswer) -> None:
    """The default: every token is welcome."""


@dataclass
class OAuthSignIn:
    """Fetches a bearer token when there is none, and again when it is refused or about to expire.

    `form` makes the body of the token call anew each time (an assertion holds the time); `headers`
    go with it. `accept` may look at a granted token and raise SignInFailed.
    """

    token_url: str
    form: Callable[[], Mapping[str, str]] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    accept: Callable[[TokenAnswer], None] = field(default=_accept, repr=False)
    _token: str = field(default="", repr=False)
    _good_until: float | None = field(default=None, repr=False)

    def apply(self, request: Request, transport: Transport) -> Request:
        """The request with its bearer token. Raises SignInFailed, or NoAnswer (never sent)."""
        if self._good_until is not None and clock.monotonic() >= self._good_until:
            self._token = ""
        if not self._token:
            self._fetch(transport)
        return request.with_headers({"Authorization": f"Bearer {self._token}"})

    def renew(self, transport: Transport) -> bool:
        """Forget the refused token; a fresh one is always worth one more try."""
        self._token = ""
        return True

    def _fetch(self, transport: Transport) -> None:
        request = Request(
            "POST",
            self.token_url,
            {"Content-Type": "application/x-www-form-urlencoded", **self.headers},
            urlencode(self.form()).encode(),
            timeout_seconds=TOKEN_TIMEOUT_SECONDS,
        )
        try:
            response = transport(request)
        except NoAnswer as silence:
            raise NoAnswer(f"no token: {silence.words}", never_sent=True) from silence
        if response.status != 200:
            raise self._refused(response)
        try:
            answer = msgspec.json.decode(response.body, type=TokenAnswer)
        except UNREADABLE as error:
            raise NoAnswer(
                f"the token endpoint {self.token_url} did not answer in its own form: "
                f"{type(error).__name__}",
                never_sent=True,
            ) from None
        self.accept(answer)
        self._token = answer.access_token
        self._good_until = None
        if answer.expires_in is not None:
            usable = max(answer.expires_in - RENEW_BEFORE_SECONDS, answer.expires_in / 2)
            self._good_until = clock.monotonic() + usable

    def _refused(self, response: Response) -> SignInFailed | NoAnswer:
        try:
            said = msgspec.json.decode(response.body, type=_Refusal)
        except UNREADABLE:
            said = _Refusal()
        if response.status == 401 or (response.status < 500 and said.error):
            return SignInFailed(
                f"{self.token_url} refused our credentials: {response.status} {said.error} "
                f"{said.error_description}".rstrip(),
                "Check the client id, the secret or key, and that the vendor's administrator has "
                "approved this client.",
            )
        return NoAnswer(
            f"the token endpoint {self.token_url} answered {response.status}", never_sent=True
        )


def client_credentials(
    token_url: str,
    client_id: str,
    client_secret: str,
    *,
    scope: str = "",
    in_body: bool = False,
    accept: Callable[[TokenAnswer], None] = _accept,
) -> OAuthSignIn:
    """Sign in as a client: HTTP Basic by default, in the form where a vendor wants it there."""
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    if in_body:
        form |= {"client_id": client_id, "client_secret": client_secret}
        return OAuthSignIn(token_url, lambda: form, accept=accept)
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return OAuthSignIn(token_url, lambda: form, {"Authorization": f"Basic {pair}"}, accept)


def jwt_bearer(
    token_url: str,
    client_id: str,
    subject: str,
    audience: str,
    private_key: str,
    *,
    accept: Callable[[TokenAnswer], None] = _accept,
) -> OAuthSignIn:
    """Sign in for `subject` with an assertion signed by `private_key` (PEM, RSA, RS256).

    Raises SignInFailed when the key cannot be read.
    """
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise SignInFailed(
            "the private key is not an unencrypted RSA key in PEM form",
            "Check the secret that holds the private key.",
        )
    signer = key

    def form() -> Mapping[str, str]:
        expires = int(clock.now().timestamp()) + ASSERTION_SECONDS
        claims = {"iss": client_id, "sub": subject, "aud": audience, "exp": expires}
        head = _segment(msgspec.json.encode({"alg": "RS256", "typ": "JWT"}))
        signed = head + b"." + _segment(msgspec.json.encode(claims))
        signature = _segment(signer.sign(signed, PKCS1v15(), SHA256()))
        return {"grant_type": JWT_BEARER, "assertion": (signed + b"." + signature).decode()}

    return OAuthSignIn(token_url, form, accept=accept)


def _segment(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
