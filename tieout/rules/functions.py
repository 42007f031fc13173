"""The words an expression may use: our own vocabulary, and the safe part of DuckDB's.

Both tables are data; `docs/reference/expressions.md` is generated from them by
`python -m tieout.rules.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# `amount`: what the function makes of money. same: money in, money out.
ResultKind = Literal["same", "text", "integer", "boolean", "date", "timestamp", "number", "list"]


@dataclass(frozen=True, slots=True)
class Own:
    """One of our own functions. `lookup`: it asks the engine, so it cannot stand inside [...]."""

    name: str
    usage: str
    says: str
    least: int
    most: int
    example: str
    lookup: bool = False


OWN: tuple[Own, ...] = (
    Own(
        "crosswalk",
        "crosswalk('name', code [, date])",
        "The value a governed code table gives for a code on a date (default: the mapping's "
        "`dated`). A code that is not in the table is an error on that field, never a NULL.",
        2,
        3,
        "crosswalk('region_entity', Region__c)",
        lookup=True,
    ),
    Own(
        "xref",
        "xref('record type', source_id)",
        "The record key of another record of the same source system, arrived or not.",
        2,
        2,
        "xref('customer', AccountId)",
    ),
    Own(
        "id_in",
        "id_in('system', 'record type', key)",
        "The id a record has in a target system. Until it has a proof there, the step waits.",
        3,
        3,
        "id_in('netsuite', 'customer', customer)",
        lookup=True,
    ),
    Own(
        "number_in",
        "number_in('system', 'record type', key)",
        "The document number people see in a target system (SO1042). Waits like `id_in`.",
        3,
        3,
        "number_in('netsuite', 'sales_order', record_key)",
        lookup=True,
    ),
    Own(
        "convert",
        "convert(amount, from, to, date [, rate_type])",
        "An amount in another currency, at the rate of a date; the rate's id is kept with the row. "
        "Carries up to 18 decimals: round it with `round_to(…, minor_units(to))`.",
        4,
        5,
        "round_to(convert(total, currency, 'EUR', closed_on), 2)",
        lookup=True,
    ),
    Own(
        "rate_id",
        "rate_id(from, to, date [, rate_type])",
        "The id of the rate that `convert` would use.",
        3,
        4,
        "rate_id(currency, 'EUR', closed_on)",
        lookup=True,
    ),
    Own(
        "period",
        "period(date [, legal_entity])",
        "The name of the accounting period a date falls in, by the legal entity's calendar.",
        1,
        2,
        "period(closed_on)",
        lookup=True,
    ),
    Own(
        "divide",
        "divide(a, b, places)",
        "a / b, exact, rounded half away from zero to 0–10 places. Dividing by zero is an error.",
        3,
        3,
        "divide(total, quantity, 2)",
    ),
    Own(
        "round_to",
        "round_to(x, places)",
        "x rounded half away from zero to 0–6 places, as an amount. `places` is a number or "
        "`minor_units(currency)`.",
        2,
        2,
        "round_to(Amount, minor_units(CurrencyIsoCode))",
    ),
    Own(
        "money",
        "money(x, currency)",
        "An amount with its currency, to compare with. Amounts in different currencies compare "
        "to NULL: nobody can say.",
        2,
        2,
        "total > money(250000, 'EUR')",
    ),
    Own(
        "minor_units",
        "minor_units(currency)",
        "How many decimals a currency has (ISO 4217: EUR 2, JPY 0, KWD 3).",
        1,
        1,
        "minor_units(currency)",
    ),
)
OWN_BY_NAME = {one.name: one for one in OWN}


@dataclass(frozen=True, slots=True)
class Plain:
    """A function of DuckDB that is safe: same input, same output, nothing but its arguments.

    `node` is the name sqlglot gives its syntax node; empty when it has none of its own.
    """

    name: str
    node: str
    result: ResultKind
    says: str


PLAIN: tuple[Plain, ...] = (
    Plain("abs", "Abs", "same", "without its sign"),
    Plain("ceil", "Ceil", "number", "the next whole number up"),
    Plain("floor", "Floor", "number", "the next whole number down"),
    Plain("sign", "Sign", "integer", "-1, 0 or 1"),
    Plain("coalesce", "Coalesce", "same", "the first value that is there"),
    Plain("nullif", "Nullif", "same", "nothing, if two values are equal"),
    Plain("greatest", "Greatest", "same", "the largest of several"),
    Plain("least", "Least", "same", "the smallest of several"),
    Plain("if", "If", "same", "if(condition, then, otherwise)"),
    Plain("upper", "Upper", "text", "in capitals"),
    Plain("lower", "Lower", "text", "in small letters"),
    Plain("trim", "Trim", "text", "without blanks around it"),
    Plain("substr", "Substring", "text", "part of a text: from, length"),
    Plain("left", "Left", "text", "the first n characters"),
    Plain("right", "Right", "text", "the last n characters"),
    Plain("lpad", "Pad", "text", "filled up to a length (also rpad)"),
    Plain("replace", "Replace", "text", "one text for another"),
    Plain("concat", "Concat", "text", "texts in a row"),
    Plain("concat_ws", "ConcatWs", "text", "texts in a row with a separator"),
    Plain("split_part", "SplitPart", "text", "one part of a separated text"),
    Plain("reverse", "Reverse", "text", "backwards"),
    Plain("sha256", "SHA2", "text", "the SHA-256 digest, in hexadecimal"),
    Plain("regexp_matches", "RegexpLike", "boolean", "does a pattern match?"),
    Plain("regexp_replace", "RegexpReplace", "text", "a pattern replaced"),
    Plain("regexp_extract", "RegexpExtract", "text", "what a pattern found"),
    Plain("starts_with", "StartsWith", "boolean", "does a text start so?"),
    Plain("ends_with", "EndsWith", "boolean", "does a text end so?"),
    Plain("contains", "Contains", "boolean", "is a text inside another?"),
    Plain("strip_accents", "", "text", "é becomes e"),
    Plain("len", "Length", "integer", "the length of a text or a list"),
    Plain("year", "Year", "integer", "the year of a date"),
    Plain("quarter", "Quarter", "integer", "the quarter of a date"),
    Plain("month", "Month", "integer", "the month of a date"),
    Plain("day", "Day", "integer", "the day of a date"),
    Plain("last_day", "LastDay", "date", "the last day of a date's month"),
    Plain("make_date", "DateFromParts", "date", "a date from year, month, day"),
    Plain("date_trunc", "TimestampTrunc", "timestamp", "the start of a date's month, year, …"),
    Plain("date_trunc", "DateTrunc", "date", "the start of a date's month, year, …"),
    Plain("date_diff", "DateDiff", "integer", "borders between two dates"),
    Plain("strftime", "TimeToStr", "text", "a date written by a pattern"),
    Plain("strptime", "StrToTime", "timestamp", "a date read by a pattern"),
    Plain("date", "Date", "date", "the date of a timestamp or an ISO text"),
    Plain("list_sum", "", "same", "the sum of a list, exact"),
    Plain("list_min", "ArrayMin", "same", "the smallest of a list"),
    Plain("list_max", "ArrayMax", "same", "the largest of a list"),
    Plain("list_contains", "ArrayContains", "boolean", "is a value in a list?"),
    Plain("list_distinct", "ArrayDistinct", "list", "each value once (order not kept: sort it)"),
    Plain("list_sort", "SortArray", "list", "sorted"),
    Plain("list_count", "", "integer", "how many values of a list are there"),
    Plain("array_to_string", "ArrayToString", "text", "a list of texts, joined"),
)
PLAIN_BY_NODE = {one.node: one for one in PLAIN if one.node}
PLAIN_BY_NAME = {one.name: one for one in PLAIN}

# Refused with more than "unknown function": what a person probably meant.
INSTEAD: dict[str, str] = {
    "avg": "an average of decimals is a binary number; use divide(list_sum(list), len(list), 2)",
    "list_avg": "an average of decimals is a binary number; "
    "use divide(list_sum(list), len(list), 2)",
    "mean": "an average of decimals is a binary number; use divide(list_sum(list), len(list), 2)",
    "round": "use round_to(x, places), which states the rounding: half away from zero",
    "sum": "an expression sees one row; to total a list use list_sum([x.amount for x in lines])",
    "count": "an expression sees one row; to count a list use len(lines)",
    "now": "the time of day makes a rule's answer change; use a date field of the row",
    "current_date": "the time of day makes a rule's answer change; use a date field of the row",
    "current_timestamp": "the time makes a rule's answer change; use a date field of the row",
    "today": "the time of day makes a rule's answer change; use a date field of the row",
    "random": "a rule gives the same answer every time; use a field of the row",
    "uuid": "a rule gives the same answer every time; use record_key or source_key",
    "getenv": "a rule sees its row and nothing of the machine; put the value into a crosswalk",
    "read_csv": "a rule cannot read files; put codes into crosswalks/*.csv and use crosswalk()",
    "read_parquet": "a rule cannot read files; put codes into crosswalks/*.csv and use crosswalk()",
    "read_json": "a rule cannot read files; put codes into crosswalks/*.csv and use crosswalk()",
    "read_text": "a rule cannot read files; put codes into crosswalks/*.csv and use crosswalk()",
    "glob": "a rule cannot read files; put codes into crosswalks/*.csv and use crosswalk()",
}
