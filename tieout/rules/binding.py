"""From a checked expression to SQL over one level's columns.

Binding resolves every name, writes our own functions out as exact SQL, turns lookups into
numbered calls, and follows what is money through the expression, so that money meets only money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from tieout.rules.column_types import DECIMALS, decimal_size, literal, quoted
from tieout.rules.expression import BadExpression, Expression, function_name, short
from tieout.rules.functions import PLAIN_BY_NAME, PLAIN_BY_NODE
from tieout.rules.level import Level
from tieout.rules.money_rules import add, compare, merge, multiply
from tieout.rules.own_functions import OwnFunctions
from tieout.rules.place import Place, Problem
from tieout.rules.python_functions import Functions
from tieout.rules.spec import Crosswalk, FieldType
from tieout.rules.value import Refused, Value, raw

MOST_COMPILED = 1024 * 1024  # characters of SQL one expression may grow to
_NULL_ON_PURPOSE = (exp.Nullif, exp.Null, exp.Bracket)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_BOOLEAN = (exp.And, exp.Or, exp.Not, exp.Is, exp.Like, exp.ILike)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an expression may refer to besides its row.

    `system` is the source system of an inbound mapping ("" outbound); `legal_entity` names the
    root field `period()` uses; `dated` says that the mapping states a default date; `functions`
    are the landscape's own Python functions.
    """

    system: str = ""
    crosswalks: Mapping[str, Crosswalk] = field(default_factory=dict)
    legal_entity: str = ""
    dated: bool = False
    lookups: bool = True
    functions: Functions = field(default_factory=dict)


@dataclass(frozen=True)
class Bound:
    """An expression as SQL over its level.

    `inputs` maps each source path it reads to the SQL that shows it; `lineage` also names fields
    inside lists. `may_be_null` says that the engineer wrote a NULL on purpose.
    """

    sql: str
    value: Value
    inputs: Mapping[str, str]
    lineage: tuple[str, ...]
    calls: tuple[int, ...]
    may_be_null: bool
    place: Place
    written: str

    @property
    def plain(self) -> bool:
        """A column as it is: it cannot fail, nor be NULL when its input is not."""
        return isinstance(self.value.node, exp.Column) and not self.calls


def bind(expression: Expression, level: Level, around: Surroundings) -> Bound:
    """Resolve an expression against a level. Raises BadExpression."""
    binder = _Binder(level, around)
    try:
        value = binder.bind(expression.tree.copy())
        sql = value.sql()
        if len(sql) > MOST_COMPILED:
            raise Refused("the expression grows too large", "Nest fewer divide() calls.")
    except Refused as refusal:
        what = f"{refusal.what} (in '{short(expression.sql)}')"
        problem = Problem(expression.place, what, refusal.next_action)
        raise BadExpression([problem]) from None
    return Bound(
        sql,
        value,
        dict(binder.inputs),
        tuple(dict.fromkeys([*binder.inputs, *binder.inside])),
        tuple(binder.calls),
        _may_be_null(expression.tree) or binder.own.may_be_none,
        expression.place,
        expression.sql,
    )


def _may_be_null(tree: exp.Expr) -> bool:
    if isinstance(tree, exp.Is):
        return False
    for node in tree.walk():
        if isinstance(node, _NULL_ON_PURPOSE) and not isinstance(node.parent, exp.Is):
            return True
        if isinstance(node, exp.Case) and node.args.get("default") is None:
            return True
        lone = isinstance(node, exp.If) and not isinstance(node.parent, exp.Case)
        if lone and node.args.get("false") is None:
            return True
    return False


