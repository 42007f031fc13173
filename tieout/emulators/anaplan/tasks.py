"""Tasks of imports and exports: one at a time per model, driven by the clock alone.

A task waits until the one before it has ended, reads its file when it starts, and changes cells
only when it completes: a cancelled one leaves nothing behind. Nothing runs in the background; each
call first brings every task up to the present (`advance`).
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from typing import cast

from tieout import clock
from tieout.emulators.anaplan import views
from tieout.emulators.anaplan.answers import Refusal, Row, Tables, one, page, text
from tieout.emulators.anaplan.files import BYTES_TYPE, Shelf, chunk_rows, cut
from tieout.emulators.anaplan.loading import Loaded, load
from tieout.emulators.anaplan.seed import timescale
from tieout.emulators.kit import whole_number
from tieout.ports.http import Request, Response

WAITING_SHARE = 0.2  # of a task's time it is NOT_STARTED
STEPS = {
    "NOT_STARTED": "Waiting to start.",
    "IN_PROGRESS": "Running.",
    "COMPLETE": "Complete.",
    "CANCELLING": "Cancelling.",
    "CANCELLED": "Cancelled.",
}
MOST_TASKS_KEPT = 200
UNDER_WAY = ("NOT_STARTED", "IN_PROGRESS", "CANCELLING")


class Desk:
    """Starts, advances, lists and cancels tasks; keeps the latest failure dump per import."""

    def __init__(self, tables: Tables, shelf: Shelf, settings: Mapping[str, str]) -> None:
        self.tables = tables
        self.shelf = shelf
        self.seconds = float(settings.get("task_seconds", "1"))
        self.dump_chunk_bytes = int(settings.get("dump_chunk_bytes", str(10 * 1024 * 1024)))
        self.periods = timescale()

    def start(self, model_id: str, kind: str, action_id: str) -> Response:
        """`POST {imports|exports}/{id}/tasks`."""
        now = clock.now()
        before = [
            cast(dt.datetime, row["endsAt"])
            for row in self.tables["tasks"].values()
            if row["modelId"] == model_id and row["taskState"] in UNDER_WAY
        ]
        turn = max([now, *before])
        self._forget()
        task_id = clock.new_id().hex.upper()
        self.tables["tasks"][task_id] = {
            "taskId": task_id,
            "modelId": model_id,
            "kind": kind,
            "actionId": action_id,
            "taskState": "NOT_STARTED",
            "creationTime": round(now.timestamp() * 1000),
            "startsAt": turn + dt.timedelta(seconds=self.seconds * WAITING_SHARE),
            "endsAt": turn + dt.timedelta(seconds=self.seconds),
        }
        return one("task", {"taskId": task_id})

    def advance(self) -> None:
        """Bring every task to where it would be by now, in the order they were created."""
        now = clock.now()
        for row in self.tables["tasks"].values():
            if row["taskState"] == "CANCELLING":
                self.tables["snapshots"].pop(text(row["taskId"]), None)
                row["taskState"] = "CANCELLED"
            if row["taskState"] == "NOT_STARTED" and now >= cast(dt.datetime, row["startsAt"]):
                self._begin(row)
            if row["taskState"] == "IN_PROGRESS" and now >= cast(dt.datetime, row["endsAt"]):
                self._finish(row)

    def running(self, model_id: str) -> bool:
        """Whether a task holds the model right now."""
        return any(
            row["modelId"] == model_id and row["taskState"] == "IN_PROGRESS"
            for row in self.tables["tasks"].values()
        )

    def listing(self, request: Request, kind: str, action_id: str) -> Response:
        rows = [
            {name: row[name] for name in ("taskId", "taskState", "creationTime")}
            for row in self.tables["tasks"].values()
            if row["kind"] == kind and row["actionId"] == action_id
        ]
        return page(request, "task", "tasks", rows)

    def status(self, kind: str, action_id: str, task_id: str) -> Response:
        row = self._task(kind, action_id, task_id)
        state = text(row["taskState"])
        shown: Row = {
            "taskId": task_id,
            "taskState": state,
            "progress": {"NOT_STARTED": 0.0, "IN_PROGRESS": 0.5}.get(state, 1.0),
            "currentStep": STEPS[state],
            "creationTime": row["creationTime"],
        }
        if "result" in row:
            shown["result"] = row["result"]
        return one("task", shown)

    def cancel(self, kind: str, action_id: str, task_id: str) -> Response:
        """`DELETE …/tasks/{id}`: rolled back, as if it never ran."""
        row = self._task(kind, action_id, task_id)
        if row["taskState"] not in UNDER_WAY:
            raise Refusal(400, f"Task {task_id} has already ended")
        row["taskState"] = "CANCELLING"
        return self.status(kind, action_id, task_id)

    def dump(self, request: Request, import_id: str, task_id: str, rest: list[str]) -> Response:
        """`…/dump`, `…/dump/chunks`, `…/dump/chunks/{n}`: only of the latest run."""
        kept = self.tables["dumps"].get(import_id)
        if kept is None or kept["taskId"] != task_id:
            raise Refusal(404, f"No failure dump for task {task_id}")
        data = text(kept["text"]).encode()
        pieces = cut(data, self.dump_chunk_bytes)
        if not rest:
            return Response(200, BYTES_TYPE, data)
        if rest == ["chunks"]:
            return page(request, "chunk", "chunks", chunk_rows(len(pieces)))
        place = whole_number(rest[1]) if len(rest) == 2 else None
        if place is not None and place < len(pieces):
            return Response(200, BYTES_TYPE, pieces[place])
        raise Refusal(404, "No such dump chunk")

    def _task(self, kind: str, action_id: str, task_id: str) -> Row:
        row = self.tables["tasks"].get(task_id)
        if row is None or row["kind"] != kind or row["actionId"] != action_id:
            raise Refusal(404, f"Task {task_id} not found")
        return row

    def _forget(self) -> None:
        """Drop the oldest ended tasks, so that a long rehearsal does not grow without bound."""
        ended = [
            key for key, row in self.tables["tasks"].items() if row["taskState"] not in UNDER_WAY
        ]
        for key in ended[: max(0, len(ended) - MOST_TASKS_KEPT + 1)]:
            del self.tables["tasks"][key]

    def _begin(self, row: Row) -> None:
        """Read the file now: a later upload no longer changes what this run loads."""
        row["taskState"] = "IN_PROGRESS"
        if row["kind"] == "imports":
            source = text(self.tables["imports"][text(row["actionId"])]["importDataSourceId"])
            content = self.shelf.content(source)
            self.tables["snapshots"][text(row["taskId"])] = {
                "content": None if content is None else base64.b64encode(content).decode()
            }

    def _finish(self, row: Row) -> None:
        row["taskState"] = "COMPLETE"
        action_id = text(row["actionId"])
        if row["kind"] == "imports":
            self._apply(row, action_id)
            return
        data = views.csv_of(self.tables["bookings"])
        self.shelf.store_export(action_id, text(self.tables["exports"][action_id]["name"]), data)
        row["result"] = {
            "details": [],
            "failureDumpAvailable": False,
            "objectId": action_id,
            "successful": True,
        }

    def _apply(self, row: Row, import_id: str) -> None:
        task_id = text(row["taskId"])
        kept = self.tables["snapshots"].pop(task_id, {}).get("content")
        model = self.tables["models"][text(row["modelId"])]
        planted = text(model.get("failImportWith"))
        if planted:
            loaded = Loaded(failure=("actionFailed", planted))
            model["failImportWith"] = ""
        else:
            loaded = load(
                base64.b64decode(text(kept)) if kept is not None else None,
                self.tables["entities"],
                self.periods,
                frozenset(cast(list[str], model.get("noAccessCodes") or [])),
            )
        bookings = self.tables["bookings"]
        created = len(loaded.cells.keys() - bookings.keys())
        bookings.update(loaded.cells)
        model["lastSavedSerialNumber"] = cast(int, model["lastSavedSerialNumber"]) + 1
        row["result"] = loaded.result(import_id, created)
        self.tables["dumps"].pop(import_id, None)
        if loaded.refused:
            self.tables["dumps"][import_id] = {"taskId": task_id, "text": loaded.dump()}
