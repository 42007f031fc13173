"""Plants bugs in copies of the product and lets the rehearsal find them.

  tools/mutants.py [NAME …] [--most-seeds 200] [--first-seed 0] [--jobs 2] [--json] [--write]

Each patch in tests/mutants is one bug. Seeds 0, 1, 2 … of the corner landscape are played with it
until a promise breaks that holds in the same seed without it. The exit code is 1 when a bug was not
found, a patch no longer applies, or a seed breaks without any bug.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

HOME = Path(__file__).parents[1]
PATCHES = HOME / "tests" / "mutants"
PAGE = HOME / "docs" / "mutants.md"
PLAYED = ("tieout", "tests/__init__.py", "tests/rehearsal", "tests/mutants")
ONLY_FAULTS = "seeds: faults="
MOST_SEEDS = 200
START_SECONDS = 300.0
MOST_SECONDS_PER_SEED = 900.0


@dataclass(frozen=True)
class Mutant:
    """One planted bug: what is wrong, and the faults it is tried with ("" is all of them)."""

    name: str
    words: str
    faults: str
    patch: Path


@dataclass(frozen=True)
class Played:
    """What came of one seed: the promises that broke ("end": it did not come to its end), and what
    was said of each first."""

    words: Mapping[str, str]

    @property
    def failures(self) -> tuple[str, ...]:
        return tuple(self.words)


@dataclass(frozen=True)
class Tried:
    """How one mutant fared. `seeds` is how many were played, `promise` "" when nothing broke."""

    name: str
    bug: str
    faults: str
    seeds: int = 0
    promise: str = ""
    words: str = ""
    broken: str = ""  # why it could not be tried


class NotPlanted(Exception):
    """The patch does not fit the code. Says why."""


def mutants(names: Sequence[str] = ()) -> list[Mutant]:
    """All planted bugs, or those of these names. Raises KeyError for a name that there is not."""
    known = {one.stem: one for one in sorted(PATCHES.glob("*.patch"))}
    return [_read(known[name]) for name in names or known]


def _read(patch: Path) -> Mutant:
    said, faults = [], ""
    for line in patch.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        if line[2:].startswith(ONLY_FAULTS):
            faults = line[2:].removeprefix(ONLY_FAULTS)
        else:
            said.append(line[2:])
    return Mutant(patch.stem, " ".join(said), faults, patch)


def copied(folder: Path) -> None:
    """Everything that a player needs, in this folder; compiled files too, which are valid there."""
    for name in PLAYED:
        source, target = HOME / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)


def planted(mutant: Mutant, folder: Path) -> list[str]:
    """Apply the patch to a copy; returns the files that it changed. Raises NotPlanted."""
    apart = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    command = ["git", "apply", "--verbose", str(mutant.patch)]
    done = subprocess.run(
        command, cwd=folder, env=apart, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotPlanted(f"{mutant.patch.name} no longer applies: {done.stderr.strip()}")
    text = mutant.patch.read_text(encoding="utf-8")
    changed = [
        line.removeprefix("+++ b/") for line in text.splitlines() if line.startswith("+++ b/")
    ]
    for name in changed:
        if (folder / name).read_bytes() == (HOME / name).read_bytes():
            raise NotPlanted(f"{mutant.patch.name} changes nothing in {name}")
    return changed


class Player:
    """A process that plays the product of one folder, seed after seed."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.player"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._turn = threading.Lock()
        self._said_aside: list[str] = []
        self._aside = threading.Thread(target=self._listen_aside, daemon=True)
        self._aside.start()
        self.ready = self._answer(START_SECONDS)
        package = (self.ready or {}).get("ready", "")
        if package and package != str(folder / "tieout"):
            raise RuntimeError(f"the player plays {package}, which is not the copy in {folder}")

    def play(self, seed: int, faults: Sequence[str]) -> Played:
        """Play one seed. A process that died or hung is what came of it."""
        if self.ready is None:
            return Played({"end": f"it does not start: {self._last_words()}"})
        with self._turn, contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"seed": seed, "faults": list(faults)}) + "\n")
            self._process.stdin.flush()
            found = self._answer(MOST_SECONDS_PER_SEED)
            if found is not None:
                return Played(found)
        return Played({"end": f"its process died or hung: {self._last_words()}"})

    def stop(self) -> None:
        """End the process; it leaves its own database server in order."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, seconds: float) -> dict[str, str] | None:
        """The next line that it says; None when it is gone, or is ended for saying none in time."""
        assert self._process.stdout is not None
        late = threading.Timer(seconds, self._process.kill)
        late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            late.cancel()
        return json.loads(line) if line else None

    def _listen_aside(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said_aside = [*self._said_aside, line.strip()][-20:]

    def _last_words(self) -> str:
        self._aside.join(timeout=5)
        return next((line for line in reversed(self._said_aside) if line), "without a word")


@dataclass
class Clean:
    """The product without any bug: what breaks in it as well, no bug has broken."""

    player: Player
    faults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: dict[tuple[str, int], Played] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def play(self, seed: int, faults: str) -> Played:
        """Play a seed, once for all mutants that are tried with these faults."""
        with self.turn:
            if (faults, seed) not in self.known:
                self.known[faults, seed] = self.player.play(seed, menu(faults))
            return self.known[faults, seed]

    @property
    def broken(self) -> list[str]:
        """What broke without any bug."""
        return [
            f"seed {seed}{f' with {faults}' if faults else ''}: "
            f"{'; '.join(f'{promise}, {words}' for promise, words in one.words.items())}"
            for (faults, seed), one in sorted(self.known.items())
            if one.failures
        ]


def menu(faults: str) -> list[str]:
    """These faults, or every one there is, in the menu's order."""
    sys.path.insert(0, str(HOME))
    from tieout.rehearsal.faults import MENU, chosen

    return [name for name in MENU if name in chosen(faults)]


