"""One SQL expression, read and judged before anything runs it.

The language is SQL scalar expressions in DuckDB's dialect, and only the harmless part of it: names
of the row, literals, operators, conditions, lists, and the functions of `rules/functions.py`. No
tables, no subqueries, no files, no network, no parameters, no clock, no chance (DESIGN §9).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tieout.rules.functions import INSTEAD, OWN_BY_NAME, PLAIN_BY_NAME, PLAIN_BY_NODE
from tieout.rules.place import Place, Problem

MOST_CHARACTERS = 64 * 1024
MOST_DEPTH = 200  # nested syntax nodes; a person writes ten

# `convert(` is a keyword of other dialects, so the parser is shown another name for it.
_CONVERT = re.compile(r"convert$", re.IGNORECASE)
_CONVERT_SHOWN = "tieout_convert"

_OPERATORS = (
    "Add Sub Mul IntDiv Mod Neg Paren EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ And Or Not Is In "
    "Between Like ILike DPipe Case Cast TryCast Interval Var DataType DataTypeParam Column "
    "Identifier Dot Literal Boolean Null Array Comprehension Bracket Slice Tuple Anonymous"
)
_ALLOWED_NODES = frozenset(_OPERATORS.split()) | frozenset(PLAIN_BY_NODE) | {"ArraySort"}
_CAST_TYPES = frozenset(
    [
        "DECIMAL",
        "INT",
        "BIGINT",
        "SMALLINT",
        "INT128",
        "VARCHAR",
        "TEXT",
        "DATE",
        "TIMESTAMP",
        "BOOLEAN",
    ]
)


@dataclass(frozen=True)
class Expression:
    """A checked expression: `tree` holds only allowed nodes; names are not resolved yet."""

    sql: str
    place: Place
    tree: exp.Expr


class BadExpression(Exception):
    """An expression that is refused; carries every problem found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(one) for one in problems))


def parse(sql: str, place: Place, functions: Collection[str] = ()) -> Expression:
    """Read one expression; `functions` are the names of the landscape's own Python functions.

    Raises BadExpression with what is wrong, where, and what to do.
    """
    if not sql.strip():
        raise _bad(place, "the expression is empty", "Write an SQL expression or remove the field.")
    if len(sql.encode()) > MOST_CHARACTERS:
        raise _bad(
            place,
            f"the expression is longer than {MOST_CHARACTERS // 1024} KB",
            "Put codes into a crosswalk; split the rest over several fields.",
        )
    tree = _tree(sql, place)
    problems = _judge(tree, place, functions)
    if problems:
        raise BadExpression(problems)
    return Expression(sql, place, tree)


def _tree(sql: str, place: Place) -> exp.Expr:
    """The one syntax tree of the text, or BadExpression."""
    dialect = sqlglot.Dialect.get_or_raise("duckdb")
    try:
        tokens = dialect.tokenize(sql)
        for token, following in pairwise(tokens):
            if _CONVERT.match(token.text) and following.token_type.name == "L_PAREN":
                token.text = _CONVERT_SHOWN
        trees = dialect.parser().parse(tokens, sql)
    except SqlglotError as error:
        raise _bad(place, f"cannot read '{short(sql)}' as SQL{_spot(error)}", _RULE) from None
    except RecursionError:
        raise _bad(place, "the expression is nested too deeply", _SIMPLER) from None
    if len(trees) != 1 or trees[0] is None or ";" in [token.text for token in tokens]:
        raise _bad(place, "one field takes one expression, without ';'", _RULE)
    try:
        deepest = max(node.depth for node in trees[0].walk())
    except RecursionError:
        deepest = MOST_DEPTH + 1
    if deepest > MOST_DEPTH:
        raise _bad(place, "the expression is nested too deeply", _SIMPLER)
    return trees[0]


_RULE = "Write one SQL scalar expression over the fields of the row."
_SIMPLER = "Split it over several fields or use a crosswalk."


def _spot(error: SqlglotError) -> str:
    details = getattr(error, "errors", [])
    if not details:
        return ""
    spot = details[0]
    return f" (near '{spot.get('highlight', '')}', column {spot.get('col', '?')})"


def function_name(node: exp.Expr) -> str:
    """The name a person writes for a function node, in small letters; "" for an operator."""
    if isinstance(node, exp.Anonymous):
        name = str(node.name).lower()
        return "convert" if name == _CONVERT_SHOWN else name
    plain = PLAIN_BY_NODE.get(type(node).__name__)
    if plain:
        return plain.name
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


def taken_name(name: str) -> str:
    """Why a landscape's own function cannot have this name; "" when it can."""
    if name != name.lower():
        return "has capitals in its name, which SQL does not tell apart"
    if name in OWN_BY_NAME or name in PLAIN_BY_NAME or name in INSTEAD:
        return "has the name of a function of expressions"
    try:
        tree = _tree(f"{name}(x)", Place("", 1))
    except BadExpression:
        return "has the name of a word of SQL"
    own = isinstance(tree, exp.Anonymous) and function_name(tree) == name
    return "" if own else "has the name of a function of SQL"


