"""One NetSuite tenant: finds who answers a call, and answers busy in the vendor's own words."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from tieout.emulators.kit import Fault, FaultPlan, OutboundCall
from tieout.emulators.netsuite import jobs, machine_token, seeds, suiteql
from tieout.emulators.netsuite.answers import RECORD_PATH, Refused, answer, not_there
from tieout.emulators.netsuite.books import Books
from tieout.emulators.netsuite.collection import Collection
from tieout.emulators.netsuite.record_types import Row
from tieout.emulators.netsuite.records import Records
from tieout.emulators.netsuite.signin import check_token
from tieout.emulators.netsuite.validation import body_of
from tieout.ports.http import Request, Response

LIMITS_PATH = "/services/rest/system/v1/governanceLimits"


class NetSuiteEmulator:
    """The vendor twin. Settings: the five of the token (`account`, `consumer_key`, …),
    `closed_periods`, `concurrency` (as reported), `job_polls`; see `seeds.DEFAULTS`. For OAuth 2.0
    besides: `m2m_client_id`, `m2m_key_id`, `m2m_public_key`."""

    name = "netsuite"

    def __init__(self, base_url: str, settings: Mapping[str, str]) -> None:
        self.settings = {**seeds.DEFAULTS, **settings}
        self.faults = FaultPlan()
        self._base_url = base_url.rstrip("/")
        self.tables: dict[str, dict[str, Row]] = seeds.tables(self.settings)
        self._books = Books(self.tables)
        self._records = Records(self._books, base_url)
        self._collection = Collection(self._books, self._records, base_url)
        self._jobs = jobs.Jobs(self._books, base_url, int(self.settings["job_polls"]))
        self._suiteql = suiteql.SuiteQl(self._books.mirror)

    def handle(self, request: Request) -> Response:
        """Answer one call; what the vendor refuses comes back in its error form."""
        try:
            self._books.refresh()
            tokens = self.tables.setdefault("token", {})
            if request.path() == machine_token.PATH and request.method == "POST":
                audience = self._base_url + machine_token.PATH
                return machine_token.grant(request, self.settings, tokens, audience)
            signed = request.header("Authorization")
            if not (
                signed.lower().startswith("bearer ") and machine_token.is_valid(signed, tokens)
            ):
                check_token(request, self.settings, self.tables.setdefault("nonce", {}))
            if "respond-async" in request.header("Prefer") and not request.path().startswith(
                jobs.PATH
            ):
                return self._jobs.submit(request, self._answer_job)
            return self._answer(request)
        except Refused as refused:
            return refused.response()

    def busy(self, fault: Fault) -> Response:
        """429. The vendor promises no Retry-After; the fault says whether this one carries it."""
        headers = {"Retry-After": f"{fault.seconds:.0f}"} if fault.kind == "busy" else {}
        return Refused(
            "CONCURRENCY_LIMIT_EXCEEDED",
            "Concurrent request limit exceeded. Request blocked.",
            status=429,
            headers=headers,
        ).response()

    def outbox(self) -> list[OutboundCall]:
        """The vendor's core interface has no webhooks."""
        return []

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        """Nothing is ever sent, so there is nothing to note."""

    def _answer_job(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except Refused as refused:
            return refused.response()

    def _answer(self, request: Request) -> Response:
        path = request.path()
        if path == suiteql.PATH and request.method == "POST":
            return self._query(request)
        if path.startswith(jobs.PATH + "/") and request.method == "GET":
            return self._jobs.show(request)
        if path == LIMITS_PATH and request.method == "GET":
            limit = int(self.settings["concurrency"])
            return answer(
                {
                    "accountConcurrencyLimit": limit,
                    "accountUnallocatedConcurrencyLimit": limit,
                    "integrationConcurrencyLimit": limit,
                    "integrationLimitType": "accountLimit",
                }
            )
        if path.startswith(RECORD_PATH + "/"):
            return self._record(request, [unquote(one) for one in path.split("/")[5:]])
        raise not_there(path)

    def _query(self, request: Request) -> Response:
        if "transient" not in request.header("Prefer").lower():
            raise Refused(
                "INVALID_HEADER",
                "The required request header 'Prefer' is missing or invalid. "
                "The only supported value is 'transient'.",
                place={"o:errorHeader": "Prefer"},
            )
        asked = request.arguments()
        body = self._suiteql.page(
            body_of(request).get("q"),
            asked.get("limit", ""),
            asked.get("offset", ""),
            request.full_url(),
        )
        return answer(body)

    def _record(self, request: Request, parts: list[str]) -> Response:
        records, method = self._records, request.method
        if len(parts) == 1:
            if method == "GET":
                return self._collection.page(parts[0], request)
            if method == "POST":
                return records.create(parts[0], request)
        elif len(parts) == 2:
            one = {
                "GET": records.show,
                "PUT": records.upsert,
                "PATCH": records.change,
                "DELETE": records.delete,
            }.get(method)
            if one is not None:
                return one(parts[0], parts[1], request)
        elif len(parts) == 4 and parts[2] == "!transform" and method == "POST":
            return records.transform(parts[0], parts[1], parts[3], request)
        elif len(parts) == 3 and parts[2] == "item" and method == "GET":
            row = records.find(parts[0], parts[1], request)
            return answer(records.view(parts[0], row, expand=True).get("item", {"items": []}))
        else:
            raise not_there(request.path())
        raise Refused(
            "INVALID_METHOD",
            f"The method {method} is not allowed here.",
            status=405,
            place={"o:errorUrl": request.path()},
        )
