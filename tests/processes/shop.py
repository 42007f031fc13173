"""A running landscape with a few deals, for whoever wants to disturb it."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.processes.commands import MONTH, SEED, Done, free_ports, quick_landscape, rows, tieout
from tieout.cli.app import application
from tieout.cli.running import bring_down, bring_up
from tieout.cli.shared import database_url
from tieout.rehearsal.northwind import deals as northwind_deals
from tieout.rehearsal.northwind import incidents as troubles
from tieout.rehearsal.northwind.crm import Crm, load, win

DEALS = 8


@dataclass
class Shop:
    """A running landscape with some won deals, and the way to run commands on it."""

    folder: Path
    port: int
    url: str
    crm: Crm
    deals: dict[str, str]
    troubles: troubles.Incidents
    won: list[str] = field(default_factory=list)

    def __call__(self, verb: str, *more: object, **environment: str) -> Done:
        return tieout(verb, *more, folder=self.folder, **environment)

    def inside(self, verb: str, *more: object) -> Done:
        """The same command without a process of its own, where none is needed."""
        words = [verb, *map(str, more), "--landscape", str(self.folder)]
        done = CliRunner().invoke(application, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def win(self, most: int = DEALS) -> list[str]:
        """Move some more deals to Closed Won; returns their ids in the CRM."""
        open_deals = [one for one in self.deals.values() if one not in self.won][:most]
        assert open_deals, "all deals are won already"
        win(self.crm, open_deals, lambda _: None)
        self.won += open_deals
        return open_deals

    def sync(self, wait: int = 60) -> Done:
        return self("sync", "--as", "omar", "--wait", str(wait), "--json")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return rows(self.url, statement)


def few_deals(folder: Path, most: int) -> None:
    """Keep only some of the month's orders: the command line is tried, not the engine."""
    path = folder / "data" / "orders.csv"
    with path.open(encoding="utf-8", newline="") as file:
        orders = list(csv.DictReader(file))
    year = str(int(MONTH[:4]) - northwind_deals.YEARS_ON)
    kept = [one for one in orders if one["order_date"].startswith(year + MONTH[4:])][:most]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(orders[0]))
        writer.writeheader()
        writer.writerows(kept)


def open_shop(home: Path, most_deals: int = DEALS) -> Shop:
    """Start everything but a worker, load the CRM and plant the troubles; nothing is won yet."""
    port = free_ports()
    folder = quick_landscape(home, port)
    few_deals(folder, most_deals)
    bring_up(folder, "demo", port, with_worker=False)
    northwind = northwind_deals.read(folder / "data", month=MONTH)
    incidents = troubles.choose(northwind, SEED)
    crm = Crm(
        f"http://127.0.0.1:{port + 1}", "demo-salesforce-client", "demo-salesforce-secret", "67.0"
    )
    deals = dict(load(crm, northwind, lambda _: None))
    troubles.plant(crm, incidents, deals)
    return Shop(folder, port, database_url(folder), crm, deals, incidents)


@contextmanager
def shop_in_a_new_folder(most_deals: int = DEALS) -> Iterator[Shop]:
    """Opened, and at the end closed and swept away."""
    home = Path(tempfile.mkdtemp(prefix="tieout-shop-"))
    home.chmod(0o755)
    try:
        yield open_shop(home, most_deals)
    finally:
        bring_down(home / "quote_to_cash")
        shutil.rmtree(home, ignore_errors=True)
