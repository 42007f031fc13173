"""Many seeds at once, each in one of a few processes.

What comes of a seed depends on nothing but the seed: every process has a database of its own, and
the answer is the same whoever played what before. A process that dies is the failure of the seed it
played, and another takes its place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Protocol, cast

from tieout import clock
from tieout.rehearsal.script import Script
from tieout.rehearsal.verdict import Play, Verdict

MOST_SECONDS_PER_SEED = 900.0  # of real time: beyond it the process hangs
START_SECONDS = 120.0
STOP_SECONDS = 5.0


class CannotRehearse(Exception):
    """This landscape cannot be rehearsed. Says why."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A process that is ready to `play`. `described` says how each system is played, `left_out`
    what cannot be."""

    play: Play
    described: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Opens(Protocol):
    """What a process needs to play; it is pickled and sent to each of them."""

    def open(self, number: int) -> AbstractContextManager[Ready]:
        """Make ready to play, as the process of this number. Raises CannotRehearse."""


@dataclass(frozen=True, slots=True)
class _Described:
    """What a process says when it is ready."""

    described: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(eq=False)
class _Player:
    """A process that plays one script after the other; `number` is that of the last one."""

    process: SpawnProcess
    pipe: Connection
    playing: Script | None = None
    number: int = 0
    since: float = 0.0

    @property
    def hangs(self) -> bool:
        return clock.monotonic() - self.since > MOST_SECONDS_PER_SEED

    def play(self, script: Script, number: int) -> None:
        """Hand it a script. That it is gone is heard from its pipe."""
        self.playing, self.number, self.since = script, number, clock.monotonic()
        with contextlib.suppress(OSError):
            self.pipe.send(script)

    def heard(self) -> Verdict:
        """What came of the script, once its pipe has something to say."""
        script, self.playing = self.playing, None
        assert script is not None
        try:
            return cast(Verdict, self.pipe.recv())
        except (EOFError, OSError):
            self.process.join(STOP_SECONDS)
            return Verdict(script, ended=f"its process {_end_of(self.process)}", died=True)

    def stop(self) -> None:
        """Stop it by its pid, at the latest after a few seconds."""
        self.pipe.close()
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(STOP_SECONDS)


class Players:
    """Some processes that play; all are stopped on leaving. `described` and `left_out` are as
    each of them said when it was `Ready`.

    Raises CannotRehearse, on entering, when one of them cannot make itself ready.
    """

    def __init__(self, opens: Opens, jobs: int) -> None:
        if jobs < 1:
            raise ValueError("at least one process plays")
        self._opens = opens
        self._jobs = jobs
        self._players: list[_Player] = []
        self._started = 0
        self.described: tuple[str, ...] = ()
        self.left_out: tuple[str, ...] = ()

    def __enter__(self) -> Players:
        try:
            self._take_places()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that play."""
        return tuple(one.process.pid or 0 for one in self._players)

    def play(self, script: Script) -> Verdict:
        """Play one script, while nothing else is played."""
        ((_, verdict),) = self._playing(iter([script]))
        return verdict

    def play_all(
        self,
        scripts: Iterable[Script],
        most_failures: int = 1,
        on_played: Callable[[Verdict], None] = lambda verdict: None,
    ) -> tuple[Verdict, ...]:
        """Play scripts in their order until so many of them have failed; the verdicts in the same
        order, the last of those failures the last of them. `on_played` hears of each as it comes.
        """
        found: dict[int, Verdict] = {}
        failed = 0

        def handed_out() -> Iterator[Script]:
            for script in scripts:
                if failed >= most_failures:
                    return
                yield script

        for number, verdict in self._playing(handed_out()):
            found[number] = verdict
            failed += not verdict.held
            on_played(verdict)
        return _until(most_failures, [found[number] for number in sorted(found)])

    def _playing(self, scripts: Iterator[Script]) -> Iterator[tuple[int, Verdict]]:
        """Verdicts as they come, each with the number of its script in the order of scripts."""
        idle = list(self._players)
        number, more = 0, True
        while more or len(idle) < len(self._players):
            while more and idle:
                script = next(scripts, None)
                more = script is not None
                if script is not None:
                    idle.pop().play(script, number)
                    number += 1
            for player in self._heard():
                verdict = player.heard()
                idle.append(self._replaced(player) if verdict.died else player)
                yield player.number, verdict

    def _heard(self) -> list[_Player]:
        """Those who have something to say, in the order of their places. One that hangs is ended,
        and says so by that."""
        busy = [one for one in self._players if one.playing is not None]
        if not busy:
            return []
        said = wait([one.pipe for one in busy], timeout=1.0)
        for one in busy:
            if one.pipe not in said and one.hangs:
                one.process.kill()
        return [one for one in busy if one.pipe in said]

    def _take_places(self) -> None:
        """Start them all at once, then wait until each is ready."""
        new = [self._start() for _ in range(self._jobs - len(self._players))]
        self._players += new
        for one in new:
            self._await(one)

    def _replaced(self, gone: _Player) -> _Player:
        gone.stop()
        new = self._start()
        self._players[self._players.index(gone)] = new
        self._await(new)
        return new

    def _start(self) -> _Player:
        """Each has a number of its own, also the one that takes another's place. Ctrl-C in a
        terminal goes to every process: these leave it to the one that started them."""
        self._started += 1
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(
            target=_perform,
            args=(self._opens, self._started, theirs),
            name=f"rehearsal-{self._started}",
            daemon=True,
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        return _Player(process, ours)

    def _await(self, player: _Player) -> None:
        """Wait until it is ready. Raises CannotRehearse."""
        said: object = "did not get ready in time"
        if player.pipe.poll(START_SECONDS):
            try:
                said = player.pipe.recv()
            except (EOFError, OSError):
                player.process.join(STOP_SECONDS)
                said = f"{_end_of(player.process)} before it was ready; what it said is above"
        elif player.process.is_alive():
            player.process.kill()
        if isinstance(said, CannotRehearse):
            raise said
        if not isinstance(said, _Described):
            raise CannotRehearse(f"a process of the rehearsal {said}")
        self.described, self.left_out = said.described, said.left_out

    def _stop(self) -> None:
        for one in self._players:
            one.stop()
        self._players = []


def _until(most_failures: int, verdicts: list[Verdict]) -> tuple[Verdict, ...]:
    """Without those that were under way when the last failure that counts was met: how many these
    are depends on the number of processes."""
    kept, failed = [], 0
    for verdict in verdicts:
        kept.append(verdict)
        failed += not verdict.held
        if failed >= most_failures:
            break
    return tuple(kept)


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is None:
        return "was lost"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _perform(opens: Opens, number: int, pipe: Connection) -> None:
    """What a process does until nobody hands it a script any more."""
    try:
        with opens.open(number) as ready:
            pipe.send(_Described(ready.described, ready.left_out))
            while True:
                pipe.send(ready.play(pipe.recv()))
    except CannotRehearse as reason:
        pipe.send(reason)
    except (EOFError, BrokenPipeError):
        return  # whoever asked is gone
