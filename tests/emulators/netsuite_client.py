"""The `netsuite` package from PyPI, pointed at an emulated tenant; and plain calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from netsuite.config import Config
from netsuite.rest_api import NetSuiteRestApi

from tieout.emulators.kit import read_json, write_json
from tieout.emulators.netsuite import EMULATOR
from tieout.emulators.netsuite.seeds import DEFAULTS
from tieout.ports.http import Request, Response
from tieout.ports.oauth1 import Signer

SECRETS = {
    name: DEFAULTS[name] for name in ("consumer_key", "consumer_secret", "token_id", "token_secret")
}
STRICT = {"X-NetSuite-PropertyNameValidation": "Error"}


class Client(NetSuiteRestApi):
    """Somebody else's client; only the address differs."""

    def __init__(self, url: str, **secrets: str) -> None:
        auth = {**SECRETS, **secrets}
        super().__init__(Config.model_validate({"account": DEFAULTS["account"], "auth": auth}))
        self._url = url

    def _make_url(self, subpath: str) -> str:
        return f"{self._url}/services/rest{subpath}"

    def _make_auth(self) -> Callable[[httpx.Request], httpx.Request]:
        """The client's own signer (authlib), handed to httpx as a function: authlib derives its
        class from httpx2 as soon as that is installed beside httpx."""
        signing = super()._make_auth()

        def sign(request: httpx.Request) -> httpx.Request:
            _, headers, _ = signing.prepare(
                request.method, str(request.url), dict(request.headers), request.content
            )
            request.headers["Authorization"] = headers["Authorization"]
            return request

        return sign


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def signer(**changes: str) -> Signer:
    return Signer(
        consumer_key=changes.get("consumer_key", SECRETS["consumer_key"]),
        consumer_secret=changes.get("consumer_secret", SECRETS["consumer_secret"]),
        token=changes.get("token_id", SECRETS["token_id"]),
        token_secret=changes.get("token_secret", SECRETS["token_secret"]),
        realm=changes.get("realm", DEFAULTS["account"]),
    )


class Tenant:
    """An emulated tenant in this process, called without a server."""

    base = "http://127.0.0.1:1"

    def __init__(self, **settings: str) -> None:
        self.emulator = EMULATOR(self.base, settings)

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Response:
        url = f"{self.base}/services/rest{path}"
        sent = {**STRICT, "Authorization": signer().authorization(method, url), **(headers or {})}
        data = b"" if body is None else write_json(body)
        return self.emulator.handle(Request(method, url, sent, data))

    def read(self, path: str) -> Any:
        response = self.call("GET", path)
        assert response.status == 200, response.text()
        return read_json(response.body)

    def made(self, response: Response) -> str:
        assert response.status == 204, response.text()
        return response.header("Location").rsplit("/", 1)[-1]

    def customer(self, name: str = "ALFKI", subsidiary: str = "2") -> str:
        body = {"companyName": name, "subsidiary": {"id": subsidiary}, "currency": {"id": "1"}}
        return self.made(self.call("PUT", f"/record/v1/customer/eid:customer-{name}", body))

    def item(self, name: str = "Chai") -> str:
        return self.made(self.call("PUT", f"/record/v1/inventoryItem/eid:{name}", {"itemId": name}))

    def order(self, reference: str, *lines: dict[str, object], **fields: object) -> Response:
        item = self.item()
        body = {
            "entity": {"id": self.customer()},
            "tranDate": "2020-07-04",
            "item": {"items": [{"item": {"id": item}, **line} for line in lines]},
            **fields,
        }
        return self.call("PUT", f"/record/v1/salesOrder/eid:{reference}", body)

    def query(self, text: str, paging: str = "") -> list[dict[str, str]]:
        response = self.call(
            "POST", f"/query/v1/suiteql{paging}", {"q": text}, {"Prefer": "transient"}
        )
        assert response.status == 200, response.text()
        items: list[dict[str, Any]] = read_json(response.body)["items"]  # type: ignore[call-overload,index]
        return [{k: v for k, v in item.items() if k != "links"} for item in items]


def error(response: Response) -> dict[str, Any]:
    body: Any = read_json(response.body)
    assert body["status"] == response.status
    assert body["type"].startswith("https://")
    assert body["title"]
    detail: dict[str, Any] = body["o:errorDetails"][0]
    return detail
