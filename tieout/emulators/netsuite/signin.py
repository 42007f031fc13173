"""Who may call: token-based authentication (OAuth 1.0a, HMAC-SHA256)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from tieout import clock
from tieout.emulators.kit import whole_number
from tieout.emulators.netsuite.answers import Refused
from tieout.emulators.netsuite.record_types import Row
from tieout.ports import oauth1
from tieout.ports.http import Request

SKEW_SECONDS = 300
MOST_NONCES = 100_000
_REQUIRED = (
    "oauth_consumer_key",
    "oauth_token",
    "oauth_nonce",
    "oauth_timestamp",
    "oauth_signature",
)


def check_token(request: Request, settings: Mapping[str, str], nonces: dict[str, Row]) -> None:
    """Let a rightly signed request through and remember its nonce. Raises Refused (401)."""
    given = oauth1.parse_header(request.header("Authorization"))
    if any(not given.get(name) for name in _REQUIRED):
        raise _refused(settings, "parameter_absent")
    if given.get("realm") != settings["account"]:
        raise _refused(settings, "realm")
    if given.get("oauth_signature_method") != oauth1.METHOD:
        raise _refused(settings, "signature_method_rejected")
    now = int(clock.now().timestamp())
    stamp = whole_number(given["oauth_timestamp"])
    if stamp is None or abs(now - stamp) > SKEW_SECONDS:
        raise _refused(settings, "timestamp_refused")
    known = (settings["consumer_key"], settings["token_id"])
    if (given["oauth_consumer_key"], given["oauth_token"]) != known:
        raise _refused(settings, "token_rejected")
    text = oauth1.base_string(request.method, request.full_url(), given)
    right = oauth1.signature(text, settings["consumer_secret"], settings["token_secret"])
    if not hmac.compare_digest(right.encode(), given["oauth_signature"].encode()):
        raise _refused(settings, "signature_invalid")
    nonce = given["oauth_nonce"]
    if nonce in nonces and now - nonces[nonce]["at"] <= 2 * SKEW_SECONDS:
        raise _refused(settings, "nonce_used")
    nonces[nonce] = {"at": now}
    _forget_old(nonces, now)


def _forget_old(nonces: dict[str, Row], now: int) -> None:
    """Drop nonces whose timestamps would be refused anyway; insertion order is time order."""
    while nonces:
        oldest = next(iter(nonces))
        if len(nonces) <= MOST_NONCES and now - nonces[oldest]["at"] <= 2 * SKEW_SECONDS:
            return
        del nonces[oldest]


def _refused(settings: Mapping[str, str], problem: str) -> Refused:
    """The body says no more than the vendor's does; the reason stands in the challenge header,
    where the vendor has its audit trail."""
    return Refused(
        "INVALID_LOGIN_ATTEMPT",
        "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at "
        "Setup > Users/Roles > User Management > View Login Audit Trail.",
        status=401,
        headers={
            "WWW-Authenticate": f'OAuth realm="{settings["account"]}", error="{problem}", '
            'error_description="Invalid login attempt."'
        },
    )
