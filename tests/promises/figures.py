"""What a promise test hands to the table of `make promises`: one line for each figure measured.

The line is written before it is judged, so that a promise that was missed is in the table with its
figure. Without the environment variable nothing is written, and the judgement stays.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FIGURES_FILE = "PROMISES_FIGURES"  # environment variable: a file to which lines are added


@dataclass(frozen=True)
class Figure:
    """One measured figure of one promise."""

    promise: str  # P1
    done: str  # what was done, in plain words
    measured: str
    bar: str
    kept: bool


class Keeper:
    """Takes figures; the fixture `promise`."""

    def __call__(self, promise: str, done: str, measured: object, bar: str, *, kept: bool) -> None:
        """Note a figure and fail unless the promise was kept."""
        figure = Figure(promise, done, str(measured), bar, bool(kept))
        path = os.environ.get(FIGURES_FILE)
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(figure)) + "\n")
        assert kept, f"{promise}: {done}: {measured}; the bar is {bar}"


def read_figures(path: Path) -> list[Figure]:
    """The figures in a file, as they were measured; none if it was never written."""
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
