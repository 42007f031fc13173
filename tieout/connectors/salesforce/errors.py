"""Salesforce's refusals as data (REST API developer guide, status and error codes)."""

from __future__ import annotations

from tieout.finance.outcome import Outage, Outcome, Unknown
from tieout.ports.errors import ErrorRule, ErrorTable
from tieout.ports.limits import LimitRule

_FIX_RECORD = "Correct the record in its owning system, then replay it."
_FIX_SETUP = "Compare the field with the Salesforce setup and the mapping; preview a change."
_ADMIN = "Ask the Salesforce administrator to check the integration user and its permissions."
_WAIT = "Nothing to do: it is tried again later."

ERRORS = ErrorTable(
    (
        # --- the whole system ---------------------------------------------------------------
        ErrorRule(
            "busy",
            "Salesforce's limit on calls is used up",
            "Nothing to do unless it lasts: then raise the daily limit or poll less often.",
            code=("REQUEST_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS"),
        ),
        ErrorRule("busy", "Salesforce asks us to slow down", _WAIT, status=(429,)),
        ErrorRule(
            "denied",
            "Salesforce no longer accepts our session",
            _ADMIN,
            code=("INVALID_SESSION_ID", "INVALID_AUTH_HEADER", "INVALID_LOGIN"),
        ),
        ErrorRule("denied", "Salesforce refused our credentials", _ADMIN, status=(401,)),
        ErrorRule(
            "denied",
            "the integration user may not use the API",
            _ADMIN,
            code=(
                "API_DISABLED_FOR_ORG",
                "API_CURRENTLY_DISABLED",
                "FUNCTIONALITY_NOT_ENABLED",
                "INSUFFICIENT_ACCESS",
                "ORG_LOCKED",
                "PASSWORD_LOCKOUT",
                "INVALID_OPERATION_WITH_EXPIRED_PASSWORD",
            ),
        ),
        ErrorRule(
            "denied",
            "Salesforce has no storage left",
            "Ask the Salesforce administrator to free or buy storage.",
            code=("STORAGE_LIMIT_EXCEEDED",),
        ),
        ErrorRule(
            "outage",
            "Salesforce is not available",
            "Look at the vendor's trust page; it is tried again by itself.",
            code=("SERVER_UNAVAILABLE",),
        ),
        # --- passing trouble of one record ---------------------------------------------------
        ErrorRule(
            "busy",
            "somebody else is changing this record or its parent",
            _WAIT,
            code=("UNABLE_TO_LOCK_ROW",),
        ),
        ErrorRule(
            "busy",
            "the query took Salesforce too long",
            "Nothing to do unless it lasts: then make page_rows smaller.",
            code=("QUERY_TIMEOUT", "OPERATION_TOO_LARGE"),
        ),
        ErrorRule(
            "busy",
            "another row of the same call failed and took this one with it",
            _WAIT,
            code=(
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "PROCESSING_HALTED",
                "BATCH_PROCESSING_HALTED",
            ),
        ),
        ErrorRule(
            "unknown",
            "Salesforce failed while it worked on the call",
            "Read-back tells whether it was applied; look at the vendor's trust page.",
            code=("UNKNOWN_EXCEPTION",),
        ),
        ErrorRule(
            "unknown",
            "Salesforce failed while it worked on the call",
            "Read-back tells whether it was applied; look at the vendor's trust page.",
            # A 503 without a code is not Salesforce's own: whoever stands before it may have passed
            # the call on.
            status=(500, 502, 503, 504),
        ),
        # --- the interface is no longer the agreed one ---------------------------------------
        ErrorRule(
            "drift",
            "Salesforce does not know or does not show a field of the agreed interface",
            _FIX_SETUP,
            code=("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ),
        ErrorRule(
            "drift",
            "Salesforce does not know an object of the agreed interface",
            _FIX_SETUP,
            code=("INVALID_TYPE",),
        ),
        ErrorRule(
            "drift",
            "Salesforce does not understand our query",
            "Report it to the integration engineer with the vendor's words.",
            code=(
                "MALFORMED_QUERY",
                "INVALID_QUERY_FILTER_OPERATOR",
                "INVALID_QUERY_LOCATOR",
                "QUERY_TOO_COMPLICATED",
                "UNSUPPORTED_API_VERSION",
                "METHOD_NOT_ALLOWED",
                "EXCEEDED_MAX_SIZE_REQUEST",
            ),
        ),
        # --- this record ------------------------------------------------------------------------
        ErrorRule(
            "rejected",
            "a field that Salesforce requires is empty",
            _FIX_RECORD,
            code=("REQUIRED_FIELD_MISSING", "MISSING_ARGUMENT"),
        ),
        ErrorRule(
            "rejected",
            "a validation rule in Salesforce refuses the record",
            "Read the rule's message; correct the record or have the rule changed.",
            code=("FIELD_CUSTOM_VALIDATION_EXCEPTION", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"),
        ),
        ErrorRule(
            "rejected",
            "Salesforce sees a duplicate",
            "Merge the records in Salesforce or correct the number, then replay.",
            code=("DUPLICATE_VALUE", "DUPLICATES_DETECTED", "DUPLICATE_EXTERNAL_ID"),
        ),
        ErrorRule(
            "rejected",
            "several Salesforce records carry the same external id",
            "Merge the records in Salesforce, then replay.",
            status=(300,),
        ),
        ErrorRule(
            "rejected",
            "a reference points at nothing in Salesforce",
            _FIX_RECORD,
            code=(
                "INVALID_CROSS_REFERENCE_KEY",
                "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
                "MALFORMED_ID",
            ),
        ),
        ErrorRule(
            "rejected",
            "the record was deleted in Salesforce",
            "Restore it from the recycle bin, or end the run.",
            code=("ENTITY_IS_DELETED", "DELETE_FAILED"),
        ),
        ErrorRule(
            "rejected",
            "the record is not in Salesforce, or not visible to the integration user",
            "Check the record id and the sharing rules.",
            code=("NOT_FOUND", "INSUFFICIENT_ACCESS_OR_READONLY"),
        ),
        ErrorRule(
            "rejected",
            "Salesforce cannot take a value",
            _FIX_RECORD,
            code=(
                "STRING_TOO_LONG",
                "JSON_PARSER_ERROR",
                "NUMBER_OUTSIDE_VALID_RANGE",
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                "INVALID_CURRENCY_ISO",
                "INVALID_EMAIL_ADDRESS",
                "FIELD_INTEGRITY_EXCEPTION",
            ),
        ),
    )
)


def of_read(outcome: Outcome) -> Outcome:
    """A read changes nothing, so a read without a usable answer is an Outage, never Unknown."""
    return Outage(outcome.detail) if isinstance(outcome, Unknown) else outcome


# On every REST answer: calls of the whole organisation in a rolling day (REST API developer guide,
# "Limit Info Header").
LIMITS = (
    LimitRule(
        "Sforce-Limit-Info",
        r"(?:^|[;,]\s*)api-usage=(?P<used>[0-9]{1,12})/(?P<limit>[0-9]{1,12})",
        "calls a day",
        window_seconds=86_400,
    ),
)
