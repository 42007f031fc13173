"""Control totals per hop: kept in the transaction that moves the rows, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from tieout.store.database import Connection

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Movement:
    """`count` rows worth `amount` that landed in a bucket of a hop. Negative: they left it."""

    flow: str
    hop: str
    bucket: str
    legal_entity: str = ""
    period: str = ""
    currency: str = ""
    amount: Decimal | None = None
    count: int = 1


def move(connection: Connection, movements: Iterable[Movement]) -> None:
    """Add movements to the totals, one statement for all."""
    sums: dict[tuple[str, ...], tuple[int, Decimal]] = {}
    for one in movements:
        key = (one.flow, one.hop, one.bucket, one.legal_entity, one.period, one.currency)
        count, amount = sums.get(key, (0, ZERO))
        sums[key] = (count + one.count, amount + (one.amount or ZERO) * one.count)
    if not sums:
        return
    ordered = sorted(sums)
    connection.execute(
        "INSERT INTO totals AS t (flow, hop, bucket, legal_entity, period, currency, count, sum) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::text[], %s::bigint[], %s::numeric[]) "
        "ON CONFLICT (flow, hop, bucket, legal_entity, period, currency) "
        "DO UPDATE SET count = t.count + excluded.count, sum = t.sum + excluded.sum",
        (
            *([key[index] for key in ordered] for index in range(6)),
            [sums[key][0] for key in ordered],
            [sums[key][1] for key in ordered],
        ),
    )
