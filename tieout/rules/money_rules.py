"""Money meets only money: what operators do to amounts and their currencies (DESIGN §9).

Zero has no unit and compares with any amount. Amounts whose currencies differ compare to NULL,
which no control passes and no condition takes for a yes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from tieout.rules.column_types import NUMBER_TYPES
from tieout.rules.value import Refused, Value, raw, to_sql

MOST_SCALE = 24  # decimals of a product: leaves 14 digits before the point


def compare(node: exp.Expr, left: Value, right: Value) -> Value:
    """A comparison. Raises Refused when an amount meets a bare number."""
    for amount, other in ((left, right), (right, left)):
        if amount.amount and not other.amount and other.constant and not other.zero:
            if other.kind not in NUMBER_TYPES:
                continue
            shown = to_sql(other.node)
            raise Refused(
                f"an amount is compared with the bare number {shown}",
                f"Say in which currency: money({shown}, 'EUR').",
            )
    return Value(_same_currency(node, left, right), kind="boolean")


def add(node: exp.Expr, left: Value, right: Value) -> Value:
    """A sum or difference; of dates too."""
    merged = merge(node, [left, right])
    kind = left.kind if left.kind in ("date", "timestamp") else merged.kind
    if {left.kind, right.kind} == {"date"}:
        kind = "integer"
    return merged.but(node=_same_currency(node, left, right), kind=kind, zero=False)


def multiply(node: exp.Expr, left: Value, right: Value) -> Value:
    """A product. Raises Refused when it would need more decimals than there is room for."""
    if left.amount and right.amount:
        raise Refused("an amount is multiplied by an amount", "Multiply by a quantity or a rate.")
    scale = None
    if left.scale is not None and right.scale is not None:
        scale = left.scale + right.scale
        if scale > MOST_SCALE:
            raise Refused(
                f"the product {to_sql(node)} would need {scale} decimals",
                "State the decimals of its factors: round_to(x, 6) * round_to(y, 6).",
            )
    amount = left.amount or right.amount
    return Value(
        node,
        kind="number",
        amount=amount,
        currency=left.currency or right.currency,
        constant=left.constant and right.constant,
        scale=scale,
    )


def merge(node: exp.Expr, values: Sequence[Value]) -> Value:
    """What several values have in common, when the result is one of them."""
    telling = [one for one in values if not one.constant] or list(values)
    currencies = {one.currency for one in telling if one.amount}
    scales = [one.scale for one in values]
    known = [one for one in scales if one is not None]
    return Value(
        node,
        kind=next((one.kind for one in telling if one.kind), ""),
        amount=any(one.amount for one in values),
        currency=currencies.pop() if len(currencies) == 1 else "",
        constant=all(one.constant for one in values),
        zero=all(one.zero for one in values),
        scale=max(known) if known and len(known) == len(scales) else None,
        fields=telling[0].fields,
        path=telling[0].path,
    )


def _same_currency(node: exp.Expr, left: Value, right: Value) -> exp.Expr:
    """The node itself, or NULL where two known currencies differ. Raises Refused when an amount
    of unknown currency meets money(…) of a known one."""
    if not (left.amount and right.amount) or left.currency == right.currency:
        return node
    if not left.currency or not right.currency:
        stated, other = (left, right) if left.currency else (right, left)
        if stated.currency.startswith("'"):
            raise Refused(
                f"nothing says in which currency {to_sql(other.node)} is",
                "Write money(amount, currency field), or state money_in on the field.",
            )
        return node
    if not node.args:
        return node
    return raw(f"CASE WHEN {left.currency} = {right.currency} THEN {to_sql(node)} END")
