"""Shows every promise at its full count and prints the table: `python tools/promises.py [P1 P2 …]`.

Each row is a test run of its own, with a time it may take; together they may take 75 minutes on two
cores. A row is kept when its tests pass and every figure they hand over is within its bar. The exit
code is 1 when anything was missed, also when a row measured nothing or took too long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.promises.figures import FIGURES_FILE, Figure, read_figures
from tieout import clock

MOST_SECONDS = 75 * 60
STOP_SECONDS = 60
SAID_OF_A_MISS = 3_000  # characters of a failed run that are shown


@dataclass(frozen=True)
class Row:
    """Tests that show promises: what pytest is given, and how long it may take."""

    promises: str
    arguments: tuple[str, ...]
    most_seconds: int


ROWS = (
    Row("P1", ("tests/processes/test_acknowledged.py", "-m", "promises"), 1_080),
    Row("P1", ("tests/processes/test_embedded.py", "-k", "unsafe_settings", "-m", ""), 60),
    Row("P2", ("tests/promises/test_ambiguous_writes.py", "-m", "promises"), 420),
    Row("P3 P12", ("tests/engine/test_pacing.py", "-m", "promises"), 300),
    Row("P3 P4 P7", ("tests/promises/test_money_identity.py", "-m", "promises"), 240),
    Row("P4", ("tests/promises/test_exact_money.py", "-m", "promises"), 240),
    Row("P7", ("tests/promises/test_told.py", "-m", "promises"), 180),
    Row("P8", ("tests/promises/test_outage.py", "-m", "promises"), 1_080),
    Row("P9", ("tests/engine/test_permutations.py", "-m", "promises"), 180),
    Row(
        "P11",
        (
            "tests/store/test_audit_tampering.py",
            "tests/store/test_audit_verifier.py",
            "-m",
            "promises",
        ),
        360,
    ),
    Row("P1–P10", ("tests/rehearsal/test_seeds.py", "-m", "promises"), 2_700),
    Row("workers", ("tests/processes/test_many_workers.py", "-m", "promises"), 300),
)


@dataclass(frozen=True)
class Shown:
    """How one row went."""

    row: Row
    figures: tuple[Figure, ...]
    passed: bool
    seconds: float
    said: str

    @property
    def kept(self) -> bool:
        return self.passed and bool(self.figures) and all(one.kept for one in self.figures)


def show(row: Row, folder: Path) -> Shown:
    """Run the tests of one row to their end, or to the end of their time."""
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    command = [sys.executable, "-m", "pytest", "-n", "0", "--timeout", str(row.most_seconds)]
    began = clock.monotonic()
    with subprocess.Popen(
        [*command, *row.arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, FIGURES_FILE: str(path)},
        start_new_session=True,
    ) as running:
        try:
            said, _ = running.communicate(timeout=row.most_seconds)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)  # fixtures stop what they started
            try:
                said, _ = running.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                said, _ = running.communicate()
            said += f"\nnot done after {row.most_seconds} s"
    seconds = clock.monotonic() - began
    passed = running.returncode == 0 and seconds <= row.most_seconds
    return Shown(row, tuple(read_figures(path)), passed, seconds, said)


def table(shown: Sequence[Shown]) -> list[str]:
    """The lines of the table, in Markdown."""
    lines = [
        "| promise | what was done | measured | bar | | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for one in shown:
        seconds = f"{one.seconds:.0f}"
        for figure in one.figures:
            word = "kept" if figure.kept else "**missed**"
            cells = (figure.promise, figure.done, figure.measured, figure.bar, word, seconds)
            lines.append(f"| {' | '.join(cells)} |")
            seconds = ""
        if not one.kept and all(figure.kept for figure in one.figures):
            tests = one.row.arguments[0]
            lines.append(f"| {one.row.promises} | {tests} failed | | | **missed** | {seconds} |")
    return lines


def main(arguments: Sequence[str]) -> int:
    wanted = [row for row in ROWS if not arguments or set(arguments) & set(row.promises.split())]
    if not wanted:
        known = sorted({name for row in ROWS for name in row.promises.split()})
        print(f"no promise named {' '.join(arguments)}; there are: {' '.join(known)}")
        return 2
    shown = []
    with tempfile.TemporaryDirectory(prefix="tieout-promises-") as folder:
        for row in wanted:
            print(f"{row.promises}: at most {row.most_seconds} s …", file=sys.stderr, flush=True)
            shown.append(show(row, Path(folder)))
            if not shown[-1].kept:
                print(shown[-1].said[-SAID_OF_A_MISS:], file=sys.stderr, flush=True)
    seconds = sum(one.seconds for one in shown)
    kept = all(one.kept for one in shown) and seconds <= MOST_SECONDS
    print("\n".join(table(shown)))
    print(f"\n{'All kept' if kept else 'MISSED'}, in {seconds / 60:.1f} minutes.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
