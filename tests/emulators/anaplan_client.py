"""The independent client `anaplan-sdk`, turned to an emulator; its own hosts are fixed."""

from __future__ import annotations

import csv
import datetime as dt
import io

import httpx2
import pytest
from anaplan_sdk import Client

from tieout import clock
from tieout.emulators.anaplan import seed
from tieout.emulators.anaplan.loading import COLUMNS
from tieout.emulators.host import Served
from tieout.ports.http import Request
from tieout.ports.transport import http_transport

EMAIL, PASSWORD = "integration@northwind.example", "emulated-password"
FILE, IMPORT, EXPORT = int(seed.FILE_ID), int(seed.IMPORT_ID), int(seed.EXPORT_ID)
VIEW = int(seed.MODULE_ID)
ROW = ("SO1-1", "SO1", "1", "NWEU", "Jul 20", "EUR", "P-42", "12", "98.00", "98.00", "Active")


IN_MODEL = f"/2/0/workspaces/{seed.WORKSPACE_ID}/models/{seed.MODEL_ID}"


def turn_to(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send what the client means for *.anaplan.com to the emulator."""
    here = httpx2.URL(served.url)
    real = httpx2.HTTPTransport.handle_request

    def handle(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        assert request.url.host.endswith(".anaplan.com") or request.url.host == here.host
        request.url = request.url.copy_with(scheme="http", host=here.host, port=here.port)
        return real(self, request)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle)


def client(**options: object) -> Client:
    settings: dict[str, object] = {
        "workspace_id": seed.WORKSPACE_ID,
        "model_id": seed.MODEL_ID,
        "user_email": EMAIL,
        "password": PASSWORD,
        "retry_count": 1,
        "status_poll_delay": 0,
    }
    return Client(**{**settings, **options})


def text_of(*rows: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([COLUMNS, *rows])
    return out.getvalue()


def with_(row: tuple[str, ...], **fields: str) -> tuple[str, ...]:
    return tuple(fields.get(name, value) for name, value in zip(COLUMNS, row, strict=True))


def call(served: Served, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """A call outside the client: the status alone."""
    send = http_transport([served.url])
    token = next(iter(served.emulator.tables["tokens"]))
    signed = {"Authorization": f"AnaplanAuthToken {token}", **headers}
    return send(Request(method, f"{served.url}{path}", signed, body, timeout_seconds=5)).status


class Stopped(clock.RealWorld):
    """A world whose clock moves only when told."""

    def __init__(self) -> None:
        super().__init__()
        self.instant = dt.datetime(2026, 1, 5, 9, 0, tzinfo=clock.UTC)

    def now(self) -> dt.datetime:
        return self.instant

    def pass_(self, seconds: float) -> None:
        self.instant += dt.timedelta(seconds=seconds)
