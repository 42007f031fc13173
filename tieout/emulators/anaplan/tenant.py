"""One Anaplan tenant: who may call, how often, and which call goes where.

Authentication and API share a host here; a landscape names both addresses anyway. Settings:
`email`, `password`, `certificate` (PEM text), `token_seconds`, `task_seconds`,
`requests_per_minute`, `page_limit`, `dump_chunk_bytes`, `entities`, and the object ids
`workspace_id`, `model_id`, `bookings_file_id`, `bookings_import_id`, `bookings_view_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tieout import clock
from tieout.emulators.anaplan import files, lists, seed, signin, tasks, views
from tieout.emulators.anaplan.answers import (
    MOST_PAGE_SIZE,
    Refusal,
    Row,
    Tables,
    one,
    page,
    text,
)
from tieout.emulators.kit import Fault, FaultPlan, OutboundCall
from tieout.ports.http import Request, Response

API = "/2/0/"
HIDDEN = ("failImportWith", "noAccessCodes")
SHUT = ("ARCHIVED", "MAINTENANCE", "PRODUCTION_MAINTENANCE")
LISTED = {
    "files": "file",
    "imports": "import",
    "exports": "export",
    "actions": "action",
    "processes": "process",
    "modules": "module",
    "views": "view",
    "lists": "list",
}


class AnaplanTenant:
    """A vendor twin (`tieout.emulators.kit.Emulator`)."""

    name = "anaplan"

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.faults = FaultPlan()
        self.tables: Tables = seed.seed(base_url, settings)
        self.requests_per_minute = int(settings.get("requests_per_minute", "600"))
        self.page_limit = int(settings.get("page_limit", str(MOST_PAGE_SIZE)))
        self._settings = dict(settings)

    def handle(self, request: Request) -> Response:
        """Answer one call as the vendor would."""
        path = request.path()
        # built per call from the tables, since loading a saved state replaces whole tables
        door = signin.Desk(self.tables["tokens"], self._settings)
        if path.startswith("/token/"):
            return door.answer(request, path.removeprefix("/token/"))
        shelf = files.Shelf(self.tables)
        desk = tasks.Desk(self.tables, shelf, self._settings)
        desk.advance()
        try:
            self._take_turn()
            if door.live(request) is None:
                raise Refusal(401, "Token is invalid or has expired")
            if not path.startswith(API):
                raise Refusal(404, "Not found")
            return self._route(request, path.removeprefix(API).split("/"), shelf, desk)
        except Refusal as refusal:
            return refusal.answer(path)

    def busy(self, fault: Fault) -> Response:
        headers = (
            {} if fault.kind == "busy_without_wait" else {"Retry-After": f"{fault.seconds:.0f}"}
        )
        return Refusal(429, "Too many requests", headers).answer("")

    def outbox(self) -> list[OutboundCall]:
        """Anaplan sends no webhooks."""
        return []

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        """Never called: the outbox is always empty."""

    def _take_turn(self) -> None:
        """A bucket of a minute's requests, refilled evenly; empty means 429."""
        now = clock.now().timestamp()
        bucket = self.tables["limits"].setdefault(
            "bucket", {"left": float(self.requests_per_minute), "at": now}
        )
        left, at = cast(float, bucket["left"]), cast(float, bucket["at"])
        per_second = self.requests_per_minute / 60
        left = min(float(self.requests_per_minute), left + max(0.0, now - at) * per_second)
        bucket["at"] = now
        if left < 1:
            bucket["left"] = left
            wait_seconds = max(1, round((1 - left) / per_second))
            raise Refusal(429, "Rate limit exceeded", {"Retry-After": str(wait_seconds)})
        bucket["left"] = left - 1

    def _route(
        self, request: Request, parts: list[str], shelf: files.Shelf, desk: tasks.Desk
    ) -> Response:
        match parts:
            case ["workspaces"]:
                return self._page(request, "workspace", "workspaces", "workspaces")
            case ["workspaces", workspace]:
                return one("workspace", self._row("workspaces", workspace))
            case ["workspaces", workspace, *rest]:
                self._row("workspaces", workspace)
                parts = rest
            case _:
                pass
        match parts:
            case ["models"]:
                rows = [self._shown(model, desk) for model in self.tables["models"]]
                return page(request, "model", "models", rows, self.page_limit)
            case ["models", model]:
                self._row("models", model)
                return one("model", self._shown(model, desk))
            case ["models", model, *rest]:
                self._row("models", model)
                self._open(model, request.method)
                return self._in_model(request, model, rest, shelf, desk)
            case _:
                raise Refusal(404, "Not found")

    def _in_model(
        self, request: Request, model: str, rest: list[str], shelf: files.Shelf, desk: tasks.Desk
    ) -> Response:
        match (request.method, *rest):
            case ("GET", kind) if kind in LISTED:
                return self._page(request, LISTED[kind], kind, kind)
            case (_, "files", *more):
                return _in_files(request, more, shelf)
            case (_, ("imports" | "exports") as kind, action, "tasks", *more):
                self._row(kind, action)
                return _in_tasks(request, (model, kind, action), more, desk)
            case ("GET", "modules", module, "views"):
                rows = [v for v in self.tables["views"].values() if v["moduleId"] == module]
                return page(request, "view", "views", rows, self.page_limit)
            case ("GET", "views", view, "data"):
                self._row("views", view)
                return views.data(request, self.tables["bookings"])
            case (_, "lists", list_id, "items"):
                return lists.items(request, self.tables, list_id)
            case ("GET", "status"):
                return one("requestStatus", _status(clock.now().timestamp()))
            case ("POST", "open" | "close"):
                return Response(204)
            case _:
                raise Refusal(404, "Not found")

    def _page(self, request: Request, kind: str, key: str, table: str) -> Response:
        rows = list(self.tables[table].values())
        return page(request, kind, key, rows, self.page_limit)

    def _row(self, table: str, key: str) -> Row:
        row = self.tables[table].get(key)
        if row is None:
            raise Refusal(404, f"{table} {key} not found")
        return row

    def _open(self, model: str, method: str) -> None:
        """A model that is locked can be looked at; one that is shut cannot be entered at all."""
        state = text(self.tables["models"][model]["activeState"])
        if state == "LOCKED" and method != "GET":
            raise Refusal(422, "Model is locked")
        if state in SHUT:
            raise Refusal(409, f"Model is not available: {state}")

    def _shown(self, model: str, desk: tasks.Desk) -> Row:
        row = {k: v for k, v in self.tables["models"][model].items() if k not in HIDDEN}
        return {**row, "modelTransactionRunning": desk.running(model)}


