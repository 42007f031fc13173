"""A tie-out for machines: what `tieout reconcile --json` and `tieout demo --json` print."""

from __future__ import annotations

from tieout.engine.reconcile import TieOut
from tieout.finance.decimals import canonical_decimal


def tie_out_json(one: TieOut) -> dict[str, object]:
    """`difference` is sum(left) − sum(right) as a decimal string; `differences` the same by
    currency. `explained` is true only if the open cases account for it exactly."""
    return {
        "name": one.name,
        "sides": [one.left.name, one.right.name],
        "agrees": one.agrees,
        "difference": canonical_decimal(one.comparison.difference, 2),
        "differences": {
            currency: canonical_decimal(gap, 2) for currency, gap in one.differences.items()
        },
        "explained": one.explained,
    }
