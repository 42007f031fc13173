"""What a rehearsal tells people, in plain words, and machines, as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tieout import __version__
from tieout.rehearsal.coverage import (
    aligned,
    counted,
    covered,
    fault_lines,
    never_met,
    point_lines,
)
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.shrink import Shrunk
from tieout.rehearsal.verdict import NOT_ENDED, Verdict

HOURS = 24.0  # of one seed, unless somebody says otherwise
NO_FAULTS = "none"
MOST_KEYS = 10
FEW_SEEDS = 20  # fewer bound nothing that is worth telling
WIDTH = 100

PROMISES = {
    "P1": "What was acknowledged is never lost.",
    "P2": "No document is posted twice, none is dropped.",
    "P3": "Effects happen in the order of versions; a stuck key blocks only itself.",
    "P4": "Money is conserved hop by hop.",
    "P5": "Every state can be explained, and computed again from what arrived.",
    "P6": "Nothing leaves that somebody had to agree to, and nobody did.",
    "P7": "No silent failure: everything ends in a settled state, or in a case that somebody owns.",
    "P8": "When faults stop, the backlog drains.",
    "P9": "Duplicates, order and lateness do not change the end.",
    "P10": "A closed period does not change.",
    NOT_ENDED: "A seed comes to its end.",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was rehearsed. `halved`: how often the changes of every seed were halved beforehand;
    `options` are those of the command line that say which landscape."""

    landscape: str
    content_hash: str
    faults: frozenset[str]
    seeds: int
    hours: float = HOURS
    halved: int = 0
    options: str = ""
    described: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return f"tieout {__version__}, landscape {self.landscape} {self.content_hash[:12]}"


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a rehearsal: the verdicts in the order of their seeds, and of the failing ones
    the least that still fails, by seed. `seconds` are those of playing the seeds."""

    asked: Asked
    verdicts: tuple[Verdict, ...]
    shrunk: Mapping[int, Shrunk]
    seconds: float

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(one for one in self.verdicts if not one.held)


def promised(promise: str) -> str:
    """What was promised, in words."""
    return PROMISES.get(promise, "A promise of docs/promises.md.")


def words(told: Told) -> list[str]:
    """All of it for people, line by line."""
    lines: list[str] = []
    for one in told.failed:
        lines += [*failure(told.asked, one, told.shrunk.get(one.script.seed)), ""]
    return lines + (summary(told) if told.failed else good_end(told))


def again(asked: Asked, failed: Verdict, shrunk: Shrunk | None) -> str:
    """The command that plays the least that still fails."""
    least = shrunk.script if shrunk is not None else failed.script
    parts = ["tieout rehearse", asked.options, f"--seed {least.seed}"]
    parts.append(f"--faults {','.join(least.rates) or NO_FAULTS}")
    if asked.hours != HOURS:
        parts.append(f"--hours {asked.hours:g}")
    halved = asked.halved + (shrunk.halvings if shrunk is not None else 0)
    if halved:
        parts.append(f"--halved {halved}")
    return " ".join(part for part in parts if part)


def failure(asked: Asked, failed: Verdict, shrunk: Shrunk | None) -> list[str]:
    """One failing seed: what was promised, what broke, what it needs, what happened to whom."""
    least = shrunk.verdict if shrunk is not None else failed
    seed = failed.script.seed
    lines = [f"Seed {seed} broke {counted(len(failed.failures), 'promise')}."]
    for promise in failed.failures:
        lines += ["", *_promise(promise, least if promise in least.failures else failed)]
    lines += ["", *_needs(failed, shrunk)]
    for key, timeline in least.timelines.items():
        lines += ["", f"  {key}, in the time of the rehearsal:"]
        lines += [f"    {line}" for line in timeline] or ["    nothing is known of it"]
    lines += [
        "",
        "  Run it again:",
        f"    {again(asked, failed, shrunk)}",
        f"  {asked.identity}",
    ]
    return lines


def _promise(promise: str, verdict: Verdict) -> list[str]:
    name = f" ({promise})" if promise != NOT_ENDED else ""
    lines = _paragraph("Promised:  ", f"{promised(promise)}{name}")
    if promise == NOT_ENDED:
        lines.append("  Instead:   it did not, which is a defect of Tieout or of this rehearsal:")
        return lines + [f"    {line}" for line in verdict.ended.splitlines()]
    for one in verdict.broken:
        if one.promise != promise:
            continue
        lines += _paragraph("Instead:   ", f"{one.words}.")
        shown = one.keys[:MOST_KEYS]
        lines += [f"             {key}" for key in shown]
        if len(one.keys) > len(shown):
            lines.append(f"             and {len(one.keys) - len(shown)} more")
    return lines


def _needs(failed: Verdict, shrunk: Shrunk | None) -> list[str]:
    if shrunk is None:
        return ["  It happened with these kinds of trouble:", *_kinds(list(failed.script.rates))]
    if not shrunk.repeats:
        return [
            "  Played again, it did not happen again: something depends on more than the seed,",
            "  which is a defect of this rehearsal. These kinds of trouble were drawn:",
            *_kinds(list(failed.script.rates)),
        ]
    least, drawn = shrunk.faults, len(failed.script.rates)
    effort = (
        f"{shrunk.script.changes} of {failed.script.changes} changes are enough; found by "
        f"{counted(shrunk.plays, 'play')}"
        f"{'' if shrunk.complete else ', which were all it may take: less may be enough'}"
    )
    if not least:
        return [f"  It needs no trouble at all ({effort})."]
    kinds = f"{len(least)} of the {counted(drawn, 'kind')} of trouble"
    return [f"  It needs {kinds} that the seed drew ({effort}):", *_kinds(least)]


def _kinds(faults: Sequence[str]) -> list[str]:
    if not faults:
        return ["    none"]
    return [f"    {line}" for line in aligned([(name, MENU[name].words) for name in faults])]


def _paragraph(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label}",
        subsequent_indent=" " * (len(label) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(told: Told) -> list[str]:
    """How many seeds held, after those that did not were told of."""
    held = len(told.verdicts) - len(told.failed)
    unplayed = told.asked.seeds - len(told.verdicts)
    rest = f" {unplayed:,} more were not played." if unplayed else ""
    return [f"{held} of {counted(len(told.verdicts), 'seed')} held.{rest}"]


def good_end(told: Told) -> list[str]:
    """Every promise held: what that says, and what was met on the way."""
    met = covered(told.verdicts)
    lines = [
        f"Every promise held in {counted(met.seeds, 'seed')} of {told.asked.hours:g} hours, with "
        f"{counted(met.events, 'event')} in all ({told.seconds:,.0f} s):",
        f"{met.changes:,} changes at the sources, {met.deliveries:,} deliveries, "
        f"{sum(met.struck.values()):,} troubles.",
        bound(met.seeds),
        "",
        *(fault_lines(met) if met.struck else ["No trouble was met."]),
    ]
    never = never_met(met, told.asked.faults)
    if never:
        lines += ["", "Never met:"]
        lines += [f"  {line}" for line in aligned(_by_reason(never))]
    points = point_lines(met)
    if points:
        lines += [
            "",
            "How often processes came to each point, by what they were doing († how many died "
            "there):",
            *points,
        ]
    if told.asked.described or told.asked.left_out:
        lines += ["", *told.asked.described]
        lines += [f"not rehearsed: {one}" for one in told.asked.left_out]
    return [*lines, "", told.asked.identity]


def _by_reason(never: Mapping[str, str]) -> list[tuple[str, str]]:
    """The troubles that were never met for the same reason, together."""
    reasons = dict.fromkeys(never.values())
    return [(f"{why}:", ", ".join(n for n in never if never[n] == why)) for why in reasons]


def bound(seeds: int) -> str:
    """What the number of seeds says about all the others."""
    if seeds < FEW_SEEDS:
        return f"{counted(seeds, 'seed')} without a failure say little about all the others."
    return (
        f"Zero failures in {counted(seeds, 'seed')} bounds the failure rate at 3/{seeds} "
        f"({300 / seeds:.2g} %) with 95 % confidence."
    )


def as_json(told: Told) -> dict[str, Any]:
    """All of it for machines."""
    met = covered(told.verdicts)
    asked = told.asked
    return {
        "held": not told.failed,
        "version": __version__,
        "landscape": asked.landscape,
        "landscape_hash": asked.content_hash,
        "hours": asked.hours,
        "seconds": round(told.seconds, 1),
        "faults": [name for name in MENU if name in asked.faults],
        "seeds": {"asked": asked.seeds, "played": met.seeds, "failed": len(told.failed)},
        "events": met.events,
        "changes": met.changes,
        "deliveries": met.deliveries,
        "ticks": met.ticks,
        "cases_left": met.cases_left,
        "digests": {str(one.script.seed): one.digest for one in told.verdicts},
        "failures": [
            _failure_json(asked, one, told.shrunk.get(one.script.seed)) for one in told.failed
        ],
        "coverage": {
            "faults": {
                name: {
                    "times": met.struck[name],
                    "in_seeds": met.met[name],
                    "drawn": met.drawn[name],
                }
                for name in MENU
                if name in asked.faults
            },
            "never_met": never_met(met, asked.faults),
            "points": {
                point: {"reached": reached, "died": died}
                for point, (reached, died) in met.by_point.items()
            },
            "stages": [
                {
                    "stage": stage,
                    "point": point,
                    "reached": times,
                    "died": met.died_at[stage, point],
                }
                for (stage, point), times in sorted(met.reached.items())
            ],
        },
        "systems": list(asked.described),
        "left_out": list(asked.left_out),
    }


def _failure_json(asked: Asked, failed: Verdict, shrunk: Shrunk | None) -> dict[str, Any]:
    least = shrunk.verdict if shrunk is not None else failed
    return {
        "seed": failed.script.seed,
        "promises": [{"promise": one, "promised": promised(one)} for one in failed.failures],
        "broken": [
            {"promise": one.promise, "words": one.words, "keys": list(one.keys)}
            for one in least.broken
        ],
        "ended": least.ended,
        "faults": list(least.script.rates),
        "drawn": list(failed.script.rates),
        "changes": least.script.changes,
        "shrunk": shrunk is not None and shrunk.repeats,
        "complete": shrunk is not None and shrunk.complete,
        "plays": shrunk.plays if shrunk is not None else 0,
        "timelines": {key: list(lines) for key, lines in least.timelines.items()},
        "again": again(asked, failed, shrunk),
    }
