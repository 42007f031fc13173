"""The identity of P4, hop by hop, from the rows themselves.

    received = posted + superseded + duplicate + rejected + held + in flight
               + out of scope + deleted

in count, sum and a keyed hash, by legal entity, period and currency. What was sent is one side; the
other is what the database holds of it, with the amounts of our records where there are records. The
second hop compares what is posted with what the target holds.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.engine.loopback import Loopback
from tests.promises.books import Books
from tests.promises.till import Facts, PeriodOf, Till, facts_of, group_of
from tieout.rehearsal.invariants.p4_conserved import BUCKETS
from tieout.rehearsal.invariants.sums import Sums, apart, sums

_PLAIN = {
    "new": "in flight",
    "superseded": "superseded",
    "unchanged": "duplicate",
    "held": "held",
    "out_of_scope": "out of scope",
}
_ARRIVED = """
SELECT a.source_key, a.source_version::int, a.state, a.deleted, p.payload, k.times, r.legal_entity,
    r.period, r.currency, r.amount, r.in_scope, r.version = h.version, u.state, d.state,
    d.refused_intent IS NOT NULL, d.reference
FROM arrivals a JOIN payloads p USING (arrival_id) JOIN arrival_keys k USING (arrival_id)
LEFT JOIN records r ON r.record_type = a.record_type AND r.record_key = a.record_key
    AND r.version = a.record_version
LEFT JOIN record_heads h ON h.record_type = r.record_type AND h.record_key = r.record_key
LEFT JOIN runs u ON u.record_type = r.record_type AND u.record_key = r.record_key
LEFT JOIN documents d ON d.record_type = r.record_type AND d.record_key = r.record_key
    AND d.stream = 'entry'
WHERE a.stream = 'invoice'
"""


@dataclass
class Balance:
    """Both sides of both hops at one moment."""

    received: Sums = field(default_factory=sums)
    buckets: dict[str, Sums] = field(default_factory=lambda: {one: sums() for one in BUCKETS})
    posted: Sums = field(default_factory=sums)  # by our records
    there: Sums = field(default_factory=sums)  # by the target

    def violations(self) -> list[str]:
        """Groups in which a side is not the other; none if money is conserved."""
        came = sums()
        for found in self.buckets.values():
            for group, one in found.items():
                came[group].take_in(one)
        return [
            f"{hop} {group}: {left.get(group)} is not {right.get(group)}"
            for hop, left, right in (
                ("received", self.received, came),
                ("posted", self.posted, self.there),
            )
            for group in apart(left, right)
        ]

    def count(self, bucket: str) -> int:
        return sum(one.count for one in self.buckets[bucket].values())


def balance(loop: Loopback, books: Books, till: Till, period_of: PeriodOf) -> Balance:
    """Count everything anew, as it stands now."""
    found = Balance()
    for one in till.sent:
        facts = facts_of(one.body, period_of)
        found.received[facts.group].add(f"{one.key}/{one.version}", facts.amount)
    for row in loop.rows(_ARRIVED):
        _place(found, books, row, period_of)
    return found


def _place(found: Balance, books: Books, row: tuple[Any, ...], period_of: PeriodOf) -> None:
    key, version, state, deleted, payload, times, entity, period, currency, amount = row[:10]
    in_scope, newest, run, document, refused, reference = row[10:]
    bucket = _PLAIN.get(state) or _of_record(deleted, in_scope, newest, run, document, refused)
    facts = facts_of(payload, period_of)
    ours = bucket in ("posted", "rejected", "in flight") and state == "recorded"
    if ours and not deleted:
        facts = Facts(group_of(entity, period, currency), amount)
    name = f"{key}/{version}"
    found.buckets[bucket][facts.group].add(name, facts.amount)
    if times > 1:
        found.buckets["duplicate"][facts.group].add(name, facts.amount, times - 1)
    if bucket == "posted":
        found.posted[facts.group].add(key, facts.amount)
        for held in books.held("entry", reference):
            if held["status"] == "booked":
                there = _shown(held, entity, period_of)
                found.there[there.group].add(key, there.amount)


def _of_record(
    deleted: bool, in_scope: bool, newest: bool, run: str, document: str, refused: bool
) -> str:
    if not newest:
        return "superseded"
    if run == "held":
        return "rejected" if refused else "held"
    if deleted or not in_scope:
        gone = "deleted" if deleted else "out of scope"
        return gone if run in ("undone", None) else "in flight"
    return "posted" if (run, document) == ("complete", "present") else "in flight"


def _shown(held: Mapping[str, Any], entity: str, period_of: PeriodOf) -> Facts:
    """What the target holds, read as a row of the source would be."""
    period = period_of(entity, dt.date.fromisoformat(held["date"])) if entity else ""
    return Facts(group_of(entity, period, held["currency"]), Decimal(held["total"]))


def key_of(reference: str) -> str:
    """The invoice an entry is about; what was taken back and booked again has a number behind."""
    return re.sub(r"^entry-|-R\d+$", "", reference)


def booked(books: Books) -> set[str]:
    """Keys of all entries that the target holds and that were not taken back."""
    return {
        key_of(one["reference"])
        for one in books.documents["entry"].values()
        if one["status"] == "booked"
    }


def inversions(effects: Iterable[tuple[str, Decimal]], till: Till) -> list[str]:
    """Keys whose older version took effect after a newer one."""
    last: dict[str, int] = {}
    found = []
    for reference, total in effects:
        key = key_of(reference)
        version = till.versions[key][total]
        if version < last.get(key, 0):
            found.append(key)
        last[key] = max(version, last.get(key, 0))
    return found
