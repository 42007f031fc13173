"""How people work in Salesforce in a rehearsal, and what we wrote to their rows.

People use the vendor's REST API like anybody else, but not as our integration, so that workflows
send their outbound messages. They do not pass the session: nothing of ours can die while they work.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tieout.emulators.kit import Emulator, read_json, write_json
from tieout.emulators.salesforce.collections import MOST_ROWS
from tieout.emulators.salesforce.model import OBJECTS
from tieout.ports.connector import Connector, Stream
from tieout.ports.http import Request, Response
from tieout.rehearsal.twins.base import Effect, Unplayable
from tieout.rehearsal.twins.emulated import Emulated

COLLECTION = "composite/sobjects"
FIRST_STAGE = "Prospecting"  # a deal is made open, gets its lines, and then moves on
OPPORTUNITY, LINE, LINES = "Opportunity", "OpportunityLineItem", "OpportunityLineItems"
LOCKED = {
    "statusCode": "UNABLE_TO_LOCK_ROW",
    "message": "unable to obtain exclusive access to this record",
    "fields": [],
}
Row = Mapping[str, Any]


class SalesforceTwin(Emulated):
    """Rows are those of the streams, in the form in which they are read; an opportunity holds its
    lines in `OpportunityLineItems.records`. A row without lines leaves them as they are."""

    strikes = frozenset({"partial"})

    def __init__(
        self, system: str, real: Connector, emulator: Emulator, settings: Mapping[str, str]
    ) -> None:
        super().__init__(system, real, emulator, settings)
        self._root = f"{settings['base_url'].rstrip('/')}/services/data/v{settings['api_version']}"
        self._token = ""
        self._partial: random.Random | None = None
        self._written: dict[str, str] = {}  # id -> stream, of the rows that we wrote to

    # --- what people do -------------------------------------------------------------------------

    def put(self, stream: str, row: Row) -> str:
        """Make a row, or change what differs in the one with its Id. One in which nothing differs
        is saved all the same, and is a new version."""
        kind = self._stream(stream)
        key = str(row.get("Id") or "")
        now = self.emulator.tables.get(stream, {}).get(key)
        if now is None or now["IsDeleted"]:
            return self._create(kind, row)
        touched = self._lines(key, row)
        values = self._settable(kind, row)
        changed = {name: value for name, value in values.items() if now[name] != value}
        if changed or not touched:
            self._call("PATCH", f"sobjects/{stream}/{key}", changed or values)
        return key

    def _create(self, kind: Stream, row: Row) -> str:
        values = self._settable(kind, row)
        stage = values.get("StageName") if kind.name == OPPORTUNITY else None
        if stage is not None:
            values["StageName"] = FIRST_STAGE
        key = str(self._call("POST", f"sobjects/{kind.name}", values)["id"])
        self._lines(key, row)
        if stage not in {None, FIRST_STAGE}:
            self._call("PATCH", f"sobjects/{kind.name}/{key}", {"StageName": stage})
        return key

    def remove(self, stream: str, key: str) -> None:
        """Put a row in the recycle bin. Raises Unplayable for one that others need."""
        self._stream(stream)
        self._call("DELETE", f"sobjects/{stream}/{key}")

    def rows(self, stream: str) -> Mapping[str, Row]:
        """The live rows by Id, in the form in which they are read."""
        kind = self._stream(stream)
        lines: dict[str, list[dict[str, object]]] = {}
        inner = next((one.fields[0].fields for one in kind.fields if one.name == LINES), ())
        if inner:
            for line in self._live(LINE):
                shown = {one.name: line[one.name] for one in inner}
                lines.setdefault(str(line["OpportunityId"]), []).append(shown)
        return {
            str(row["Id"]): {
                one.name: _listed(lines.get(str(row["Id"]), []))
                if one.name == LINES
                else row[one.name]
                for one in kind.fields
            }
            for row in self._live(stream)
        }

    def _lines(self, opportunity: str, row: Row) -> bool:
        """Bring the lines of a deal to what the row says: by their Id, or by their place
        where none of them has one. Whether there was anything to do."""
        told = row.get(LINES)
        if not isinstance(told, Mapping):
            return False
        known = {
            str(one["Id"]): one for one in self._live(LINE) if one["OpportunityId"] == opportunity
        }
        wanted: list[Row] = list(told.get("records") or ())
        named = {str(one["Id"]) for one in wanted if one.get("Id") in known}
        free = [one for key, one in known.items() if key not in named]
        made, changed = [], []
        for one in wanted:
            now = known.get(str(one.get("Id") or ""))
            if now is None and free and not named:
                now = free.pop(0)
            same = now is not None and now["Product2Id"] == one.get("Product2Id")
            values = _line_values(one, creating=not same)
            if now is None or not same:
                made.append({**values, "OpportunityId": opportunity})
                free += [now] if now is not None else []
            elif any(now[name] != value for name, value in values.items()):
                changed.append({**values, "id": str(now["Id"])})
        for method, rows in (("PATCH", changed), ("POST", made)):
            for start in range(0, len(rows), MOST_ROWS):
                part = [
                    {"attributes": {"type": LINE}, **one} for one in rows[start : start + MOST_ROWS]
                ]
                answers = self._call(method, COLLECTION, {"allOrNone": True, "records": part})
                failed = [one["errors"] for one in answers if not one["success"]]
                if failed:
                    raise Unplayable(f"{self.system} refused order lines: {failed[0]}")
        for one in free:
            self._call("DELETE", f"sobjects/{LINE}/{one['Id']}")
        return bool(made or changed or free)

    def _live(self, kind: str) -> list[Row]:
        return [row for row in self.emulator.tables.get(kind, {}).values() if not row["IsDeleted"]]

    def _stream(self, name: str) -> Stream:
        found = self.streams.get(name)
        if found is None or name not in OBJECTS:
            raise Unplayable(f"{self.system} has no stream '{name}'")
        return found

    def _settable(self, kind: Stream, row: Row) -> dict[str, object]:
        fields = OBJECTS[kind.name].fields
        return {name: row[name] for name in row if name in fields and fields[name].updatable}

    def _call(self, method: str, path: str, body: object = None) -> Any:
        """One call of somebody who works there. Raises Unplayable in the vendor's words."""
        data = write_json(body) if body is not None else b""
        for _ in range(2):  # a session may have ended
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self.emulator.handle(Request(method, f"{self._root}/{path}", headers, data))
            if answer.status != 401:
                break
            self._sign_in()
        if answer.status >= 300:
            raise Unplayable(f"{self.system} refused {method} {path}: {answer.text()[:300]}")
        return read_json(answer.body) if answer.body else None

    def _sign_in(self) -> None:
        form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": self.settings["client_id"],
                "client_secret": self.settings["client_secret"],
            }
        )
        url = f"{self.settings['base_url'].rstrip('/')}/services/oauth2/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.emulator.handle(Request("POST", url, headers, form.encode()))
        if answer.status != 200:
            raise Unplayable(f"nobody can sign in to {self.system}: {answer.text()[:300]}")
        self._token = str(json.loads(answer.body)["access_token"])

    # --- what we do -----------------------------------------------------------------------------

    def watched(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        """Notes rows that a collection of ours changed, and refuses a part of it when struck."""
        if request.method != "PATCH" or not request.path().endswith(f"/{COLLECTION}"):
            return answer(request)
        body: Any = read_json(request.body)
        records: list[Row] = body["records"]
        refused = self._refused(len(records))
        if refused:
            kept = [one for place, one in enumerate(records) if place not in refused]
            text = write_json({**body, "records": kept})
            inner = Request(request.method, request.url, request.headers, text)
            response = answer(inner) if kept else Response(200, {}, b"[]")
        else:
            response = answer(request)
        if response.status != 200:
            return response
        answers: list[Any] = json.loads(response.body)
        for place in sorted(refused):
            answers.insert(place, {"success": False, "errors": [LOCKED]})
        for record, one in zip(records, answers, strict=True):
            if one["success"]:
                self._note_row(record, str(one["id"]))
        return Response(200, response.headers, write_json(answers))

    def _refused(self, size: int) -> frozenset[int]:
        dice, self._partial = self._partial, None
        if dice is None:
            return frozenset()
        chosen = [place for place in range(size) if dice.random() < 0.5]
        return frozenset(chosen or [size - 1])

    def _note_row(self, record: Row, key: str) -> None:
        """The vendor is told fields, whatever they are for: a reversal is a change here too."""
        kind = str(record["attributes"]["type"])
        self._written[key] = kind
        self.note(kind, f"{kind}-{key}", "change", key, self._facts(kind, key))

    def _facts(self, kind: str, key: str) -> dict[str, str]:
        row = self.emulator.tables[kind][key]
        return {name: str(row[name] or "") for name in self.streams[kind].facts}

    def effects(self) -> Sequence[Effect]:
        """The rows that we wrote to. They carry no reference of ours: it is made of the Id, as the
        engine makes it when it writes to the very row that a record came from."""
        return [
            Effect(
                kind,
                f"{kind}-{key}",
                key,
                not self.emulator.tables[kind][key]["IsDeleted"],
                self._facts(kind, key),
            )
            for key, kind in self._written.items()
        ]

    def suffer(self, fault: str, dice: random.Random) -> str:
        """A part of our next collection meets rows that somebody else is changing."""
        self._partial = random.Random(dice.random())
        return f"{self.system} will refuse a part of the next rows that are written together"

    def heal(self) -> None:
        self._partial = None


def _listed(lines: list[dict[str, object]]) -> dict[str, object] | None:
    """Child rows as a query nests them; nothing where there are none."""
    if not lines:
        return None
    in_order = sorted(lines, key=lambda one: (int(str(one["SortOrder"] or 0)), str(one["Id"])))
    return {"totalSize": len(lines), "done": True, "records": in_order}


def _line_values(one: Row, *, creating: bool) -> dict[str, object]:
    """What may be set of a line."""
    fields = OBJECTS[LINE].fields
    return {
        name: value
        for name, value in one.items()
        if name in fields and (fields[name].creatable if creating else fields[name].updatable)
    }
