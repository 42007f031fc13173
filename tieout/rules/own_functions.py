"""Our own functions, written out as exact SQL or turned into questions to the engine."""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from sqlglot import exp

from tieout.finance.currency import ALL_CODES, currency
from tieout.rules.column_types import is_column, literal, quoted
from tieout.rules.expression import function_name, short
from tieout.rules.functions import OWN_BY_NAME
from tieout.rules.level import DATED, PARENT
from tieout.rules.python_functions import PythonFunction
from tieout.rules.value import Refused, Value, raw, to_sql

if TYPE_CHECKING:
    from tieout.rules.binding import _Binder

MOST_PLACES = 10  # of divide()
AMOUNT_PLACES = 6  # of round_to(): what DECIMAL(22,6) holds
EXACT_SCALE = 18
KEY_CHARACTERS = 32
DEFAULT_RATE_TYPE = "spot"


def record_key(record_type: str, system: str, source_id: str) -> str:
    """The deterministic key of a record: what `xref()` gives, whether it has arrived or not."""
    text = f"{record_type}|{system}|{source_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


class OwnFunctions:
    """Binds the functions of `functions.OWN` for one expression."""

    def __init__(self, binder: _Binder) -> None:
        self.binder = binder
        self.may_be_none = False  # a Python function of it may return None, on purpose

    def bind(self, node: exp.Anonymous) -> Value:
        name = function_name(node)
        if name not in OWN_BY_NAME:
            return self._python(node, self.binder.around.functions[name])
        own = OWN_BY_NAME[name]
        arguments = list(node.expressions)
        if not own.least <= len(arguments) <= own.most:
            counts = f"{own.least} or {own.most}" if own.least != own.most else str(own.least)
            raise Refused(
                f"{name}() takes {counts} values, not {len(arguments)}", f"Write {own.usage}."
            )
        if own.lookup and self.binder.variables:
            raise Refused(
                f"{name}() cannot stand inside [… for …]",
                "Unfold the list with `each` and write it on a field of the item.",
            )
        if own.lookup and not self.binder.around.lookups:
            raise Refused(
                f"{name}() is not available here",
                "Compute the value in the mapping and refer to the field.",
            )
        return getattr(self, f"_{name}")(node, arguments)  # type: ignore[no-any-return]

    # --- exact arithmetic -------------------------------------------------------------------

    def _divide(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        """|a| and |b| as whole numbers of the same scale, divided in 128 bits, half away."""
        places = _whole(arguments[2], MOST_PLACES, "divide")
        upper, lower = self._number(arguments[0]), self._number(arguments[1])
        scale = max(_scale(upper), _scale(lower))
        above, below = _scaled(upper, scale), _scaled(lower, scale)
        sign = f"sign({above}) * sign({below})"
        numerator = f"(2 * abs({above}) * CAST({10**places} AS HUGEINT) + abs({below}))"
        quotient = f"CAST({sign} * ({numerator} // (2 * abs({below}))) AS DECIMAL(38,0))"
        unit = f"CAST('{10**-places:.{places}f}' AS DECIMAL({max(places, 1)},{places}))"
        result = f"{quotient} * {unit}" if places else quotient
        held = f"DECIMAL(38,{places})"
        # Raised on purpose: DuckDB itself would answer NULL, which coalesce() could hide.
        by_zero = f"CAST('division by zero' AS {held})"
        sql = f"CASE WHEN {below} = 0 THEN {by_zero} ELSE CAST({result} AS {held}) END"
        return Value(
            raw(f"({sql})"),
            kind="number",
            amount=upper.amount and not lower.amount,
            currency=upper.currency,
            constant=upper.constant and lower.constant,
            scale=places,
        )

    def _round_to(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        value = self._number(arguments[0])
        sql = value.sql()
        fixed = arguments[1]
        if isinstance(fixed, exp.Literal):
            places = _whole(fixed, AMOUNT_PLACES, "round_to")
            rounded = _rounded(sql, places)
        else:
            asked = self.binder.bind(fixed)
            if asked.kind not in ("integer", ""):
                raise Refused("round_to() takes a whole number of places", "Write round_to(x, 2).")
            cases = " ".join(
                f"WHEN {places} THEN {_rounded(sql, places)}" for places in range(AMOUNT_PLACES + 1)
            )
            rounded = f"CASE {asked.sql()} {cases} END"
        return value.but(node=raw(rounded), kind="amount", scale=AMOUNT_PLACES, zero=False)

    def _money(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        value = self._number(arguments[0])
        unit = self.binder.bind(arguments[1])
        if unit.constant and unit.node.name not in ALL_CODES:
            near = difflib.get_close_matches(unit.node.name.upper(), ALL_CODES, 1, 0.6)
            hint = f"Did you mean '{near[0]}'?" if near else "Write an ISO 4217 code, like 'EUR'."
            raise Refused(f"{unit.sql()} is not a currency", hint)
        return Value(
            raw(f"CAST({value.sql()} AS DECIMAL(22,6))"),
            kind="amount",
            amount=True,
            currency=unit.sql(),
            scale=AMOUNT_PLACES,
        )

    def _minor_units(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        code = self.binder.bind(arguments[0])
        by_places: dict[int, list[str]] = defaultdict(list)
        for one in ALL_CODES:
            by_places[currency(one).minor_units].append(literal(one))
        cases = " ".join(
            f"WHEN {code.sql()} IN ({', '.join(codes)}) THEN {places}"
            for places, codes in sorted(by_places.items())
        )
        return Value(raw(f"CASE {cases} END"), kind="integer", scale=0)

    def _number(self, node: exp.Expr) -> Value:
        value = self.binder.bind(node)
        if value.kind not in ("amount", "quantity", "rate", "number", "integer", "same", ""):
            raise Refused(
                f"{short(value.sql())} is {value.kind}, not a number",
                "Cast it: CAST(x AS DECIMAL(22,6)).",
            )
        return value

    # --- keys and lookups -------------------------------------------------------------------

    def _xref(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        around = self.binder.around
        if not around.system:
            raise Refused(
                "xref() finds records by their id in a source system; this rule has none",
                "Use the field that already holds the record key, or id_in() for a target's id.",
            )
        record_type = _text(arguments[0], "xref", "a record type")
        value = self.binder.bind(arguments[1])
        source_id = value.sql()
        if value.kind not in ("text", "ref") or not is_column(source_id):
            source_id = f"CAST({source_id} AS VARCHAR)"
        start = literal(f"{record_type}|{around.system}|")
        sql = f"substr(sha256({start} || {source_id}), 1, {KEY_CHARACTERS})"
        return Value(raw(sql), kind="text")

    def _crosswalk(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        around = self.binder.around
        name = _text(arguments[0], "crosswalk", "the name of a crosswalk")
        table = around.crosswalks.get(name)
        if table is None:
            near = difflib.get_close_matches(name, around.crosswalks, 1, 0.6)
            hint = f"Did you mean '{near[0]}'?" if near else f"Write crosswalks/{name}.csv."
            raise Refused(f"there is no crosswalk '{name}'", hint)
        given = [self._argument(arguments[1], "VARCHAR")]
        if len(arguments) == 3:
            given.append(self._argument(arguments[2], "DATE"))
        elif around.dated:
            given.append(quoted(self.binder.level.special(DATED)))
        elif any(
            row.valid_from > dt.date(1, 1, 1) or row.valid_to < dt.date(9999, 12, 31)
            for row in table.rows
        ):
            raise Refused(
                f"crosswalk '{name}' changes over time, and nothing says which date counts",
                f"State `dated:` on the mapping, or write crosswalk('{name}', code, date).",
            )
        return self._ask(node, "crosswalk", (name,), given, "text")

    def _id_in(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        return self._ids(node, "id_in", arguments)

    def _number_in(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        return self._ids(node, "number_in", arguments)

    def _ids(self, node: exp.Anonymous, name: str, arguments: list[exp.Expr]) -> Value:
        system = _text(arguments[0], name, "the name of a system")
        record_type = _text(arguments[1], name, "a record type")
        key = self._argument(arguments[2], "VARCHAR")
        return self._ask(node, name, (system, record_type), [key], "text")

    def _convert(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        amount = self._number(arguments[0])
        fits = amount.scale is not None and amount.scale <= AMOUNT_PLACES
        size = "DECIMAL(22,6)" if fits else "DECIMAL(38,18)"
        first = self._when_reached(f"CAST({amount.sql()} AS {size})")
        target = self.binder.bind(arguments[2].copy())
        given = [first, *self._rate_arguments(arguments[1:])]
        value = self._ask(node, "convert", (), given, "number")
        return value.but(amount=True, currency=target.sql(), scale=EXACT_SCALE)

    def _rate_id(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        # The rate does not depend on the amount: convert one unit and keep the id.
        one = self._when_reached("CAST(1 AS DECIMAL(22,6))")
        given = [one, *self._rate_arguments(arguments)]
        return self._ask(node, "rate_id", (), given, "text")

    def _rate_arguments(self, arguments: list[exp.Expr]) -> list[str]:
        types = ("VARCHAR", "VARCHAR", "DATE", "VARCHAR")
        given = [self._argument(one, kind) for one, kind in zip(arguments, types, strict=False)]
        if len(given) == 3:
            given.append(literal(DEFAULT_RATE_TYPE))
        return given

    def _period(self, node: exp.Anonymous, arguments: list[exp.Expr]) -> Value:
        date = self._argument(arguments[0], "DATE")
        if len(arguments) == 2:
            entity = self._argument(arguments[1], "VARCHAR")
        else:
            entity = self._argument(raw(self._entity_path()), "VARCHAR")
        return self._ask(node, "period", (), [entity, date], "text")

    def _entity_path(self) -> str:
        """The path of the row's legal entity as this level sees it."""
        name, root = self.binder.around.legal_entity, self.binder.level
        ups = 0
        while root.parent is not None:
            root, ups = root.parent, ups + 1
        if not name or root.find(name) is None:
            raise Refused(
                "period() needs a legal entity, and the source has no such field",
                "Write period(date, legal_entity) with the expression that gives it.",
            )
        return ".".join([PARENT] * ups + [quoted(name)])

    # --- functions.py ---------------------------------------------------------------------------

    def _python(self, node: exp.Anonymous, function: PythonFunction) -> Value:
        given = list(node.expressions)
        if len(given) != len(function.parameters):
            raise Refused(
                f"{function.name}() takes {len(function.parameters)} values, not {len(given)}",
                f"Write {function.usage}.",
            )
        if self.binder.variables:
            raise Refused(
                f"{function.name}() cannot stand inside [… for …]",
                "Unfold the list with `each` and write it on a field of the item.",
            )
        arguments = []
        for one, (_, kind) in zip(given, function.parameters, strict=True):
            value = self.binder.bind(one)
            sql = value.sql()
            # Whole numbers can be wider than Arrow's.
            if value.kind == "integer" and kind.name in ("Decimal", "int"):
                sql = f"CAST({sql} AS {'BIGINT' if kind.name == 'int' else 'DECIMAL(38,0)'})"
            arguments.append(self._when_reached(sql))
        if all(kind.optional for _, kind in function.parameters):
            arguments.append(self._when_reached("true"))
        self.may_be_none = self.may_be_none or function.returns.optional
        value = self._ask(
            node, "python", (function.name,), arguments, function.returns.kind, function
        )
        scale = {"Decimal": EXACT_SCALE, "int": 0}.get(function.returns.name)
        return value.but(scale=scale)

    def _argument(self, node: exp.Expr, kind: str) -> str:
        value = self.binder.bind(node)
        sql = value.sql()
        held = {"text": "VARCHAR", "ref": "VARCHAR", "date": "DATE"}.get(value.kind)
        as_it_is = is_column(sql) and held == kind
        return self._when_reached(sql if as_it_is else f"CAST({sql} AS {kind})")

    def _when_reached(self, sql: str) -> str:
        """NULL where a condition around the lookup keeps it from being reached."""
        if not self.binder.guard:
            return sql
        return f"CASE WHEN {' AND '.join(self.binder.guard)} THEN {sql} END"

    def _ask(
        self,
        node: exp.Anonymous,
        function: str,
        fixed: tuple[str, ...],
        arguments: list[str],
        kind: str,
        python: PythonFunction | None = None,
    ) -> Value:
        level = self.binder.level
        earlier = {one.column: one.depth for one in level.calls}
        used = {column.name for sql in arguments for column in raw(sql).find_all(exp.Column)}
        depth = 1 + max((earlier.get(name, 0) for name in used), default=0)
        name = python.name if python else function
        shown = short(f"{name}({', '.join(to_sql(one) for one in node.expressions)})")
        call = level.ask(function, fixed, tuple(arguments), depth, shown, python)
        self.binder.calls[call.number] = None
        return Value(exp.column(call.column, quoted=True), kind=kind)


def _scaled(value: Value, scale: int) -> str:
    """The digits of a decimal as a whole number, exactly, whatever its size."""
    if value.kind == "integer" and scale == 0:
        return f"CAST({value.sql()} AS HUGEINT)"
    if scale == 0:
        return f"CAST(CAST({value.sql()} AS DECIMAL(38,0)) AS HUGEINT)"
    text = f"CAST(CAST({value.sql()} AS DECIMAL(38,{scale})) AS VARCHAR)"
    return f"CAST(replace({text}, '.', '') AS HUGEINT)"


def _scale(value: Value) -> int:
    return EXACT_SCALE if value.scale is None else value.scale


def _rounded(sql: str, places: int) -> str:
    # DuckDB rounds half away from zero when a decimal is cast to fewer decimals.
    return f"CAST(CAST({sql} AS DECIMAL(38,{places})) AS DECIMAL(22,6))"


def _whole(node: exp.Expr, most: int, name: str) -> int:
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        places = int(node.name)
        if places <= most:
            return places
    raise Refused(
        f"{name}() takes a plain number of places from 0 to {most}, not {to_sql(node)}",
        f"Write {OWN_BY_NAME[name].example}.",
    )


def _text(node: exp.Expr, name: str, what: str) -> str:
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.name)
    raise Refused(
        f"{name}() takes {what} in quotes, not {to_sql(node)}",
        f"Write {OWN_BY_NAME[name].example}.",
    )
