"""What a rehearsal has met: which troubles how often, where processes came to and died, and what
never happened, with what it would need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tieout.clock import POINTS
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.verdict import Verdict

# What a landscape must have so that there is an occasion for a trouble; what is not here happens
# to every landscape.
NEEDS = {
    "duplicate": "a system that tells by webhook",
    "delay": "a system that tells by webhook",
    "reorder": "a system that tells by webhook",
    "lost_event": "a system that tells by webhook",
    "drift": "a stream that is read by a mapping",
    "unknown_code": "a field whose code is looked up in a crosswalk",
    "poison": "a stream that is read by a mapping",
    "moving_pages": "a stream that is read page by page",
    "late_commit": "a system without an emulator, whose keys can be swept",
    "late_apply": "a target that declares how late a write may still take effect",
    "partial": "a target that takes several writes in one call",
    "forgotten_key": "a target that remembers our idempotency keys for a while",
    "restore": "a target",
    "period_close": "a target with accounting periods",
    "mapping_change": "a mapping with a version",
    "approval_revoked": "a flow with an approve step",
    "replay_again": "a record that was done before",
}


@dataclass
class Coverage:
    """What was met in some seeds. `drawn` is in how many seeds a trouble could happen, `met` in how
    many it did, `struck` how often. `reached` and `died_at` are by (what a process was doing,
    point)."""

    seeds: int = 0
    events: int = 0
    changes: int = 0
    deliveries: int = 0
    ticks: int = 0
    cases_left: int = 0
    drawn: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    died_at: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def by_point(self) -> dict[str, tuple[int, int]]:
        """How often each named point was reached, and died at, in any stage."""
        return {point: _total(self, point) for point in POINTS}


def covered(verdicts: Iterable[Verdict]) -> Coverage:
    """The coverage of these seeds together."""
    found = Coverage()
    for one in verdicts:
        found.seeds += 1
        found.events += one.events
        found.changes += one.changes
        found.deliveries += one.deliveries
        found.ticks += one.ticks
        found.cases_left += one.cases_left
        found.drawn.update(one.script.rates.keys())
        found.met.update(name for name, times in one.struck.items() if times)
        found.struck.update(one.struck)
        found.reached.update(one.reached)
        found.died_at.update(one.died_at)
    return found


def never_met(coverage: Coverage, asked: Collection[str]) -> dict[str, str]:
    """The troubles that were asked for and never happened, in the menu's order, each with why."""
    return {
        name: _why(coverage, name) for name in MENU if name in asked and not coverage.struck[name]
    }


def _why(coverage: Coverage, name: str) -> str:
    if not coverage.drawn[name]:
        return "no seed drew it"
    needs = f"; it needs {NEEDS[name]}" if name in NEEDS else ""
    return f"{counted(coverage.drawn[name], 'seed')} drew it and it did not come to that{needs}"


def fault_lines(coverage: Coverage) -> list[str]:
    """A table of the troubles that happened."""
    rows = [
        (name, str(coverage.struck[name]), str(coverage.met[name]), MENU[name].words)
        for name in MENU
        if coverage.struck[name]
    ]
    return aligned([("trouble", "times", "in seeds", "what happened"), *rows], right=(1, 2))


def point_lines(coverage: Coverage) -> list[str]:
    """A table of what workers were doing, by named point: how often they came there, and after the
    cross how often they died there; "." where they never came."""
    stages = sorted({stage for stage, _ in (*coverage.reached, *coverage.died_at)})
    if not stages:
        return []
    rows: list[tuple[str, ...]] = [("", *POINTS)]
    rows += [
        (
            stage,
            *(
                _cell(coverage.reached[stage, point], coverage.died_at[stage, point])
                for point in POINTS
            ),
        )
        for stage in stages
    ]
    rows.append(("all", *(_cell(*coverage.by_point[point]) for point in POINTS)))
    return aligned(rows, right=range(1, len(POINTS) + 1))


def _total(coverage: Coverage, point: str) -> tuple[int, int]:
    return (
        sum(times for (_, where), times in coverage.reached.items() if where == point),
        sum(times for (_, where), times in coverage.died_at.items() if where == point),
    )


def _cell(reached: int, died: int) -> str:
    return f"{reached} †{died}" if died else str(reached) if reached else "."


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows as lines whose columns stand under each other; the columns `right` end together."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def counted(number: int, what: str) -> str:
    """As people write it: 1 seed, 2,000 seeds."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
