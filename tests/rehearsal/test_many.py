"""Many seeds in a few processes, played by fakes with planted ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tieout import clock
from tieout.rehearsal import many
from tieout.rehearsal.many import CannotRehearse, Players, Ready
from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import Script, draw
from tieout.rehearsal.verdict import Verdict

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fake:
    """Plays a seed in its process: what is planted for it, or else that it holds. The `digest` is
    of what a seed alone decides."""

    breaks: frozenset[int] = frozenset()
    dies: frozenset[int] = frozenset()
    hangs: frozenset[int] = frozenset()

    @contextlib.contextmanager
    def open(self, number: int) -> Iterator[Ready]:
        assert number > 0
        yield Ready(self._play, ("crm: a fake",), ("payroll",))

    def _play(self, script: Script) -> Verdict:
        if script.seed in self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if script.seed in self.hangs:
            clock.sleep(600)
        clock.sleep(0.02 * (script.seed % 3))  # later seeds overtake earlier ones
        broken = (Broken("P2", "as planted"),) if script.seed in self.breaks else ()
        digest = hashlib.sha256(str(script.dice("x").random()).encode()).hexdigest()
        return Verdict(script, broken, changes=script.changes, digest=digest)


@dataclass(frozen=True)
class Unplayable:
    """Cannot make itself ready: with words, or by ending before."""

    words: str = ""

    def open(self, number: int) -> contextlib.AbstractContextManager[Ready]:
        if not self.words:
            os._exit(7)
        raise CannotRehearse(self.words)


def scripts(count: int) -> list[Script]:
    return [draw(seed, ["crash"]) for seed in range(1, count + 1)]


def seeds(verdicts: tuple[Verdict, ...]) -> list[int]:
    return [one.script.seed for one in verdicts]


def test_the_verdicts_are_in_the_order_of_the_seeds_and_the_same_with_any_number_of_jobs() -> None:
    heard: list[int] = []
    with Players(Fake(), 2) as players:
        two = players.play_all(scripts(9), on_played=lambda one: heard.append(one.script.seed))
    with Players(Fake(), 1) as players:
        one = players.play_all(scripts(9))
        backwards = players.play_all(scripts(9)[::-1])
    assert seeds(two) == list(range(1, 10))
    assert sorted(heard) == seeds(two)
    assert two == one == backwards[::-1]
    assert len({verdict.digest for verdict in two}) == 9


@pytest.mark.parametrize("jobs", [1, 3])
def test_it_ends_with_the_last_failure_that_it_may_meet(jobs: int) -> None:
    fake = Fake(breaks=frozenset({4, 6, 7}))
    with Players(fake, jobs) as players:
        assert seeds(players.play_all(scripts(30))) == [1, 2, 3, 4]
        second = players.play_all(scripts(30), most_failures=2)
        everything = players.play_all(scripts(8), most_failures=5)
    assert [one.script.seed for one in second if not one.held] == [4, 6]
    assert seeds(second) == [1, 2, 3, 4, 5, 6]
    assert seeds(everything) == list(range(1, 9))


def test_a_process_that_dies_is_the_failure_of_its_seed_and_another_takes_its_place() -> None:
    with Players(Fake(dies=frozenset({2, 3})), 2) as players:
        before = set(players.pids)
        found = players.play_all(scripts(6), most_failures=10)
        assert len(players.pids) == 2
        assert set(players.pids) != before
        assert players.play(scripts(1)[0]).held
    assert seeds(found) == [1, 2, 3, 4, 5, 6]
    assert [one.script.seed for one in found if one.died] == [2, 3]
    assert found[1].ended == "its process was ended by signal 9"
    assert [one.held for one in found] == [True, False, False, True, True, True]


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MOST_SECONDS_PER_SEED", 0.5)
    with Players(Fake(hangs=frozenset({1})), 1) as players:
        (found,) = players.play_all(scripts(1))
    assert found.died
    assert not found.held


def test_all_processes_are_gone_afterwards() -> None:
    with Players(Fake(), 2) as players:
        pids = players.pids
        assert len(pids) == 2
        assert (players.described, players.left_out) == (("crm: a fake",), ("payroll",))
        assert all(_alive(pid) for pid in pids)
    assert not any(_alive(pid) for pid in pids)


def test_what_cannot_be_rehearsed_says_why() -> None:
    with (
        pytest.raises(CannotRehearse, match="nobody can play payroll"),
        Players(Unplayable("nobody can play payroll"), 2),
    ):
        raise AssertionError("it was ready")


def test_a_process_that_ends_before_it_is_ready_is_told() -> None:
    with (
        pytest.raises(CannotRehearse, match="ended with exit code 7 before it was ready"),
        Players(Unplayable(), 1),
    ):
        raise AssertionError("it was ready")


def test_ctrl_c_stops_every_process(tmp_path: Path) -> None:
    """A terminal sends it to all of them at once: nobody but the first one speaks of it."""
    program = tmp_path / "rehearsing.py"
    program.write_text(
        textwrap.dedent("""
            from tests.rehearsal.test_many import Fake, scripts
            from tieout.rehearsal.many import Players

            if __name__ == "__main__":
                with Players(Fake(hangs=frozenset({1, 2})), 2) as players:
                    print(*players.pids, flush=True)
                    players.play_all(scripts(2))
        """)
    )
    parent = subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert parent.stdout is not None
    pids = [int(one) for one in parent.stdout.readline().split()]
    assert len(pids) == 2
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert parent.returncode in {1, -signal.SIGINT}
    assert said.count("KeyboardInterrupt") == 1, said
    assert not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