class _Binder:
    """One walk over one expression. `guard` holds the conditions under which the part at hand is
    reached at all, so that a lookup in a branch not taken is not asked and cannot fail."""

    def __init__(self, level: Level, around: Surroundings) -> None:
        self.level = level
        self.around = around
        self.inputs: dict[str, str] = {}
        self.inside: dict[str, None] = {}
        self.calls: dict[int, None] = {}
        self.variables: dict[str, Value] = {}
        self.guard: list[str] = []
        self.own = OwnFunctions(self)

    def bind(self, node: exp.Expr) -> Value:
        match node:
            case exp.Column() | exp.Dot():
                return self._path(node)
            case exp.Paren():
                inner = self.bind(node.this)
                node.set("this", inner.node)
                return inner.but(node=node)
            case exp.Literal():
                return _literal(node)
            case exp.Array() if any(isinstance(e, exp.Comprehension) for e in node.expressions):
                return self._comprehension(node)
            case exp.Case():
                return self._case(node)
            case exp.If():
                return self._if(node)
            case exp.Coalesce():
                return self._coalesce(node)
            case exp.Cast():  # TryCast is one too
                return self._cast(node)
            case exp.Anonymous() if function_name(node) not in PLAIN_BY_NAME:
                return self.own.bind(node)
            case exp.Interval() | exp.DataType() | exp.Var() | exp.Identifier():
                return Value(node)
        return self._operator(node)

    def _operator(self, node: exp.Expr) -> Value:
        parts = self._children(node)
        if isinstance(node, _COMPARISONS):
            return compare(node, parts[0], parts[1])
        if isinstance(node, exp.Between | exp.In):
            for one in parts[1:]:
                compare(exp.EQ(), parts[0], one)
            return Value(node, kind="boolean")
        if isinstance(node, _BOOLEAN):
            return Value(node, kind="boolean")
        if isinstance(node, exp.Add | exp.Sub):
            return add(node, parts[0], parts[1])
        if isinstance(node, exp.Mul):
            return multiply(node, parts[0], parts[1])
        if isinstance(node, exp.IntDiv | exp.Mod):
            return merge(node, parts).but(zero=False, amount=False)
        if isinstance(node, exp.Neg):
            return parts[0].but(node=node)
        if isinstance(node, exp.Boolean):
            return Value(node, kind="boolean", constant=True)
        if isinstance(node, exp.Null):
            return Value(node, constant=True, zero=True)
        if isinstance(node, exp.Bracket):
            return merge(node, parts[:1]).but(kind="", fields=parts[0].fields)
        if isinstance(node, exp.Array):
            return merge(node, parts).but(kind="list")
        plain = PLAIN_BY_NODE.get(type(node).__name__) or PLAIN_BY_NAME.get(function_name(node))
        if plain and plain.result == "same":
            if type(node) in (exp.Greatest, exp.Least):
                for one in parts[1:]:
                    compare(exp.EQ(), parts[0], one)
            return merge(node, parts).but(fields=())
        return Value(node, kind=plain.result if plain else "text")

    def _children(self, node: exp.Expr) -> list[Value]:
        """Bind every part of a node in place."""
        parts: list[Value] = []
        for name, child in list(node.args.items()):
            if isinstance(child, exp.Expr):
                value = self.bind(child)
                node.set(name, value.node)
                parts.append(value)
            elif isinstance(child, list):
                values = [self.bind(one) for one in child if isinstance(one, exp.Expr)]
                if values:
                    node.set(name, [one.node for one in values])
                parts += values
        return parts

    # --- names ------------------------------------------------------------------------------

    def _path(self, node: exp.Expr) -> Value:
        names, base = _names(node)
        if base is not None:
            return self._into(self.bind(base), names, "", ".".join(names))
        shown = ".".join(names)
        variable = self.variables.get(names[0])
        if variable is not None:
            return self._into(variable, names[1:], variable.path, shown)
        found = self.level.find_outward(names)
        if found is None:
            where = f"the items of {self.level.path}" if self.level.path else "the source"
            raise Refused(f"there is no field {shown} in {where}", self.level.near(names[0]))
        column, one, path, rest = found
        sql = quoted(column)
        value = self._of_field(exp.column(column, quoted=True), one, path)
        value = self._into(value, rest, path, shown)
        full = ".".join([path, *rest])
        self.inputs.setdefault(full, value.sql() if rest else sql)
        return value

    def _of_field(self, node: exp.Expr, one: FieldType, path: str) -> Value:
        amount = one.type == "amount"
        return Value(
            node,
            kind=one.type,
            amount=amount,
            currency=self._currency(one) if amount else "",
            scale=_scale(one.type),
            fields=one.fields,
            path=path,
        )

    def _currency(self, one: FieldType) -> str:
        """SQL of the currency an amount is in, as far as this level can see it."""
        names = one.money_in.split(".") if one.money_in else []
        found = self.level.find_outward(names) if names else None
        return quoted(found[0]) if found else ""

    def _into(self, value: Value, names: list[str], path: str, shown: str) -> Value:
        """A member of an object, however deep."""
        for name in names:
            member = next((one for one in value.fields if one.name == name), None)
            if member is None or value.kind == "list":
                known = ", ".join(one.name for one in value.fields) or "none"
                hint = (
                    f"It is a list: write [x.{name} for x in …]."
                    if value.kind == "list"
                    else f"It has: {known}."
                )
                raise Refused(f"there is no field {name} in {shown.rpartition('.')[0]}", hint)
            path = f"{path}.{name}"
            node = raw(f"struct_extract({value.sql()}, {literal(name)})")
            inner = self._of_field(node, member, path)
            value = inner.but(currency=self._item_currency(member, inner.currency))
            if self.variables:
                self.inside[path] = None
        return value

    def _item_currency(self, member: FieldType, same_row: str) -> str:
        """Inside a list comprehension, `parent.currency` of an item is the row at hand's."""
        if member.type != "amount" or not member.money_in.startswith("parent."):
            return "" if self.variables else same_row
        found = self.level.find(member.money_in.removeprefix("parent."))
        return quoted(found[0]) if found else ""

    # --- conditions and lists ------------------------------------------------------------------

    def _guarded(self, node: exp.Expr, conditions: list[str]) -> Value:
        self.guard += conditions
        value = self.bind(node)
        del self.guard[len(self.guard) - len(conditions) :]
        return value

    def _case(self, node: exp.Case) -> Value:
        subject = self.bind(node.this) if node.this is not None else None
        if subject:
            node.set("this", subject.node)
        passed: list[str] = []
        results: list[Value] = []
        for branch in node.args["ifs"]:
            test = self._guarded(branch.this, passed)
            if subject:
                compare(exp.EQ(), subject, test)
            branch.set("this", test.node)
            met = f"({subject.sql()} = {test.sql()})" if subject else f"({test.sql()})"
            result = self._guarded(branch.args["true"], [*passed, f"{met} IS TRUE"])
            branch.set("true", result.node)
            results.append(result)
            passed.append(f"{met} IS NOT TRUE")
        if node.args.get("default") is not None:
            result = self._guarded(node.args["default"], passed)
            node.set("default", result.node)
            results.append(result)
        return merge(node, results)

    def _if(self, node: exp.If) -> Value:
        test = self.bind(node.this)
        node.set("this", test.node)
        then = self._guarded(node.args["true"], [f"({test.sql()}) IS TRUE"])
        node.set("true", then.node)
        results = [then]
        if node.args.get("false") is not None:
            otherwise = self._guarded(node.args["false"], [f"({test.sql()}) IS NOT TRUE"])
            node.set("false", otherwise.node)
            results.append(otherwise)
        return merge(node, results)

    def _coalesce(self, node: exp.Coalesce) -> Value:
        first = self.bind(node.this)
        node.set("this", first.node)
        values, missing = [first], [f"({first.sql()}) IS NULL"]
        for one in node.expressions:
            value = self._guarded(one, missing)
            values.append(value)
            missing = [*missing, f"({value.sql()}) IS NULL"]
        node.set("expressions", [one.node for one in values[1:]])
        return merge(node, values)

    def _comprehension(self, node: exp.Array) -> Value:
        inner = node.expressions[0]
        name = inner.expression.name
        if name in self.variables or self.level.find(name) or name == "parent":
            raise Refused(f"'{name}' already means something here", "Name the item x or line.")
        over = self.bind(inner.args["iterator"])
        if over.kind not in ("list", ""):
            raise Refused(f"{over.path or 'that'} is not a list", "Name a list after IN.")
        item = raw(quoted(name))
        kind = "object" if over.fields else ""
        self.variables[name] = Value(item, kind=kind, fields=over.fields, path=over.path)
        made = self.bind(inner.this)
        test = self.bind(inner.args["condition"]) if inner.args.get("condition") else None
        del self.variables[name]
        inner.set("iterator", over.node)
        inner.set("this", made.node)
        inner.set("expression", exp.to_identifier(name, quoted=True))
        if test:
            inner.set("condition", test.node)
        fields = made.fields
        return made.but(node=node, kind="list", fields=fields, path=over.path, constant=False)

    def _cast(self, node: exp.Cast) -> Value:
        inner = self.bind(node.this)
        node.set("this", inner.node)
        size = decimal_size(node.to.sql("duckdb"))
        kinds = {"DATE": "date", "TIMESTAMP": "timestamp", "BOOLEAN": "boolean", "TEXT": "text"}
        name = node.to.this.name
        kind = "number" if size else kinds.get(name, "text" if name == "VARCHAR" else "integer")
        return inner.but(node=node, kind=kind, scale=size[1] if size else None)


def _names(node: exp.Expr) -> tuple[list[str], exp.Expr | None]:
    """The names of a dotted path, and what they hang on when that is no name itself."""
    if isinstance(node, exp.Column):
        return [part.name for part in node.parts], None
    if isinstance(node, exp.Dot):
        names, base = _names(node.this)
        return [*names, node.expression.name], base
    return [], node


def _scale(kind: str) -> int | None:
    return DECIMALS[kind][1] if kind in DECIMALS else 0 if kind == "integer" else None


def _literal(node: exp.Literal) -> Value:
    if node.is_string:
        return Value(node, kind="text", constant=True)
    digits = node.name.partition(".")[2]
    zero = not node.name.strip("0.")
    kind = "number" if "." in node.name else "integer"
    return Value(node, kind=kind, constant=True, zero=zero, scale=len(digits))
