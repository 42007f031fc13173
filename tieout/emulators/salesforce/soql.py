"""A parser for the part of SOQL that integrations send: text in, a `Query` out.

SELECT fields, parent fields (Account.Name), COUNT() and nested child queries; WHERE with
comparisons, IN, LIKE, NOT, AND, OR and parentheses; ORDER BY; LIMIT; OFFSET. As with the vendor,
AND and OR may not be mixed without parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tieout.emulators.kit import whole_number
from tieout.emulators.salesforce.values import ApiError, instant_of

MOST_CHARACTERS = 100_000
MOST_DEPTH = 50

LiteralKind = Literal["string", "number", "date", "datetime", "boolean", "null"]


@dataclass(frozen=True, slots=True)
class Value:
    """A literal and the form it was written in; the vendor checks the form against the field."""

    kind: LiteralKind
    value: str | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    field: str
    operator: str  # = != < <= > >= IN NOT IN LIKE
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Both:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    part: Condition


Condition = Comparison | Both | Either | Negated


@dataclass(frozen=True, slots=True)
class Query:
    """One parsed query; a nested one has a relationship name as `source`."""

    source: str
    fields: tuple[str, ...]
    nested: tuple[Query, ...] = ()
    where: Condition | None = None
    order: tuple[tuple[str, bool, bool], ...] = ()  # field, descending, nulls last
    limit: int | None = None
    offset: int = 0
    counts: bool = False


TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
  | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
ESCAPED = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


def parse(text: str) -> Query:
    """The query that `text` spells. Raises ApiError (MALFORMED_QUERY)."""
    if len(text) > MOST_CHARACTERS:
        raise ApiError(400, "QUERY_TOO_COMPLICATED", "SOQL statement is longer than 100000")
    parser = _Parser(_tokens(text), text)
    query = parser.query()
    if parser.peek()[0] != "end":
        raise parser.unexpected()
    return query


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            raise ApiError(
                400,
                "MALFORMED_QUERY",
                f"line 1:{at} no viable alternative at '{text[at : at + 20]}'",
            )
        kind = match.lastgroup or ""
        found.append((kind, match.group(kind)))
        at = match.end()
    return found


def _unescape(quoted: str) -> str:
    def one(match: re.Match[str]) -> str:
        what = match.group(1)
        if len(what) == 5:
            return chr(int(what[1:], 16))
        if what in ESCAPES:
            return ESCAPES[what]
        if what in "'\"\\%_":
            return what
        raise ApiError(400, "MALFORMED_QUERY", f"Invalid string literal {quoted[:80]}")

    return ESCAPED.sub(one, quoted[1:-1])


class _Parser:
    def __init__(self, tokens: Sequence[tuple[str, str]], text: str) -> None:
        self.tokens = tokens
        self.text = text
        self.at = 0
        self.depth = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "<EOF>")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def unexpected(self) -> ApiError:
        return ApiError(400, "MALFORMED_QUERY", f"unexpected token: '{self.peek()[1]}'")

    def word(self, *words: str) -> bool:
        """Take the keyword if it is next."""
        kind, text = self.peek()
        if kind in {"name", "sign"} and text.upper() in words:
            self.at += 1
            return True
        return False

    def need(self, word: str) -> None:
        if not self.word(word):
            raise self.unexpected()

    def name(self) -> str:
        if self.peek()[0] != "name":
            raise self.unexpected()
        return self.take()[1]

    def query(self) -> Query:
        self.need("SELECT")
        fields: list[str] = []
        nested: list[Query] = []
        counts = False
        while True:
            if self.word("("):
                nested.append(self.query())
                self.need(")")
            else:
                name = self.name()
                if name.upper() == "COUNT" and self.word("("):
                    self.need(")")
                    counts = True
                else:
                    fields.append(name)
            if not self.word(","):
                break
        self.need("FROM")
        source = self.name()
        where = self.condition() if self.word("WHERE") else None
        order: list[tuple[str, bool, bool]] = []
        if self.word("ORDER"):
            self.need("BY")
            order.append(self.ordering())
            while self.word(","):
                order.append(self.ordering())
        limit = self.whole_number() if self.word("LIMIT") else None
        offset = self.whole_number() if self.word("OFFSET") else 0
        return Query(
            source, tuple(fields), tuple(nested), where, tuple(order), limit, offset, counts
        )

    def ordering(self) -> tuple[str, bool, bool]:
        name = self.name()
        descending = self.word("DESC")
        if not descending:
            self.word("ASC")
        nulls_last = descending
        if self.word("NULLS"):
            nulls_last = self.word("LAST")
            if not nulls_last:
                self.need("FIRST")
        return name, descending, nulls_last

    def whole_number(self) -> int:
        kind, text = self.peek()
        number = whole_number(text) if kind == "number" else None
        if number is None:
            raise self.unexpected()
        self.at += 1
        return number

    def condition(self) -> Condition:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ApiError(400, "QUERY_TOO_COMPLICATED", "too many nested conditions")
        parts = [self.term()]
        joined_by = ""
        while self.peek()[1].upper() in {"AND", "OR"} and self.peek()[0] == "name":
            joiner = self.peek()[1].upper()
            if joined_by and joiner != joined_by:
                raise self.unexpected()
            joined_by = joiner
            self.at += 1
            parts.append(self.term())
        self.depth -= 1
        if len(parts) == 1:
            return parts[0]
        return Both(tuple(parts)) if joined_by == "AND" else Either(tuple(parts))

    def term(self) -> Condition:
        if self.word("NOT"):
            return Negated(self.term())
        if self.word("("):
            inside = self.condition()
            self.need(")")
            return inside
        field = self.name()
        if self.word("NOT"):
            self.need("IN")
            return Comparison(field, "NOT IN", self.value_list())
        if self.word("IN"):
            return Comparison(field, "IN", self.value_list())
        if self.word("LIKE"):
            return Comparison(field, "LIKE", (self.value(),))
        kind, sign = self.take()
        if kind != "sign" or sign in {"(", ")", ","}:
            self.at -= 1
            raise self.unexpected()
        return Comparison(field, "!=" if sign == "<>" else sign, (self.value(),))

    def value_list(self) -> tuple[Value, ...]:
        self.need("(")
        values = [self.value()]
        while self.word(","):
            values.append(self.value())
        self.need(")")
        return tuple(values)

    def value(self) -> Value:
        kind, text = self.peek()
        found: Value | None = None
        if kind == "string":
            found = Value("string", _unescape(text))
        elif kind == "number":
            found = Value("number", Decimal(text))
        elif kind == "date":
            found = Value("date", text)
        elif kind == "datetime" and (instant := instant_of(text)) is not None:
            found = Value("datetime", instant)
        elif kind == "name" and text.upper() in {"TRUE", "FALSE"}:
            found = Value("boolean", text.upper() == "TRUE")
        elif kind == "name" and text.upper() == "NULL":
            found = Value("null", None)
        if found is None:
            raise self.unexpected()
        self.at += 1
        return found
