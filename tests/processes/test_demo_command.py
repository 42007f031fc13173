"""`tieout demo` as a newcomer starts it: interrupted, started again, and read by a machine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.processes.commands import await_that, free_ports, heed_interrupts, processes_of
from tieout.cli.telling import INTERRUPTED

SMALL_MONTH = "2022-05"  # the last one: 14 orders
KEYS = {"arrivals", "records", "dispatches", "proofs", "duplicates", "cases", "tie_outs"}


def demo(home: Path, port: int) -> list[str]:
    words = ["demo", "--month", SMALL_MONTH, "--port", str(port), "--folder", str(home), "--json"]
    return [sys.executable, "-m", "tieout.cli", *words]


def await_the_middle(home: Path, child: subprocess.Popen[str]) -> None:
    """Everything else runs already when the console is started."""

    def it_is_there() -> bool:
        assert child.poll() is None, f"it ended with {child.returncode} before"
        return any("tieout.web.server" in line for line in processes_of(home))

    await_that("it is in the middle", it_is_there, 60)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(home: Path, stop: signal.Signals) -> None:
    child = subprocess.Popen(
        demo(home, free_ports()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    await_the_middle(home, child)
    child.send_signal(stop)
    if stop is signal.SIGINT:
        child.send_signal(stop)  # an impatient person
    out, err = child.communicate(timeout=60)
    assert child.returncode == INTERRUPTED, err
    assert "interrupted" in err
    assert "a second run continues" in err
    assert "Traceback" not in err
    assert "nanobind" not in err
    assert out == ""
    assert processes_of(home) == []
    assert list(home.glob("*/.tieout/run/*.json")) == []


def test_a_second_demo_replaces_the_first_and_ties_out(home: Path) -> None:
    """The first one is killed so hard that it cannot clean up; the next one does."""
    port = free_ports()
    first = subprocess.Popen(demo(home, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_the_middle(home, first)
    first.kill()
    first.wait()
    done = subprocess.run(
        demo(home, port), check=False, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    ending = json.loads(done.stdout.splitlines()[-1])
    assert set(ending) >= KEYS
    assert ending["duplicates"] == 0
    assert sum(ending["cases"].values()) >= 2
    for one in ending["tie_outs"]:
        assert set(one) >= {"name", "sides", "agrees", "difference", "explained"}
        assert isinstance(one["difference"], str)
        assert Decimal(one["difference"]).is_finite()
        assert one["agrees"] or one["explained"]
    assert processes_of(home) == []
