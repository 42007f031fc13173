"""Opening a session: what is missing is named, with the place to put it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from tieout.ports.connector import Connector
from tieout.ports.http import Request, Response
from tieout.ports.opening import SettingMissing, open_session
from tieout.ports.signin import NoSignIn, SignIn
from tieout.ports.transport import HostNotAllowed


def _signin(settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
    assert settings["base_url"]
    assert secrets["api_key"]
    return NoSignIn()


LEDGER = cast(
    Connector,
    SimpleNamespace(
        signin=_signin, settings={"base_url": "Its address"}, secrets={"api_key": "Its key"}
    ),
)


@pytest.mark.parametrize(
    ("settings", "secrets", "words"),
    [
        ({}, {"api_key": "k"}, r"ledger: 'base_url' is missing \(Its address\).*environments"),
        ({"base_url": "u"}, {}, r"ledger: 'api_key' is missing \(Its key\).*environments"),
    ],
)
def test_what_is_missing_is_named(
    settings: dict[str, str], secrets: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingMissing, match=words):
        open_session("ledger", LEDGER, settings, secrets, [])


def test_only_the_named_addresses_are_open() -> None:
    line = open_session(
        "ledger", LEDGER, {"base_url": "u"}, {"api_key": "k"}, ["http://127.0.0.1:9"]
    )
    with pytest.raises(HostNotAllowed):
        line.send(Request("GET", "http://127.0.0.1:10/"))


def test_another_transport_takes_the_place_of_http() -> None:
    line = open_session(
        "ledger",
        LEDGER,
        {"base_url": "u"},
        {"api_key": "k"},
        [],
        most_in_flight=2,
        timeout_seconds=1.5,
        transport=lambda request: Response(200, {}, str(request.timeout_seconds).encode()),
    )
    assert line.send(Request("GET", "http://anywhere/")).text() == "1.5"
    assert line.most_in_flight == 2
