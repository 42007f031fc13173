"""What Tryton 8.2 refuses, and what each refusal means. The texts are its own English messages.

A refusal (`UserError`) rolls the whole call back, so nothing was applied. A fault inside the server
rolls back too, but work it starts after its commit may have failed on its own: without a row of its
own such a fault stays Unknown, and what Tryton holds is looked up before anything is decided.
"""

from __future__ import annotations

from tieout.ports.errors import ErrorRule, ErrorTable

USER = ("UserError",)
LOCKED = r"could not serialize|deadlock detected|could not obtain lock"

ERRORS = ErrorTable(
    (
        ErrorRule(
            "period_closed",
            "the accounting period is closed in Tryton",
            "Hold the document until the period is reopened, or re-date it by policy.",
            code=USER,
            pattern=r"must reopen the (period|fiscal ?year)",
        ),
        ErrorRule(
            "period_closed",
            "Tryton has no accounting period for this date",
            "Create the fiscal year and its periods in Tryton, then replay.",
            code=USER,
            pattern=r"must create a (period|fiscal ?year)",
        ),
        ErrorRule(
            "rejected",
            "Tryton numbers invoices in date order and has numbered a later one already",
            "Give the invoice a date not before the last one of its numbering sequence; its "
            "accounting date may stay.",
            code=USER,
            pattern=r"To number the invoice",
        ),
        ErrorRule(
            "already_there",
            "Tryton holds a record with this code",
            "Nothing to do: what it shows is compared with what was meant.",
            code=USER,
            pattern=r"code .*must be unique",
        ),
        ErrorRule(
            "busy",
            "the document moved on in Tryton meanwhile",
            "Nothing to do: it is looked at again.",
            code=USER,
            pattern=r"You can not call \"",
        ),
        ErrorRule(
            "denied",
            "the login lacks a permission in Tryton",
            "Ask Tryton's administrator to give the connection's user this access.",
            code=USER,
            pattern=r"(not allowed to (access|read|create|delete|write|execute)|access right|"
            r"Calling button .* is not allowed)",
        ),
        ErrorRule(
            "rejected",
            "a record this one refers to does not exist in Tryton",
            "Make sure its parents were written to this database, then replay.",
            code=USER,
            pattern=r"does not exist|that don't exist",
        ),
        ErrorRule(
            "rejected",
            "an amount or price has more decimals than Tryton keeps",
            "Round it in the mapping, or raise [product] price_decimal in Tryton's configuration.",
            code=USER,
            pattern=r"number of digits in the value",
        ),
        ErrorRule(
            "rejected",
            "Tryton refused the document",
            "Correct the record at its source, or the set-up in Tryton it names; then replay.",
            code=USER,
        ),
        ErrorRule(
            "rejected",
            "Tryton asks a person to confirm a warning",
            "Let a person judge it in Tryton; a warning that is always right can be switched off "
            "there for the connection's user.",
            code=("UserWarning",),
        ),
        ErrorRule(
            "busy",
            "somebody changed the record at the same moment",
            "Nothing to do: it is looked at again.",
            code=("ConcurrencyException",),
        ),
        ErrorRule(
            "denied",
            "Tryton wants another proof of identity",
            "Give the connection a user that signs in with a password alone.",
            code=("LoginException",),
        ),
        ErrorRule(
            "busy",
            "Tryton's database could not serialise this change with others",
            "Nothing to do: it is sent again.",
            code=("Exception",),
            pattern=LOCKED,
        ),
        ErrorRule(
            "drift",
            "Tryton does not know a field or model we named",
            "Compare the Tryton release and its modules with the connector's documentation.",
            code=("Exception",),
            pattern=r"^'[\w.]+'$|has no attribute|Unknown field|unexpected keyword",
        ),
        ErrorRule(
            "unknown",
            "a fault inside the Tryton server",
            "Read Tryton's server log; what it holds is looked up next.",
            code=("Exception",),
        ),
        ErrorRule(
            "denied",
            "Tryton refused the session twice",
            "Check login and password of this system in environments/*.yaml.",
            status=(401,),
        ),
        ErrorRule(
            "drift",
            "Tryton does not offer this method to callers",
            "Check that the modules sale and account_invoice are activated in this database.",
            status=(403,),
        ),
        ErrorRule(
            "denied",
            "there is no such database or address",
            "Check base_url and database of this system in environments/*.yaml.",
            status=(404,),
        ),
        ErrorRule(
            "busy",
            "Tryton asks us to slow down",
            "Nothing to do: it waits.",
            status=(429, 423),
        ),
        ErrorRule(
            "busy",
            "somebody else holds the row that Tryton needs, such as a numbering sequence",
            "Nothing to do: it is sent again.",
            status=(503,),
            pattern=LOCKED,
        ),
        ErrorRule(
            "unknown",
            "Tryton or the proxy before it is down, and may have begun the work before it fell",
            "Start it if it does not come back; what Tryton holds is looked up next.",
            status=(502, 503),
        ),
        ErrorRule(
            "unknown",
            "Tryton gave no answer in time",
            "Read Tryton's server log; what it holds is looked up next.",
            status=(500, 504),
        ),
    )
)
