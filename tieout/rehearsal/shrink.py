"""Shrinking: the least that still breaks the same promise.

A failing seed has a dozen kinds of trouble and dozens of changes, and most of them have nothing to
do with it. Each kind has dice of its own, so that leaving one out leaves the others as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tieout.rehearsal.script import Script
from tieout.rehearsal.verdict import Play, Verdict

MOST_PLAYS = 60


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The least that was found.

    `promise` is the one that breaks, `verdict` what came of the least script, `halvings` how often
    its changes were halved, `plays` how many plays it took. `repeats`: the same script broke the
    same promise again; when it did not, nothing was left out. `complete`: there was no play too few
    to try everything.
    """

    promise: str
    verdict: Verdict
    halvings: int
    plays: int
    repeats: bool
    complete: bool

    @property
    def script(self) -> Script:
        return self.verdict.script

    @property
    def faults(self) -> tuple[str, ...]:
        """The kinds of trouble that it needs."""
        return tuple(self.script.rates)


def shrink(play: Play, failed: Verdict, most_plays: int = MOST_PLAYS) -> Shrunk:
    """Leave out all trouble, and if that is too much one kind after the other while the same
    promise still breaks, again from the first until none can go; then halve the changes as often as
    it still breaks. Another promise that breaks instead does not count. Raises ValueError for a
    seed that held."""
    if failed.held:
        raise ValueError(f"seed {failed.script.seed} held: there is nothing to shrink")
    search = _Search(play, failed, most_plays)
    repeats = search.still_breaks(failed.script)
    halvings = 0
    if repeats:
        search.leave_out_faults()
        halvings = search.halve()
    return Shrunk(
        search.promise, search.least, halvings, search.plays, repeats, not search.out_of_plays
    )


class _Search:
    def __init__(self, play: Play, failed: Verdict, most_plays: int) -> None:
        self._play = play
        self._most_plays = most_plays
        self.promise = failed.failures[0]
        self.least = failed
        self.plays = 0
        self.out_of_plays = False

    def still_breaks(self, script: Script) -> bool:
        """Play it; what still breaks is the least from then on."""
        if self.plays >= self._most_plays:
            self.out_of_plays = True
            return False
        self.plays += 1
        found = self._play(script)
        if self.promise not in found.failures:
            return False
        self.least = found
        return True

    def leave_out_faults(self) -> None:
        """Each round that leaves something out is followed by another: two kinds of trouble may
        each be needed only beside a third. Every round but the last leaves out at least one."""
        calm = replace(self.least.script, rates={})
        gone = calm != self.least.script and not self.still_breaks(calm)
        while gone and not self.out_of_plays:
            gone = False
            for fault in tuple(self.least.script.rates):
                if self.still_breaks(self.least.script.without(fault)):
                    gone = True

    def halve(self) -> int:
        """Halve the changes while it still breaks; returns how often that was."""
        halvings = 0
        while self.least.script.changes > 1 and self.still_breaks(self.least.script.halved()):
            halvings += 1
        return halvings
