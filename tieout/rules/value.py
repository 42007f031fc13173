"""What is known about one part of an expression while it is compiled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from tieout.rules.spec import FieldType


class Refused(Exception):
    """Part of an expression that cannot be allowed: what, and what to do."""

    def __init__(self, what: str, next_action: str) -> None:
        super().__init__(what)
        self.what = what
        self.next_action = next_action


@dataclass(frozen=True)
class Value:
    """One part of an expression, bound to its columns.

    `amount`: it is money, in `currency` (SQL; "" unknown). `constant`: no field is in it. `zero`:
    a literal 0, which has no unit. `scale`: its decimals, where known. `fields`: the members of an
    object or of a list's items. `path`: the source path of a plain field.
    """

    node: exp.Expr
    kind: str = ""
    amount: bool = False
    currency: str = ""
    constant: bool = False
    zero: bool = False
    scale: int | None = None
    fields: tuple[FieldType, ...] = ()
    path: str = ""

    def but(self, **changes: Any) -> Value:
        return dataclasses.replace(self, **changes)

    def sql(self) -> str:
        return to_sql(self.node)


def to_sql(node: exp.Expr) -> str:
    """DuckDB's text of a syntax tree; comments are dropped."""
    return str(node.sql("duckdb", comments=False))


def raw(sql: str) -> exp.Expr:
    """The syntax tree of SQL that we wrote ourselves."""
    return sqlglot.parse_one(sql, read="duckdb")