@contextlib.contextmanager
def a_copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tieout-mutant-") as home:
        folder = Path(home).resolve()
        copied(folder)
        yield folder


@contextlib.contextmanager
def clean_player() -> Iterator[Clean]:
    with a_copy() as folder:
        player = Player(folder)
        try:
            yield Clean(player)
        finally:
            player.stop()


def tried(mutant: Mutant, clean: Clean, most_seeds: int, first_seed: int = 0) -> Tried:
    """Play seeds until a promise breaks that holds without the bug."""
    with a_copy() as folder:
        try:
            planted(mutant, folder)
        except NotPlanted as reason:
            return Tried(mutant.name, mutant.words, mutant.faults, broken=str(reason))
        player = Player(folder)
        try:
            for seed in range(first_seed, first_seed + most_seeds):
                found = player.play(seed, menu(mutant.faults))
                ours = clean.play(seed, mutant.faults).failures if found.failures else ()
                new = [one for one in found.failures if one not in ours]
                if new:
                    return Tried(
                        mutant.name,
                        mutant.words,
                        mutant.faults,
                        seed - first_seed + 1,
                        " ".join(new),
                        found.words[new[0]],
                    )
                if "end" in found.failures:
                    player.stop()
                    player = Player(folder)
            return Tried(mutant.name, mutant.words, mutant.faults, most_seeds)
        finally:
            player.stop()


def said(one: Tried) -> str:
    """One line on one mutant."""
    if one.broken:
        return f"{one.name:<28} NOT TRIED: {one.broken}"
    if not one.promise:
        return f"{one.name:<28} SURVIVED {one.seeds} seeds"
    what = "seed" if one.seeds == 1 else "seeds"
    return f"{one.name:<28} found after {one.seeds} {what}, by {one.promise}: {one.words}"


def page(all_of_them: Sequence[Tried]) -> str:
    """The page that says so to everybody."""
    lines = [
        "# Planted bugs, and how soon the rehearsal finds them",
        "",
        "Generated by `python tools/mutants.py --write`; do not edit. Each bug is a patch in "
        "`tests/mutants`;",
        "`make mutants` plants it in a copy of the product and plays seeds of the landscape in "
        "`tests/rehearsal/landscape`",
        "until a promise breaks that holds in the same seed without it. A promise `end`: the seed "
        "did not come to its end.",
        "",
        "| bug | what is wrong | faults | seeds | found by | what was said |",
        "|---|---|---|---:|---|---|",
    ]
    for one in all_of_them:
        seeds = f"{one.seeds}" if one.promise else f"not in {one.seeds}"
        cells = (
            one.name,
            one.bug,
            one.faults.replace(",", ", ") or "all",
            seeds,
            one.promise,
            one.broken or one.words,
        )
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--most-seeds", type=int, default=MOST_SEEDS)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="write docs/mutants.md")
    asked = parser.parse_args()
    if asked.write and asked.names:
        parser.error("--write is for all of them")
    try:
        chosen = mutants(asked.names)
    except KeyError as unknown:
        parser.error(f"there is no planted bug called {unknown}")

    def one_of(mutant: Mutant) -> Tried:
        found = tried(mutant, clean, asked.most_seeds, asked.first_seed)
        if not asked.json:
            print(said(found), flush=True)
        return found

    with clean_player() as clean, ThreadPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(one_of, chosen))
    if asked.json:
        told = {"mutants": [asdict(one) for one in found], "broken_without": clean.broken}
        print(json.dumps(told, indent=2))
    for words in clean.broken:
        print(f"broken without any bug: {words}", file=sys.stderr)
    if asked.write:
        PAGE.write_text(page(found), encoding="utf-8")
    return 0 if all(one.promise for one in found) and not clean.broken else 1


if __name__ == "__main__":
    sys.exit(main())
