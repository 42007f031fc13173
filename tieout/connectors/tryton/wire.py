"""Tryton's tongue: JSON-RPC 1.0 over one URL, with typed values for what JSON cannot say exactly.

Decimals, dates and timestamps travel as `{"__class__": "Decimal", "decimal": "10.50"}`. A refusal
is an HTTP 200 whose body has `error`; what the HTTP layer itself refuses (no session, too many
tries, the request took too long) is an HTTP status. Facts from Tryton 8.2 as it runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import simplejson

from tieout.finance.outcome import Denied, Detail, Drift, Outage, Outcome, Unknown
from tieout.ports.errors import ErrorTable, VendorFault
from tieout.ports.http import NoAnswer, Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

Row = Mapping[str, object]
Clause = Sequence[object]

# Tryton 8.2.1 labels every answer above 1,400 bytes as gzip, and only packs it for those who ask.
HEADERS: Mapping[str, str] = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
PAGE_ROWS = 1_000
MOST_PAGES = 100
_NARROW = "Report it to the integration engineer: a look must name what it looks for."
LANGUAGE = "en"  # refusals are translated by the server; the error table reads English


@dataclass(frozen=True, slots=True)
class Literal:
    """A number for a field that Tryton keeps as a float (a quantity): sent as a bare JSON number,
    digit by digit as it was given."""

    value: Decimal


def encode(value: object) -> object:
    """A Python value as Tryton's JSON: Decimals, dates and instants (UTC, naive) become objects."""
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": format(value, "f")}
    if isinstance(value, dt.datetime):
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{name: getattr(value, name) for name in names}}
    if isinstance(value, dt.date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def _typed(pairs: dict[str, object]) -> object:
    kind = pairs.get("__class__")
    if kind == "Decimal":
        return Decimal(str(pairs["decimal"]))
    numbers = {name: value for name, value in pairs.items() if isinstance(value, int)}
    if kind == "date":
        return dt.date(numbers["year"], numbers["month"], numbers["day"])
    if kind == "datetime":
        return dt.datetime(  # noqa: DTZ001 - Tryton's instants are UTC and carry no zone
            numbers["year"],
            numbers["month"],
            numbers["day"],
            numbers["hour"],
            numbers["minute"],
            numbers["second"],
            numbers["microsecond"],
        )
    return pairs


class NotJson(ValueError):
    """The answer is not the JSON object Tryton promises."""


def body_of(method: str, parameters: Sequence[object]) -> bytes:
    """The bytes of one call."""
    return simplejson.dumps(
        {"id": 1, "method": method, "params": encode(list(parameters))},
        separators=(",", ":"),
        use_decimal=True,
    ).encode()


def decode(body: bytes) -> Mapping[str, object]:
    """One answer. JSON numbers are read as exact Decimals or integers. Raises NotJson."""
    try:
        answer: object = simplejson.loads(body, object_hook=_typed, use_decimal=True)
    except (ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise NotJson(f"not the JSON that Tryton promises: {error}") from error
    if not isinstance(answer, dict):
        raise NotJson("the answer is not a JSON object")
    return answer


def endpoint(settings: Mapping[str, str]) -> str:
    """The one URL of a Tryton database."""
    return f"{settings['base_url'].rstrip('/')}/{settings['database']}/rpc/"


def call(at: Session, method: str, *parameters: object, context: Row | None = None) -> Request:
    """One request: a method of a model, wizard or the server, its parameters and the context."""
    at.setting("base_url"), at.setting("database")
    whole = [*parameters, {"language": LANGUAGE, **(context or {})}]
    return Request(
        "POST",
        endpoint(at.settings),
        HEADERS,
        body_of(method, whole),
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as the error table reads it: status, Tryton's exception name, its text."""

    status: int
    code: str
    message: str


def refusal_of(response: Response) -> Refusal | None:
    """What the server refused, or None when the call succeeded. Raises NotJson."""
    if response.status != 200:
        return Refusal(response.status, "HTTP", response.text()[:300].strip())
    answer = decode(response.body)
    if "error" not in answer:
        if "result" not in answer:
            raise NotJson("the answer has neither result nor error")
        return None
    error = answer["error"]
    parts = error if isinstance(error, list) else [error]
    name = str(parts[0]) if parts else ""
    rest = parts[1] if len(parts) > 1 else ""
    if name in {"UserError", "UserWarning", "LoginException"} and isinstance(rest, list):
        texts = rest[1:] if name != "UserError" else rest
        return Refusal(200, name, " ".join(str(text) for text in texts[:2] if text))
    if name == "ConcurrencyException":
        return Refusal(200, name, str(rest))
    return Refusal(200, "Exception", name)  # (text, traceback): a fault inside the server


def result_of(response: Response) -> object:
    """The result of a call that succeeded."""
    return decode(response.body)["result"]


def outcome_of(
    errors: ErrorTable, answer: Response | NoAnswer | SignInFailed
) -> tuple[Outcome | None, object]:
    """(None, result) when the call succeeded, else (what it came to, None)."""
    if isinstance(answer, SignInFailed):
        return Denied(Detail(answer.words, answer.next_action)), None
    if isinstance(answer, NoAnswer):
        if answer.never_sent:
            return Outage(
                Detail(answer.words, "Start the Tryton server or correct base_url."),
                answer.held_back,
            ), None
        return Unknown(Detail(answer.words, "Wait; what Tryton holds is looked up next.")), None
    try:
        refusal = refusal_of(answer)
        if refusal is None:
            return None, result_of(answer)
    except NotJson as error:
        detail = Detail(str(error), "Check that base_url names a Tryton server.", "not_json")
        return (Unknown(detail) if answer.status == 200 else Drift(detail)), None
    outcome = errors.classify(
        refusal.status,
        refusal.code,
        refusal.message,
        wait_seconds=answer.retry_after_seconds(),
        held_back=answer.held_back,
    )
    return outcome, None


def ask(
    at: Session, errors: ErrorTable, method: str, *parameters: object, context: Row | None = None
) -> object:
    """One read. Raises VendorFault on a refusal, NoAnswer when nothing came back."""
    try:
        response = at.send(call(at, method, *parameters, context=context))
    except SignInFailed as error:
        raise VendorFault(Denied(Detail(error.words, error.next_action))) from error
    fault, result = outcome_of(errors, response)
    if fault is not None:
        raise VendorFault(fault)
    return result


def rows(
    at: Session,
    errors: ErrorTable,
    model: str,
    domain: Sequence[object],
    fields: Sequence[str],
    *,
    order: Sequence[tuple[str, str]] = (("id", "ASC"),),
    most: int | None = None,
    context: Row | None = None,
) -> list[Row]:
    """The rows of a model: every one, page by page, or the first `most`. Raises VendorFault,
    NoAnswer."""
    found: list[Row] = []
    for page in range(MOST_PAGES):
        result = ask(
            at,
            errors,
            f"model.{model}.search_read",
            domain,
            page * PAGE_ROWS,
            PAGE_ROWS if most is None else most,
            [list(pair) for pair in order],
            list(fields),
            context=context,
        )
        if not isinstance(result, list):
            raise VendorFault(
                Drift(Detail(f"{model}.search_read did not answer a list", "", "shape"))
            )
        found += cast(list[Row], result)
        if most is not None or len(result) < PAGE_ROWS:
            return found
    raise VendorFault(Drift(Detail(f"{model} has more rows than can be right", _NARROW, "shape")))
