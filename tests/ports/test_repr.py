"""What holds a secret does not tell it by `repr`: tracebacks and test reports print that."""

from __future__ import annotations

import pytest

from tieout.landscape.schema import EnvironmentSpec
from tieout.ports.connector import InboundCall
from tieout.ports.oauth import TokenAnswer, client_credentials
from tieout.ports.oauth1 import Signer

SECRET = "s3cret-canary"
HOLDERS = (
    InboundCall("Opportunity", {"X-Signature": SECRET}, SECRET.encode(), SECRET),
    EnvironmentSpec({}, {"password": f"literal:{SECRET}"}, ()),
    Signer(SECRET, SECRET, SECRET, SECRET, "realm"),
    TokenAnswer(access_token=SECRET),
    client_credentials("https://x.example/token", SECRET, SECRET),
    client_credentials("https://x.example/token", SECRET, SECRET, in_body=True),
)


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda one: type(one).__name__)
def test_no_secret_is_told_by_repr(holder: object) -> None:
    assert SECRET not in repr(holder)
    assert SECRET not in f"{holder}"
