"""Signs one HTTP request by OAuth 1.0a (RFC 5849) with HMAC-SHA256.

Only the header form is spoken, and only the query string takes part besides the header's own
parameters: a JSON body is never part of the signature (RFC 5849 §3.4.1.3.1).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tieout import clock

METHOD = "HMAC-SHA256"


def escape(text: str) -> str:
    """Percent-encoding of RFC 5849 §3.6: everything but letters, digits and `-._~`."""
    return quote(text, safe="-._~")


def base_string(method: str, url: str, oauth: Mapping[str, str]) -> str:
    """What is signed (RFC 5849 §3.4.1). `oauth` are the header's parameters; `realm` and
    `oauth_signature` never take part."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    usual = {"http": 80, "https": 443}.get(parts.scheme.lower())
    if parts.port is not None and parts.port != usual:
        host = f"{host}:{parts.port}"
    place = f"{parts.scheme.lower()}://{host}{parts.path or '/'}"
    pairs = [(k, v) for k, v in oauth.items() if k not in {"realm", "oauth_signature"}]
    pairs += parse_qsl(parts.query, keep_blank_values=True)
    sorted_pairs = sorted((escape(key), escape(value)) for key, value in pairs)
    parameters = "&".join(f"{key}={value}" for key, value in sorted_pairs)
    return "&".join((method.upper(), escape(place), escape(parameters)))


def signature(text: str, consumer_secret: str, token_secret: str) -> str:
    """HMAC-SHA256 of a base string under both secrets, in base64."""
    key = f"{escape(consumer_secret)}&{escape(token_secret)}".encode()
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def parse_header(header: str) -> dict[str, str]:
    """The parameters of an `Authorization: OAuth …` header, decoded; {} if it is something else."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "oauth":
        return {}
    found: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            found[name] = unquote(value.strip().strip('"'))
    return found


@dataclass(frozen=True, slots=True)
class Signer:
    """The four secrets of a token and the realm they belong to. Every call signs afresh: a nonce
    that was used once is refused by the other side."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    token: str = field(repr=False)
    token_secret: str = field(repr=False)
    realm: str = ""

    def authorization(
        self, method: str, url: str, *, timestamp: int | None = None, nonce: str = ""
    ) -> str:
        """The value of the `Authorization` header. Time and nonce come from the product's clock
        unless they are given."""
        at = int(clock.now().timestamp()) if timestamp is None else timestamp
        oauth = {
            "oauth_consumer_key": self.consumer_key,
            "oauth_token": self.token,
            "oauth_signature_method": METHOD,
            "oauth_timestamp": str(at),
            "oauth_nonce": nonce or clock.new_id().hex,
            "oauth_version": "1.0",
        }
        text = base_string(method, url, oauth)
        oauth["oauth_signature"] = signature(text, self.consumer_secret, self.token_secret)
        head = f'realm="{escape(self.realm)}", ' if self.realm else ""
        return "OAuth " + head + ", ".join(f'{k}="{escape(v)}"' for k, v in oauth.items())