def _in_files(request: Request, more: list[str], shelf: files.Shelf) -> Response:
    match (request.method, *more):
        case ("POST", file_id):
            return shelf.announce(request, file_id)
        case ("GET", file_id):
            return shelf.whole(file_id)
        case ("POST", file_id, "complete"):
            return shelf.complete(file_id)
        case ("GET", file_id, "chunks"):
            return shelf.chunk_list(request, file_id)
        case ("GET", file_id, "chunks", number):
            return shelf.chunk(file_id, number)
        case ("PUT", file_id, "chunks", number):
            return shelf.put(request, file_id, number)
        case _:
            raise Refusal(404, "Not found")


def _in_tasks(
    request: Request, of: tuple[str, str, str], more: list[str], desk: tasks.Desk
) -> Response:
    model, kind, action = of
    match (request.method, *more):
        case ("POST",):
            files.body_of(request)
            return desk.start(model, kind, action)
        case ("GET",):
            return desk.listing(request, kind, action)
        case ("GET", task):
            return desk.status(kind, action, task)
        case ("DELETE", task):
            return desk.cancel(kind, action, task)
        case ("GET", task, "dump", *rest) if kind == "imports":
            return desk.dump(request, action, task, rest)
        case _:
            raise Refusal(404, "Not found")


def _status(seconds: float) -> Row:
    return {
        "peakMemoryUsageEstimate": None,
        "peakMemoryUsageTime": None,
        "progress": -1.0,
        "currentStep": "Open",
        "tooltip": None,
        "taskId": None,
        "creationTime": round(seconds * 1000),
        "exportTaskType": None,
    }
