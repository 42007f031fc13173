"""Makes the invoices of the record sync benchmark: `python -m benchmarks.invoices --out FOLDER`.

Of N records, 1 % repeat an earlier one (a tenth of these are stale: version 1 delivered again after
version 2), 1 % are changed re-sends (a tenth drop a line), 0.5 % are invalid for one of three
reasons; the rest are distinct and valid. Same seed, same bytes, on every machine. Beside them lie
the customers, and what a correct sync leaves behind: counts, totals, and order-free hashes.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEED = 20260101
CUSTOMERS = 20_000
CURRENCIES = {"USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "SEK": 2, "CAD": 2, "AUD": 2, "SGD": 2}
CURRENCIES |= {"INR": 2, "JPY": 0}
STATUS = {"open": "POSTED", "paid": "SETTLED", "void": "CANCELLED", "past_due": "OVERDUE"}
BAD_CURRENCIES = ("XXQ", "EURO", "usd", "", "ZZZ")
WORDS = ("subscription", "seat", "usage", "support", "setup", "credit pack", "add-on", "training")
REASONS = ("bad_currency", "lines_mismatch", "unknown_customer")
FIRST_DAY = dt.date(2026, 1, 1)
DAYS = [(FIRST_DAY + dt.timedelta(days=one)).isoformat() for one in range(430)]
HALF_DAY = 43_200

Invoice = dict[str, Any]
Base = tuple[int, str, int, int]  # customer, currency, day of issue, days until due


@dataclass
class Maker:
    """Draws invoices from one stream of chance, in a fixed order of draws."""

    records: int
    seed: int = SEED
    customers: list[tuple[str, int]] = field(default_factory=list)
    sequence: list[tuple[float, str]] = field(default_factory=list)  # (place, JSON text)
    final: dict[int, Invoice] = field(default_factory=dict)  # what must survive, by number
    rejects: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        numbers = list(range(500_000, 500_000 + CUSTOMERS))
        self._random.shuffle(numbers)
        self.customers = [(f"CRM-{one:06d}", numbers[one]) for one in range(CUSTOMERS)]
        self._write = json.JSONEncoder(separators=(",", ":")).encode

    def _below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def make(self) -> None:
        """Fill `sequence`, `final` and `rejects`."""
        bad = self.records // 200
        repeated = changed = self.records // 100
        stale = repeated // 10
        kinds = [0] * (self.records - repeated - changed - bad) + [1] * bad
        self._random.shuffle(kinds)
        texts: list[str] = []
        bases: dict[int, Base] = {}
        for number, is_bad in enumerate(kinds):
            invoice, base = self._invoice(number)
            if is_bad:
                self._spoil(invoice)
            else:
                self.final[number], bases[number] = invoice, base
            texts.append(self._write(invoice))
            self.sequence.append((float(number), texts[-1]))
        chosen = self._random.sample(list(self.final), changed + repeated - stale)
        end = float(len(kinds))
        places: dict[int, float] = {}
        for number in chosen[:changed]:
            invoice, _ = self._invoice(number, 2, bases[number])
            places[number] = self._after(float(number), end)
            self.sequence.append((places[number], self._write(invoice)))
            self.final[number] = invoice
        for number in chosen[changed:]:
            self.sequence.append((self._after(float(number), end), texts[number]))
        for number in chosen[:stale]:  # version 1 again, after version 2
            self.sequence.append((self._after(places[number], end), texts[number]))
        self.sequence.sort(key=lambda one: one[0])

    def _after(self, place: float, end: float) -> float:
        return place + (end - place) * self._random.random() + 1e-9

    def _invoice(
        self, number: int, version: int = 1, base: Base | None = None
    ) -> tuple[Invoice, Base]:
        if base is None:
            customer = self._below(CUSTOMERS)
            currency = list(CURRENCIES)[self._below(len(CURRENCIES))]
            day = self._below(365)
            base = (customer, currency, day, (15, 30, 45, 60)[self._below(4)])
        customer, currency, day, due = base
        places = CURRENCIES[currency]
        count = 2 if version > 1 and number % 10 == 0 else 3
        lines, subtotal = [], 0
        for line in range(1, count + 1):
            quantity = 1 + self._below(20)
            price = 100 * (1 + self._below(900)) if places == 0 else 1 + self._below(90_000)
            amount = quantity * price
            subtotal += amount
            sku = self._below(500)
            lines.append(
                {
                    "no": line,
                    "sku": f"SKU-{sku:04d}",
                    "description": f"{WORDS[sku % 8]} {sku}",
                    "qty": str(quantity),
                    "unit_price": _units(price, places),
                    "amount": _units(amount, places),
                }
            )
        tax = subtotal * (0, 7, 19, 20)[self._below(4)] // 100
        tax -= tax % 100 if places == 0 else 0
        second = self._below(HALF_DAY) + (HALF_DAY if version > 1 else 0)
        clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        invoice = {
            "id": f"INV-{number:08d}",
            "version": version,
            "customer": self.customers[customer][0],
            "currency": currency,
            "status": list(STATUS)[self._below(4)],
            "issue_date": DAYS[day],
            "due_date": DAYS[day + due],
            "updated_at": f"{DAYS[day]}T{clock}Z",
            "subtotal": _units(subtotal, places),
            "tax": _units(tax, places),
            "total": _units(subtotal + tax, places),
            "lines": lines,
        }
        return invoice, base

    def _spoil(self, invoice: Invoice) -> None:
        reason = REASONS[sum(self.rejects.values()) % 3]
        if reason == "bad_currency":
            invoice["currency"] = BAD_CURRENCIES[self._below(5)]
        elif reason == "lines_mismatch":
            subtotal = invoice["subtotal"]
            invoice["subtotal"] = subtotal[:-1] + str((int(subtotal[-1]) + 1) % 10)
        else:
            invoice["customer"] = f"CRM-X{self._below(99999):05d}"
        self.rejects[reason] += 1

    # --- what a correct sync leaves behind ------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Counts, totals by currency, and sums of hashes that do not depend on row order."""
        known = dict(self.customers)
        headers = lines = count = 0
        totals: dict[str, int] = {}
        for one in self.final.values():
            headers += _hash(_header(one, known[one["customer"]]))
            amount = int(_two(one["total"]).replace(".", ""))
            totals[one["currency"]] = totals.get(one["currency"], 0) + amount
            for line in _lines(one):
                lines += _hash(line)
                count += 1
        return {
            "records": len(self.sequence),
            "invoices": len(self.final),
            "lines": count,
            "rejects": self.rejects,
            "header_hash": str(headers),
            "line_hash": str(lines),
            "totals": {code: _units(cents, 2) for code, cents in sorted(totals.items())},
        }


