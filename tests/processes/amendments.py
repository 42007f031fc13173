"""Invoices that are amended again and again, and what a ledger must show of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.loopback.load import invoice
from tests.processes.ledger import Came
from tests.processes.quick_world import Event

SPAN = 60  # invoices whose numbers are so far apart have the same customer, region and month
MOST_VERSIONS = 12
LIVELY = 30  # so many of the newest invoices are amended
AMENDED_SHARE = 0.5
MOST_SENT = 1_000_000


@dataclass
class Amendments:
    """The events of one sender; every version of an invoice has a total of its own."""

    prefix: str
    dice: random.Random
    totals: dict[str, dict[str, int]] = field(default_factory=dict)  # by key: total to version

    def __iter__(self) -> Iterator[tuple[Event, bytes]]:
        numbers: dict[str, int] = {}
        lively: list[str] = []
        for _ in range(MOST_SENT):
            if lively and self.dice.random() < AMENDED_SHARE:
                key = self.dice.choice(lively)
            else:
                key = f"{self.prefix}{len(self.totals)}"
                self.totals[key], numbers[key] = {}, len(self.totals)
                lively = [*lively[1 - LIVELY :], key]
            known = self.totals[key]
            version = len(known) + 1
            body = invoice(key, numbers[key], version)
            while (total := str(json.loads(body)["total"])) in known:
                numbers[key] += SPAN
                body = invoice(key, numbers[key], version)
            known[total] = version
            if version == MOST_VERSIONS:
                lively.remove(key)
            yield (key, version), body


@dataclass(frozen=True)
class Shown:
    """What is wrong in the ledger: each with the invoices it is about."""

    doubled: Sequence[str]  # a version came twice
    inverted: Sequence[str]  # an older version came after a newer one
    missing: Sequence[str]  # acknowledged, and nothing came
    stale: Sequence[str]  # the newest acknowledged version did not come, or not last

    @property
    def words(self) -> str:
        parts = {
            "doubled": self.doubled,
            "inverted": self.inverted,
            "missing": self.missing,
            "stale": self.stale,
        }
        return ", ".join(
            f"{len(keys)} {what}" + (f" ({keys[0]})" if keys else "")
            for what, keys in parts.items()
        )

    @property
    def right(self) -> bool:
        return not (self.doubled or self.inverted or self.missing or self.stale)


def shown(
    story: Mapping[str, Sequence[Came]],
    totals: Mapping[str, Mapping[str, int]],
    acknowledged: Sequence[Event],
) -> Shown:
    """Compare what came to the ledger, by reference, with the versions that were acknowledged."""
    newest: dict[str, int] = {}
    for key, version in acknowledged:
        newest[key] = max(version, newest.get(key, 0))
    came = {
        key: [totals[key][total] for _, total in story.get(f"entry-{key}", ())] for key in newest
    }
    return Shown(
        doubled=[key for key, some in came.items() if len(set(some)) < len(some)],
        inverted=[key for key, some in came.items() if some != sorted(some)],
        missing=[key for key, some in came.items() if not some],
        stale=[key for key, some in came.items() if some and some[-1] < newest[key]],
    )
