"""Signs in to Salesforce: OAuth client credentials on the organisation's own My Domain host."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tieout.ports.oauth import TokenAnswer, client_credentials, jwt_bearer
from tieout.ports.signin import SignIn, SignInFailed


def sign_in(settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
    """Client credentials, or JWT bearer when the secret `private_key` is there.

    There is no refresh token and no expiry in the answer: a 401 means a new token. Raises KeyError
    with the name of what is missing.
    """
    base_url = settings["base_url"].rstrip("/")
    token_url = f"{base_url}/services/oauth2/token"

    def accept(answer: TokenAnswer) -> None:
        """The token names the host to use; ours must be that one, never a guess."""
        if answer.instance_url and _origin(answer.instance_url) != _origin(base_url):
            raise SignInFailed(
                f"Salesforce says that this organisation lives at {answer.instance_url}, "
                f"the environment file says {base_url}",
                "Set base_url (and addresses) of this system to the former.",
            )

    if "private_key" in secrets:
        return jwt_bearer(
            token_url,
            secrets["client_id"],
            settings["username"],
            settings.get("audience", "https://login.salesforce.com"),
            secrets["private_key"],
            accept=accept,
        )
    return client_credentials(
        token_url, secrets["client_id"], secrets["client_secret"], accept=accept
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
