"""Durations in words, as people write them in a landscape: "30 minutes", "2 seconds"."""

from __future__ import annotations

import re
from decimal import Decimal

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_WORDS = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) (second|minute|hour|day|week)s?")

HOW_TO_WRITE = 'Write a number and a unit, such as "2 seconds", "30 minutes", "4 hours" or "3 days"'


def seconds(words: str) -> float:
    """The length of "30 minutes" in seconds. Raises ValueError that says how to write it."""
    found = _WORDS.fullmatch(words.strip())
    if found is None:
        raise ValueError(f"'{words}' is not a duration. {HOW_TO_WRITE}")
    return float(Decimal(found[1]) * _SECONDS[found[2]])
