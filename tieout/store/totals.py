"""Control totals per hop: kept in the transaction that moves the rows, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Tally:
    """Movements added up as they are met, so that a batch keeps a sum and not a row for each."""

    sums: dict[tuple[str, ...], tuple[int, Decimal]] = field(default_factory=dict)

    def add(
        self,
        flow: str,
        hop: str,
        bucket: str,
        legal_entity: str = "",
        period: str = "",
        currency: str = "",
        amount: Decimal | None = None,
        count: int = 1,
    ) -> None:
        """`count` rows worth `amount` each landed in a bucket of a hop. Negative: they left it."""
        key = (flow, hop, bucket, legal_entity, period, currency)
        counted, total = self.sums.get(key, (0, ZERO))
        if amount is not None:
            total += amount if count == 1 else amount * count
        self.sums[key] = (counted + count, total)


def move(connection: Connection, movements: Iterable[Movement]) -> None:
    """Add movements to the totals, one statement for all."""
    tally = Tally()
    for one in movements:
        tally.add(
            one.flow,
            one.hop,
            one.bucket,
            one.legal_entity,
            one.period,
            one.currency,
            one.amount,
            one.count,
        )
    keep(connection, tally)


def keep(connection: Connection, tally: Tally) -> None:
    """Add a tally to the totals, one statement for all."""
    sums = tally.sums
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
