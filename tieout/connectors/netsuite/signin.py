"""Signs in by token-based authentication: OAuth 1.0a, HMAC-SHA256, a fresh signature per send."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.ports.http import Request, Transport
from tieout.ports.oauth1 import Signer


class TokenSignIn:
    """The four secrets of an integration's token; raises KeyError for one that is missing.

    There is no token to renew: a refused signature stays refused until somebody changes the
    secrets, the role or the machine's clock.
    """

    def __init__(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        self._signer = Signer(
            consumer_key=secrets["consumer_key"],
            consumer_secret=secrets["consumer_secret"],
            token=secrets["token_id"],
            token_secret=secrets["token_secret"],
            realm=realm(settings["account"]),
        )

    def apply(self, request: Request, transport: Transport) -> Request:
        header = self._signer.authorization(request.method, request.full_url())
        return request.with_headers({"Authorization": header})

    def renew(self, transport: Transport) -> bool:
        return False


def realm(account: str) -> str:
    """The account id as the realm wants it: upper case, with an underscore (1234567_SB1)."""
    return account.strip().upper().replace("-", "_")
