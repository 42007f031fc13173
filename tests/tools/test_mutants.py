"""Planted bugs: every patch fits the product as it is, and the rehearsal really finds some of them.

`make mutants` tries them all; it takes long.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tieout.rehearsal.faults import MENU
from tools import mutants
from tools.mutants import HOME, Clean, Mutant, NotPlanted, Played, Player, Tried

LEAST = 22
MOST_CHANGED_LINES = 24  # added and removed, in all files of one bug
ALL = mutants.mutants()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all patches: each is taken back after it was planted."""
    home = tmp_path_factory.mktemp("copy")
    mutants.copied(home)
    return home


def test_there_are_enough_and_each_says_what_it_breaks() -> None:
    assert len(ALL) >= LEAST
    for one in ALL:
        assert "Breaks P" in one.words, one.name
        assert len(one.words) > 60, one.name
        assert set(one.faults.split(",")) <= {"", *MENU}, one.name
        lines = one.patch.read_text(encoding="utf-8").splitlines()
        changed = [x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---")]
        assert 0 < len(changed) <= MOST_CHANGED_LINES, one.name


@pytest.mark.parametrize("mutant", ALL, ids=lambda one: one.name)
def test_it_fits_the_product_as_it_is(mutant: Mutant, folder: Path) -> None:
    changed = mutants.planted(mutant, folder)
    try:
        assert changed
        for name in changed:
            source = (folder / name).read_text(encoding="utf-8")
            assert name.startswith("tieout/")
            assert source != (HOME / name).read_text(encoding="utf-8")
            compile(source, name, "exec")
    finally:
        back = ["git", "apply", "--reverse", str(mutant.patch)]
        subprocess.run(back, cwd=folder, check=True)


def test_a_patch_that_no_longer_fits_says_so(tmp_path: Path, folder: Path) -> None:
    patch = tmp_path / "gone.patch"
    text = ALL[0].patch.read_text(encoding="utf-8")
    patch.write_text(text.replace("\n-", "\n-nothing like this stands there: "), encoding="utf-8")
    with pytest.raises(NotPlanted, match="no longer applies"):
        mutants.planted(Mutant("gone", "", "", patch), folder)


@pytest.mark.parametrize(
    ("name", "promise", "words"),
    [
        ("acknowledged_before_commit", "P1", "not in the register"),
        ("no_intent", "P2", "nothing of ours sent it"),
    ],
)
def test_the_rehearsal_finds_it_at_once(
    name: str, promise: str, words: str, tmp_path: Path
) -> None:
    (mutant,) = mutants.mutants([name])
    mutants.copied(tmp_path)
    mutants.planted(mutant, tmp_path)
    player = Player(tmp_path)
    try:
        found = player.play(0, mutants.menu(""))
    finally:
        player.stop()
    assert words in found.words[promise]


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, str]]:
    """What the copy with a bug would say of each seed; no process plays."""
    said: dict[int, dict[str, str]] = {}

    class Fake:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def play(self, seed: int, faults: list[str]) -> Played:
            assert faults == list(MENU)
            return Played(said.get(seed, {}))

        def stop(self) -> None:
            pass

    monkeypatch.setattr(mutants, "Player", Fake)
    monkeypatch.setattr(mutants, "copied", lambda folder: None)
    monkeypatch.setattr(mutants, "planted", lambda mutant, folder: [])
    return said


class _Well:
    """The product without a bug: it breaks P7 in every seed, and nothing else."""

    def play(self, seed: int, faults: list[str]) -> Played:
        return Played({"P7": "known"})


def _tried(most_seeds: int) -> Tried:
    clean = Clean(_Well())  # type: ignore[arg-type]
    return mutants.tried(Mutant("one", "what it is", "", Path("one.patch")), clean, most_seeds)


def test_only_what_holds_without_the_bug_counts(playing: dict[int, dict[str, str]]) -> None:
    playing.update({1: {"P7": "known"}, 3: {"P7": "known", "P2": "twice"}})
    found = _tried(10)
    assert (found.seeds, found.promise, found.words) == (4, "P2", "twice")
    assert "found after 4 seeds, by P2: twice" in mutants.said(found)
    assert "| one | what it is | all | 4 | P2 | twice |" in mutants.page([found])


def test_what_nobody_finds_survives(playing: dict[int, dict[str, str]]) -> None:
    playing.update({2: {"P7": "known"}, 5: {"P2": "too late"}})
    found = _tried(5)
    assert found.promise == ""
    assert "SURVIVED 5 seeds" in mutants.said(found)
    assert "| not in 5 |" in mutants.page([found])
