"""NetSuite's errors as data, and how to find the code and the words in its error bodies."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import unquote

from tieout.finance.outcome import Outcome
from tieout.ports.errors import ErrorRule, ErrorTable
from tieout.ports.http import Response

_PLACES = ("o:errorPath", "o:errorQueryParam", "o:errorHeader", "o:errorUrl", "o:urlPath")
_WORDS_KEPT = 500
_ADMIN = "Ask the NetSuite administrator"

ERRORS = ErrorTable(
    (
        ErrorRule(
            "denied",
            "NetSuite refuses our credentials",
            f"{_ADMIN} to look at the Login Audit Trail; check the four token secrets, the account "
            "id (realm) and this machine's clock.",
            status=(401,),
        ),
        ErrorRule(
            "denied",
            "NetSuite refuses our credentials",
            f"{_ADMIN} to look at the Login Audit Trail; check the four token secrets.",
            code=("INVALID_LOGIN", "INVALID_LOGIN_ATTEMPT", "INVALID_LOGIN_CREDENTIALS"),
        ),
        ErrorRule(
            "denied",
            "the integration's role may not do this",
            f"{_ADMIN} to give the integration role the permission named.",
            status=(403,),
        ),
        ErrorRule(
            "denied",
            "the integration's role may not do this",
            f"{_ADMIN} to give the integration role the permission named.",
            code=("INSUFFICIENT_PERMISSION", "RCRD_UNEDITABLE_PERMISSION", "FEATURE_DISABLED"),
        ),
        ErrorRule(
            "busy",
            "NetSuite has no free slot for us",
            "Nothing to do: the write is sent again. If it lasts, lower most_in_flight or ask for "
            "a concurrency slice of our own.",
            status=(429,),
        ),
        ErrorRule(
            "busy",
            "NetSuite has no free slot for us",
            "Nothing to do: the write is sent again.",
            code=(
                "CONCURRENCY_LIMIT_EXCEEDED",
                "REQUEST_LIMIT_EXCEEDED",
                "SSS_REQUEST_LIMIT_EXCEEDED",
                "SSS_USAGE_LIMIT_EXCEEDED",
                "WS_REQUEST_BLOCKED",
            ),
        ),
        ErrorRule(
            "busy",
            "somebody else changed the record at the same moment",
            "Nothing to do: the write is sent again.",
            code=("RCRD_HAS_BEEN_CHANGED", "RECORD_LOCKED"),
        ),
        ErrorRule(
            "busy",
            "somebody else changed the record at the same moment",
            "Nothing to do: the write is sent again.",
            status=(400, 409),
            pattern=r"RCRD_HAS_BEEN_CHANGED|record has been changed",
        ),
        ErrorRule(
            "period_closed",
            "the accounting period is closed",
            "Re-open the period or re-date the document by your closing policy.",
            pattern=r"TRAN_PERIOD_CLOSED|TRAN_PRD_CLOSED",
        ),
        ErrorRule(
            "period_closed",
            "the accounting period is closed",
            "Re-open the period or re-date the document by your closing policy.",
            code=("TRAN_PERIOD_CLOSED", "TRAN_PRD_CLOSED"),
        ),
        ErrorRule(
            "already_there",
            "a document with our external id is there",
            "Nothing to do: it is read back and compared.",
            code=("DUP_RCRD",),
            pattern=r"external\s*id",
        ),
        ErrorRule(
            "already_there",
            "this very request was accepted before",
            "Nothing to do: it is read back and compared.",
            code=("IDEMPOTENCY_ERROR",),
        ),
        ErrorRule(
            "rejected",
            "another record holds this name or number",
            "Give the record a name of its own, or merge the two records in NetSuite.",
            code=("DUP_RCRD", "DUP_ITEM", "UNIQUE_CUST_ID_REQD", "DUP_ENTITY"),
        ),
        ErrorRule(
            "drift",
            "NetSuite does not know a field we send",
            "Compare the mapping with the account's fields, custom ones too, and correct it.",
            status=(400,),
            pattern=r"unknown reference or field|unknown field",
        ),
        ErrorRule(
            "drift",
            "NetSuite does not know a field or record type we ask for",
            "Check which features and custom fields the account has switched on.",
            code=("INVALID_PARAMETER", "NONEXISTENT_RECORD_TYPE", "INVALID_HEADER"),
        ),
        ErrorRule(
            "rejected",
            "a record that this one refers to is not in NetSuite",
            "See that the record it refers to has been written, then replay.",
            code=("NONEXISTENT_ID", "INVALID_KEY_OR_REF", "INVALID_ID"),
        ),
        ErrorRule(
            "rejected",
            "debit and credit do not balance",
            "Correct the amounts in the source system.",
            code=("TRANS_UNBALNCD",),
        ),
        ErrorRule(
            "rejected",
            "NetSuite does not accept a value",
            "Correct the field named in the source system or in the mapping.",
            code=("INVALID_CONTENT", "INVALID_VALUE", "INVALID_FIELD_VALUE"),
        ),
        ErrorRule(
            "rejected",
            "a business rule of NetSuite refuses the record",
            "Read NetSuite's message and correct the record in the source system.",
            code=("USER_ERROR", "MISSING_REQD_FIELD", "INVALID_INITIALIZE_REF"),
        ),
        ErrorRule(
            "outage",
            "NetSuite is down for maintenance",
            "Nothing to do: it is tried again with growing pauses.",
            status=(503,),
            # In these words only: "temporarily unavailable" is what any proxy says.
            pattern=r"scheduled maintenance|SERVER_IS_DOWN",
        ),
        ErrorRule(
            "unknown",
            "NetSuite failed and does not say whether the write was applied",
            "Nothing to do: it is looked up by external id before anything is sent again.",
            status=(500, 502, 503, 504),
        ),
        ErrorRule(
            "unknown",
            "NetSuite failed and does not say whether the write was applied",
            "Nothing to do: it is looked up by external id before anything is sent again.",
            code=("UNEXPECTED_ERROR",),
        ),
        ErrorRule(
            "drift",
            "NetSuite no longer offers this call in this form",
            "Compare the connector with the vendor's release notes.",
            status=(405, 406, 415),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error body says: the vendor's code, its words, and the place of the fault."""

    code: str
    message: str
    field: str


def read_fault(response: Response) -> Fault:
    """Find code, words and place; a body in another form is quoted as it is."""
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return Fault("", re.sub(r"\s+", " ", response.text())[:_WORDS_KEPT], "")
    if not isinstance(body, dict):
        return Fault("", response.text()[:_WORDS_KEPT], "")
    details = body.get("o:errorDetails")
    if isinstance(details, list) and details and isinstance(details[0], dict):
        first = details[0]
        words = " ".join(str(one.get("detail", "")) for one in details if isinstance(one, dict))
        place = next((unquote(str(first[name])) for name in _PLACES if first.get(name)), "")
        return Fault(str(first.get("o:errorCode", "")), words[:_WORDS_KEPT], place)
    script = body.get("error")
    if isinstance(script, dict):
        return Fault(str(script.get("code", "")), str(script.get("message", ""))[:_WORDS_KEPT], "")
    return Fault(str(body.get("o:errorCode", "")), str(body.get("title", ""))[:_WORDS_KEPT], "")


def outcome_of(response: Response) -> Outcome:
    """The outcome that an answer other than a success stands for."""
    fault = read_fault(response)
    return ERRORS.classify(
        response.status,
        fault.code,
        fault.message,
        wait_seconds=response.retry_after_seconds(),
        field=fault.field,
        held_back=response.held_back,
    )
