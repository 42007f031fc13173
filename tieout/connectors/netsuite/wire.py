"""The words on the wire: exact JSON bodies, SuiteQL calls and their rows, record addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

import simplejson

from tieout.connectors.netsuite.errors import outcome_of
from tieout.finance.outcome import Denied, Detail, Drift, Outcome, Rejected
from tieout.ports.errors import VendorFault
from tieout.ports.http import Request, Response
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed

RECORD_PATH = "/services/rest/record/v1"
QUERY_PATH = "/services/rest/query/v1/suiteql"
ROWS_PER_PAGE = 1000
KEYS_PER_QUERY = 200
MOST_REFERENCE = 80
NUMBERS = frozenset({"quantity", "rate", "amount", "exchangeRate", "cost"})
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_REFERENCE = re.compile(r"[A-Za-z0-9_.-]+")
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    # The account's own default drops misspelt properties without a word.
    "X-NetSuite-PropertyNameValidation": "Error",
}

Row = Mapping[str, str]


class BadDocument(Exception):
    """A document that cannot be put on the wire as it is. Carries the Rejected outcome."""

    def __init__(self, words: str, next_action: str, field: str) -> None:
        super().__init__(words)
        self.outcome: Outcome = Rejected(Detail(words, next_action, "", None, field))


def encode(document: Mapping[str, object]) -> bytes:
    """JSON in which the decimal strings of number fields are exact number literals.
    Raises BadDocument for a number that is not one."""
    numbers = _with_numbers(document, "")
    text = simplejson.dumps(numbers, use_decimal=True, ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadDocument(
            "the document holds half a surrogate pair, which is no character",
            "Correct the text in the source system.",
            "",
        ) from None


def _with_numbers(value: object, path: str) -> object:
    if isinstance(value, Mapping):
        return {
            str(name): _number(one, f"{path}{name}")
            if name in NUMBERS
            else _with_numbers(one, f"{path}{name}.")
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_numbers(one, f"{path}{index}.") for index, one in enumerate(value)]
    if isinstance(value, float):
        raise BadDocument(
            f"{path.rstrip('.')} is a binary floating-point number",
            "Write amounts as decimal strings in the mapping.",
            path.rstrip("."),
        )
    return value


def _number(value: object, path: str) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value)
    if isinstance(value, float) or not _NUMBER.fullmatch(text):
        raise BadDocument(
            f"{path} holds {text!r}, which is not an exact decimal number",
            "Correct the value in the source system or in the mapping.",
            path,
        )
    return _Literal(text)


class _Literal(Decimal):
    """A decimal that is written in the digits it was given, never with an exponent."""

    def __str__(self) -> str:
        return format(self, "f")


def record_call(
    at: Session,
    method: str,
    path: str,
    document: Mapping[str, object],
    query: tuple[tuple[str, str], ...] = (),
) -> Request:
    """A call of the record API; `path` starts after `record/v1/`. Raises BadDocument."""
    url = f"{base_url(at)}{RECORD_PATH}/{path}"
    return Request(method, url, HEADERS, encode(document), query)


def base_url(at: Session) -> str:
    return at.setting("base_url").rstrip("/")


def check_reference(reference: str) -> str:
    """An external id that is safe in an address and in a query. Raises BadDocument."""
    if len(reference) > MOST_REFERENCE or not _REFERENCE.fullmatch(reference):
        raise BadDocument(
            f"the reference {reference!r} cannot be an external id",
            f"Use at most {MOST_REFERENCE} letters, digits, '_', '.', '-'.",
            "externalId",
        )
    return reference


def made_id(response: Response) -> str:
    """The internal id in the Location of a 204."""
    return response.header("Location").rstrip("/").rsplit("/", 1)[-1]


def query(
    at: Session, text: str, rows: int = ROWS_PER_PAGE, needed: Sequence[str] = ("id",)
) -> tuple[list[Row], bool]:
    """One page of one SuiteQL query: its rows as texts, and whether more follow. A row that lacks
    one of the `needed` columns is Drift. Raises VendorFault or NoAnswer."""
    body = json.dumps({"q": text}).encode()
    request = Request(
        "POST",
        base_url(at) + QUERY_PATH,
        {**HEADERS, "Prefer": "transient"},
        body,
        (("limit", str(rows)), ("offset", "0")),
    )
    try:
        response = at.send(request)
    except SignInFailed as error:
        raise VendorFault(Denied(Detail(error.words, error.next_action))) from error
    if response.status != 200:
        raise VendorFault(outcome_of(response))
    return rows_of(response, needed)


def rows_of(response: Response, needed: Sequence[str] = ()) -> tuple[list[Row], bool]:
    """The rows of a SuiteQL answer without their links. Raises VendorFault (Drift)."""
    try:
        answer = json.loads(response.body, parse_float=Decimal)
        found: list[Row] = [
            {
                str(name): str(value)
                for name, value in item.items()
                # Columns are texts; what a newer release nests into a row is not ours to read.
                if isinstance(value, str | int | Decimal)
            }
            for item in answer["items"]
        ]
        if answer["hasMore"] and not found:
            raise ValueError("it has no rows and promises more")
        lacking = sorted({name for row in found for name in needed if name not in row})
        if lacking:
            raise KeyError(", ".join(lacking))
        return found, bool(answer["hasMore"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise odd_answer(error) from error


def odd_answer(error: Exception) -> VendorFault:
    """An answer that is not in the form the vendor documents."""
    detail = Detail(
        f"NetSuite's answer to a query has an unexpected form: {type(error).__name__} {error}",
        "Compare the connector with the vendor's release notes.",
    )
    return VendorFault(Drift(detail))


def quoted(texts: Sequence[str]) -> str:
    """Texts as the inside of a SuiteQL IN list."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def chunks(values: Sequence[str], size: int = KEYS_PER_QUERY) -> list[Sequence[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
