"""Addresses, calls and answers: how one call to Anaplan becomes a response or an outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from tieout.connectors.anaplan.errors import ERRORS
from tieout.finance.outcome import Denied, Detail, Outage, Outcome, Unknown
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

JSON_TYPE = {"Content-Type": "application/json", "Accept": "application/json"}
DEFAULT_PAGE_ROWS = 5000
DEFAULT_CHUNK_BYTES = 10_000_000
DEFAULT_POLL_SECONDS = 5.0  # the vendor asks for no more than one look in five seconds


def model_url(at: Session, *parts: str) -> str:
    """`…/2/0/workspaces/{w}/models/{m}/parts…`, where files and imports live."""
    return _url(at, "workspaces", at.setting("workspace_id"), "models", _model(at), *parts)


def cells_url(at: Session, *parts: str) -> str:
    """`…/2/0/models/{m}/parts…`, where cells are read."""
    return _url(at, "models", _model(at), *parts)


def poll_seconds(at: Session) -> float:
    return float(at.settings.get("poll_seconds", DEFAULT_POLL_SECONDS))


def chunk_bytes(at: Session) -> int:
    return max(1, int(at.settings.get("chunk_bytes", DEFAULT_CHUNK_BYTES)))


def page_rows(at: Session) -> int:
    return max(1, int(at.settings.get("page_rows", DEFAULT_PAGE_ROWS)))


def ask(at: Session, request: Request) -> Response | Outcome:
    """One call: the response when Anaplan says yes, else what its refusal or silence means."""
    try:
        return judged(at, at.send(request))
    except (NoAnswer, SignInFailed) as error:
        return failed(error)


def judged(at: Session, response: Response) -> Response | Outcome:
    """The response itself if it is a success, else its meaning by the error table."""
    if 200 <= response.status < 300:
        return response
    words = at.redact(message_of(response))
    return ERRORS.classify(
        response.status,
        "",
        words,
        wait_seconds=response.retry_after_seconds(),
        held_back=response.held_back,
    )


def failed(error: NoAnswer | SignInFailed) -> Outcome:
    """What no answer, or no sign-in, means for a call that might have changed something."""
    if isinstance(error, SignInFailed):
        return Denied(Detail(error.words, error.next_action))
    if error.never_sent:
        return Outage(
            Detail(error.words, "Nothing to do if it comes back; else check the address."),
            error.held_back,
        )
    return Unknown(Detail(error.words, "Nothing to do; the bookings view decides."))


def not_applied(outcome: Outcome) -> Outcome:
    """The same, for a step that changes no cell: not knowing is only an outage there."""
    return Outage(outcome.detail) if isinstance(outcome, Unknown) else outcome


def get(at: Session, url: str, **query: str) -> Response:
    """A read. Raises VendorFault on a refusal, NoAnswer when nothing came back."""
    request = Request("GET", url, JSON_TYPE, query=tuple(query.items()))
    return _read(at, request)


def get_text(at: Session, url: str) -> Response:
    """A read of CSV. Raises VendorFault, NoAnswer."""
    return _read(at, Request("GET", url, {"Accept": "text/csv"}))


def _read(at: Session, request: Request) -> Response:
    try:
        answer = judged(at, at.send(request))
    except SignInFailed as error:
        raise VendorFault(failed(error)) from error
    if isinstance(answer, Response):
        return answer
    raise VendorFault(not_applied(answer))


def body_of(response: Response) -> Mapping[str, object]:
    """The JSON object of an answer; anything else is an empty one."""
    try:
        said = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def part(said: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A nested object by name, or an empty one."""
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def parts(said: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    """A nested list of objects; Anaplan leaves the key out when there are none."""
    value = said.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def message_of(response: Response) -> str:
    """The vendor's own words: of the error envelope, of the sign-in service, or the raw text."""
    said = body_of(response)
    words = part(said, "status").get("message") or said.get("statusMessage")
    return str(words) if words else response.text()[:200]


def _url(at: Session, *parts: str) -> str:
    path = "/".join(quote(one, safe="") for one in parts)
    return f"{at.setting('base_url').rstrip('/')}/2/0/{path}"


def _model(at: Session) -> str:
    return at.setting("model_id")
