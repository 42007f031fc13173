"""List items: shown, and added by code. An item that is already there is ignored."""

from __future__ import annotations

from tieout.emulators.anaplan.answers import JSON_TYPE, Refusal, Row, Tables, text
from tieout.emulators.anaplan.files import body_of
from tieout.emulators.anaplan.seed import ENTITY_LIST_ID
from tieout.emulators.kit import write_json
from tieout.ports.http import Request, Response

MOST_ITEMS = 100_000


def items(request: Request, tables: Tables, list_id: str) -> Response:
    """`GET` shows the items of a list, `POST ?action=add` adds to the legal entities."""
    if list_id not in tables["lists"]:
        raise Refusal(404, f"List {list_id} not found")
    if request.method == "GET":
        return _said({"listItems": _rows(tables, list_id)})
    if request.arguments().get("action") != "add" or list_id != ENTITY_LIST_ID:
        raise Refusal(400, "Only action=add on a list that is not filled by an import")
    asked = body_of(request).get("items")
    if not isinstance(asked, list) or len(asked) > MOST_ITEMS:
        raise Refusal(400, f"items must be a list of at most {MOST_ITEMS}")
    entities = tables["entities"]
    added, failures = 0, []
    for index, item in enumerate(asked):
        code = text(item.get("code")) if isinstance(item, dict) else ""
        if not code:
            failures.append({"requestIndex": index, "failureType": "MISSING_CODE"})
        elif code not in entities:
            number = max(
                (int(text(row["id"])) for row in entities.values()), default=501_000_000_000
            )
            name = text(item.get("name")) or code
            entities[code] = {"id": str(number + 1), "name": name, "code": code}
            added += 1
    ignored = len(asked) - added - len(failures)
    return _said({"added": added, "ignored": ignored, "total": len(asked), "failures": failures})


def _rows(tables: Tables, list_id: str) -> list[Row]:
    if list_id == ENTITY_LIST_ID:
        return list(tables["entities"].values())
    return [
        {"id": str(502_000_000_000 + number), "name": code, "code": code}
        for number, code in enumerate(tables["bookings"])
    ]


def _said(more: Row) -> Response:
    body = {"meta": {}, "status": {"code": 200, "message": "Success"}, **more}
    return Response(200, JSON_TYPE, write_json(body))
