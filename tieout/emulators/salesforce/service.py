"""The emulated organisation: takes a request, answers as the vendor would.

Settings: client_id, client_secret, organization_id, username, jwt_public_key, session_seconds,
daily_requests, webhook_url, webhook_seed, webhook_duplicate_rate, webhook_reorder.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from email.utils import format_datetime
from typing import cast
from urllib.parse import unquote, urlsplit

from tieout import clock
from tieout.emulators.kit import Fault, FaultPlan, OutboundCall, read_json, write_json
from tieout.emulators.salesforce import collections as many
from tieout.emulators.salesforce.locators import LARGEST_PAGE, Queries
from tieout.emulators.salesforce.model import OBJECTS, ObjectDefinition, describe, object_named
from tieout.emulators.salesforce.outbound import Outbound
from tieout.emulators.salesforce.rows import Change, Row, Rows, Tables
from tieout.emulators.salesforce.select import attributes
from tieout.emulators.salesforce.tokens import Tokens
from tieout.emulators.salesforce.values import ApiError
from tieout.ports.http import Request, Response

VERSIONS = {"65.0": "Winter '26", "66.0": "Spring '26", "67.0": "Summer '26"}
OUR_CLIENT = "client=tieout"
DAY = dt.timedelta(days=1)
LIMIT_REACHED = ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
NOT_FOUND = ApiError(404, "NOT_FOUND", "The requested resource does not exist")


class Salesforce:
    """One organisation. See `tieout.emulators.kit.Emulator`."""

    name = "salesforce"

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.faults = FaultPlan()
        self.tables: Tables = {}
        self.base_url = base_url.rstrip("/")
        self.rows = Rows(self.tables)
        self.queries = Queries(self.tables, self.rows)
        self.tokens = Tokens(self.tables, self.base_url, settings)
        self.outbound = Outbound(self.tables, self.base_url, self.tokens.organization_id, settings)
        self.daily_requests = int(settings.get("daily_requests", "1000000"))

    def handle(self, request: Request) -> Response:
        path = request.path()
        if path == "/services/oauth2/token":
            return self.tokens.answer(request)
        if path.rstrip("/") == "/services/data" and request.method == "GET":
            return _json(
                200,
                [
                    {"label": v, "url": f"/services/data/v{k}", "version": k}
                    for k, v in VERSIONS.items()
                ],
            )
        try:
            self.tokens.check(request)
            self._count_call()
            return self._with_usage(self._versioned(request, path))
        except ApiError as error:
            return self._with_usage(_refusal(error))

    def busy(self, fault: Fault) -> Response:
        """The vendor has no Retry-After: its daily limit is a 403 with a code."""
        return self._with_usage(_refusal(LIMIT_REACHED))

    def outbox(self) -> list[OutboundCall]:
        return self.outbound.due()

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        self.outbound.sent(call, acknowledged)

    # --- routes ---------------------------------------------------------------------------------

    def _versioned(self, request: Request, path: str) -> Response:
        match = re.fullmatch(r"(/services/data/v(\d+\.\d))/(.+?)/?", path)
        if match is None or match.group(2) not in VERSIONS:
            raise NOT_FOUND
        root = match.group(1)
        parts = [unquote(part) for part in match.group(3).split("/")]
        method = request.method
        if parts == ["limits"] and method == "GET":
            return _json(
                200,
                {
                    "DailyApiRequests": {
                        "Max": self.daily_requests,
                        "Remaining": self.daily_requests - self._used(),
                    }
                },
            )
        if parts[0] in {"query", "queryAll"} and method == "GET":
            return self._query(request, parts, root)
        if parts[0] == "sobjects":
            return self._sobjects(request, parts[1:], root)
        if parts[:2] == ["composite", "sobjects"]:
            return self._collections(request, parts[2:])
        if parts == ["composite"] and method == "POST":
            return self._composite(request)
        raise NOT_FOUND

    def _query(self, request: Request, parts: list[str], root: str) -> Response:
        if len(parts) == 2:
            return _json(200, self.queries.next(parts[1], root))
        text = request.arguments().get("q", "")
        if not text:
            raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
        hint = re.search(r"batchSize=(\d{1,6})", request.header("Sforce-Query-Options"))
        batch = int(hint.group(1)) if hint else LARGEST_PAGE
        return _json(
            200, self.queries.first(text, root, batch, with_deleted=parts[0] == "queryAll")
        )

    def _sobjects(self, request: Request, parts: list[str], root: str) -> Response:
        method = request.method
        if not parts:
            found = [describe(one) for one in OBJECTS.values()]
            return _json(200, {"encoding": "UTF-8", "sobjects": found})
        definition = object_named(parts[0])
        if definition is None:
            raise NOT_FOUND
        if len(parts) == 2 and parts[1] == "describe" and method == "GET":
            return _json(200, describe(definition))
        if len(parts) == 1 and method == "POST":
            with self.rows.transaction() as change:
                created = self.rows.create(definition, _object_in(request))
            self._after(request, change)
            return _json(201, {"id": created, "success": True, "errors": []})
        if len(parts) == 2:
            return self._record(request, definition, parts[1], root)
        if len(parts) == 3:
            return self._by_external_id(request, definition, parts[1], parts[2], root)
        raise _not_allowed(method)

    def _record(
        self, request: Request, definition: ObjectDefinition, key: str, root: str
    ) -> Response:
        if request.method == "GET":
            return _json(200, _shown(definition, self.rows.get(definition, key), request, root))
        if request.method not in {"PATCH", "DELETE"}:
            raise _not_allowed(request.method)
        with self.rows.transaction() as change:
            if request.method == "PATCH":
                self.rows.update(definition, key, _object_in(request))
            else:
                self.rows.delete(definition, key)
        self._after(request, change)
        return Response(204)

    def _by_external_id(
        self, request: Request, definition: ObjectDefinition, field: str, value: str, root: str
    ) -> Response:
        one = definition.field(field)
        if one is None or not (one.external or one.kind == "id"):
            raise ApiError(
                404,
                "NOT_FOUND",
                f"Provided external ID field does not exist or is not accessible: {field}",
            )
        matches = self.rows.matching(definition, one, value)
        if len(matches) > 1:
            return _json(300, [attributes(definition, str(r["Id"]), root)["url"] for r in matches])
        if request.method in {"GET", "DELETE"}:
            if not matches:
                raise NOT_FOUND
            return self._record(request, definition, str(matches[0]["Id"]), root)
        if request.method != "PATCH":
            raise _not_allowed(request.method)
        with self.rows.transaction() as change:
            saved, created = many.upsert(
                self.rows,
                definition,
                field,
                value,
                _object_in(request),
                create=request.arguments().get("updateOnly") != "true",
            )
        self._after(request, change)
        answer = {"id": saved, "success": True, "errors": [], "created": created}
        return _json(201 if created else 200, answer)

    def _collections(self, request: Request, parts: list[str]) -> Response:
        method = request.method
        with self.rows.transaction() as change:
            if method == "DELETE" and not parts:
                arguments = request.arguments()
                answers = many.delete_all(
                    self.rows,
                    [one for one in arguments.get("ids", "").split(",") if one],
                    _by_prefix,
                    all_or_none=arguments.get("allOrNone") == "true",
                )
            elif method in {"POST", "PATCH"} and not parts:
                answers = many.save_all(self.rows, method, _object_in(request), None)
            elif method == "PATCH" and len(parts) == 2:
                answers = many.save_all(
                    self.rows, method, _object_in(request), (parts[0], parts[1])
                )
            else:
                raise _not_allowed(method)
        self._after(request, change)
        return _json(200, answers)

    def _composite(self, request: Request) -> Response:
        """Up to 25 subrequests in order. With allOrNone one failure undoes them all."""
        body = _object_in(request)
        asked = body.get("compositeRequest")
        if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
            raise ApiError(400, "JSON_PARSER_ERROR", "compositeRequest must be a list of objects")
        if not 0 < len(asked) <= many.MOST_SUBREQUESTS:
            raise ApiError(400, "INVALID_INPUT", "Between 1 and 25 subrequests are allowed")
        subrequests = cast(list[dict[str, object]], asked)
        if body.get("allOrNone") is not True:
            return _json(200, {"compositeResponse": self._subanswers(request, subrequests)})
        with self.rows.transaction() as change:
            parts = self._subanswers(request, subrequests)
            failed = any(int(str(part["httpStatusCode"])) >= 300 for part in parts)
            if failed:
                self.rows.roll_back()
                for part in parts:
                    if int(str(part["httpStatusCode"])) < 300:
                        part.update(httpStatusCode=400, body=[many.HALTED.as_answer()])
        self._after(request, change)
        return _json(200, {"compositeResponse": parts})

    def _subanswers(self, request: Request, asked: list[dict[str, object]]) -> list[Row]:
        answers: dict[str, object] = {}
        parts: list[Row] = []
        for one in asked:
            reference = str(one.get("referenceId", ""))
            try:
                url = self.base_url + str(many.resolve(one.get("url", ""), answers))
                inner = Request(
                    str(one.get("method", "")),
                    url,
                    request.headers,
                    write_json(many.resolve(one.get("body"), answers)),
                )
                response = self._versioned(inner, urlsplit(url).path)
            except ApiError as error:
                response = _refusal(error)
            answers[reference] = read_json(response.body) if response.body else None
            parts.append(
                {
                    "body": answers[reference],
                    "httpHeaders": {},
                    "httpStatusCode": response.status,
                    "referenceId": reference,
                }
            )
        return parts

    # --- around every call ----------------------------------------------------------------------

    def _after(self, request: Request, change: Change) -> None:
        """Outbound messages follow a change, unless our own integration made it."""
        if self.rows.open:
            return  # the enclosing composite speaks for all its parts
        if OUR_CLIENT not in request.header("Sforce-Call-Options").replace(" ", ""):
            self.outbound.changed(change)

    def _used(self) -> int:
        usage = self.tables.get("_counters", {}).get("usage", {})
        return int(str(usage.get("count", 0)))

    def _count_call(self) -> None:
        usage = self.tables.setdefault("_counters", {}).setdefault("usage", {})
        since = usage.get("since")
        if not isinstance(since, dt.datetime) or clock.now() - since > DAY:
            usage.update(since=clock.now(), count=0)
        if self._used() >= self.daily_requests:
            raise LIMIT_REACHED
        usage["count"] = self._used() + 1

    def _with_usage(self, response: Response) -> Response:
        usage = f"api-usage={self._used()}/{self.daily_requests}"
        date = format_datetime(clock.now(), usegmt=True)
        headers = {**response.headers, "Sforce-Limit-Info": usage, "Date": date}
        return Response(response.status, headers, response.body)


def _shown(definition: ObjectDefinition, row: Row, request: Request, root: str) -> Row:
    wanted = request.arguments().get("fields", "")
    names = [one for one in wanted.split(",") if one] or list(definition.fields)
    shown: Row = {"attributes": attributes(definition, str(row["Id"]), root)}
    for name in names:
        one = definition.field(name)
        if one is None:
            raise ApiError(
                400,
                "INVALID_FIELD",
                f"No such column '{name}' on sobject of type {definition.name}",
            )
        shown[one.name] = row[one.name]
    return shown


def _by_prefix(key: str) -> ObjectDefinition:
    for one in OBJECTS.values():
        if key.startswith(one.prefix):
            return one
    raise ApiError(400, "MALFORMED_ID", f"malformed id {key}")


def _object_in(request: Request) -> dict[str, object]:
    try:
        body = read_json(request.body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"Unexpected character: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object")
    return body


def _not_allowed(method: str) -> ApiError:
    return ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed.")


def _refusal(error: ApiError) -> Response:
    return _json(error.status, [error.as_answer()])


def _json(status: int, body: object) -> Response:
    return Response(status, {"Content-Type": "application/json;charset=UTF-8"}, write_json(body))
