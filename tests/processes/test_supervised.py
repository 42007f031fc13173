"""Who ends comes back, who hangs is told of, who is restarted leaves no gap; no secret is seen."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.commands import await_that, processes_of
from tests.processes.mailbox import Mailbox, mailbox
from tests.processes.shop import Shop, shop_in_a_new_folder
from tests.processes.theatre import kill
from tieout.cli.processes import Processes
from tieout.cli.shared import STATE_FOLDER
from tieout.store import embedded

ALERTS = """\
digest: 10 minutes
mail: {server: "127.0.0.1:PORT", sender: tieout@northwind.example, encryption: none}
thresholds: {hung_worker: 5 seconds}
channels:
  - {channel: operations, mail_to: [omar@northwind.example]}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@pytest.fixture(scope="module")
def shop(box: Mailbox) -> Iterator[Shop]:
    """Everything runs, with two workers and a promise of four seconds."""
    with shop_in_a_new_folder(6) as found:
        path = found.folder / "policies" / "alerts.yaml"
        path.write_text(ALERTS.replace("PORT", str(box.port)), encoding="utf-8")
        flow = found.folder / "flows" / "quote_to_cash.yaml"
        text = flow.read_text(encoding="utf-8")
        flow.write_text(text.replace("fresh_within: 30 minutes", "fresh_within: 4 seconds"))
        up = found("up", "--port", found.port, "--workers", 2, "--json")
        assert up.code == 0, up.err
        assert {"worker", "worker-2", "watchdog", "supervisor"} <= set(up.json["running"])
        yield found


def holders(shop: Shop) -> int:
    return int(
        shop.ask("SELECT count(DISTINCT holder) FROM leases WHERE name LIKE 'partition:%'")[0][0]
    )


def pids(shop: Shop) -> dict[str, int]:
    return {one.name: one.pid for one in Processes(shop.folder).all() if one.running}


def test_two_workers_share_the_work(shop: Shop) -> None:
    await_that("both hold leases", lambda: holders(shop) == 2, 30)
    shares = shop.ask(
        "SELECT count(*) FROM leases WHERE name LIKE 'partition:%' GROUP BY holder ORDER BY 1"
    )
    assert shares == [(8,), (8,)]


def test_no_secret_is_on_a_command_line(shop: Shop) -> None:
    """The canary: what the emulated systems take for credentials, and the database's password."""
    seen = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.append(path.read_bytes().decode("utf-8", "replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    assert any("tieout.emulators.host" in line for line in seen)
    for line in seen:
        if str(shop.folder) in line:
            assert "demo-salesforce-secret" not in line
            assert "demo-netsuite-token-secret" not in line
    settings = shop.folder / STATE_FOLDER / "emulated" / "netsuite.settings"
    assert settings.stat().st_mode & 0o077 == 0


def test_a_killed_worker_comes_back_by_itself(shop: Shop) -> None:
    before = pids(shop)
    kill(shop.folder, "worker-2")
    await_that(
        "it runs again", lambda: pids(shop).get("worker-2", 0) not in (0, before["worker-2"]), 30
    )
    await_that("both hold leases", lambda: holders(shop) == 2, 30)
    log = (shop.folder / STATE_FOLDER / "log" / "supervisor.log").read_text(encoding="utf-8")
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert ("ended", "worker-2") in {(one["event"], one.get("name")) for one in events}


def test_a_rolling_restart_leaves_no_gap(shop: Shop) -> None:
    before = pids(shop)
    shop.win(2)
    done = shop("restart", "--json")
    assert done.code == 0, done.err
    assert sorted(done.json["restarted"]) == ["worker", "worker-2"]
    after = pids(shop)
    for name in ("worker", "worker-2"):
        assert after[name] != before[name]
    assert not [name for name in after if name.endswith("-leaving")]
    free = "SELECT count(*) FROM leases WHERE holder IS NULL AND name LIKE 'partition:%'"
    await_that("all is held", lambda: shop.ask(free) == [(0,)] and holders(shop) == 2, 30)
    assert shop.ask("SELECT count(*) FROM workers WHERE stopped_at IS NOT NULL")[0][0] >= 2


def test_a_worker_that_hangs_holding_its_lease_is_told_within_a_minute(
    shop: Shop, box: Mailbox
) -> None:
    """P7: the promise is broken by frozen workers, and the mail says so while they are frozen."""
    frozen = [pid for name, pid in pids(shop).items() if name.startswith("worker")]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        shop.win(2)  # webhooks come in, nobody works on them
        await_that("the broken promise is told", lambda: box.has("oldest thing under way"), 60)
        await_that("the hung workers are told", lambda: box.has("stood still"), 60)
        kinds = {kind for (kind,) in shop.ask("SELECT kind FROM alerts WHERE closed_at IS NULL")}
        assert {"slo", "worker"} <= kinds
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    await_that("it is over", lambda: box.has("Over:"), 90)


def test_a_database_that_was_away_is_met_again(shop: Shop) -> None:
    server = embedded.running(shop.folder / STATE_FOLDER)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    await_that("it runs again", lambda: _answers(shop), 150)
    await_that("workers turn again", lambda: holders(shop) == 2, 90)
    assert shop.sync().code == 0


def test_down_stops_everything(shop: Shop) -> None:
    down = shop("down", "--json")
    assert down.code == 0
    assert {"worker", "worker-2", "watchdog", "supervisor", "web"} <= set(down.json["stopped"])
    assert processes_of(shop.folder) == []


def _answers(shop: Shop) -> bool:
    try:
        return embedded.running(shop.folder / STATE_FOLDER) is not None and bool(
            shop.ask("SELECT 1")
        )
    except Exception:  # noqa: BLE001 - while it starts, any refusal means: not yet
        return False
