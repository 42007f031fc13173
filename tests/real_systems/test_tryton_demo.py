"""`tieout demo --erp tryton`: one month of Northwind on a real ledger, and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real_system, pytest.mark.timeout(900)]
# Kept between runs: installing Tryton is measured elsewhere.
FOLDER = Path(__file__).resolve().parents[2] / ".tieout" / "demo"
LANDSCAPE = FOLDER / "quote_to_cash_tryton"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tieout.cli", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), check=False, capture_output=True, text=True, timeout=800
    )


def four_free_ports() -> int:
    """The first of four neighbouring ports that nobody listens on."""
    for first in range(21180, 29180, 10):
        taken = 0
        for port in range(first, first + 4):
            with socket.socket() as probe:
                taken += probe.connect_ex(("127.0.0.1", port)) == 0
        if not taken:
            return first
    raise AssertionError("no four free ports")


def left_running() -> list[str]:
    """Command lines of every process that works in the demo's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(FOLDER) in words and str(os.getpid()) != entry.parent.name:
            found.append(words)
    return found


def test_one_month_ties_out_and_the_ledger_is_kept_for_up() -> None:
    port = four_free_ports()
    done = run("demo", "--erp", "tryton", "--json", "--folder", str(FOLDER), "--port", str(port))
    assert done.returncode == 0, done.stderr
    ending = json.loads(done.stdout.splitlines()[-1])
    assert ending["duplicates"] == 0
    assert ending["cases"] == {"control": 1, "mapping": 1, "period_closed": 1, "rejected": 1}
    assert [one["sides"] for one in ending["tie_outs"]] == [
        ["salesforce", "tryton_orders"],
        ["salesforce", "tryton_invoices"],
        ["salesforce", "anaplan"],
    ]
    assert all(one["explained"] for one in ending["tie_outs"])
    assert ending["console"] == "make up ERP=tryton"
    assert left_running() == []

    landscape = ("--landscape", str(LANDSCAPE))
    try:
        up = run("up", *landscape, "--port", str(port))
        assert up.returncode == 0, up.stderr
        assert "system-tryton" in up.stdout
        again = run("reconcile", *landscape, "--json", "--as", "elena")
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout.splitlines()[-1])["tie_outs"] == ending["tie_outs"]
    finally:
        assert run("down", *landscape).returncode == 0
    assert left_running() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_what_it_started(number: signal.Signals) -> None:
    port = four_free_ports()
    demo = subprocess.Popen(
        command("demo", "--erp", "tryton", "--folder", str(FOLDER), "--port", str(port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mark = LANDSCAPE / ".tieout" / "run" / "worker.json"
    deadline = time.monotonic() + 600
    while not (mark.exists() and mark.stat().st_mtime > time.time() - 30):
        assert demo.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    demo.send_signal(number)
    assert demo.wait(120) == 130
    assert left_running() == []
