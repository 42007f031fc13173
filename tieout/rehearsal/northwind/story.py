"""Tells the demo: start everything, sell, meet the troubles, tie out, and say what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.doubles import Holdings, doubles, holdings
from tieout.engine.opening import open_context
from tieout.engine.reconcile import TieOut, reconcile
from tieout.engine.replay import NothingToReplay, replay
from tieout.engine.rest import Progress as Counts
from tieout.engine.rest import progress as count
from tieout.engine.tie_out_json import tie_out_json
from tieout.rehearsal.northwind import deals as northwind_deals
from tieout.rehearsal.northwind import incidents as troubles
from tieout.rehearsal.northwind.crm import Crm, load, win
from tieout.rehearsal.northwind.deals import Northwind
from tieout.rehearsal.northwind.incidents import Incidents
from tieout.rehearsal.northwind.staging import Stage
from tieout.store import cases
from tieout.store.cases import Case

OPERATOR = "omar"
CONTROLLER = "elena"
STILL_SECONDS = 240.0  # no proof and no ended run for so long: something is stuck
REST_SECONDS = 4 * 3600.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Ending:
    """What the demo prints as JSON. `duplicates` counts documents that a target holds twice;
    `repeats` counts arrivals that came more than once and were absorbed."""

    arrivals: int
    records: int
    dispatches: int
    proofs: int
    duplicates: int
    cases: Mapping[str, int]
    tie_outs: list[dict[str, object]]
    repeats: int
    faults: Mapping[str, int]
    seconds: float
    console: str

    @property
    def as_expected(self) -> bool:
        """No duplicate anywhere, and every cent of difference explained by an open case."""
        return self.duplicates == 0 and all(
            bool(one["agrees"] or one["explained"]) for one in self.tie_outs
        )


class Story:
    """One telling of the demo in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        data: Path,
        environment: str,
        month: str,
        seed: int,
        console: Console,
        print_tie_outs: Callable[[Sequence[TieOut]], None],
        stage: Stage,
    ) -> None:
        self._folder = folder
        self._data = data
        self._environment = environment
        self._month = month
        self._seed = seed
        self._console = console
        self._print = print_tie_outs
        self._stage = stage
        self._before: Holdings = {}  # what the targets held before the first sale

    def tell(self, *, fix: bool) -> Ending:
        """Run it all; whatever happens, nothing is left running."""
        started_at = clock.monotonic()
        self._console.print("Starting PostgreSQL, the emulated systems, console and worker …")
        try:
            url = self._stage.open()
            with open_context(self._folder, self._environment, url, actor=OPERATOR) as context:
                return self._play(context, self._stage, fix, started_at)
        finally:
            self._stage.close()

    def _play(self, context: Context, stage: Stage, fix: bool, started_at: float) -> Ending:
        northwind = northwind_deals.read(self._data, month=self._month)
        incidents = troubles.choose(northwind, self._seed)
        self._before = holdings(context)
        crm = self._sign_in(context)
        deals = self._sell(crm, northwind, incidents)
        erp = stage.erp_url(context)
        if erp:
            troubles.plant_faults(erp, self._seed)
        stage.start_worker()
        self._say(f"{len(deals)} deals are moved to Closed Won; webhooks fire, some twice.")
        win(crm, list(deals.values()), _silent)
        self._until_rest(context, "first pass")
        self._say(
            "An order is amended after its invoice, one is cancelled, "
            "and the customer that was missing appears."
        )
        troubles.amend(crm, incidents, deals)
        troubles.cancel(crm, incidents, deals)
        troubles.customer_appears(crm, incidents)
        self._until_rest(context, "changes")
        faults = troubles.faults_met(erp) if erp else {}
        if erp:
            troubles.heal_faults(erp)
        tie_outs = self._tie_out(context)
        open_cases = self._open_cases(context)
        self._tell_cases(open_cases)
        if fix:
            tie_outs, open_cases = self._mend(context, crm, incidents, deals)
        return self._end(context, stage, tie_outs, open_cases, faults, started_at)

    # --- the acts ----------------------------------------------------------------------------

    def _sign_in(self, context: Context) -> Crm:
        settings = context.environment_of("salesforce").settings
        secrets = context.session("salesforce").secrets
        return Crm(
            settings["base_url"],
            secrets["client_id"],
            secrets["client_secret"],
            settings["api_version"],
        )

    def _sell(self, crm: Crm, northwind: Northwind, incidents: Incidents) -> Mapping[str, str]:
        lines = sum(len(deal.lines) for deal in northwind.deals)
        total = len(northwind.customers) + len(northwind.products) + len(northwind.deals) + lines
        with self._bars() as bars:
            task = bars.add_task("CRM rows loaded", total=total)
            deals = load(crm, northwind, lambda rows: bars.advance(task, rows))
        self._say(
            f"Loaded {len(northwind.customers)} customers, {len(northwind.products)} products, "
            f"{len(northwind.deals)} deals with {lines:,} lines, float noise and all."
        )
        troubles.plant(crm, incidents, deals)
        return deals

    def _until_rest(self, context: Context, act: str) -> None:
        """Watch the worker until nothing moves; two quiet looks, so that a late webhook counts."""
        started = moved = clock.monotonic()
        last = (0, 0)
        quiet_since: float | None = None
        with self._bars() as bars:
            tasks = {
                name: bars.add_task(name, total=None)
                for name in ("arrivals", "proofs in targets", "orders complete")
            }
            while clock.monotonic() < min(started + REST_SECONDS, moved + STILL_SECONDS):
                self._stage.look()
                now = self._count(context)
                if (now.proofs, now.runs_ended) != last:
                    last, moved = (now.proofs, now.runs_ended), clock.monotonic()
                bars.update(
                    tasks["arrivals"],
                    completed=now.arrivals - now.arrivals_new,
                    total=now.arrivals or None,
                )
                bars.update(
                    tasks["proofs in targets"], completed=now.proofs, total=now.dispatches or None
                )
                bars.update(
                    tasks["orders complete"], completed=now.runs_ended, total=now.runs or None
                )
                if not now.at_rest or now.runs == 0:
                    quiet_since = None
                elif quiet_since is None:
                    quiet_since = clock.monotonic()
                elif clock.monotonic() - quiet_since >= self._stage.quiet_seconds(context):
                    return
                clock.sleep(LOOK_SECONDS)
        raise TimeoutError(
            f"{act}: the demo did not come to rest; nothing moved for {STILL_SECONDS:.0f} s, or it "
            f"took longer than {REST_SECONDS:.0f} s"
        )

    def _tie_out(self, context: Context) -> list[TieOut]:
        found: list[TieOut] = []
        for _, spec in sorted(context.landscape.reconciliations.items()):
            tie_outs = reconcile(context, spec)
            self._print(tie_outs)
            found += tie_outs
        return found

    def _open_cases(self, context: Context) -> list[Case]:
        with context.database.transaction() as connection:
            return cases.read(connection)

    def _tell_cases(self, open_cases: list[Case]) -> None:
        self._console.print(f"\n[bold]{len(open_cases)} open case(s)[/]")
        for case in open_cases:
            money = f"{case.amount:,.2f} {case.currency}" if case.amount is not None else ""
            self._console.print(
                f"  case:{case.case_id} {case.reason}: {case.words}", markup=False, soft_wrap=True
            )
            self._console.print(
                f"    {case.field} = {case.value}  {money}  at {case.place}",
                markup=False,
                soft_wrap=True,
            )
            self._console.print(f"    → {case.next_action}", markup=False, soft_wrap=True)

    def _mend(
        self, context: Context, crm: Crm, incidents: Incidents, deals: Mapping[str, str]
    ) -> tuple[list[TieOut], list[Case]]:
        """What the cases' owners do, then one replay: every case closes, every order completes."""
        self._say("Mending: the total and the date in the CRM, the currency in the crosswalk …")
        troubles.mend(crm, incidents, deals)
        crosswalk = self._folder / "crosswalks" / "currency.csv"
        with crosswalk.open("a", encoding="utf-8") as file:
            file.write(f"{troubles.UNKNOWN_CURRENCY},GBP,,,UK pounds in the old order desk\n")
        self._stage.wait_for_landscape(context)
        try:
            replay(context)
        except NothingToReplay:
            self._say("Every case closed by itself.")
        self._until_rest(context, "mending")
        tie_outs, open_cases = self._tie_out(context), self._open_cases(context)
        self._say(f"{len(open_cases)} open case(s) are left.")
        return tie_outs, open_cases

    def _end(
        self,
        context: Context,
        stage: Stage,
        tie_outs: list[TieOut],
        open_cases: list[Case],
        faults: Mapping[str, int],
        started_at: float,
    ) -> Ending:
        now = self._count(context)
        seconds = clock.monotonic() - started_at
        ending = Ending(
            arrivals=now.arrivals,
            records=now.records,
            dispatches=now.dispatches,
            proofs=now.proofs,
            duplicates=sum(len(ids) for ids in doubles(context, self._before).values()),
            cases=dict(sorted(Counter(case.reason for case in open_cases).items())),
            tie_outs=[tie_out_json(one) for one in tie_outs],
            repeats=now.repeats,
            faults=faults,
            seconds=round(seconds, 1),
            console=stage.console_command,
        )
        met = ", ".join(f"{times} × {kind}" for kind, times in sorted(faults.items()))
        self._console.print(
            f"\n[bold]{ending.arrivals:,} arrivals[/] ({ending.repeats:,} repeats absorbed) → "
            f"[bold]{ending.records:,} record versions[/] → [bold]{ending.dispatches:,} "
            f"dispatches[/] → [bold]{ending.proofs:,} proofs[/], "
            f"[bold]{ending.duplicates} duplicates[/], {len(open_cases)} open cases, "
            f"in {seconds:.0f} s" + (f". Met on the way: {met}." if met else ".")
        )
        self._console.print(f"Open the console: [bold]{stage.console_command}[/]")
        return ending

    # --- small things ------------------------------------------------------------------------

    def _count(self, context: Context) -> Counts:
        with context.database.transaction() as connection:
            return count(connection)

    def _bars(self) -> Progress:
        return Progress(
            TextColumn("  {task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=self._console.quiet,
        )

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False)


def _silent(_: int) -> None:
    """Nobody watches single rows."""