def write_all(folder: Path, records: int, seed: int = SEED) -> dict[str, Any]:
    """Write invoices.jsonl, customers.csv and truth.json into `folder`; the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(records, seed)
    maker.make()
    with (folder / "customers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("external_id", "customer_id"))
        writer.writerows(maker.customers)
    with (folder / "invoices.jsonl").open("w", buffering=1 << 20) as file:
        file.writelines(f"{text}\n" for _, text in maker.sequence)
    truth = maker.truth()
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    return truth


def _header(one: Invoice, customer: int) -> tuple[str, ...]:
    return (
        one["id"],
        str(one["version"]),
        str(customer),
        one["currency"],
        STATUS[one["status"]],
        one["issue_date"],
        one["due_date"],
        one["issue_date"][:7],
        *(_two(one[name]) for name in ("subtotal", "tax", "total")),
    )


def _lines(one: Invoice) -> Iterator[tuple[str, ...]]:
    for line in one["lines"]:
        prices = (_two(line["unit_price"]), _two(line["amount"]))
        yield (
            one["id"],
            str(line["no"]),
            line["sku"],
            line["description"],
            line["qty"],
            *prices,
        )


def _hash(values: tuple[str, ...]) -> int:
    return int(hashlib.md5("|".join(values).encode()).hexdigest()[:8], 16)


def _two(amount: str) -> str:
    return amount if "." in amount else f"{amount}.00"


def _units(cents: int, places: int) -> str:
    return str(cents // 100) if places == 0 else f"{cents // 100}.{cents % 100:02d}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    print(json.dumps(write_all(asked.out, asked.records, asked.seed)))


if __name__ == "__main__":
    main()
