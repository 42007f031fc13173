"""What mappings ask the record plane: ids in other systems, exchange rates, fiscal periods."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tieout import clock
from tieout.finance.conversion import Rate, RateTable, convert
from tieout.finance.currency import UnknownCurrency
from tieout.finance.ecb_rates import EcbRates
from tieout.finance.money import Money
from tieout.finance.period import FiscalCalendar, NoPeriod
from tieout.finance.rates import NoRate, RateType
from tieout.store import records
from tieout.store.database import Connection

ConvertAsk = tuple[Decimal, str, str, dt.date, str]


@dataclass
class Lookups:
    """One transaction's answers to a mapping run; keeps the rates it handed out.

    The engine calls `keep_rates` in the same transaction, so that every conversion can be
    recomputed from stored rates.
    """

    connection: Connection
    calendars: Mapping[str, FiscalCalendar]
    rates: RateTable | None = None  # None: the bundled ones, read when the first is asked for
    used: dict[str, Rate] = field(default_factory=dict)

    def ids(
        self, system: str, record_type: str, keys: Sequence[str]
    ) -> Mapping[str, tuple[str, str]]:
        """(external id, document number) by record key; `system` may be `system.stream`."""
        name, _, stream = system.partition(".")
        return records.target_ids(self.connection, name, stream, record_type, keys)

    def convert(
        self, asks: Sequence[ConvertAsk]
    ) -> Mapping[ConvertAsk, tuple[Decimal, str] | None]:
        """Converted amounts and rate ids; None where no rate is known."""
        return {ask: self._convert(ask) for ask in asks}

    def _convert(self, ask: ConvertAsk) -> tuple[Decimal, str] | None:
        amount, source, target, date, rate_type = ask
        kind: RateType = (
            "average"
            if rate_type == "average"
            else ("closing" if rate_type == "closing" else "spot")
        )
        try:
            rates = self.rates if self.rates is not None else EcbRates.bundled()
            converted = convert(Money(amount, source), target, date, rates, kind)
        except (NoRate, UnknownCurrency):
            return None
        self.used.update({rate.rate_id: rate for rate in converted.rates})
        return converted.money.amount, converted.rate_id

    def periods(self, asks: Sequence[tuple[str, dt.date]]) -> Mapping[tuple[str, dt.date], str]:
        """Period names by (legal entity, accounting date); an unknown entity has none."""
        found: dict[tuple[str, dt.date], str] = {}
        for entity, date in asks:
            calendar = self.calendars.get(entity)
            if calendar is None:
                continue
            try:
                found[entity, date] = calendar.period_of(date).name
            except NoPeriod:
                continue
        return found


def keep_rates(connection: Connection, rates: Iterable[Rate]) -> None:
    """Remember rates that were used, with source, type and published date."""
    ordered = sorted(rates, key=lambda rate: rate.rate_id)
    if not ordered:
        return
    connection.execute(
        "INSERT INTO rates_used (rate_id, source, rate_type, base, quote, rate_date, value, "
        "first_used_at) SELECT t.*, %s FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::text[], %s::date[], %s::numeric[]) AS t ON CONFLICT (rate_id) DO NOTHING",
        (
            clock.now(),
            [r.rate_id for r in ordered],
            [r.source for r in ordered],
            [r.rate_type for r in ordered],
            [r.base for r in ordered],
            [r.quote for r in ordered],
            [r.date for r in ordered],
            [r.value for r in ordered],
        ),
    )
