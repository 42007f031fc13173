"""What PostgreSQL's errors mean: its SQLSTATE codes, by class, as outcomes.

Source: PostgreSQL documentation, appendix A "Error codes". A row that is refused is refused before
its transaction ends, so nothing of it is applied; what happens while COMMIT is under way is judged
in `writing`. The message that is matched begins with the code.
"""

from __future__ import annotations

import re

import psycopg

from tieout.finance.outcome import Outcome
from tieout.ports.errors import ErrorRule, ErrorTable

_AGAIN = "Nothing to do: it is sent again."
_PLATFORM = "Look at the database server's log; it is tried again with growing pauses."
_VALUE = "Correct the value in the source, or the mapping that makes it."

ERRORS = ErrorTable(
    (
        ErrorRule(
            "busy",
            "another transaction was in the way",
            _AGAIN,
            pattern=r"^(40|55P03|55006)",
        ),
        ErrorRule(
            "busy",
            "the database stopped a statement that took too long",
            "Nothing to do at first: it is sent again. If it repeats, make 'timeout' longer or "
            "'writes_per_call' smaller.",
            code=("57014",),
        ),
        ErrorRule(
            "outage",
            "the database server is stopping, starting or a standby",
            _PLATFORM,
            pattern=r"^(57P0|25006|25P0)",
        ),
        ErrorRule(
            "busy",
            "the database has no connection to spare",
            "Nothing to do: it is sent again. If it repeats, raise max_connections or lower "
            "most_in_flight.",
            code=("53300",),
        ),
        ErrorRule(
            "outage",
            "the database server ran out of disk, memory or files, or failed",
            _PLATFORM,
            pattern=r"^(53|58|XX|F0|08)",
        ),
        ErrorRule(
            "denied",
            "the database does not let this user do that",
            "Ask the database's administrator: the user needs SELECT, INSERT, UPDATE and DELETE on "
            "the tables, and TEMPORARY on the database.",
            pattern=r"^(28|42501)|authentication failed|no pg_hba\.conf entry|"
            r"role .* does not exist|permission denied|no password supplied",
        ),
        ErrorRule(
            "drift",
            "the tables are not as the landscape declares them",
            "Compare the interface in systems/ with the tables, and correct one of them.",
            pattern=r"^(42|0A|3D|3F|26)|database .* does not exist",
        ),
        ErrorRule(
            "rejected",
            "a rule of the database refuses this row",
            "Correct the row in the source, or let the database's owner change the rule.",
            pattern=r"^(23|44|P0|27|09|38|39|2F)",
        ),
        ErrorRule("rejected", "a value does not fit its column", _VALUE, pattern=r"^(22|21|54)"),
    )
)

ROW_FAULTS = re.compile(r"(22|23|44|P0|21|54|27|09|38|39|2F)")  # by one row, not by all of them
_COLUMN = re.compile(r"COPY [^,]+, line \d+, column ([^:]+)")


def concerns_a_row(error: psycopg.Error) -> bool:
    """Whether other rows of the same statement may well be good."""
    return ROW_FAULTS.match(error.sqlstate or "") is not None


def outcome_of(error: psycopg.Error) -> Outcome:
    """The outcome of a refused statement; its transaction has applied nothing."""
    told = error.diag.message_primary or str(error).strip()
    where = _COLUMN.search(error.diag.context or "")
    column = error.diag.column_name or (where[1] if where else "")
    if error.diag.constraint_name:
        told += f" (constraint {error.diag.constraint_name})"
    state = error.sqlstate or ""
    return ERRORS.classify(None, state, f"{state} {told}".strip(), field=column)
