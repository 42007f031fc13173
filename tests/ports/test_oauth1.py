"""Our OAuth 1.0a signer against the RFC's own example and against oauthlib."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1.rfc5849 import Client

from tieout.ports import oauth1
from tieout.ports.oauth1 import Signer

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)


def test_the_base_string_of_rfc_5849() -> None:
    """RFC 5849 §3.4.1.1, without its form body."""
    header = {
        "realm": "Example",
        "oauth_consumer_key": "9djdj82h48djs9d2",
        "oauth_token": "kkk9d7dh3k39sjv7",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "137131201",
        "oauth_nonce": "7d8f3e4a",
        "oauth_signature": "bYT5CMsGcbgUdFHObYMEfcx6bsw=",
    }
    url = "http://EXAMPLE.com:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2&a3=2+q"
    assert oauth1.base_string("post", url, header) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D"
        "%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e"
        "4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d"
        "7dh3k39sjv7"
    )


@given(secrets=st.tuples(TEXT, TEXT, TEXT, TEXT), value=TEXT, realm=st.sampled_from(["", "1_SB1"]))
def test_oauthlib_signs_the_same(
    secrets: tuple[str, str, str, str], value: str, realm: str
) -> None:
    consumer, consumer_secret, token, token_secret = secrets
    url = f"https://1-sb1.suitetalk.example/services/rest/x/eid:A-1?q={oauth1.escape(value)}&z=1"
    header = Signer(consumer, consumer_secret, token, token_secret, realm).authorization(
        "PUT", url, timestamp=1_600_000_000, nonce="abc"
    )
    oracle = Client(
        consumer,
        client_secret=consumer_secret,
        resource_owner_key=token,
        resource_owner_secret=token_secret,
        signature_method="HMAC-SHA256",
        realm=realm or None,
        nonce="abc",
        timestamp="1600000000",
    )
    _, headers, _ = oracle.sign(url, "PUT")
    theirs = oauth1.parse_header(str(headers["Authorization"]))
    assert oauth1.parse_header(header) == theirs


def test_every_signature_is_fresh_and_keeps_its_secrets() -> None:
    signer = Signer("key", "top-secret", "token", "token-secret", "R")
    one, other = (signer.authorization("GET", "https://a.example/") for _ in range(2))
    assert oauth1.parse_header(one)["oauth_nonce"] != oauth1.parse_header(other)["oauth_nonce"]
    assert "secret" not in one.replace("oauth_", "")
    assert "top-secret" not in repr(signer)
    assert oauth1.parse_header("Bearer abc") == {}