def _judge(tree: exp.Expr, place: Place, functions: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    for node in tree.walk():
        found = _judge_node(node, functions)
        if found:
            what, next_action = found
            problem = Problem(place, what, next_action)
            if problem not in problems:
                problems.append(problem)
    # The outermost refusal says it; what stands inside a refused node only repeats it.
    return problems[:1] if problems and _is_foreign(tree) else problems


def _is_foreign(tree: exp.Expr) -> bool:
    return type(tree).__name__ not in _ALLOWED_NODES and not isinstance(tree, exp.Func)


def _judge_node(node: exp.Expr, functions: Collection[str]) -> tuple[str, str] | None:
    """What is wrong with one node itself, and what to do; None when nothing is."""
    kind = type(node).__name__
    if isinstance(node, exp.Div):
        return (
            "'/' on decimals gives a binary number, which cannot hold cents exactly",
            "Use divide(a, b, places), or a // b for whole numbers.",
        )
    if isinstance(node, exp.Anonymous):
        return _judge_name(function_name(node), functions)
    if kind not in _ALLOWED_NODES:
        return _refused(node)
    if isinstance(node, exp.Cast):
        return _judge_type(node.to)
    if isinstance(node, exp.Literal) and not node.is_string and not _EXACT.match(node.name):
        return (
            f"{node.name} is a binary number",
            "Write it in plain digits, like 1500 or 0.05.",
        )
    if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
        return ("IN takes a list of values, not a query", "Write IN ('a', 'b').")
    if isinstance(node, exp.Tuple) and not isinstance(node.parent, exp.In):
        return ("a row of values in brackets is no value", "Write one value per field.")
    if isinstance(node, exp.Interval) and isinstance(node.this, exp.Expr):
        return None if isinstance(node.this, exp.Literal) else ("an interval takes a number", _RULE)
    if isinstance(node, exp.SHA2) and str(node.text("length")) not in ("", "256"):
        return ("only sha256 is offered", "Use sha256(text).")
    return None


_EXACT = re.compile(r"\d+(\.\d*)?$|\.\d+$")


def _judge_name(name: str, functions: Collection[str] = ()) -> tuple[str, str] | None:
    if name in OWN_BY_NAME or name in PLAIN_BY_NAME or name in functions:
        return None
    if name in INSTEAD:
        return (f"{name}() is not allowed in an expression", _sentence(INSTEAD[name]))
    near = difflib.get_close_matches(name, [*OWN_BY_NAME, *PLAIN_BY_NAME, *functions], 1, 0.7)
    hint = f"Did you mean {near[0]}()?" if near else "docs/reference/expressions.md lists them."
    return (f"there is no function {name}() for expressions", hint)


def _refused(node: exp.Expr) -> tuple[str, str]:
    written = {"readcsv": "read_csv", "readparquet": "read_parquet", "rand": "random"}
    name = function_name(node).replace("array_avg", "list_avg")
    name = written.get(name, written.get(name.replace("_", ""), name))
    if name in INSTEAD:
        return (f"{name}() is not allowed in an expression", _sentence(INSTEAD[name]))
    if isinstance(node, exp.Subquery | exp.Query | exp.Exists):
        return (
            "an expression sees one row; it cannot SELECT",
            "Use a crosswalk for codes, `each` for lists, id_in() for other records.",
        )
    if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
        return ("an expression takes no parameters", "Write the value or a field's name.")
    if isinstance(node, exp.Pow):
        return ("powers give binary numbers", "Multiply instead: x * x.")
    if isinstance(node, exp.Struct | exp.PropertyEQ):
        return ("an expression makes one value, not an object", "Nest the fields in the YAML.")
    if isinstance(node, exp.Func):
        return _judge_name(name) or (f"{name}() is not allowed in an expression", _RULE)
    if isinstance(node, exp.Alias):
        return ("a field's name comes from the YAML, not from AS", "Remove the AS part.")
    if isinstance(node, exp.Lambda):
        return ("write lists as a comprehension", "For example [x.amount for x in lines].")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
    return (f"{name} is not allowed in an expression", _RULE)


def _judge_type(to: exp.DataType) -> tuple[str, str] | None:
    name = to.this.name if hasattr(to.this, "name") else str(to.this)
    if name in ("DOUBLE", "FLOAT"):
        return (
            f"CAST to {name} makes a binary number, which cannot hold cents exactly",
            "Cast to DECIMAL(22,6).",
        )
    if name not in _CAST_TYPES:
        return (
            f"CAST to {to.sql('duckdb')} is not allowed",
            "Cast to DECIMAL(width,scale), BIGINT, VARCHAR, DATE, TIMESTAMP or BOOLEAN.",
        )
    return None


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def short(text: str, most: int = 80) -> str:
    """A text on one line, cut to a stated length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _bad(place: Place, what: str, next_action: str) -> BadExpression:
    return BadExpression([Problem(place, what, next_action)])
