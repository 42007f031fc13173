"""The supervisor's bounds: how soon and how often it starts what ended; logs stay small."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieout.cli import processes
from tieout.cli.processes import Processes
from tieout.cli.supervisor import (
    FIRST_WAIT_SECONDS,
    MOST_RESTARTS,
    MOST_WAIT_SECONDS,
    WELL_SECONDS,
    Restarts,
)


def starts(lasts: float, until: float) -> list[float]:
    """When a process that always ends after so many seconds is started again."""
    restarts, now, found = Restarts(), 0.0, []
    while now < until:
        restarts.ended(now)
        assert restarts.due_at is not None
        now = restarts.due_at
        restarts.started(now)
        found.append(now)
        now += lasts
    return found


def test_it_is_started_soon_then_ever_later() -> None:
    first = starts(0.0, 300)
    waits = [b - a for a, b in zip([0.0, *first], first, strict=False)]
    assert waits[0] == FIRST_WAIT_SECONDS
    assert waits == sorted(waits)
    assert waits[-1] == MOST_WAIT_SECONDS


@pytest.mark.parametrize("lasts", [0.0, 0.1, 1.0, 5.0])
def test_never_more_often_than_that_in_a_minute(lasts: float) -> None:
    found = starts(lasts, 3_600)
    for at in found:
        assert sum(at <= one < at + 60 for one in found) <= MOST_RESTARTS


def test_who_ran_well_begins_again_with_the_first_wait() -> None:
    restarts = Restarts()
    now = 0.0
    for _ in range(6):
        restarts.ended(now)
        assert restarts.due_at is not None
        now = restarts.due_at
        restarts.started(now)
    now += WELL_SECONDS + 1
    restarts.ended(now)
    assert restarts.due_at == now + FIRST_WAIT_SECONDS


def test_a_log_that_grew_too_large_begins_anew_while_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MOST_LOG_BYTES", 1_000)
    folder = tmp_path / ".tieout" / "log"
    folder.mkdir(parents=True)
    log = folder / "worker.log"
    with log.open("ab") as writer:  # as a process holds it
        for number in range(40):
            writer.write(f"{number:03}".encode() + b"." * 96 + b"\n")
            writer.flush()
            Processes(tmp_path).rotate_logs()
    kept = (folder / "worker.log.1").read_bytes() + log.read_bytes()
    assert len(kept) <= 2 * 1_100
    numbers = [int(line[:3]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 40)), "the newest lines, whole and in order"
    assert b"\0" not in kept
